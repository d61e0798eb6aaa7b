"""Linear maps to compare with, each (signal_dim, measurement_dim): oracle, minimum norm, ridge, truncated SVD."""

import jax.numpy as jnp
import numpy as np
from jaxtyping import Float

from ..arrays import AnyArray, numerical_rank, rounding
from ..checks import check_count, check_number, fail
from . import operators
from .problem import Problem

Map = Float[AnyArray, "signal_dim measurement_dim"]
PENALTIES = tuple(float(penalty) for penalty in np.geomspace(1e-10, 10, 45))
"""Penalties of ridge regression to choose from, in units of the largest eigenvalue of Y^T Y."""

HELD_OUT = 0.2
"""Share of the training pairs, the last ones, on which parameters are chosen."""


def oracle(problem: Problem) -> Map:
    """R (A R)^+: knows the operator and the subspace. NaN where the measurements do not identify the signals."""
    return problem.oracle


def minimum_norm(problem: Problem) -> Map:
    """A^+: knows the operator alone, and picks the least-norm signal that explains the measurements."""
    return operators.pseudo_inverse(problem.operator)


def ridge(problem: Problem, penalty: float | None = None) -> Map:
    """X^T Y (Y^T Y + penalty I)^-1: learns from the training pairs, knows neither operator nor subspace.

    The minimiser of ||W Y - X||_F^2 + penalty ||W||_F^2. Without `penalty`, the best of a log-spaced grid from
    1e-10 to 10 times the largest eigenvalue of Y^T Y on held-out pairs, refitted on all.
    """
    if penalty is not None:
        check_number("penalty", penalty, strict=True)
        return _ridge_maps(problem.signals, problem.measurements, np.array([penalty]))[0]
    penalties = np.array(PENALTIES) * float(operators.norm(problem.measurements)) ** 2
    (signals, measurements), held = _split(problem)
    best = _best(_ridge_maps(signals, measurements, penalties), held)
    return _ridge_maps(problem.signals, problem.measurements, penalties[best : best + 1])[0]


def truncated_svd(problem: Problem, rank: int | None = None) -> Map:
    """The pseudo-inverse of A with all but its `rank` largest singular values dropped.

    Knows the operator alone. Without `rank`, the best on held-out training pairs.
    """
    left, values, right = jnp.linalg.svd(problem.operator, full_matrices=False)
    most = numerical_rank(np.asarray(values), rounding(problem.operator))
    if rank is None:
        rank = 1 + _best((_inverse(left, values, right, r) for r in range(1, most + 1)), _split(problem)[1])
    if check_count("rank", rank) > most:
        raise fail("rank", f"at most {most}, the rank of the operator", rank, "pass fewer")
    return _inverse(left, values, right, rank)


def _inverse(left, values, right, rank) -> Map:
    return (right[:rank].T / values[None, :rank]) @ left[:, :rank].T


def _ridge_maps(signals, measurements, penalties):
    """The ridge map of each penalty, from one SVD of the measurements (no Gram matrix to square the conditioning)."""
    left, values, right = jnp.linalg.svd(measurements, full_matrices=False)
    inner = signals.T @ left
    return [(inner * (values / (values**2 + penalty))[None, :]) @ right for penalty in penalties]


def _split(problem: Problem):
    cut = problem.samples - max(1, round(HELD_OUT * problem.samples))
    if cut < 1:
        raise fail("samples", "at least 2 to hold some out", problem.samples, "pass the parameter instead")
    pairs = problem.signals, problem.measurements
    return tuple(part[:cut] for part in pairs), tuple(part[cut:] for part in pairs)


def _best(maps, held) -> int:
    signals, measurements = held
    return int(np.argmin([float(jnp.sum((measurements @ each.T - signals) ** 2)) for each in maps]))
