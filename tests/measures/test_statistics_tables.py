"""Quantiles, intervals and tables over seeds, and what is missing filled in."""

import numpy as np
import pytest
import xarray as xr

from jaxinv.measures import statistics

NAN = np.nan
ROWS = xr.DataArray([[1.0, 2.0, 3.0, NAN], [4.0, NAN, NAN, NAN], [NAN] * 4], {"width": [8, 16, 32]}, ("width", "seed"))


def test_quantiles_are_those_of_what_is_there():
    np.testing.assert_array_equal(statistics.quantile(ROWS), [2, 4, NAN])
    np.testing.assert_array_equal(statistics.quantile(ROWS, 0.25), [1.5, 4, NAN])
    np.testing.assert_array_equal(statistics.quantile(ROWS, least=0.5), [2, NAN, NAN])
    assert statistics.quantile(ROWS.astype("float32")).dims == ("width",)


def test_an_interval_of_the_median_covers_it_as_often_as_it_says():
    rng, covered = np.random.default_rng(0), 0
    for _ in range(40):
        middle, low, high = statistics.median_interval(rng.normal(size=25))
        assert low <= middle <= high
        covered += low <= 0 <= high
    assert covered >= 33
    found = statistics.median_interval(np.array([3.0, NAN, 1.0]))
    np.testing.assert_array_equal(found, [2, NAN, NAN])
    assert np.isnan(statistics.median_interval(np.array([NAN]))).all()
    assert statistics.median_interval(np.arange(9.0)) == statistics.median_interval(np.arange(9.0))


def test_numbers_in_words():
    assert statistics.quartiles_in_words(ROWS).values.tolist() == ["2 [1.5, 2.5]", "4 [4, 4]", "-"]
    assert statistics.count_in_words(ROWS.isnull()).values.tolist() == ["1/4", "3/4", "4/4"]
    ratios = xr.DataArray([[0.9, 1.0, 1.1, 1.0, NAN], [1.0, NAN, NAN, NAN, NAN], [NAN] * 5], dims=("width", "seed"))
    words = statistics.interval_in_words(ratios).values.tolist()
    assert words[0].startswith("1.000 [0.9")
    assert words[0].endswith("] (4)")
    assert words[1:] == ["1.000 (1)", "-"]


def test_a_table_has_a_row_for_each_point_that_is_kept():
    columns = {
        "median": statistics.quantile(ROWS),
        "words": statistics.quartiles_in_words(ROWS),
        "d_w/m": ROWS.width / 8,
    }
    lines = statistics.as_table(columns, ["width"], ROWS.notnull().any("seed"))
    assert [line.split() for line in lines] == [
        ["width", "median", "words", "d_w/m"],
        ["8", "2", "2", "[1.5,", "2.5]", "1"],
        ["16", "4", "4", "[4,", "4]", "2"],
    ]
    assert statistics.as_table(columns, ["width"])[-1].split() == ["32", "-", "-", "4"]


@pytest.mark.parametrize("order", [("seed", "width"), ("width", "seed")])
def test_the_order_of_axes_does_not_matter(order):
    np.testing.assert_array_equal(statistics.quantile(ROWS.transpose(*order)), [2, 4, NAN])
