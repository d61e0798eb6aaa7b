"""Networks without biases: the layer product W_L ... W_1, and the same layers with ReLUs between them."""

from functools import reduce
from typing import ClassVar

import equinox as eqx
import jax
from jaxtyping import Float

from ..arrays import AnyArray

FEW_ROWS = 16
"""Up to so many rows (compressed data have few) a layer's gradient is a fused sum of outer products."""


class Layers(eqx.Module):
    """A chain of layers without biases. `weights` holds (out, in) arrays, W_1 first.

    `is_linear` answers which reductions are exact: the data of a linear network can be compressed. `pads` says whether
    zero rows of W_l with zero columns of W_{l+1} keep a gradient of zero, so that a wider network can stand for it.
    """

    weights: tuple[Float[AnyArray, "_ _"], ...]
    is_linear: ClassVar[bool]
    pads: ClassVar[bool] = False

    @property
    def depth(self) -> int:
        """Number of layers, L."""
        return len(self.weights)

    @property
    def width(self) -> int:
        """The widest hidden layer, d_w; the number of measurements for a single layer."""
        return max((w.shape[0] for w in self.weights[:-1]), default=self.weights[0].shape[1])


class LayerProduct(Layers):
    """The linear network x_hat = W_L ... W_1 y."""

    is_linear: ClassVar[bool] = True
    pads: ClassVar[bool] = True

    def __call__(
        self, measurements: Float[AnyArray, "samples measurement_dim"]
    ) -> Float[AnyArray, "samples signal_dim"]:
        """Reconstructions of `measurements`; samples are rows."""
        return reduce(_layer, self.weights, measurements)

    def end_to_end(self) -> Float[AnyArray, "signal_dim measurement_dim"]:
        """W_{L:1}, the matrix of the whole map."""
        # from the left: signal_dim rows stay few where the hidden layers are wide
        return reduce(lambda product, weight: product @ weight, self.weights[::-1])


class ReluNetwork(Layers):
    """The network x_hat = W_L relu(W_{L-1} ... relu(W_1 y)): positively homogeneous, not linear."""

    is_linear: ClassVar[bool] = False
    pads: ClassVar[bool] = True  # a ReLU has slope 0 at 0

    def __call__(
        self, measurements: Float[AnyArray, "samples measurement_dim"]
    ) -> Float[AnyArray, "samples signal_dim"]:
        """Reconstructions of `measurements`; samples are rows."""
        rows = measurements
        for weight in self.weights[:-1]:
            rows = jax.nn.relu(_layer(rows, weight))
        return _layer(rows, self.weights[-1])


def _layer(rows, weight):
    """rows @ weight.T."""
    return _few_rows(rows, weight) if len(rows) <= FEW_ROWS else rows @ weight.T


@jax.custom_vjp
def _few_rows(rows, weight):
    return rows @ weight.T


def _few_rows_backward(saved, slope):
    """The gradient of the weight as a sum of outer products that XLA fuses into the update.

    As a matrix product it would be written to memory and read again, which is a third of the traffic of a step.
    """
    rows, weight = saved
    gradient = sum(slope[k][:, None] * rows[k][None, :] for k in range(len(rows)))
    return slope @ weight, gradient


_few_rows.defvjp(lambda rows, weight: (rows @ weight.T, (rows, weight)), _few_rows_backward)
