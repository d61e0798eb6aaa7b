"""Baseline maps against their definitions."""

import jax
import numpy as np
import pytest

import jaxinv as ji
from jaxinv import baselines

from ..helpers import SMALL

KEY = jax.random.key(3)


def test_truncated_svd_stops_at_the_rank_of_the_operator():
    problem = ji.subspace_problem(KEY, **SMALL)
    singular = ji.Problem(problem.operator.at[-1].set(0), problem.signals)
    assert np.isfinite(baselines.truncated_svd(singular)).all()
    with pytest.raises(ValueError, match="rank must be at most 6"):
        baselines.truncated_svd(singular, 7)


def test_baselines_are_what_their_definitions_say():
    problem = ji.subspace_problem(KEY, **{**SMALL, "samples": 40}, noise=0.1)
    X, Y, A = (np.asarray(a) for a in (problem.signals, problem.measurements, problem.operator))
    R = np.asarray(problem.latent.basis)
    np.testing.assert_allclose(baselines.oracle(problem), R @ np.linalg.pinv(A @ R), atol=1e-10)
    np.testing.assert_allclose(baselines.minimum_norm(problem), np.linalg.pinv(A), atol=1e-10)
    direct = X.T @ Y @ np.linalg.inv(Y.T @ Y + 0.7 * np.eye(7))
    np.testing.assert_allclose(baselines.ridge(problem, 0.7), direct, atol=1e-10)
    np.testing.assert_allclose(baselines.truncated_svd(problem, 7), np.linalg.pinv(A), atol=1e-10)
    assert np.linalg.matrix_rank(baselines.truncated_svd(problem, 4)) == 4
    held = slice(32, 40)

    def held_out(w):
        return np.linalg.norm(Y[held] @ np.asarray(w).T - X[held])

    assert held_out(baselines.ridge(problem)) <= 1.5 * held_out(baselines.oracle(problem))
    truncated = [held_out(baselines.truncated_svd(problem, rank)) for rank in range(1, 8)]
    assert held_out(baselines.truncated_svd(problem)) == pytest.approx(min(truncated))
