"""Verdicts: words, measured number and outcome come from one bound."""

import numpy as np
import pytest
import xarray

import jaxinv as ji


@pytest.mark.parametrize(
    ("verdict", "measured", "bound", "holds"),
    [
        (ji.at_most(0.1, [0.05, 0.1], "small [ours]"), 0.1, "at most 0.1 [ours]", True),
        (ji.at_most(0.1, [0.05, 0.11], "small [ours]"), 0.11, "at most 0.1 [ours]", False),
        (ji.at_most(0.1, [0.1], "small", strict=True), 0.1, "below 0.1", False),
        (ji.at_least(3, [3, 4], "large [paper: more]"), 3, "at least 3 [paper: more]", True),
        (ji.at_least(3, [2, 4], "large"), 2, "at least 3", False),
        (ji.at_least(1, 1, "large", strict=True), 1, "above 1", False),
        (ji.within(0.1, [0.95, 1.1], 1, "near"), 1.1, "within 0.1 of 1", True),
        (ji.within(0.1, [0.85, 1.05], 1, "near"), 0.85, "within 0.1 of 1", False),
        (ji.within(0.1, xarray.DataArray([[0.9], [1.0]]), 1, "near"), 0.9, "within 0.1 of 1", True),
        (ji.at_most(0, False, "none diverged"), 0, "at most 0", True),
    ],
)
def test_the_worst_value_decides(verdict, measured, bound, holds):
    assert verdict.measured == measured
    assert (verdict.bound, verdict.holds) == (bound, holds)
    assert isinstance(verdict.holds, bool)
    assert verdict.line().startswith("holds  " if holds else "FAILS  ")


@pytest.mark.parametrize("values", [np.nan, [], [0.0, np.nan], [[np.nan, 1.0]]])
@pytest.mark.parametrize(
    "judge",
    [
        lambda values: ji.at_most(np.inf, values, "w"),
        lambda values: ji.at_least(-np.inf, values, "w"),
        lambda values: ji.within(np.inf, values, 0, "w"),
    ],
)
def test_what_is_not_known_fails(judge, values):
    verdict = judge(values)
    assert np.isnan(verdict.measured)
    assert not verdict.holds


def test_a_verdict_of_no_number_does_not_hold():
    assert not ji.Verdict("claim", float("nan"), "at most 1", True).holds
    assert ji.Verdict("claim", float("inf"), "at least 1", True).holds


def test_infinity_is_a_number():
    assert not ji.at_most(1, [0, np.inf], "w").holds
    assert ji.at_least(1, [2, np.inf], "w").holds


def test_brackets_at_the_end_go_with_the_bound():
    verdict = ji.at_most(1, 0, "W [m] over ||X||_F, largest [exact; slack ours]")
    assert verdict.claim == "W [m] over ||X||_F, largest"
    assert verdict.bound == "at most 1 [exact; slack ours]"
    assert verdict.line() == "holds  W [m] over ||X||_F, largest: 0, bound at most 1 [exact; slack ours]"
