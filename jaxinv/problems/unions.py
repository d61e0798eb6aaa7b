"""Signals on a union of subspaces, which no linear map can tell apart."""

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Key

from ..draws import Tag, several
from .signals import Subspace, subspace


class UnionOfSubspaces(Subspace):
    """Signals that lie each on one of several subspaces, all equally likely.

    As a `Subspace` it is their span, with the second moments of the union: covariance (1/K) sum_k R_k diag(sv)^2
    R_k^T = basis diag(spectrum)^2 basis^T, which is all that a linear map sees.
    """

    members: tuple[Subspace, ...]

    def membership(self, samples: int) -> np.ndarray:
        """The member that each of `samples` rows lies on: as many of each as can be, member after member."""
        return np.sort(np.arange(samples) % len(self.members))

    def sample(self, key: Key[Array, ""], samples: int) -> Float[Array, "samples signal_dim"]:
        """Fresh signals as rows, in the order of `membership`; independent of the training signals of the same key."""
        return self._by_member(Subspace.sample, key, samples)

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
    """`subspaces` independent random subspaces, as a union. Ours."""
    members = tuple(
        subspace(one, signal_dim, subspace_dim, condition_number) for one in _member_keys(key, subspaces)
    )  # fmt: skip
    roots = jnp.concatenate([member.covariance_root for member in members], axis=1) / subspaces**0.5
    basis, spectrum, _ = jnp.linalg.svd(roots, full_matrices=False)
    return UnionOfSubspaces(basis, spectrum, members)


def _member_keys(key, members):
    """A key for each member, handed on to the constructors of a single subspace."""
    return several(key, Tag.SUBSPACE, members)
