"""Where the signals X come from: a subspace, a union of subspaces, or an array of your own."""

from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Key

from .checks import AnyArray, UnknownNumbers, check_count, check_matrix, fail, is_traced
from .draws import Tag, normal, orthonormal

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
        return self.basis * self.spectrum[None, :]

    def draw(self, key: Key[Array, ""], samples: int) -> Float[Array, "samples signal_dim"]:
        """Fresh signals of the same law, as rows; independent of the training signals of the same key."""
        return self._rows(normal(jax.random.fold_in(key, Tag.TEST_SIGNALS), (samples, self.spectrum.shape[0])))

    def training(self, key: Key[Array, ""], samples: int) -> Float[Array, "samples signal_dim"]:
        """Training signals X = sqrt(n) Z diag(spectrum) R^T as rows, Z (n, subspace_dim) with orthonormal columns.

        Their singular values are exactly sqrt(n) times the spectrum. Fewer samples than subspace_dim cannot span the
        subspace: then the rows of Z are orthogonal, of length sqrt(subspace_dim/n).
        """
        subspace_dim = self.spectrum.shape[0]
        key = jax.random.fold_in(key, Tag.COEFFICIENTS)
        if samples < subspace_dim:
            return self._rows(orthonormal(key, subspace_dim, samples).T * subspace_dim**0.5)
        return self._rows(orthonormal(key, samples, subspace_dim) * samples**0.5)

    def _rows(self, coefficients: Float[Array, "samples subspace_dim"]) -> Float[Array, "samples signal_dim"]:
        return coefficients @ self.covariance_root.T


class UnionOfSubspaces(Subspace):
    """Signals that lie each on one of several subspaces, all equally likely.

    As a `Subspace` it is their span, with the second moments of the union: covariance (1/K) sum_k R_k diag(sv)^2
    R_k^T = basis diag(spectrum)^2 basis^T, which is all that a linear map sees.
    """

    members: tuple[Subspace, ...]

    def membership(self, samples: int) -> np.ndarray:
        """The member that each of `samples` drawn rows lies on: as many of each as can be, member after member."""
        return np.sort(np.arange(samples) % len(self.members))

    def draw(self, key: Key[Array, ""], samples: int) -> Float[Array, "samples signal_dim"]:
        """Fresh signals as rows, in the order of `membership`; independent of the training signals of the same key."""
        return self._by_member(Subspace.draw, key, samples)

    def training(self, key: Key[Array, ""], samples: int) -> Float[Array, "samples signal_dim"]:
        """Training signals as rows, in the order of `membership`: each member's are those of `Subspace.training`.

        Where `samples` is a multiple of the number of members, their singular values are exactly sqrt(samples) times
        the spectrum, the members having no fewer samples than dimensions.
        """
        return self._by_member(Subspace.training, key, samples)

    def _by_member(self, rows, key, samples):
        counts = np.bincount(self.membership(samples), minlength=len(self.members))
        parts = zip(self.members, _member_keys(key, len(self.members)), counts, strict=True)
        return jnp.concatenate([rows(member, one, int(count)) for member, one, count in parts])


def union_of_subspaces(
    key: Key[Array, ""], signal_dim: int, subspace_dim: int, subspaces: int, condition_number: float
) -> UnionOfSubspaces:
    """`subspaces` independent draws of `subspace`, as a union. Ours."""
    members = tuple(
        subspace(one, signal_dim, subspace_dim, condition_number) for one in _member_keys(key, subspaces)
    )  # fmt: skip
    roots = jnp.concatenate([member.covariance_root for member in members], axis=1) / subspaces**0.5
    basis, spectrum, _ = jnp.linalg.svd(roots, full_matrices=False)
    return UnionOfSubspaces(basis, spectrum, members)


def _member_keys(key, members):
    """A key for each member, handed on to the constructors of a single subspace."""
    root = jax.random.fold_in(key, Tag.SUBSPACE)
    return [jax.random.fold_in(root, member) for member in range(members)]


def subspace(key: Key[Array, ""], signal_dim: int, subspace_dim: int, condition_number: float) -> Subspace:
    """A uniformly random subspace of R^signal_dim, its spectrum log-spaced from 1 to 1/condition_number. Ours."""
    basis = orthonormal(jax.random.fold_in(key, Tag.SUBSPACE), signal_dim, subspace_dim)
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


def rounding(array: Any) -> float:
    """Relative size below which a singular value of `array` may be rounding of its float type."""
    dtype = jnp.result_type(array) if hasattr(array, "dtype") else np.asarray(array).dtype
    return 30 * float(jnp.finfo(dtype if jnp.issubdtype(dtype, jnp.floating) else np.float64).eps)


def numerical_rank(values: np.ndarray, tolerance: float) -> int:
    """How many singular values (largest first) are above `tolerance` of the largest."""
    return int(np.count_nonzero(values > tolerance * values[0]))
