"""irls: each claim is seen to hold and to fail, its figure to have what it must."""

from dataclasses import replace
from pathlib import Path

import jax
import numpy as np
import pytest
import xarray as xr

import jaxinv as ji
from jaxinv.studies.analysis import with_derived
from jaxinv.studies.experiment import load
from tests.experiments.divergence import assert_divergence_helps_no_claim

FILE = Path(__file__).parents[2] / "experiments" / "irls.py"
COUNT = 60


@pytest.fixture(scope="module")
def experiment():
    return load(FILE)


@pytest.fixture(scope="module")
def grids(experiment):
    return experiment.grids("quick")


def over(grid, **variables):
    """A dataset over the axes of the grid; a variable is (dims, numbers that broadcast to it)."""
    shape = tuple(len(values) for values in grid.axes.values())
    made = {name: ((*grid.axes, *dims), np.broadcast_to(rows, shape + rows.shape[len(shape) :]).copy())
            for name, (dims, rows) in variables.items()}  # fmt: skip
    return xr.Dataset(made, dict(grid.axes))


@pytest.fixture
def good(grids):
    """Results that show every claim."""
    k, seed = np.arange(COUNT), np.arange(4)
    factor = 0.6 + 0.05 * np.ones((3, 3, 1)) * seed
    falling = 3 + factor[..., None] ** k
    numbers = np.array(grids["gradient"].axes["iterations"])
    memory = np.stack([np.full(3, 1000.0), 20.0 * numbers])[..., None]
    slopes = np.ones((2, 3, 1, 1)) * [1.0, -3.0, 2.0] * (1 + 1e-7 * np.arange(2)[:, None, None, None])
    psnr = 20 + np.array([0, 1]) * (1 + 0.1 * seed[None, :, None]) * np.ones((3, 1, 1))
    data = {
        "rate": over(grids["rate"], objective=(("iteration",), falling), length=(("iteration",), falling - 3),
                     factor=((), factor)),
        "gradient": over(grids["gradient"], slope=(("parameter",), slopes), memory=((), memory)),
        "learning": over(grids["learning"], psnr=(("filters",), psnr)).assign_coords(
            filters=["total_variation", "learned"]),
    }  # fmt: skip
    return {name: ji.Runs(grids[name], each) for name, each in data.items()}


def analysed(experiment, runs):
    return with_derived(runs, experiment.analyse(runs))


def rise_once(runs):
    runs["rate"].data.objective.loc[{"power": 0.8, "seed": 2, "iteration": 58}] *= 1 + 1e-9


def shrink_at_another_rate(runs):
    runs["rate"].data["length"] = runs["rate"].data["length"] ** 1.1


def lose_a_tenth(runs):
    runs["rate"].data["length"].loc[{"power": 0.5, "smoothing": 0.01}] = np.nan


def differ(runs):
    runs["gradient"].data.slope.loc[{"gradient": "implicit", "iterations": 200, "parameter": 0}] += 1e-4


def need_more_memory(runs):
    runs["gradient"].data.memory.loc[{"gradient": "implicit", "iterations": 400}] += 8


def learn_nothing(runs):
    runs["learning"].data.psnr.loc[{"power": 1.0, "filters": "learned", "seed": [0, 1]}] = 19.9


def lose_a_seed(runs):
    for run in runs.values():
        for name in run.data.data_vars:
            run.data[name].loc[{"seed": 0}] = np.nan


def test_it_holds_on_results_that_show_the_claims(experiment, good):
    found = experiment.claims(analysed(experiment, good))
    assert all(verdict.holds for verdict in found), [verdict.line() for verdict in found]
    assert found[1].measured == 1
    assert found[2].measured == pytest.approx(1e-7, rel=1e-3)
    assert 1 <= found[4].measured < 1.15


@pytest.mark.parametrize(
    ("failing", "violate"),
    [
        ({0}, rise_once),
        ({1}, shrink_at_another_rate),
        ({1}, lose_a_tenth),
        ({2}, differ),
        ({3}, need_more_memory),
        ({4}, learn_nothing),
        ({0, 1, 2, 3, 4}, lose_a_seed),
    ],
)
def test_a_violated_claim_fails_alone(experiment, good, failing, violate):
    violate(good)
    found = experiment.claims(analysed(experiment, good))
    assert {i for i, verdict in enumerate(found) if not verdict.holds} == failing


def test_the_figure_has_rates_memory_and_gains(experiment, good):
    runs = analysed(experiment, good)
    length, rate, memory, gain = experiment.draw(runs).axes
    assert [len(panel.lines) for panel in (length, rate, memory)] == [3, 4, 2]
    np.testing.assert_allclose(rate.lines[0].get_xdata(), rate.lines[0].get_ydata(), rtol=1e-4)
    np.testing.assert_allclose(memory.lines[1].get_ydata(), 20 * np.array([100, 200, 400]) / 2**20)
    assert len(gain.containers) == 3
    for run in good.values():
        for name in run.data.data_vars:
            run.data[name] = run.data[name] * np.nan
    experiment.draw(analysed(experiment, good))


def test_a_small_sweep_has_what_is_read(experiment, grids):
    axes = {"power": [1.0], "smoothing": [0.01], "seed": range(2)}
    rate = replace(grids["rate"], axes=axes, fixed={**grids["rate"].fixed, "side": 16, "iterations": 100})
    data = ji.run_sweep(rate)
    assert data["length"].dims == (*axes, "iteration")
    runs = {"rate": ji.Runs(rate, data)}
    assert np.all(abs(experiment.analyse(runs)["rate"]["measured"] / data["factor"] - 1) < 0.05)
    cell = grids["learning"].cells()[0].arguments["method"]
    method = grids["learning"].method
    made = jax.eval_shape(lambda key: method.function(key, **cell), jax.random.key(0))
    assert made["psnr"].shape == (2,)
    assert made["kernels"].shape == (3, 5)


def test_divergence_helps_no_claim(experiment, good):
    assert_divergence_helps_no_claim(experiment, good)
