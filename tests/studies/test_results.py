"""Results are read by name and by the arguments of the runs."""

import numpy as np
import pytest
import xarray

import jaxinv as ji

SIZES = {"signal_dim": 8, "measurement_dim": 5, "subspace_dim": 2, "samples": 4, "width": 6}


@pytest.fixture(scope="module")
def runs():
    metrics = ["regression_error", "noise_gain", ji.NoisyError([0.1, 1.0], ["network", "oracle"])]
    sweep = ji.Sweep({"depth": [1, 2], "gamma": [0, 0.1], "seed": range(3)}, SIZES, steps=8, records=4, metrics=metrics)
    derived = xarray.Dataset({"slope": (("depth", "seed"), np.arange(6.0).reshape(2, 3))}, {"depth": [1, 2]})
    return ji.Runs(sweep, ji.run_sweep(sweep), derived)


def test_variables_axes_and_what_was_derived_are_read_by_name(runs):
    assert runs["noise_gain"].dims == ("depth", "gamma", "seed", "record")
    assert runs["gamma"].values.tolist() == [0, 0.1]
    assert runs["slope"].sel(depth=2).values.tolist() == [3, 4, 5]
    assert "slope" in runs
    assert "slop" not in runs
    assert runs.sizes["seed"] == 3
    with pytest.raises(ji.ArgumentError, match="unknown result 'noise_gian'; did you mean 'noise_gain'"):
        runs["noise_gian"]


def test_records_are_read_by_number_and_selection(runs):
    rows = runs["noise_gain"]
    rows = rows.drop_vars("step")
    xarray.testing.assert_equal(runs.start("noise_gain"), rows.isel(record=0))
    xarray.testing.assert_equal(runs.end("noise_gain", gamma=0.1), rows.sel(gamma=0.1).isel(record=-1))
    xarray.testing.assert_equal(runs.at(2, "noise_gain", depth=2, seed=1), rows.sel(depth=2, seed=1).isel(record=2))
    xarray.testing.assert_equal(runs.end("slope", depth=1), runs["slope"].sel(depth=1))
    loud = runs.end("noisy_error", noise=1, map="oracle", gamma=[0.1])
    assert loud.dims == ("depth", "gamma", "seed")


def test_a_float_is_found_up_to_rounding_and_what_is_not_there_is_refused(runs):
    assert runs.end("noise_gain", gamma=0.1 * (1 + 1e-15)).shape == (2, 3)
    with pytest.raises(ji.ArgumentError, match=r"gamma must be one of 0.0, 0.1, got 0.2"):
        runs.end("noise_gain", gamma=0.2)
    with pytest.raises(ji.ArgumentError, match="unknown axis of noise_gain 'gama'; did you mean 'gamma'"):
        runs.end("noise_gain", gama=0)


def test_arguments_that_all_runs_share(runs):
    assert runs.argument("signal_dim") == 8
    assert runs.argument("init") == "fan_in"
    assert runs.argument("step_size") is None
    with pytest.raises(ji.ArgumentError, match="argument 'depth' must be one value, got the axis of that name"):
        runs.argument("depth")
    with pytest.raises(ji.ArgumentError, match="unknown argument 'widht'; did you mean 'width'"):
        runs.argument("widht")


def test_a_cell_is_built_from_a_selection(runs):
    assert len(runs.cells) == 12
    problem, network, descent = runs.build(depth=2, seed=1)
    assert network.depth == 2
    assert descent.weight_decay == 0  # the first gamma
    same = ji.build(next(c for c in runs.cells if c.point == {"depth": 2, "gamma": 0.1, "seed": 1}))
    assert np.array_equal(problem.signals, same.problem.signals)
    with pytest.raises(ji.ArgumentError, match="no cell at"):
        runs.build(depth=3)


def test_runs_of_different_lengths_end_where_they_end():
    fixed = {**SIZES, "depth": 2}
    del fixed["width"]
    sweep = ji.Sweep(
        {"width": [4, 6], "seed": range(2)},
        fixed,
        steps=lambda width: 10 * width,
        records=lambda width: [0, width, 10 * width] if width == 4 else 6,
        metrics=["regression_error"],
    )
    runs = ji.Runs(sweep, ji.run_sweep(sweep))
    ends = runs.end("regression_error")
    for cell in runs.cells:
        alone = ji.train(*ji.build(cell), steps=cell.steps, records=cell.record_steps, metrics=["regression_error"])
        for record in (-1, -2):
            found = runs.at(record, "regression_error").sel(cell.point)
            np.testing.assert_array_equal(found, alone.metrics["regression_error"][record])
    assert ends.notnull().any("seed").sum() >= 1


def test_whole_numbers_are_found_exactly():
    sweep = ji.Sweep({"seed": [1700000000, 1700000001]}, {**SIZES, "depth": 2}, steps=2, metrics=["loss"])
    runs = ji.Runs(sweep, ji.run_sweep(sweep))
    assert runs.start("loss", seed=1700000001) == runs["loss"].isel(seed=1, record=0)
    assert runs.start("loss", seed=1700000000) != runs.start("loss", seed=1700000001)
