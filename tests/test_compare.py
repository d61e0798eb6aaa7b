"""Comparing results: it says what changed, and nothing where only the seeds did."""

import numpy as np
import pytest
import xarray

from jaxinv.compare import changes

SIZES = {"width": [50, 100, 200], "seed": 16, "level": [1e-3, 1e-6]}


def result(seed, shift=1.0, diverge=0, seeds=None, ms=1.0):
    rng = np.random.default_rng(seed)
    rows = rng.lognormal(5, 0.3, (3, 16, 2))
    rows[1] *= shift
    rows[2, :diverge] = np.nan
    dims = ("width", "seed", "level")
    return xarray.Dataset(
        {
            "steps": (dims, rows),
            "diverged": (dims[:2], np.arange(16)[None, :] < np.array([[0], [0], [diverge]])),
            "step_ms": (("width", "round"), ms * rng.lognormal(0, 0.05, (3, 5))),
            "quality": (dims[:2], np.full((3, 16), "good")),
        },
        {"width": SIZES["width"], "seed": range(16) if seeds is None else seeds, "level": SIZES["level"]},
    )


def test_nothing_is_said_of_the_same_result():
    found, tests = changes(result(0), result(0))
    assert found == []
    assert tests == 6 + 3


def test_nothing_is_said_of_other_seeds():
    assert all(not changes(result(0), result(k, seeds=range(100, 116)))[0] for k in range(1, 30))


def test_nothing_is_said_of_rounding():
    old = result(0)
    new = old.assign(steps=old.steps * (1 + 1e-7))
    assert not changes(old, new)[0]


def test_a_shift_is_said_where_it_is():
    found, _ = changes(result(0), result(0, shift=1.02))
    assert {(change.quantity, change.point["width"]) for change in found} == {("steps", 100)}
    assert all(change.new / change.old == pytest.approx(1.02) for change in found)
    assert "steps at width 100, level 0.001" in found[0].line()
    assert "(+2.0%)" in found[0].line()
    found, _ = changes(result(0), result(1, shift=3, seeds=range(100, 116)))
    assert {change.point["width"] for change in found} == {100}


def test_new_failures_are_said():
    found, _ = changes(result(0), result(0, diverge=12))
    assert {change.quantity for change in found} == {"diverged (share)", "steps (share of NaN)"}
    assert not changes(result(0), result(0, diverge=2))[0]


def test_failures_of_half_the_seeds_are_said_however_many_comparisons():
    old = result(0).isel(seed=range(4))
    found, _ = changes(old, old.assign(steps=old.steps * np.nan))
    assert {change.quantity for change in found} == {"steps (share of NaN)"}
    assert len(found) == 6


def test_failures_of_a_few_other_seeds_are_noise():
    old, new = (result(0).isel(seed=range(k, k + 4)) for k in (0, 4))
    new.steps[:, :2] = np.nan
    assert not changes(old, new)[0]


def test_seeds_of_the_other_phase_count_too():
    old = result(0).rename(seed="off_seed")
    assert {c.point["width"] for c in changes(old, result(0, shift=1.02).rename(seed="off_seed"))[0]} == {100}


def test_times_are_said_beyond_their_spread():
    assert not changes(result(0), result(0, ms=2.4))[0]
    found, _ = changes(result(0), result(0, ms=4.0))
    assert [change.quantity for change in found] == ["step_ms"] * 3


def test_only_common_points_are_compared():
    found, tests = changes(result(0).isel(width=[0, 1]), result(0, shift=2).isel(width=[1, 2]))
    assert {change.point["width"] for change in found} == {100}
    assert tests == 2 + 1
