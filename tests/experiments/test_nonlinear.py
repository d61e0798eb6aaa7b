"""nonlinear: each claim is seen to hold and to fail, its figure to have what it must."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import xarray as xr

import jaxinv as ji
from jaxinv import theory
from jaxinv.studies.experiment import load
from tests.experiments.divergence import assert_divergence_helps_no_claim

FILE = Path(__file__).parents[2] / "experiments" / "nonlinear.py"
SIZES = {"signal_dim": 20, "measurement_dim": 14, "samples": 12, "held_out": 8, "width": 10, "depth": 3}
SIGNALS = {"union": {"subspaces": 3, "subspace_dim": 1}, "manifold": {"latent_dim": 2, "features": 3}}
NETWORKS = [("linear", 2), ("relu", 1), ("relu", 2), ("tanh", 2), ("gelu", 2)]
AXES = ("activation", "nonlinear_layers", "decay", "seed")
STEPS = [0, 5, 10]


@pytest.fixture(scope="module")
def experiment():
    return load(FILE)


@pytest.fixture(scope="module")
def grids(experiment):
    return {
        name: replace(grid, fixed={**SIZES, **SIGNALS[name], "momentum": 0.9}, steps=10, records=3)
        for name, grid in experiment.grids("quick").items()
    }


def results(grid):
    """Results that show every claim: with decay as good as the oracle, without three times as loud."""
    problems = [ji.Runs(grid, xr.Dataset()).build(seed=seed).problem for seed in grid.axes["seed"]]
    oracle = np.array([theory.local_oracle_error(each, np.array([0.3]))[0] for each in problems])
    axes = {name: list(values) for name, values in grid.axes.items()}
    shape = tuple(map(len, axes.values()))
    run = xr.DataArray(np.zeros(shape, bool), axes, AXES)
    for which, count in NETWORKS:
        run.loc[{"activation": which, "nonlinear_layers": count}] = True
    decays = xr.DataArray(axes["decay"], {"decay": axes["decay"]}) > 0
    late = xr.DataArray([0.0, 1.0, 1.0], dims="record")
    loud = xr.where(decays, 1, 3) * xr.DataArray(oracle, {"seed": axes["seed"]}, "seed") + 0 * late
    clean = 0.01 + 0 * loud
    off = xr.where(decays & (late > 0), 1e-3, 5.0) + 0 * loud
    made = {
        "noisy_error": xr.concat([clean, loud], xr.DataArray([0.0, 0.3], name="noise", dims="noise")).expand_dims(
            map=["network"]
        ),
        "noise_gain": 2 + off, "off_subspace_gain": off, "regression_error": clean, "loss": clean,
        "step_size": 0.01 + 0 * run.astype(float), "weight_decay": decays * 1.0 + 0 * run.astype(float),
    }  # fmt: skip
    rows = {}
    for name, data in made.items():
        data = (data + 0 * run.astype(float)).where(run)
        end = [dim for dim in ("record", "map", "noise") if dim in data.dims]
        rows[name] = data.transpose(*AXES, *end)
    return xr.Dataset({**rows, "diverged": run & False}).assign_coords(step=("record", STEPS))


@pytest.fixture(scope="module")
def made(grids):
    return {name: results(grid) for name, grid in grids.items()}


@pytest.fixture
def good(made):
    return {name: data.copy(deep=True) for name, data in made.items()}


@pytest.fixture(scope="module")
def derived(experiment, grids, made):
    return experiment.analyse({name: ji.Runs(grids[name], data) for name, data in made.items()})


def judged(experiment, grids, good, derived):
    runs = {name: ji.Runs(grids[name], data, derived[name]) for name, data in good.items()}
    return experiment.claims(runs)


TANH = {"activation": "tanh", "nonlinear_layers": 2, "seed": 1}
ONE = {"activation": "relu", "nonlinear_layers": 1, "seed": 0}
LOUD = {"map": "network", "noise": 0.3, "record": 2}


def lose(good):
    good["manifold"].diverged.loc[{**TANH, "decay": 0.0}] = True


def keep_off(good):
    good["union"].off_subspace_gain.loc[{**ONE, "decay": 0.005, "record": 2}] = 0.6


def decay_in_vain(good):
    rows = good["manifold"].noisy_error
    rows.loc[{**TANH, **LOUD, "decay": 0.0}] = 0.9 * rows.sel({**TANH, **LOUD, "decay": 0.005})


def above(name, factor):
    def change(good):
        good[name].noisy_error.loc[{**ONE, **LOUD}] *= factor

    return change


def nothing(good):
    for data in good.values():
        for name in ("noisy_error", "noise_gain", "off_subspace_gain"):
            data[name].loc[{"record": slice(1, None)}] = np.nan
        data.diverged[:] = data.step_size.notnull()


def test_it_holds_on_results_that_show_the_claims(experiment, grids, good, derived):
    found = judged(experiment, grids, good, derived)
    assert [verdict.holds for verdict in found] == [True] * 7, [verdict.line() for verdict in found]
    assert [verdict.measured for verdict in found[:3]] == pytest.approx([0, 2e-4, 1 / 3])
    assert [found[4].measured, found[6].measured] == pytest.approx([1, 1])


@pytest.mark.parametrize(
    ("failing", "violate"),
    [
        ({0}, lose),
        ({1}, keep_off),
        ({2}, decay_in_vain),
        ({4}, above("union", 1.2)),
        ({6}, above("manifold", 1.2)),
        ({3, 4}, above("union", 10)),
        ({5, 6}, above("manifold", 10)),
        (set(range(7)), nothing),
    ],
)
def test_a_violated_claim_fails_alone(experiment, grids, good, derived, failing, violate):
    violate(good)
    found = judged(experiment, grids, good, derived)
    assert {i for i, verdict in enumerate(found) if not verdict.holds} == failing


def test_what_is_derived_is_of_the_problem_of_each_seed(grids, derived):
    assert float(derived["union"].best_linear_error.std()) > 0
    problem = ji.build(grids["manifold"].cells()[-1])[0]
    last = derived["manifold"].isel(seed=-1)
    np.testing.assert_allclose(last.oracle_gain, theory.local_oracle_gain(problem))
    np.testing.assert_allclose(last.oracle_error, theory.local_oracle_error(problem, np.array([0.3]))[0])
    np.testing.assert_allclose(last.best_linear_error, theory.best_linear_error(problem, np.array([0.3]))[0])


def test_the_grids_have_every_network_at_its_stable_step_size(experiment, grids):
    for grid in grids.values():
        cells = {(cell.point["activation"], cell.point["nonlinear_layers"]) for cell in grid.cells()}
        assert cells == set(NETWORKS)
    problem, _, descent = ji.build(grids["union"].cells()[-1])
    assert descent.stable
    assert descent.momentum == 0.9
    scale = float(problem.signal_extremes[0]) ** 2 * (14 / 20) ** 0.5
    assert float(descent.weight_decay) == pytest.approx(0.005 * scale, rel=1e-6)
    for preset in ("quick", "paper"):  # of one shape: one compilation serves both problems
        union, manifold = (grid.fixed for grid in experiment.grids(preset).values())
        assert union["subspaces"] * union["subspace_dim"] == manifold["features"]


def test_the_figure_shows_every_network_and_the_maps_to_compare_with(experiment, grids, good, derived):
    figure = experiment.draw({name: ji.Runs(grids[name], data, derived[name]) for name, data in good.items()})
    assert len(figure.axes) == 8
    legend = [text.get_text() for text in figure.legends[0].get_texts()]
    assert legend == ["best linear map", "oracle, told where", "no weight decay", "weight decay"]
    loud = figure.axes[0]
    names = [label.get_text() for label in figure.axes[4].get_xticklabels()]
    assert names == ["linear", "one ReLU", "ReLU", "tanh", "GELU"]
    plain, decayed = (np.asarray(bars.lines[0].get_ydata(), float) for bars in loud.containers)
    np.testing.assert_allclose(plain / decayed, 3)
    oracle = float(derived["union"].oracle_error.median())
    np.testing.assert_allclose(np.asarray(loud.lines[-1].get_ydata(), float), oracle)


def test_divergence_helps_no_claim(experiment, grids, good):
    assert_divergence_helps_no_claim(experiment, {name: ji.Runs(grids[name], data) for name, data in good.items()})
