"""Errors of maps that need no training, and the least that a map can have, against independent mathematics."""

from typing import Any

import jax
import numpy as np
import pytest

import jaxinv as ji
from jaxinv import baselines, theory
from jaxinv.arrays import cast

from ..helpers import setup

NOISE = np.geomspace(0.01, 1.0, 5)


@pytest.fixture(scope="module")
def union() -> Any:
    """Signals on a union, with enough held-out pairs for Monte Carlo."""
    return ji.union_problem(
        jax.random.key(1), signal_dim=24, measurement_dim=12, subspace_dim=1, subspaces=3, samples=24, held_out=3000
    )


@pytest.fixture(scope="module")
def noisy(union):
    """The held-out measurements with noise 1 on them."""
    clean = np.asarray(union.held_out[1])
    return clean + float(union.noise_variance(1.0)) ** 0.5 * np.random.default_rng(0).standard_normal(clean.shape)


def relative(found, union):
    signals = np.asarray(union.held_out[0])
    return np.linalg.norm(found - signals) / np.linalg.norm(signals)


def test_the_minimum_norm_error_is_what_is_measured_of_that_map():
    problem, _, _ = setup()
    measured = ji.measure(problem, ji.LayerProduct((baselines.minimum_norm(problem),)))
    expected = ji.noisy_test_error(float(measured["test_error"]), float(measured["noise_sensitivity"]), NOISE)
    np.testing.assert_allclose(theory.minimum_norm_error(problem, NOISE), expected, rtol=1e-12)


def test_the_minimum_norm_error_of_a_float32_operator_that_lacks_rank():
    rng = np.random.default_rng(0)
    operator = rng.normal(size=(8, 5)) @ rng.normal(size=(5, 20))
    problem = ji.Problem(operator, rng.normal(size=(30, 3)) @ rng.normal(size=(3, 20)))
    expected = theory.minimum_norm_error(problem, NOISE)
    np.testing.assert_allclose(theory.minimum_norm_error(cast(problem, np.float32), NOISE), expected, rtol=1e-4)


def test_the_best_linear_error_is_that_of_the_map_of_least_mean_square_error(union, noisy):
    operator, signals = np.asarray(union.operator), np.asarray(union.held_out[0])
    covariance = signals.T @ signals / len(signals)
    measured = operator @ covariance @ operator.T + float(union.noise_variance(1.0)) * np.eye(12)
    best = covariance @ operator.T @ np.linalg.inv(measured)
    error = theory.best_linear_error(union, NOISE)
    assert error[-1] == pytest.approx(relative(noisy @ best.T, union), rel=0.04)
    assert np.min(np.diff(error)) > 0


def test_the_best_linear_error_is_below_that_of_other_maps():
    problem, _, _ = setup()
    error = theory.best_linear_error(problem, NOISE)
    assert (error < theory.minimum_norm_error(problem, NOISE)).all()
    oracle = ji.measure(problem, ji.LayerProduct((problem.oracle,)))
    assert (error < float(oracle["noise_sensitivity"]) * NOISE).all()


def test_the_oracle_of_a_union_inverts_on_the_subspace_of_each_signal(union, noisy):
    bases = [np.asarray(member.basis) for member in union.latent.members]
    maps = np.array([basis @ np.linalg.pinv(np.asarray(union.operator) @ basis) for basis in bases])
    found = np.einsum("nij,nj->ni", maps[union.latent.membership(len(noisy))], noisy)
    error = theory.union_oracle_error(union, NOISE)
    assert error[-1] == pytest.approx(relative(found, union), rel=0.04)
    np.testing.assert_allclose(error, error[-1] * NOISE, rtol=1e-12)


def test_a_single_subspace_has_no_oracle_of_a_union():
    with pytest.raises(ji.ArgumentError, match="union of subspaces, got Subspace"):
        theory.union_oracle_error(setup().problem, NOISE)


def test_no_map_of_fewer_measurements_does_better_than_the_least_error():
    measured = np.random.default_rng(0).standard_normal((20, 24))
    best = np.linalg.pinv(measured)  # least squares over all maps from 20 measurements of 24 coefficients
    error = np.linalg.norm(best @ measured - np.eye(24)) / 24**0.5
    np.testing.assert_allclose(theory.least_error(20, np.array([24, 3])), np.array([error, 0.0]), atol=1e-12)


def test_no_map_into_the_span_of_fewer_signals_does_better_than_the_least_error():
    kept = np.linalg.qr(np.random.default_rng(0).standard_normal((5, 3)))[0]
    error = np.linalg.norm(kept @ kept.T - np.eye(5)) / 5**0.5
    np.testing.assert_allclose(theory.least_error(np.array([3, 5, 7]), 5), np.array([error, 0.0, 0.0]), atol=1e-12)
