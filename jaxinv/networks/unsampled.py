"""Layer products whose weights need not exist: what is known is their law, or the map that came of training."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, ClassVar, NoReturn

import equinox as eqx
from jaxtyping import Float

from ..arrays import AnyArray
from ..checks import ArgumentError
from .layers import LayerProduct


@dataclass(frozen=True)
class Ungenerated:
    """In place of weights that do not exist: to ask for one raises ArgumentError with this `message`."""

    message: str

    def __getitem__(self, index: Any) -> NoReturn:
        """Raises ArgumentError."""
        raise ArgumentError(self.message)

    def __iter__(self) -> NoReturn:
        """Raises ArgumentError."""
        raise ArgumentError(self.message)

    def __len__(self) -> NoReturn:
        """Raises ArgumentError."""
        raise ArgumentError(self.message)


class UnsampledProduct(LayerProduct):
    """The law of a layer product: independent N(0, scale^2 / fan_in) entries, not generated.

    `sizes` are (measurement_dim, width, ..., signal_dim); `key` is a shape where a sweep is planned.
    `engine="width_free"` trains it whatever the width; to ask for one of its weights raises ArgumentError.
    """

    weights: Any = eqx.field(static=True)
    key: Any  # or its shape alone, as a sweep traces it
    sizes: tuple[int, ...] = eqx.field(static=True)
    scale: float = eqx.field(static=True)
    pads: ClassVar[bool] = False

    def __init__(self, key: Any, sizes: Sequence[int], scale: float):
        self.key, self.sizes, self.scale = key, tuple(sizes), float(scale)
        entries = sum(out * inn for inn, out in pairwise(self.sizes))
        self.weights = Ungenerated(
            f"the weights of a network of width {self.width:,} and depth {self.depth} ({8 * entries / 2**30:,.3g} GiB) "
            'were not generated; train it with engine="width_free", or build a narrower one for engine="dense"'
        )

    @property
    def depth(self) -> int:
        """Number of layers, L."""
        return len(self.sizes) - 1

    @property
    def width(self) -> int:
        """The hidden width, d_w; the number of measurements for a single layer."""
        return max(self.sizes[1:-1], default=self.sizes[0])

    def any_width(self) -> "UnsampledProduct":
        """The same with nothing said of width and scale: equal for all that one compilation serves."""
        return UnsampledProduct(self.key, (self.sizes[0], *[0] * (self.depth - 1), self.sizes[-1]), 1.0)


class TrainedMap(eqx.Module):
    """The map W_{L:1} of a network that was trained without its weights."""

    matrix: Float[AnyArray, "signal_dim measurement_dim"]
    width: int = eqx.field(static=True)
    depth: int = eqx.field(static=True)
    is_linear: ClassVar[bool] = True
    is_product: ClassVar[bool] = False
    pads: ClassVar[bool] = False

    def __call__(
        self, measurements: Float[AnyArray, "samples measurement_dim"]
    ) -> Float[AnyArray, "samples signal_dim"]:
        """Reconstructions of `measurements`; samples are rows."""
        return measurements @ self.matrix.T

    def end_to_end(self) -> Float[AnyArray, "signal_dim measurement_dim"]:
        """W_{L:1}, the matrix of the whole map."""
        return self.matrix

    @property
    def weights(self) -> NoReturn:
        """Raises ArgumentError: there are none."""
        raise ArgumentError(
            f"the weights of this trained network of width {self.width:,} never existed, its map is end_to_end(); "
            'train with engine="dense" for weights'
        )
