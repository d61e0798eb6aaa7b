"""Sampled where it is looked at, a network trains as one whose weights were all generated: in law."""

from typing import Any

import numpy as np
import pytest
from scipy import stats

import jaxinv as ji

from .helpers import KNOWN

SEEDS = 40
RECORDS = [0, 1, 10, 40]
TOLERANCE = 1e-2
FLOORS = {"loss": 1e-3, "regression_error": TOLERANCE, "test_error": TOLERANCE}
"""What is smaller is decided by the tolerance, not by the law."""

FIXED = {"signal_dim": 24, "measurement_dim": 12, "subspace_dim": 2, "samples": 6, "condition_number": 2.0}


def metrics_of(engine, first, **fixed):
    sweep = ji.Sweep(
        {"seed": range(first, first + SEEDS)}, FIXED | fixed, 40, RECORDS, metrics=KNOWN, precision="float64",
        engine=engine, tolerance=TOLERANCE,
    )  # fmt: skip
    results = ji.run_sweep(sweep)
    assert not results.diverged.any()
    return results


@pytest.mark.parametrize(("depth", "gamma", "noise"), [(2, 0.0, 0.0), (3, 0.1, 0.1)])
def test_every_metric_has_the_law_of_all_weights(depth, gamma, noise):
    """Kolmogorov and Smirnov at every record, Bonferroni at 1%; seeds are fixed, those of the two engines differ."""
    fixed = {"depth": depth, "gamma": gamma, "noise": noise, "width": 60}
    dense, free = metrics_of("dense", 0, **fixed), metrics_of("width_free", 1000, **fixed)
    likely = {
        (name, record): likeness(dense[name][:, i], free[name][:, i], FLOORS.get(name, 0))
        for name in KNOWN
        for i, record in enumerate(RECORDS)
    }
    worst = min(likely, key=likely.__getitem__)
    assert likely[worst] > 0.01 / len(likely), worst


def likeness(one, other, floor) -> float:
    """How likely values of one law differ by more, what is below the floor taken as equal."""
    found: Any = stats.ks_2samp(np.maximum(one, floor), np.maximum(other, floor), method="asymp")
    return found.pvalue
