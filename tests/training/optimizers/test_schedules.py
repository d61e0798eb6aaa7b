"""Schedules multiply the step size, decoupled decay with it; an own one may be a function."""

import numpy as np
import pytest

import jaxinv as ji

from .plain import RULES, advanced, assert_same, loop, named, tiny

PARTS = tiny()
FACTORS = {
    "cosine": lambda t: 0.5 * (1 + np.cos(np.pi * min(t / 60, 1))),
    "inverse_time": lambda t: 1 / (1 + t / 60),
    "own": lambda t: 1 - 0.5 * t / 60,
}


def half(share):
    return 1 - 0.5 * share


@pytest.mark.parametrize("name", FACTORS)
def test_the_step_size_follows_the_schedule(name):
    given = half if name == "own" else name
    parts = named(PARTS, "adamw", gamma=0.1, schedule=given, horizon=60)
    assert not any([parts.descent.rotates, parts.descent.is_plain])
    assert_same(advanced(parts, 100), loop(parts, RULES["adamw"], 100, factor=FACTORS[name]))


def test_a_constant_schedule_is_none_and_needs_no_horizon():
    assert named(PARTS, "adam", schedule="constant").descent.schedule is None
    assert named(PARTS, "adam", horizon=5).descent.schedule is None


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"schedule": "cosine"}, "horizon must be a number of steps for schedule 'cosine', got none; pass horizon="),
        ({"schedule": "cosine", "horizon": 0}, "horizon must be a finite number above 0, got 0"),
        ({"horizon": -1}, "horizon must be a finite number above 0, got -1"),
        ({"schedule": "cosin", "horizon": 5}, "unknown schedule 'cosin'; did you mean 'cosine'"),
        ({"schedule": 3, "horizon": 5}, "schedule must be a name or a function of the share"),
        ({"schedule": lambda share: "fast", "horizon": 5}, "schedule must be a function of .* that gives a number"),
        ({"schedule": lambda: 1.0, "horizon": 5}, "schedule must be a name or a function of .*, got one of "),
    ],
)
def test_a_bad_schedule_is_named(options, words):
    with pytest.raises(ji.ArgumentError, match=words) as refused:
        named(PARTS, "adam", **options)
    assert "\n" not in str(refused.value)
