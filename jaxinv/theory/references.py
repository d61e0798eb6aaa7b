"""Errors of maps that need no training, and the least that any linear map can have: closed forms, all [exact].

An error is the relative RMSE on fresh signals, sqrt(E||x_hat - x||^2 / E||x||^2), at each relative test noise
sqrt(E||e||^2 / E||A x||^2).
"""

from typing import Any

import numpy as np
from jaxtyping import Float

from ..arrays import rounding
from ..checks import fail
from ..problems.manifolds import Manifold
from ..problems.problem import Problem
from ..problems.unions import UnionOfSubspaces

Levels = Float[np.ndarray, " noise"]


def minimum_norm_error(problem: Problem, noise: Levels) -> Levels:
    """The error of A^+, which knows the operator alone."""
    operator, root = _moments(problem)
    inverse = np.linalg.pinv(operator, rcond=rounding(problem.operator))
    bias = np.sum((inverse @ operator @ root - root) ** 2)
    variance = _variances(operator, root, noise) * np.sum(inverse**2)
    return np.sqrt((bias + variance) / np.sum(root**2))


def best_linear_error(problem: Problem, noise: Levels) -> Levels:
    """The least error of any linear map, one for each noise level, above 0; it knows the second moments of signals.

    With Sigma = C C^T, M = A C and noise variance v, the covariance of what is left is
    Sigma - Sigma A^T (A Sigma A^T + v I)^-1 A Sigma = C (I + M^T M / v)^-1 C^T.
    """
    operator, root = _moments(problem)
    measured = operator @ root
    variance = _variances(operator, root, noise)[:, None, None]
    inverse = np.linalg.inv(np.eye(root.shape[1]) + measured.T @ measured / variance)
    return np.sqrt(np.trace(inverse @ (root.T @ root), axis1=1, axis2=2) / np.sum(root**2))


def union_oracle_error(problem: Problem, noise: Levels) -> Levels:
    """The error of R_k (A R_k)^+, told of each signal that it lies on the k-th subspace of the union.

    Raises ArgumentError unless the signals of `problem` are those of a union of subspaces.
    """
    if not isinstance(problem.latent, UnionOfSubspaces):
        raise fail("problem", "one on a union of subspaces", type(problem.latent).__name__, "make it by union_problem")
    return local_oracle_error(problem, noise)


def local_oracle_error(problem: Problem, noise: Levels) -> Levels:
    """The error of an oracle that is told of each signal where it lies: on which subspace, or where on a manifold.

    On a manifold to first order in the noise: it has the tangent space at the signal itself, and gives the signal plus
    T (A T)^+ e. Raises ArgumentError for other signals.
    """
    operator, root = _moments(problem)
    return np.sqrt(_variances(operator, root, noise) / np.sum(root**2)) * local_oracle_gain(problem)


def local_oracle_gain(problem: Problem) -> float:
    """The root mean square of ||T (A T)^+||_F over subspaces, T their bases, or over the held-out points of a manifold.

    What that oracle makes of noise, as `noise_gain` is of a map. Raises ArgumentError for other signals.
    """
    latent, operator = problem.latent, np.asarray(problem.operator, np.float64)
    if isinstance(latent, UnionOfSubspaces):
        spaces = [np.asarray(member.basis, np.float64) for member in latent.members]
    elif isinstance(latent, Manifold):
        spaces = list(np.linalg.qr(np.asarray(latent.tangents(latent.tested), np.float64))[0])
    else:
        raise fail("problem", "one on a union of subspaces or a manifold", type(latent).__name__,
                   "make it by union_problem or manifold_problem")  # fmt: skip
    return float(np.mean([np.sum(np.linalg.pinv(operator @ space) ** 2) for space in spaces]) ** 0.5)


def least_error(rank: Any, subspace_dim: Any) -> Any:
    """sqrt(1 - rank/subspace_dim), 0 from rank = subspace_dim on: the least noise-free error of a map of that rank.

    For condition number 1. m measurements allow no more rank than m, a map into the span of n signals has at most n.
    Broadcasts.
    """
    return np.sqrt(np.maximum(0, 1 - rank / subspace_dim))


def _moments(problem):
    """A, and C with the covariance of the signals C C^T."""
    return np.asarray(problem.operator, np.float64), np.asarray(problem.latent.covariance_root, np.float64)


def _variances(operator, root, noise):
    """The variance of an entry of the noise at each level."""
    return noise**2 * np.sum((operator @ root) ** 2) / len(operator)
