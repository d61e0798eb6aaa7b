"""What theory predicts of a grid is what it predicts of each run."""

import numpy as np
import pytest
import xarray

import jaxinv as ji
from jaxinv import theory
from jaxinv.measures import curves, predictions

from ..helpers import GRID, small_sweep

LEVELS = [0.5, 1e-2]


def test_the_linearised_runs_of_a_grid_are_those_of_each_network():
    sweep = small_sweep(axes={"width": [20, 40], "seed": range(2)})
    rules = np.array([[[0.5, 1.5]] * 2, [[1.0, np.nan]] * 2])  # shares of the largest stable step size

    def build(width, seed):
        return ji.build(next(cell for cell in sweep.cells() if cell.point == {"width": width, "seed": seed}))

    def linear_at(width, seed):
        return theory.linearise(build(width, seed).problem, build(width, seed).network.weights)

    coords = {"width": [20, 40], "seed": [0, 1]}
    largest = np.array([[linear_at(width, seed).stable_step_size() for seed in (0, 1)] for width in (20, 40)])
    step_size = xarray.DataArray(largest[..., None] * rules, coords, ("width", "seed", "rule"))
    step_size = step_size.transpose("rule", "width", "seed")
    steps = xarray.DataArray([100, 200], {"width": [20, 40]}, ("width",))
    made = predictions.linearised(build, step_size, steps, LEVELS, axes=("width", "seed"))
    assert made["sharpness"].dims == ("rule", "width", "seed")
    assert made["steps_to"].dims == ("rule", "width", "seed", "level")
    np.testing.assert_allclose(made["sharpness"].transpose("width", "seed", "rule"), 2 * rules)
    assert (made["log_rate"].sel(width=20).isel(rule=1) < 0).all()
    assert made.isel(rule=1).sel(width=40).log_rate.isnull().all()
    assert made["steps_to"].isel(rule=1).isnull().any()
    linear, eta = linear_at(20, 1), float(step_size.sel(width=20, seed=1).isel(rule=0))
    one = made.sel(width=20, seed=1).isel(rule=0)
    assert float(one.log_rate) == pytest.approx(-np.log(theory.contraction(eta, linear.extremes())))
    wide = theory.wide_extremes(build(20, 1).problem, 20, GRID["depth"])
    assert float(one.wide_log_rate) == pytest.approx(-np.log(theory.contraction(eta, wide)))
    curve = linear.curve(eta, 100)
    expected = [curves.steps_to(np.arange(101), curve, level) for level in LEVELS]
    np.testing.assert_allclose(one.steps_to.sel(level=LEVELS), expected)


def test_runs_of_a_network_that_nobody_can_generate_are_predicted(unchecked):
    million = small_sweep(axes={"width": [10**6], "seed": range(2)}, engine="width_free",
                          steps=150, records=list(range(0, 151, 5)), metrics=["regression_error"])  # fmt: skip
    runs = ji.run_sweep(million)

    def build(width, seed):
        return ji.build(next(cell for cell in million.cells() if cell.point["seed"] == seed))

    steps = xarray.full_like(runs.step_size, 150)
    made = predictions.linearised(
        build, runs.step_size, steps, [0.1, 1e-2, 1e-3], axes=("width", "seed"), linearise=ji.linearisation_of
    )
    measured = curves.run_steps_to_each(runs.regression_error, made.level.values.tolist())
    # other weights of one law: they start elsewhere, and fall alike
    np.testing.assert_allclose(made.steps_to.transpose(*measured.dims), measured, atol=5)
    np.testing.assert_allclose(
        made.steps_to.diff("level"), measured.diff("level").transpose(*made.steps_to.dims), atol=0.5
    )
    np.testing.assert_allclose(made.log_rate, made.wide_log_rate, atol=0.01)
    with pytest.raises(ji.ArgumentError, match="were not generated"):
        predictions.linearised(build, runs.step_size, steps, LEVELS, axes=("width", "seed"))


def test_the_steps_of_the_infinite_width_are_those_of_each_problem():
    sweep = small_sweep(axes={"width": [20, 40], "seed": range(3)})

    def build(seed):
        return ji.build(next(cell for cell in sweep.cells() if cell.seed == seed))

    coords = {"width": [20, 40], "seed": [0, 1, 2]}
    step_size = xarray.DataArray(np.full((2, 3), 1e-3), coords, ("width", "seed"))
    step_size.loc[{"width": 40, "seed": 2}] = 1e-9
    made = predictions.wide_steps_to(build, step_size, 1e-2, width=step_size["width"], depth=2, most=5000)
    assert made.dims == ("width", "seed")
    curve = theory.wide_linearisation(build(1).problem, 40, 2).curve(1e-3, 5000)
    assert float(made.sel(width=40, seed=1)) == pytest.approx(curves.steps_to(np.arange(len(curve)), curve, 1e-2))
    assert made.sel(width=40, seed=2) == np.inf
    assert np.isfinite(made.sel(width=20)).all()
    assert len(np.unique(made.sel(width=20))) == 3  # each seed has its problem
