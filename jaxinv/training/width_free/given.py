"""Layers whose weights are given: looked at where signals come, which compresses a network as it is."""

from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int, Key

from ...arrays import AnyArray
from .layers import Known, nothing_known

NOTHING = 1e-12
"""A vector whose part outside a basis is below this share of it lies in its span."""


class Given(eqx.Module):
    """`weights` of the layers above W_1, padded with zeros to squares, and `first_weight`, W_1 on the data's range.

    `off_range` are its other columns. The first `known_outputs` coordinates of the last space are those of the targets.
    """

    weights: Float[AnyArray, "layers size size"]
    first_weight: Float[AnyArray, "size rank"]
    off_range: Float[AnyArray, "size off_range"]
    sizes: Int[AnyArray, " spaces"]
    gains: Float[AnyArray, "layers 2"]
    known_outputs: Int[AnyArray, ""]

    def first(self, capacity: int) -> tuple[Float[Array, "capacity rank"], Known]:
        """W_1(0) on the range of the data, and what is known before the first step."""
        layers, size, _ = self.weights.shape
        known = nothing_known(layers, capacity, size)
        outputs = jnp.where(jnp.arange(capacity) < self.known_outputs, jnp.eye(size, capacity), 0)
        first, used, basis = _into(known.bases[0], known.used[0], self.first_weight, self.first_weight.shape[1])
        in_use = known.used.at[0].set(used).at[-1].set(self.known_outputs)
        bases = known.bases.at[0].set(basis).at[-1].set(outputs)
        full = known.full | (used > capacity) | (self.known_outputs > capacity)
        return first, eqx.tree_at(lambda known: (known.used, known.bases, known.full), known, (in_use, bases, full))

    def images(
        self,
        key: Key[Array, ""],
        known: Known,
        layer: Int[Array, ""],
        forward: Bool[Array, ""],
        directions: Float[Array, "capacity rank"],
        count: Int[Array, ""],
    ) -> tuple[Float[Array, "capacity rank"], Int[Array, ""], Float[Array, "size capacity"]]:
        """The weights times the directions, in coordinates that are added where they lead out of those in use."""
        there, here = layer + forward, layer + ~forward
        vectors = known.bases[here] @ directions
        images = jax.lax.cond(forward, lambda v: self.weights[layer] @ v, lambda v: self.weights[layer].T @ v, vectors)
        return _into(known.bases[there], known.used[there], images, count)

    def complete(self, key: Key[Array, ""], known: Known, maps: bool) -> "CompleteNetwork":
        """The weights with the coordinates of what was added to them."""
        corners = jnp.swapaxes(known.bases[1:], 1, 2) @ (self.weights @ known.bases[:-1])
        return CompleteNetwork(self, known.bases, corners)


class CompleteNetwork(eqx.Module):
    """Given layers, the coordinates of each space, and the layers in those, `corners`."""

    start: Given
    bases: Float[Array, "spaces size capacity"]
    corners: Float[Array, "layers capacity capacity"]

    def outputs(self, signals: Float[Array, "capacity rank"]) -> Float[Array, "outputs rank"]:
        """Signals of the last space in coordinates of signal space, of which the first are the targets'."""
        return self.bases[-1] @ signals

    def off_range_map(self, trained: Any) -> Float[Array, "outputs off_range"]:
        """The map on what lies beside it."""
        vectors = trained.share * self.start.off_range
        for layer, (weight, added) in enumerate(zip(self.start.weights, trained.added, strict=True)):
            moved = self.bases[layer + 1] @ (added @ (self.bases[layer].T @ vectors))
            vectors = trained.share * (weight @ vectors) + moved
        return vectors

    def squared_norm(self, trained: Any) -> Float[Array, ""]:
        """sum_l ||W_l||_F^2."""
        whole = jnp.sum(self.start.off_range**2) + jnp.sum(self.start.weights**2)
        crossed = 2 * trained.share * jnp.sum(self.corners * trained.added) + jnp.sum(trained.added**2)
        return trained.share**2 * whole + crossed + jnp.sum(trained.first**2)

    def weights(self, trained: Any) -> tuple[Float[Array, "size measurement_dim"], Float[Array, "layers size size"]]:
        """W_1 and the layers above it, padded."""
        moved = self.bases[1:] @ trained.added @ jnp.swapaxes(self.bases[:-1], 1, 2)
        first = jnp.concatenate([self.bases[0] @ trained.first, trained.share * self.start.off_range], axis=1)
        return first, trained.share * self.start.weights + moved


def _into(basis, used, vectors, count):
    """The first `count` of the columns `vectors` in coordinates of `basis`, which grows where they lead out of it."""

    def add(j, carry):
        coordinates, used, basis = carry
        vector = vectors[:, j]
        inside = basis.T @ vector
        outside = vector - basis @ inside
        again = basis.T @ outside
        outside, inside = outside - basis @ again, inside + again
        length = jnp.linalg.norm(outside)
        new = length > NOTHING * jnp.linalg.norm(vector)
        unit = jnp.where(new, outside / jnp.where(new, length, 1), 0)
        at = jnp.arange(basis.shape[1]) == used
        return (
            coordinates.at[:, j].set(inside + jnp.where(at & new, length, 0)),
            used + new,
            basis + jnp.where(at[None, :], unit[:, None], 0),
        )

    start = jnp.zeros((basis.shape[1], vectors.shape[1])), used, basis
    return jax.lax.fori_loop(0, count, add, start)
