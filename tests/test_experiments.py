"""Judges decide from results: each claim is seen to hold and to fail."""

from pathlib import Path

import pytest

import jaxinv as ji
from jaxinv.experiment import find

ROOT = Path(__file__).parent.parent
SIZES = {"signal_dim": 64, "measurement_dim": 32, "subspace_dim": 3, "samples": 40, "width": 64, "depth": 3}


@pytest.fixture(scope="module")
def experiment():
    return find(["noise_robustness"], ROOT / "experiments")[0]


@pytest.fixture(scope="module")
def results():
    sweep = ji.Sweep(axes={"gamma": [0.0, 0.1], "seed": range(3)}, fixed=SIZES, steps=3000, precision="float64")
    return ji.run_sweep(sweep)


def test_noise_robustness_holds(experiment, results):
    verdicts = experiment.judge(results)
    assert all(verdict.holds for verdict in verdicts), [verdict.line() for verdict in verdicts]


@pytest.mark.parametrize(
    ("index", "metric", "gamma", "factor"),
    [
        (0, "off_subspace_gain", 0.0, 1.2),
        (2, "off_subspace_error", 0.1, 1e40),
        (3, "noise_sensitivity", 0.1, 1.3),
        (4, "noise_sensitivity", 0.0, 0.3),
    ],
)
def test_noise_robustness_fails_where_the_results_violate_a_claim(experiment, results, index, metric, gamma, factor):
    broken = results.copy(deep=True)
    broken[metric].loc[{"gamma": gamma}] *= factor
    assert [verdict.holds for verdict in experiment.judge(broken)].index(False) == index


def test_noise_robustness_fails_where_the_off_subspace_part_goes_without_decay(experiment, results):
    broken = results.copy(deep=True)
    broken.off_subspace_gain.loc[{"gamma": 0.0, "record": broken.sizes["record"] - 1}] *= 0.5
    assert not experiment.judge(broken)[1].holds
