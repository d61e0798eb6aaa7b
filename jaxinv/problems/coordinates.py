"""A problem in the coordinates it is trained and measured in: as given, compressed, or compressed and rotated.

Facts are numbered in `jaxinv.theory`. Written for numpy and for JAX arrays alike: set-up is numpy's, which compiles
nothing.
"""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import equinox as eqx
from jaxtyping import Float

from ..arrays import AnyArray, namespace
from .problem import Pairs, Problem, oracle_inverse


class Coordinates(eqx.Module):
    """A problem in the coordinates it is trained and measured in; every metric is a function of it and a network.

    `inputs` and `targets` are the training pairs as rows; `residual` is the part of ||X||_F that compression removed
    from the targets (no linear map of the measurements can reach it). Measurement space may be rotated by the
    orthogonal matrix `rotation` Q: inputs are Y Q, maps W Q. Then the inputs vanish beyond their first `trained`
    columns, and so do the gradients of those columns of W_1. `held_out` are the problem's pairs to measure on.
    `covariance_root` C and `measured_root` M are those of test signals: E||W y - x||^2 = ||W M - C||_F^2, of the law of
    the signals, or the mean over the pairs that are held out of a problem of your own.
    """

    inputs: Float[AnyArray, "rows measurement_dim"]
    targets: Float[AnyArray, "rows signal_dim"]
    residual: Float[AnyArray, ""]
    oracle: Float[AnyArray, "signal_dim measurement_dim"]
    off_basis: Float[AnyArray, "measurement_dim off_dim"]
    covariance_root: Float[AnyArray, "signal_dim tests"]
    measured_root: Float[AnyArray, "measurement_dim tests"]
    rotation: Float[AnyArray, "measurement_dim measurement_dim"] | None
    trained: int = eqx.field(static=True)
    held_out: Pairs | None = None

    def in_signal_space(self, change: Callable[[Any], Any]) -> "Coordinates":
        """In other coordinates of signal space: `change` is handed vectors of signal space as columns."""
        rows = lambda pairs: change(pairs.T).T  # noqa: E731
        held_out = None if self.held_out is None else (rows(self.held_out[0]), self.held_out[1])
        return eqx.tree_at(
            lambda all_: (all_.targets, all_.oracle, all_.covariance_root, all_.held_out), self,
            (rows(self.targets), change(self.oracle), change(self.covariance_root), held_out),
            is_leaf=lambda leaf: leaf is None,
        )  # fmt: skip


def plain_coordinates(problem: Problem) -> Coordinates:
    """The problem as it is given: all samples, no rotation.

    This and the other functions compute with numpy for a problem of numpy arrays, with JAX for one of JAX arrays.
    """
    measured = problem.operator @ problem.latent.basis
    covariance_root, measured_root = _test_roots(problem)
    inverse = oracle_inverse(measured)
    return Coordinates(
        inputs=problem.measurements,
        targets=problem.signals,
        residual=namespace(problem.signals).zeros((), problem.signals.dtype),
        oracle=problem.latent.basis @ inverse,
        off_basis=_off_basis(measured, inverse),
        covariance_root=covariance_root,
        measured_root=measured_root,
        rotation=None,
        trained=problem.measurement_dim,
        held_out=problem.held_out,
    )


def _test_roots(problem: Problem):
    """C and M: of the law, or the held-out pairs themselves."""
    if problem.tests_on_pairs and problem.held_out is not None:
        signals, measurements = problem.held_out
        scale = len(signals) ** 0.5
        return signals.T / scale, measurements.T / scale
    return problem.latent.covariance_root, problem.operator @ problem.latent.covariance_root


def compressed_coordinates(problem: Problem) -> Coordinates:
    """As many rows as the measurements have rank, with the same gradients of a linear network (fact 4)."""
    left, values, right = _measurement_svd(problem)
    targets, residual = _compressed(problem.signals, left)
    return replace(plain_coordinates(problem), inputs=values[:, None] * right.T, targets=targets, residual=residual)


def rotated_coordinates(problem: Problem) -> Coordinates:
    """Compressed, and rotated so that the inputs fill the first `measurement_rank` columns (facts 1 and 5)."""
    xp = namespace(problem.signals)
    left, values, right = _measurement_svd(problem)
    rank, width = problem.measurement_rank, problem.measurement_dim
    rotation = _complete(right)
    plain = plain_coordinates(problem)
    targets, residual = _compressed(problem.signals, left)
    exact = problem.noiseless and rank == problem.subspace_dim
    return Coordinates(
        inputs=xp.pad(xp.diag(values), ((0, 0), (0, width - rank))),
        targets=targets,
        residual=residual,
        oracle=plain.oracle @ rotation,
        # without noise range(A R) is the span of the first columns: written down, so that no rounding floor is left
        off_basis=_where_solvable(plain.oracle, xp.eye(width)[:, rank:]) if exact else rotation.T @ plain.off_basis,
        covariance_root=plain.covariance_root,
        measured_root=rotation.T @ plain.measured_root,
        rotation=rotation,
        trained=rank,
        held_out=None if plain.held_out is None else (plain.held_out[0], plain.held_out[1] @ rotation),
    )


def _compressed(signals, left):
    """As many rows as there are columns in `left`, and the norm of the part of the signals that they leave out."""
    xp = namespace(signals)
    targets = left.T @ signals
    return targets, xp.asarray(xp.linalg.norm(signals - left @ targets))


def _measurement_svd(problem: Problem):
    """Left vectors (samples, r), values (r,), right vectors (measurement_dim, r) of Y, r its rank."""
    left, values, right = namespace(problem.signals).linalg.svd(problem.measurements, full_matrices=False)
    rank = problem.measurement_rank
    return left[:, :rank], values[:rank], right[:rank].T


def _complete(columns):
    """Orthonormal columns (m, r) completed to an orthogonal (m, m) matrix whose first r columns they are."""
    xp = namespace(columns)
    full, _ = xp.linalg.qr(columns, mode="complete")
    return xp.concatenate([columns, full[:, columns.shape[1] :]], axis=1)


def _off_basis(measured, inverse):
    """Orthonormal basis (m, m - s) of range(A R)^perp; NaN where A R lacks full column rank, as its inverse is."""
    full, _ = namespace(measured).linalg.qr(measured, mode="complete")
    return _where_solvable(inverse, full[:, measured.shape[1] :])


def _where_solvable(oracle, basis):
    xp = namespace(basis)
    return xp.where(xp.isnan(oracle).any(), xp.nan, basis)
