"""The judge of noise_robustness_relu: each claim is seen to hold and to fail; its errors against plain numpy."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import jax
import numpy as np
import pytest

import jaxinv as ji
from jaxinv.experiment import find, load_module
from jaxinv.frame import plain_frame
from jaxinv.metrics import error_halves
from jaxinv.sweep import run_sweep

FILE = Path(__file__).parent.parent / "experiments" / "noise_robustness_relu.py"
SIZES: dict[str, Any] = {
    "signal_dim": 24,
    "measurement_dim": 12,
    "subspace_dim": 1,
    "subspaces": 3,
    "samples": 24,
    "held_out": 60,
}


@pytest.fixture(scope="module")
def experiment():
    return find([str(FILE)], FILE.parent)[0]


@pytest.fixture(scope="module")
def trained(experiment):
    sweep = experiment.grid("quick")
    axes = {"gamma": [0.0, 0.1], "seed": range(2)}
    fixed = {**SIZES, "width": 40, "depth": 2, "momentum": 0.9}
    return run_sweep(replace(sweep, axes=axes, fixed=fixed, steps=100, records=5))


@pytest.fixture(scope="module")
def results(experiment, trained):
    """As good as the oracle with decay, twice the best linear map's error without."""
    good = trained.copy(deep=True)
    linear, oracle = load_module(FILE).references(trained).values()
    good.noisy_error.loc[{"gamma": 0.1, "record": 4}] = oracle
    good.noisy_error.loc[{"gamma": 0.0, "record": 4}] = 2 * linear
    return good


def test_it_holds_and_draws(experiment, results):
    verdicts = experiment.judge(results)
    assert all(verdict.holds for verdict in verdicts), [verdict.line() for verdict in verdicts]
    assert len(experiment.draw(results).axes) == 3


def test_the_first_layer_of_a_trained_network_decays_as_it_must(experiment, trained):
    assert experiment.judge(trained)[0].holds
    left = trained.first_layer_off.sel(gamma=0.1)
    assert float((left.isel(record=-1) / left.isel(record=0)).max()) < 0.5


@pytest.mark.parametrize(
    ("index", "metric", "where", "factor"),
    [
        (0, "first_layer_off", {"gamma": 0.1, "record": 2}, 1.02),
        (1, "noisy_error", {"gamma": 0.0}, 0.2),
        (3, "noisy_error", {"gamma": 0.1}, 1.2),
    ],
)
def test_a_violated_claim_fails_alone(experiment, results, index, metric, where, factor):
    broken = results.copy(deep=True)
    broken[metric].loc[where] *= factor
    assert [verdict.holds for verdict in experiment.judge(broken)] == [k != index for k in range(4)]


def test_errors_above_the_best_linear_map_fail(experiment, results):
    # they are above the oracle's, too, which no linear map reaches
    broken = results.copy(deep=True)
    linear, _ = load_module(FILE).references(results).values()
    broken.noisy_error.loc[{"gamma": 0.1, "record": 4}] = 1.3 * linear
    broken.noisy_error.loc[{"gamma": 0.0, "record": 4}] = 3 * linear
    assert [verdict.holds for verdict in experiment.judge(broken)] == [True, True, False, False]


def test_a_diverged_run_fails_what_it_enters(experiment, results):
    broken = results.copy(deep=True)
    broken.noisy_error.loc[{"gamma": 0.1, "seed": 1}] = np.nan
    assert [verdict.holds for verdict in experiment.judge(broken)] == [True, False, False, False]


@pytest.fixture(scope="module")
def problem():
    """That of seed 1, with many held-out pairs."""
    return ji.union_problem(jax.random.key(1), **{**SIZES, "held_out": 3000})


def test_references_are_the_errors_of_their_maps(trained, problem):
    module = load_module(FILE)
    signals, clean = (np.asarray(array) for array in problem.held_out)
    operator = np.asarray(problem.operator)
    sigma = float(problem.noise_variance(1.0)) ** 0.5
    noisy = clean + sigma * np.random.default_rng(0).standard_normal(clean.shape)
    covariance = signals.T @ signals / len(signals)
    linear = covariance @ operator.T @ np.linalg.inv(operator @ covariance @ operator.T + sigma**2 * np.eye(12))
    members, belongs = problem.latent.members, problem.latent.membership(len(signals))
    maps = np.array([np.asarray(each.basis) @ np.linalg.pinv(operator @ np.asarray(each.basis)) for each in members])
    found = {
        "best linear map": noisy @ linear.T,
        "oracle, knows each subspace": np.einsum("nij,nj->ni", maps[belongs], noisy),
    }
    for name, rows in module.references(trained).items():
        error = np.linalg.norm(found[name] - signals) / np.linalg.norm(signals)
        assert abs(rows[1, -1] / error - 1) < 0.04, name
        assert np.min(np.diff(rows, axis=1)) > 0


def test_the_recorded_error_is_that_of_the_noisy_held_out_pairs(problem):
    module = load_module(FILE)
    network = ji.layer_product(jax.random.key(0), problem, width=40, depth=2)
    frame = plain_frame(problem)
    errors = np.asarray(module.noisy_error(frame, network))
    bias, sensitivity = error_halves(frame, network.end_to_end())
    exact = ji.noisy_test_error(float(bias), float(sensitivity), module.NOISE)
    np.testing.assert_allclose(errors, exact, rtol=0.05)
