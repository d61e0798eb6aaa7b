"""What is read off the curve of each run of a grid."""

import numpy as np
import xarray as xr

from jaxinv.measures import curves

STEP = np.unique(np.rint(np.geomspace(1, 2000, 120))) - 1


def grid(*rates):
    """Curves that fall at these rates, (width, seed, record), with a record axis in front."""
    rows = np.maximum(np.exp(-np.array(rates)[..., None] * STEP), 1e-14)
    return xr.DataArray(rows, {"step": ("record", STEP)}, ("width", "seed", "record")).transpose("record", ...)


def test_steps_to_a_level_of_each_run_are_infinite_where_it_never_gets_there():
    data = grid([0.02, 0.04], [0.0, 0.01])
    data[{"record": slice(5, None), "width": 1, "seed": 1}] = np.nan
    found = curves.run_steps_to(data, 1e-2)
    assert found.dims == ("width", "seed")
    np.testing.assert_allclose(found, [[np.log(100) / 0.02, np.log(100) / 0.04], [np.inf, np.inf]])


def test_each_run_is_read_with_its_own_steps():
    data = grid([0.02, 0.04])
    steps = xr.DataArray([STEP, 10 * STEP], dims=("seed", "record"))
    found = curves.run_steps_to(data.drop_vars("step").assign_coords(step=steps), 1e-2)
    np.testing.assert_allclose(found.transpose("width", "seed"), [[np.log(100) / 0.02, 10 * np.log(100) / 0.04]])


def test_the_phases_of_each_run_are_those_of_its_curve():
    data = grid([0.02, 0.05], [0.0, 0.03])
    data[{"record": slice(5, None), "width": 1, "seed": 1}] = np.nan
    found = curves.run_phases(data)
    np.testing.assert_allclose(found["log_rate"], [[0.02, 0.05], [np.nan, np.nan]], rtol=1e-9)
    assert found["quality"].values.tolist() == [["good", "good"], ["short", "diverged"]]


def test_what_stands_where_another_curve_is_least():
    errors = grid([0.02, 0.02, 0.02]).transpose("width", "seed", "record")
    values = errors + 1
    errors = errors.copy()
    for seed, place in enumerate((3, 7, 5)):
        errors[0, seed, place] = 1e-20
    errors[0, 2, -1] = np.nan
    found = curves.run_at_lowest(values, errors)
    assert found.dims == ("width", "seed")
    np.testing.assert_array_equal(found[0], [values[0, 0, 3], values[0, 1, 7], np.nan])
    shorter = errors.assign_coords(step=errors["step"].where(errors["record"] < len(STEP) - 1))
    assert curves.run_at_lowest(values, shorter)[0, 2] == values[0, 2, 5]


def test_a_shorter_run_ends_where_its_steps_do_and_a_missing_one_is_nan():
    data = grid([0.02, 0.02, 0.02]).transpose("width", "seed", "record").drop_vars("step")
    steps = xr.DataArray(np.array([STEP, STEP, np.full(len(STEP), np.nan)]), dims=("seed", "record"))
    steps[1, STEP > 500] = np.nan
    data = data.where(steps.notnull()).assign_coords(step=steps)
    found = curves.run_steps_to_each(data, [1e-2, 1e-6])
    assert found.dims == ("width", "seed", "level")
    assert found.level.values.tolist() == [1e-2, 1e-6]
    there = np.log(100) / 0.02
    np.testing.assert_allclose(found[0], [[there, 3 * there], [there, np.nan], [np.nan, np.nan]])
    factors = xr.DataArray([1.0, 2.0, 3.0], dims="seed")
    last = curves.each_run(lambda step, error, factor: factor * step[-1], data, factors)
    np.testing.assert_allclose(last[0, :2], [STEP[-1], 2 * STEP[STEP <= 500][-1]])
