"""Networks without biases: the layer product W_L ... W_1, and the same layers with activations between them."""

from functools import reduce
from typing import Any, ClassVar

import equinox as eqx
import jax
from jaxtyping import Float

from ..arrays import AnyArray
from .activations import ACTIVATIONS, Activation

FEW_ROWS = 16
"""Up to so many rows (compressed data have few) a layer's gradient is a fused sum of outer products."""


class Layers(eqx.Module):
    """Layers without biases. `weights` holds (out, in) arrays, W_1 first, which is the first to act on measurements.

    A network says of itself what is exact for it, and nobody else does. `is_linear`: the data can be compressed, and
    W_1 be trained in rotated measurements (facts 1, 4, 5 of `jaxinv.theory`). `pads`: zero rows of W_l with zero
    columns of W_{l+1} keep a gradient of zero, so that a wider network can stand for it (fact 6). `is_chain`: the
    weights are those of a chain of layers, each taking what the one before gives. `is_product`: the map is their plain
    product.
    """

    weights: tuple[Float[AnyArray, "..."], ...]
    is_linear: ClassVar[bool] = False
    pads: ClassVar[bool] = False
    is_chain: ClassVar[bool] = True
    is_product: ClassVar[bool] = False

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
    is_product: ClassVar[bool] = True

    def __call__(
        self, measurements: Float[AnyArray, "samples measurement_dim"]
    ) -> Float[AnyArray, "samples signal_dim"]:
        """Reconstructions of `measurements`; samples are rows."""
        return reduce(layer, self.weights, measurements)

    def end_to_end(self) -> Float[AnyArray, "signal_dim measurement_dim"]:
        """W_{L:1}, the matrix of the whole map."""
        # from the left: signal_dim rows stay few where the hidden layers are wide
        return reduce(lambda product, weight: product @ weight, self.weights[::-1])


class ActivatedNetwork(Layers):
    """The network x_hat = W_L f(W_{L-1} ... f(W_1 y)), f being the `activation`.

    `nonlinear_layers` hidden layers have it, counted from the last one down; None: all of them. Those below are linear.
    """

    activation: Activation = eqx.field(static=True)
    nonlinear_layers: int | None = eqx.field(static=True, default=None)

    @property
    def pads(self) -> bool:  # pyright: ignore[reportIncompatibleVariableOverride]
        """Whether the activation keeps zero: then a wider network can stand for it (fact 6)."""
        return self.activation.fixes_zero

    def activates(self) -> list[bool]:
        """Whether the activation follows each layer; never the last."""
        hidden = self.depth - 1
        linear = 0 if self.nonlinear_layers is None else hidden - self.nonlinear_layers
        return [linear <= place < hidden for place in range(self.depth)]

    def __call__(
        self, measurements: Float[AnyArray, "samples measurement_dim"]
    ) -> Float[AnyArray, "samples signal_dim"]:
        """Reconstructions of `measurements`; samples are rows."""
        rows = measurements
        for weight, activated in zip(self.weights, self.activates(), strict=True):
            rows = layer(rows, weight)
            rows = self.activation.function(rows) if activated else rows
        return rows


class ReluNetwork(ActivatedNetwork):
    """The network x_hat = W_L relu(W_{L-1} ... relu(W_1 y)): positively homogeneous, not linear."""

    activation: Activation = eqx.field(static=True, default=ACTIVATIONS["relu"])


def with_weights(network: Any, weights: Any) -> Any:
    """The network with other weights."""
    return eqx.tree_at(lambda net: net.weights, network, tuple(weights))


def layer(rows: Float[AnyArray, "samples inputs"], weight: Float[AnyArray, "outputs inputs"]) -> Any:
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
