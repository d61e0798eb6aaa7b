"""What is known of the layers at their start: on the directions that signals have met, and nothing elsewhere.

Layer i (0-based, W_{i+2} of the network) maps space i to space i + 1, W_1 maps measurements to space 0. A space has
orthonormal coordinates, of which `used` are in use; `capacity` is the same for all spaces. See docs/any_width.md.
"""

from typing import Any, Protocol, runtime_checkable

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int, Key

from ...arrays import AnyArray


class Known(eqx.Module):
    """What is known of W(0) of the layers above W_1.

    `start` is W(0) where it is known: on the directions seen from the right, whose projectors are `right`, and from the
    left, `left`; 0 elsewhere. `bases` are the coordinates themselves where weights are given, of 0 rows else. `full`
    says that a direction did not find a coordinate: then nothing that follows is right.
    """

    start: Float[Array, "layers capacity capacity"]
    right: Float[Array, "layers capacity capacity"]
    left: Float[Array, "layers capacity capacity"]
    used: Int[Array, " spaces"]
    bases: Float[Array, "spaces size capacity"]
    full: Bool[Array, ""]


@runtime_checkable
class Start(Protocol):
    """The layers at their start, sampled or given: asked for the images of directions when they are met.

    `sizes` are the dimensions of the spaces; `gains`, (layers, 2), bound what a layer makes of a unit vector that it
    has not seen, forward and backward.
    """

    @property
    def sizes(self) -> Int[AnyArray, " spaces"]:
        """Dimensions."""
        ...

    @property
    def gains(self) -> Float[AnyArray, "layers 2"]:
        """Bounds."""
        ...

    def first(self, capacity: int) -> tuple[Float[Array, "capacity rank"], Known]:
        """W_1(0) on the range of the data, and what is known before the first step."""
        ...

    def complete(self, key: Key[Array, ""], known: Known, maps: bool) -> "Complete":
        """The layers as wholes, consistent with what is known: for the network at its records, its whole map if `maps`.

        Without, it need not know its `off_range_map` and its weights.
        """
        ...

    def images(
        self,
        key: Key[Array, ""],
        known: Known,
        layer: Int[Array, ""],
        forward: Bool[Array, ""],
        directions: Float[Array, "capacity rank"],
        count: Int[Array, ""],
    ) -> tuple[Float[Array, "capacity rank"], Int[Array, ""], Float[Array, "size capacity"]]:
        """What `layer` (forward; its transpose backward) makes of the first `count` of new orthonormal `directions`.

        With the coordinates then in use in the space of the images, and the basis there.
        """
        ...


@runtime_checkable
class Complete(Protocol):
    """Whole layers at their start, from which those of a trained network are made."""

    def outputs(self, signals: Float[Array, "capacity rank"]) -> Float[Array, "outputs rank"]:
        """Signals of the last space in coordinates of signal space, of which the first are the targets'."""
        ...

    def off_range_map(self, trained: Any) -> Float[Array, "outputs off_range"]:
        """The map on what lies beside the range of the data, in the same coordinates and perhaps more."""
        ...

    def squared_norm(self, trained: Any) -> Float[Array, ""]:
        """sum_l ||W_l||_F^2."""
        ...

    def weights(self, trained: Any) -> Any:
        """W_1 and the layers above it, where they exist; None otherwise."""
        ...


def look(
    start: Start,
    known: Known,
    key: Key[Array, ""],
    layer: Int[Array, ""],
    forward: Bool[Array, ""],
    signals: Float[Array, "capacity rank"],
    scale: Float[Array, ""],
    floor: Any,
) -> Known:
    """Reveal the layer on the principal directions of `signals` that it has not seen.

    As many as it takes until `scale` times all that is left together is at most `floor`.
    """
    seen = jnp.where(forward, known.right[layer], known.left[layer])
    matrix = turned(known.start[layer], forward)
    # a singular value decomposition: from Gram matrices, 1e-8 of the signals would be lost
    directions, values, _ = jnp.linalg.svd(signals - seen @ signals, full_matrices=False)
    left_over = jnp.sqrt(jnp.cumsum(values[::-1] ** 2)[::-1])
    count = jnp.sum(scale * left_over > floor)
    chosen = jnp.arange(len(values)) < count
    directions = jnp.where(chosen[None, :], directions - seen @ directions, 0)
    images, used, basis = start.images(key, known, layer, forward, directions, count)
    change = jnp.where(chosen[None, :], images - matrix @ directions, 0) @ directions.T
    projector = directions @ directions.T
    space = layer + forward
    return Known(
        start=known.start.at[layer].add(turned(change, forward)),
        right=known.right.at[layer].add(jnp.where(forward, projector, 0)),
        left=known.left.at[layer].add(jnp.where(forward, 0, projector)),
        used=known.used.at[space].set(jnp.minimum(used, len(matrix))),
        bases=known.bases.at[space].set(basis),
        full=known.full | (used > len(matrix)),
    )


def turned(matrix: Float[Array, "capacity capacity"], forward: Bool[Array, ""]) -> Float[Array, "capacity capacity"]:
    """The matrix, or its transpose for the way back."""
    return jnp.where(forward, matrix, matrix.T)


def nothing_known(layers: int, capacity: int, size: int = 0) -> Known:
    """Before anything is revealed."""
    square = jnp.zeros((layers, capacity, capacity))
    spaces = layers + 1
    return Known(
        square, square, square, jnp.zeros(spaces, jnp.int64), jnp.zeros((spaces, size, capacity)), jnp.array(False)
    )


def in_use(used: Int[Array, ""], capacity: int) -> Bool[Array, " capacity"]:
    """Which coordinates of a space are in use."""
    return jax.lax.iota(jnp.int64, capacity) < used
