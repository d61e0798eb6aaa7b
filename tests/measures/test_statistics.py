"""Statistics over seeds, against numpy's."""

import numpy as np
import pytest
import xarray as xr

from jaxinv.measures import statistics

NAN, INF = np.nan, np.inf


def by_width(*rows):
    return xr.DataArray(np.array(rows, float), {"width": [1, 2, 3][: len(rows)]}, ("width", "seed"))


def last_over_first(*rows, kept=None):
    data = by_width(*rows)
    return statistics.last_over_first(data, "width", data["width"] > 0 if kept is None else kept(data["width"]))


def test_the_last_is_compared_with_the_first_by_the_median_over_seeds():
    assert last_over_first([1, 2, 4], [9, 9, 9], [3, 8, 4]) == 3
    assert last_over_first([1, 2, 4], [2, 2, 2], [3, 8, 4], kept=lambda width: width > 1) == 2
    assert last_over_first([1, 2, 4], [2, 2, 2], [3, 8, 4], kept=lambda width: width != 3) == 1


@pytest.mark.parametrize(
    ("first", "last", "expected"),
    [([1, 1, 1], [INF, NAN, 1], INF), ([INF, INF, 1], [1, 1, 1], 0), ([INF, NAN, 1], [NAN, INF, 1], INF)],
)
def test_what_never_arrives_is_infinite(first, last, expected):
    assert last_over_first(first, last) == expected


@pytest.mark.parametrize(("first", "last"), [([NAN, NAN, 1], [1, 1, 1]), ([1, 1, 1], [NAN, NAN, 1])])
def test_a_comparison_with_a_run_that_diverged_is_lost(first, last):
    assert last_over_first(first, last) == INF
    data = by_width(first, last)
    assert statistics.last_over_first(data, "width", data["width"] > 0, lost=0.0) == 0


def test_fewer_than_two_entries_are_not_compared():
    assert np.isnan(last_over_first([1, 2, 4]))
    assert np.isnan(last_over_first([1, 2, 4], [1, 2, 4], kept=lambda width: width > 5))


def test_each_but_the_first_is_compared_where_it_is_kept():
    data = by_width([1, 2, 4], [2, 2, NAN], [3, 8, 4])
    kept = data["width"] >= xr.DataArray([1, 3], {"regime": ["all", "last"]})
    assert statistics.each_over_first(data, "width", kept).tolist() == [2, 3, 3]
    assert len(statistics.each_over_first(data, "width", data["width"] == 1)) == 0
    none = data.isel(width=slice(0))
    assert len(statistics.each_over_first(none, "width", none["width"] > 0)) == 0


@pytest.mark.parametrize(("first", "last"), [([NAN, NAN, 1], [1, 1, 1]), ([1, 1, 1], [NAN, INF, 1])])
def test_each_comparison_with_a_run_that_diverged_is_lost(first, last):
    data = by_width(first, last)
    assert statistics.each_over_first(data, "width", data["width"] > 0).tolist() == [INF]


def test_the_exponent_is_the_slope_of_logarithms():
    noise = np.random.default_rng(0).lognormal(sigma=0.1, size=(3, 4))
    x = by_width([1] * 4, [2] * 4, [5] * 4)
    y = 0.7 * x**-2 * noise
    found = statistics.exponent(x, y, "width")
    np.testing.assert_allclose(found, np.polyfit(np.log([1, 2, 5]), np.log(y.values), 1)[0])
    axis = y.assign_coords(width=[1, 2, 5])
    np.testing.assert_allclose(statistics.exponent(axis["width"], axis, "width"), found)


@pytest.mark.parametrize(("bad", "expected"), [(NAN, NAN), (INF, INF), (0.0, INF)])
def test_the_exponent_is_none_of_a_lost_run_and_infinite_of_one_that_never_arrives(bad, expected):
    y = by_width([1, 1], [2, 2], [3, bad])
    np.testing.assert_allclose(statistics.exponent(y["width"], y, "width"), [1, expected])
    y.loc[{"width": 1}] = [1, INF]
    np.testing.assert_allclose(statistics.exponent(y["width"], y, "width"), [1, expected])


def test_a_slope_is_that_of_the_finite_points():
    x = xr.DataArray(np.array([0.0, 1.0, 2.0, 5.0, 9.0]), dims="record")
    rows = np.random.default_rng(0).normal(size=(3, 5))
    rows[1, 2] = NAN
    rows[2] = [1.0, INF, NAN, 3.0, NAN]
    y = xr.DataArray(rows, dims=("seed", "record"))
    kept = np.isfinite(rows)
    expected = [np.polyfit(x.values[good], row[good], 1)[0] for row, good in zip(rows, kept, strict=True)]
    np.testing.assert_allclose(statistics.slope(x, y, "record"), expected, rtol=1e-12)
    np.testing.assert_allclose(statistics.slope(x, y, "record", least=3), [*expected[:2], NAN], rtol=1e-12)
    assert np.isnan(statistics.slope(x, y * NAN, "record")).all()


def test_values_are_chosen_by_the_names_of_axes():
    values = xr.DataArray(np.arange(6.0).reshape(2, 3), dims=("gamma", "seed"))
    kept = xr.DataArray([True, False, True], dims="seed")
    assert statistics.values_where(values, kept).tolist() == [0, 2, 3, 5]
    assert statistics.values_where(values, xr.DataArray([False, True], dims="gamma")).tolist() == [3, 4, 5]
    assert statistics.values_where(values, kept & False).size == 0
    assert np.isnan(statistics.values_where(values * NAN, kept)).all()


def test_the_bounds_of_a_median_are_those_of_any_value_that_is_lost():
    values = xr.DataArray([[1.0, 3.0, 8.0], [2.0, NAN, 6.0]], dims=("width", "seed"))
    lost = xr.DataArray([[False, False, True], [False, False, False]], dims=("width", "seed"))
    low, high = statistics.median_bounds(values, lost, "seed")
    # of the first row any number may stand for 8; in the second one is of no run
    np.testing.assert_allclose([low, high], [[1, 4], [3, 4]])
    others = [float(values.where(~lost, other).isel(width=0).median()) for other in (-9, 0, 1.5, 2, 9)]
    assert all(1 <= middle <= 3 for middle in others)
    assert statistics.median_bounds(values, lost & False).values.tolist() == [3, 3]
    low, high = statistics.median_bounds(values, values.notnull())
    assert (low, high) == (-INF, INF)
    assert np.isnan(statistics.median_bounds(values * NAN, lost & False)).all()


def test_where_a_level_is_reached_for_good_and_how_far_values_fall():
    rows = xr.DataArray([[0, 1, 0, 1], [0, 0.2, 0.8, 1], [1, 1, 1, 1], [1, 1, 1, 0]], {"k": [1, 4, 16, 64]}, ("m", "k"))
    np.testing.assert_allclose(statistics.reaches(rows, "k", 0.5), [32, 8, 1, INF])
    np.testing.assert_allclose(statistics.reaches(rows, "k", 1), [64, 64, 1, INF])
    rows = xr.DataArray([[0.0, 1, 0.5, 0.7], [0, 0, 1, 2], [1, np.nan, 1, 1]], dims=("m", "k"))
    np.testing.assert_array_equal(statistics.largest_fall(rows, "k"), [0.5, 0, np.nan])
