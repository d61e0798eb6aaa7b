"""Signals on a subspace: one generated at random, or the one that given signals span."""

from typing import Any

import equinox as eqx
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Key

from ..arrays import AnyArray, is_traced, known, numerical_rank, rounding
from ..checks import UnknownNumbers, check_count, check_matrix, fail
from ..draws import Tag, normal, orthonormal

RANK_TOLERANCE = 1e-10
"""Singular values of given signals below this fraction of the largest do not count towards the subspace."""


class Subspace(eqx.Module):
    """Signals x = R diag(spectrum) g with g ~ N(0, I): covariance R diag(spectrum)^2 R^T.

    `basis` is R, (signal_dim, subspace_dim), with orthonormal columns; `spectrum` falls from its largest value.
    """

    basis: Float[AnyArray, "signal_dim subspace_dim"]
    spectrum: Float[AnyArray, " subspace_dim"]

    @property
    def covariance_root(self) -> Float[AnyArray, "signal_dim subspace_dim"]:
        """R diag(spectrum), so that the covariance of a signal is its product with its transpose."""
        return known(self.basis) * known(self.spectrum)[None, :]

    def sample(self, key: Key[Array, ""], samples: int) -> Float[Array, "samples signal_dim"]:
        """Fresh signals of the same law, as rows; independent of the training signals of the same key."""
        return self._rows(normal(key, (samples, self.spectrum.shape[0]), Tag.TEST_SIGNALS))

    def training(self, key: Key[Array, ""], samples: int) -> Float[Array, "samples signal_dim"]:
        """Training signals X = sqrt(n) Z diag(spectrum) R^T as rows, Z (n, subspace_dim) with orthonormal columns.

        Their singular values are exactly sqrt(n) times the spectrum. Fewer samples than subspace_dim cannot span the
        subspace: then the rows of Z are orthogonal, of length sqrt(subspace_dim/n).
        """
        subspace_dim = self.spectrum.shape[0]
        if samples < subspace_dim:
            return self._rows(orthonormal(key, subspace_dim, samples, Tag.COEFFICIENTS).T * subspace_dim**0.5)
        return self._rows(orthonormal(key, samples, subspace_dim, Tag.COEFFICIENTS) * samples**0.5)

    def _rows(self, coefficients: Float[AnyArray, "samples subspace_dim"]) -> Float[Array, "samples signal_dim"]:
        return jnp.asarray(coefficients) @ self.covariance_root.T


def subspace(key: Key[Array, ""], signal_dim: int, subspace_dim: int, condition_number: float) -> Subspace:
    """A uniformly random subspace of R^signal_dim, its spectrum log-spaced from 1 to 1/condition_number. Ours."""
    basis = jnp.asarray(orthonormal(key, signal_dim, subspace_dim, Tag.SUBSPACE))
    # numpy, not jax.numpy: the spectrum stays a known number under tracing, so step sizes do too
    return Subspace(basis, np.geomspace(1.0, 1.0 / condition_number, subspace_dim).astype(jnp.result_type(float)))


def subspace_of(signals: Any, subspace_dim: int | None = None) -> Subspace:
    """The subspace spanned by given signals: their leading right singular vectors, samples being rows.

    `subspace_dim` of them, or all whose value is above RANK_TOLERANCE of the largest (above rounding, for signals of
    a narrower float type). The spectrum is their singular values over sqrt(samples). Raises ArgumentError for NaN,
    for all-zero signals, and for a subspace_dim that the signals do not span.
    """
    check_matrix("signals", signals, "(samples, signal_dim)")
    if is_traced(signals):
        raise UnknownNumbers("signals must be known numbers, got a traced array; build the Problem outside jit")
    rows = np.asarray(signals, np.float64)
    _, values, right = np.linalg.svd(rows, full_matrices=False)
    spanned = numerical_rank(values, max(RANK_TOLERANCE, rounding(signals)))
    if spanned == 0:
        raise fail("signals", "non-zero", "zeros only", "pass signals with some content")
    rank = spanned if subspace_dim is None else check_count("subspace_dim", subspace_dim)
    if rank > spanned:
        raise fail("subspace_dim", f"at most {spanned}, the dimension the signals span", rank, "pass less")
    dtype = jnp.result_type(float)
    return Subspace(jnp.asarray(right[:rank].T, dtype), (values[:rank] / len(rows) ** 0.5).astype(dtype))
