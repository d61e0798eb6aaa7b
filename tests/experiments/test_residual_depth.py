"""residual_depth: each claim is seen to hold and to fail, its figure to have what it must."""

from dataclasses import replace
from pathlib import Path

import jax
import numpy as np
import pytest
import xarray as xr

import jaxinv as ji
from jaxinv.neighbours import residual_depth as residual
from jaxinv.studies.analysis import with_derived
from jaxinv.studies.experiment import load
from tests.experiments.divergence import assert_divergence_helps_no_claim

FILE = Path(__file__).parents[2] / "experiments" / "residual_depth.py"
RECORDS = 40


@pytest.fixture(scope="module")
def experiment():
    return load(FILE)


@pytest.fixture(scope="module")
def grids(experiment):
    """Those of the quick preset, the races with fewer step sizes."""
    made = experiment.grids("quick")
    fewer = {name: replace(made[name], axes={**made[name].axes, "rate": [0.1, 0.3]}) for name in ("starts", "scalar")}
    return {**made, **fewer}


def steps_to(last):
    """0, then steps to `last`, on a new last axis."""
    return np.concatenate([np.zeros((*np.shape(last), 1)), np.geomspace(1, last, RECORDS - 1, axis=-1)], axis=-1)


def from_zero(grid, step_size, rate):
    """Risks that fall like exp(-rate t) from the zero-asymmetric start, with a little spread between seeds."""
    shape = [len(values) for values in grid.axes.values()]
    size = np.reshape(step_size(np.array(grid.axes["depth"], float)), (-1, *[1] * (len(shape) - 1)))
    step = np.broadcast_to(steps_to(7.05 / size), (*shape, RECORDS))
    spread = 1 + 0.01 * np.arange(shape[-1])[:, None]
    dims = (*grid.axes, "record")
    risk = np.exp(-rate * step * size[..., None] * spread)
    return xr.Dataset({"risk": (dims, risk)}, {**grid.axes, "step": (dims, step)})


def raced(grid, steps):
    """Risks that get to the level after `steps` of (depth, start) with the largest rate, later with the others."""
    depth, rate = np.array(grid.axes["depth"]), np.array(grid.axes["rate"])
    by_start = np.stack([steps[name](depth) for name in residual.STARTS], -1)
    reach = by_start[:, None, None, :] * (0.3 / rate)[:, None, None] * (1 + 0.01 * np.arange(4)[:, None])
    at = np.broadcast_to(steps_to(float(grid.fixed["most"])), (*reach.shape, RECORDS))
    dims = (*grid.axes, "start", "record")
    made = {"risk": (dims, 1e-6 ** np.minimum(at / reach[..., None], 2)), "at": (dims, at.copy())}
    return xr.Dataset(made, {**grid.axes, "start": list(residual.STARTS)})


SLOW = {"zero_asymmetric": lambda depth: 20 * depth**0.3, "near_identity": lambda depth: 10.0 * depth**2,
        "xavier": lambda depth: np.where(depth > 8, 1e9, 9.0 * depth**3)}  # fmt: skip
SCALAR = {**SLOW, "near_identity": lambda depth: 10.0 * 3.0**depth}


@pytest.fixture
def good(grids):
    """Results that show every claim."""
    data = {"flow": from_zero(grids["flow"], residual.flow_time_step, 2.2),
            "descent": from_zero(grids["descent"], lambda depth: residual.proven_step_size(depth, 0.5), 2.2),
            "starts": raced(grids["starts"], SLOW), "scalar": raced(grids["scalar"], SCALAR)}  # fmt: skip
    return {name: ji.Runs(grids[name], each) for name, each in data.items()}


def analysed(experiment, runs):
    return with_derived(runs, experiment.analyse(runs))


def race_again(runs, name, **changes):
    grid = runs[name].grid
    runs[name] = ji.Runs(grid, raced(grid, {**(SLOW if name == "starts" else SCALAR), **changes}))


def leave_the_bound_of_the_flow(runs):
    runs["flow"].data.risk.loc[{"depth": 9, "norm": 2.0, "negative": 1.0, "seed": 1, "record": 1}] = 1.0


def leave_the_bound_of_the_descent(runs):
    runs["descent"].data.risk.loc[{"depth": 12, "seed": 1, "record": 20}] = 1.0


def fall_slower_than_the_flow(runs):
    runs["descent"].data.risk.loc[{"depth": 12, "seed": 1, "record": 30}] **= 0.8


def never_get_there(runs):
    runs["descent"].data["risk"] = runs["descent"].data.risk.clip(min=1.1e-6)


def grow_like_a_higher_power(runs):
    race_again(runs, "starts", zero_asymmetric=lambda depth: 0.5 * depth**3.2)


def keep_up(runs):
    race_again(runs, "starts", near_identity=SLOW["zero_asymmetric"])


def grow_like_a_square(runs):
    race_again(runs, "scalar", near_identity=SLOW["near_identity"])


def lose_a_run(runs):
    for name in ("flow", "descent"):
        runs[name].data.risk.loc[{"seed": 1, "depth": 9, "record": range(15, RECORDS)}] = np.nan
    for name in ("starts", "scalar"):
        runs[name].data.risk.loc[{"seed": 1, "depth": 4, "rate": 0.3, "record": range(15, RECORDS)}] = np.nan


def test_it_holds_on_results_that_show_the_claims(experiment, good):
    found = experiment.claims(analysed(experiment, good))
    assert all(verdict.holds for verdict in found), [verdict.line() for verdict in found]
    assert [verdict.measured for verdict in found[3:]] == pytest.approx([2, 1.7, 3], abs=0.02)


@pytest.mark.parametrize(
    ("failing", "violate"),
    [
        ({0}, leave_the_bound_of_the_flow),
        ({1, 2}, leave_the_bound_of_the_descent),
        ({2}, fall_slower_than_the_flow),
        ({2, 3}, never_get_there),
        ({3, 4}, grow_like_a_higher_power),
        ({4}, keep_up),
        ({5}, grow_like_a_square),
        ({0, 1, 2, 3, 4, 5}, lose_a_run),
    ],
)
def test_a_violated_claim_fails_alone(experiment, good, failing, violate):
    violate(good)
    found = experiment.claims(analysed(experiment, good))
    assert {i for i, verdict in enumerate(found) if not verdict.holds} == failing


def test_a_run_that_fails_counts_as_all_its_steps(experiment, good):
    runs = analysed(experiment, good)
    steps = runs["starts"]["steps"]
    assert np.isinf(steps.sel(start="xavier", depth=16)).all()
    np.testing.assert_allclose(steps.sel(start="near_identity", seed=0), 10 * steps["depth"] ** 2, rtol=1e-6)
    race_again(good, "starts", xavier=lambda depth: 1e9 + 0 * depth)
    assert not experiment.claims(analysed(experiment, good))[4].holds  # as slow at any depth: it does not grow


def test_the_figure_has_curves_bounds_and_starts(experiment, good):
    runs = analysed(experiment, good)
    flow, descent, starts, scalar = experiment.draw(runs).axes
    assert [len(panel.lines) for panel in (flow, descent, starts, scalar)] == [4, 5, 6, 4]
    np.testing.assert_allclose(flow.lines[0].get_xdata()[-1], 7.05, rtol=1e-6)
    np.testing.assert_allclose(descent.lines[3].get_ydata(), np.exp([0, -16]), rtol=1e-12)
    np.testing.assert_allclose(starts.lines[3].get_ydata()[-1], 30_000)
    for run in good.values():
        run.data.risk[..., 1:] = np.nan
    experiment.draw(analysed(experiment, good))


def test_a_small_sweep_has_what_is_read(grids):
    flow = replace(grids["flow"], axes={"depth": [2], "norm": [0.5], "negative": [1.0], "seed": range(2)})
    data = ji.run_sweep(flow)
    assert data.risk.dims == (*flow.axes, "record")
    assert (data.risk <= np.exp(-2 * 0.02 * data.step) * (1 + 1e-9)).all()
    for name, shape in (("descent", (80,)), ("starts", (3, 80))):
        cell, method = grids[name].cells()[0].arguments["method"], grids[name].method
        made = jax.eval_shape(lambda key, f=method.function, given=cell: f(key, **given), jax.random.key(0))
        assert made["risk"].shape == shape


def test_divergence_helps_no_claim(experiment, good):
    assert_divergence_helps_no_claim(experiment, good)
