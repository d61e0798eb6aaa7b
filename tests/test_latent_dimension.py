"""The judge of latent_dimension: each claim is seen to hold and to fail."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from jaxinv.experiment import find, load_module
from jaxinv.sweep import run_sweep

FILE = Path(__file__).parent.parent / "experiments" / "latent_dimension.py"


@pytest.fixture(scope="module")
def experiment():
    return find([str(FILE)], FILE.parent)[0]


@pytest.fixture(scope="module")
def results(experiment):
    sweep = experiment.grid("quick")
    axes = {"subspace_dim": [2, 24], "gamma": [0.0, 0.1], "seed": range(2)}
    fixed = {**sweep.fixed, "signal_dim": 40, "measurement_dim": 20, "samples": 30, "width": 60}
    return run_sweep(replace(sweep, axes=axes, fixed=fixed, steps=3000, records=2))


def test_it_holds_and_draws(experiment, results):
    verdicts = experiment.judge(results)
    assert all(verdict.holds for verdict in verdicts), [verdict.line() for verdict in verdicts]
    assert len(experiment.draw(results).axes) == 4


def test_the_bound_beyond_the_measurements_is_that_of_the_best_map(results):
    module = load_module(FILE)
    rng = np.random.default_rng(0)
    measured = rng.standard_normal((20, 24))
    best = np.linalg.pinv(measured)  # least squares over all maps from 20 measurements of 24 coefficients
    error = np.linalg.norm(best @ measured - np.eye(24)) / 24**0.5
    np.testing.assert_allclose(module.least_error(np.array([24, 3]), 20), np.array([error, 0]), atol=1e-12)


BELOW, BEYOND = {"subspace_dim": 2}, {"subspace_dim": 24}


@pytest.mark.parametrize(
    ("index", "metric", "where", "factor"),
    [
        (0, "off_subspace_error", {**BELOW, "gamma": 0.1}, 1e40),
        (1, "off_subspace_gain", {**BELOW, "gamma": 0.0, "record": 1}, 0.5),
        (2, "noise_gain", {**BELOW, "gamma": 0.1}, 1.6),
        (3, "noise_sensitivity", {**BELOW, "gamma": 0.1}, 1.3),
        (4, "noise_sensitivity", {**BELOW, "gamma": 0.0}, 0.3),
        (5, "test_error", {**BEYOND, "gamma": 0.1}, 0.8),
        (6, "test_error", {**BEYOND, "gamma": 0.0}, 1.3),
    ],
)
def test_a_violated_claim_fails_alone(experiment, results, index, metric, where, factor):
    broken = results.copy(deep=True)
    broken[metric].loc[where] *= factor
    holds = [verdict.holds for verdict in experiment.judge(broken)]
    assert holds == [k != index for k in range(7)]


def test_a_diverged_run_fails_what_it_enters(experiment, results):
    broken = results.copy(deep=True)
    for metric in ("off_subspace_error", "noise_gain", "noise_sensitivity", "test_error"):
        broken[metric].loc[{**BELOW, "gamma": 0.1, "seed": 1}] = np.nan
    holds = [verdict.holds for verdict in experiment.judge(broken)]
    assert holds == [False, True, False, False, False, True, True]
