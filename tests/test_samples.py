"""The judge of samples: each claim is seen to hold and to fail; its ridge maps are those of the baselines."""

from dataclasses import replace
from pathlib import Path

import jax
import numpy as np
import pytest

import jaxinv as ji
from jaxinv import baselines
from jaxinv.experiment import find, load_module
from jaxinv.frame import compressed_frame, plain_frame
from jaxinv.metrics import error_halves
from jaxinv.sweep import run_sweep

FILE = Path(__file__).parent.parent / "experiments" / "samples.py"


@pytest.fixture(scope="module")
def experiment():
    return find([str(FILE)], FILE.parent)[0]


@pytest.fixture(scope="module")
def results(experiment):
    sweep = experiment.grid("quick")
    axes = {"samples": [1, 2, 20], "gamma": [0.0, 0.03, 0.1], "seed": range(2)}
    fixed = {**sweep.fixed, "signal_dim": 40, "measurement_dim": 20, "subspace_dim": 2, "width": 60}
    return run_sweep(replace(sweep, axes=axes, fixed=fixed))


def test_it_holds_and_draws(experiment, results):
    verdicts = experiment.judge(results)
    assert all(verdict.holds for verdict in verdicts), [verdict.line() for verdict in verdicts]
    assert len(experiment.draw(results).axes) == 2


def test_ridge_is_that_of_the_baselines():
    module = load_module(FILE)
    key = jax.random.key(0)
    problem = ji.subspace_problem(key, signal_dim=40, measurement_dim=20, subspace_dim=2, samples=20, noise=0.2)
    largest = np.linalg.norm(problem.measurements, 2) ** 2
    for frame in (plain_frame(problem), compressed_frame(problem)):
        halves = np.asarray(module.ridge_halves(frame, None))
        for k in (10, 35, 44):
            ridge = baselines.ridge(problem, float(module.PENALTIES[k] * largest))
            np.testing.assert_allclose(halves[k], error_halves(plain_frame(problem), ridge), rtol=1e-7)


def test_below_s_samples_no_map_with_their_range_does_better(results):
    module = load_module(FILE)
    kept = np.linalg.qr(np.random.default_rng(0).standard_normal((5, 3)))[0]
    error = np.linalg.norm(kept @ kept.T - np.eye(5)) / 5**0.5
    np.testing.assert_allclose(module.least_error(np.array([3, 5, 7]), 5), np.array([error, 0, 0]), atol=1e-12)


@pytest.mark.parametrize(
    ("index", "metrics", "where", "factor"),
    [
        (0, ["test_error"], {"samples": 1, "gamma": 0.1}, 1.3),
        (1, ["test_error", "noise_sensitivity"], {"samples": 2, "gamma": [0.03, 0.1]}, 1.4),
        (2, ["test_error", "noise_sensitivity", "ridge"], {"samples": 20, "gamma": [0.03, 0.1]}, 1.5),
        (3, ["test_error", "noise_sensitivity"], {"samples": 2, "gamma": 0.0}, 0.4),
    ],
)
def test_a_violated_claim_fails_alone(experiment, results, index, metrics, where, factor):
    broken = results.copy(deep=True)
    for metric in metrics:
        place = {"samples": where["samples"]} if metric == "ridge" else where  # a reference is that of every gamma
        broken[metric].loc[place] *= factor
    holds = [verdict.holds for verdict in experiment.judge(broken)]
    assert holds == [k != index for k in range(4)]


def test_a_diverged_run_fails_what_it_enters(experiment, results):
    broken = results.copy(deep=True)
    for metric in ("test_error", "noise_sensitivity"):
        broken[metric].loc[{"samples": 2, "gamma": 0.03, "seed": 1}] = np.nan
    assert [verdict.holds for verdict in experiment.judge(broken)] == [True, False, True, False]
