"""Comparing results: it says what changed, and nothing where only the seeds did."""

import numpy as np
import pytest
import xarray

from jaxinv.studies.compare import changes

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
            "ms": (("width", "round"), ms * rng.lognormal(0, 0.05, (3, 5))),
            "quality": (dims[:2], np.full((3, 16), "good")),
        },
        {"width": SIZES["width"], "seed": range(16) if seeds is None else seeds, "level": SIZES["level"]},
    )


def recorded(seed, at_end=1.0, before=1.0, lengths=None):
    """Curves of 16 seeds at two gammas, with a metric that has an axis of its own; `lengths` of the runs may differ."""
    rng = np.random.default_rng(seed)
    rows = rng.lognormal(0, 0.3, (2, 16, 5, 3))
    rows[..., :-1, :] *= before
    rows[1, :, -1, 2] *= at_end
    step = np.array([0.0, 1, 3, 10, 30])
    data = xarray.Dataset(
        {
            "noisy_error": (("gamma", "seed", "record", "noise"), rows),
            "loss": (("gamma", "seed", "record"), rows[..., 2]),
        },
        {"gamma": [0.0, 0.1], "seed": range(16), "noise": [0.0, 0.5, 1.0], "step": ("record", step)},
    )
    if lengths is None:
        return data
    own = np.where(np.arange(5) < np.array(lengths)[:, None], step, np.nan)
    steps = xarray.DataArray(np.broadcast_to(own[:, None], (2, 16, 5)), dims=("gamma", "seed", "record"))
    return data.where(steps.notnull()).assign_coords(step=steps)


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
    assert {change.quantity for change in found} == {"diverged (share)", "steps (share not finite)"}
    assert not changes(result(0), result(0, diverge=2))[0]


def test_failures_of_half_the_seeds_are_said_however_many_comparisons():
    old = result(0).isel(seed=range(4))
    found, _ = changes(old, old.assign(steps=old.steps * np.nan))
    assert {change.quantity for change in found} == {"steps (share not finite)"}
    assert len(found) == 6


def test_failures_of_a_few_other_seeds_are_noise():
    old, new = (result(0).isel(seed=range(k, k + 4)) for k in (0, 4))
    new.steps[:, :2] = np.nan
    assert not changes(old, new)[0]


def test_times_are_said_beyond_their_spread():
    assert not changes(result(0), result(0, ms=2.4))[0]
    found, _ = changes(result(0), result(0, ms=4.0))
    assert [change.quantity for change in found] == ["ms"] * 3


def test_what_is_in_seconds_is_a_time():
    """The same seeds on a machine that is a third slower: no change, though every seed took longer."""
    old = result(0)[["steps"]]
    assert len(changes(old, old * 1.3)[0]) == 6
    old.steps.attrs["units"] = "s"
    assert not changes(old, old * 1.3)[0]
    assert len(changes(old, old * 30)[0]) == 6


def test_only_common_points_are_compared():
    found, tests = changes(result(0).isel(width=[0, 1]), result(0, shift=2).isel(width=[1, 2]))
    assert {change.point["width"] for change in found} == {100}
    assert tests == 2 + 1
    assert changes(result(0), result(0).assign_coords(width=[1, 2, 3])) == ([], 0)


def test_grids_are_compared_by_their_names():
    old = {"fit": result(0), "off": result(1), "gone": result(2)}
    found, tests = changes(old, {"fit": result(0, shift=1.02), "off": result(1), "more": result(2)})
    assert tests == 2 * (6 + 3)
    assert {change.quantity for change in found} == {"fit: steps"}
    assert found[0].line().startswith("fit: steps at width 100, level 0.001: ")
    assert {change.quantity for change in changes({"": result(0)}, result(0, shift=1.02))[0]} == {"steps"}


def test_of_what_is_recorded_the_last_record_is_compared_at_each_point_of_a_metric():
    found, tests = changes(recorded(0), recorded(0, before=2.0))
    assert (found, tests) == ([], 2 * 3 + 2)
    found, _ = changes(recorded(0), recorded(0, at_end=1.1))
    points = {change.quantity: change.point for change in found}
    assert points == {"noisy_error": {"gamma": 0.1, "noise": 1.0}, "loss": {"gamma": 0.1}}
    assert len(found) == 2


def test_the_last_record_is_that_of_each_run():
    short = recorded(0, lengths=[3, 5])
    assert not changes(short, recorded(0, lengths=[3, 5]))[0]
    found, tests = changes(short, recorded(0, before=2.0, lengths=[3, 5]))
    assert {change.point["gamma"] for change in found} == {0.0}  # whose last record is one of those before
    assert tests == 2 * 3 + 2


def test_cells_that_both_leave_out_are_not_counted():
    assert changes(*[recorded(0, lengths=[0, 5])] * 2) == ([], 3 + 1)


def test_what_has_no_seeds_is_passed_over():
    old = result(0)
    assert changes(old.assign(bound=("width", [1.0, 2, 3])), old.assign(bound=("width", [4.0, 5, 6])))[1] == 6 + 3
    one = old.isel(width=0, level=0, drop=True)[["steps"]]
    found, tests = changes(one, one * 2)
    assert tests == 1
    assert found[0].line().startswith("steps: ")


def test_runs_that_no_longer_get_there_are_said():
    old = xarray.Dataset({"steps": ("seed", np.arange(6.0) + 10)}, {"seed": range(6)})
    found, tests = changes(old, old * np.inf)
    assert tests == 1
    assert [change.quantity for change in found] == ["steps (share not finite)"]


def test_the_same_seeds_in_another_order_are_paired():
    rng = np.random.default_rng(0)
    old = xarray.Dataset({"rate": ("seed", rng.lognormal(size=12))}, {"seed": range(12)})
    new = (old * (1.05 + 0.001 * rng.normal(size=12))).isel(seed=slice(None, None, -1))
    assert [change.quantity for change in changes(old, new)[0]] == ["rate"]
