"""Architectures by name: the plain chain, and linear networks with residual, tied or circulant layers."""

from collections.abc import Callable
from functools import reduce
from typing import Any, ClassVar

import equinox as eqx
import jax.numpy as jnp
from jaxtyping import Float

from ..arrays import AnyArray, namespace
from ..checks import fail
from ..registry import Registry, check_function
from .activations import ACTIVATIONS, Activation
from .layers import ActivatedNetwork, LayerProduct, Layers, layer

Architecture = Callable[[Any, Activation, int | None], Any]


class StructuredProduct(LayerProduct):
    """A linear network W_L H_{L-1} ... H_2 W_1 whose hidden matrices H are made of its weights."""

    is_product: ClassVar[bool] = False

    def matrices(self) -> list[Any]:
        """W_1, the hidden matrices, W_L: (out, in) arrays."""
        raise NotImplementedError

    def __call__(
        self, measurements: Float[AnyArray, "samples measurement_dim"]
    ) -> Float[AnyArray, "samples signal_dim"]:
        """Reconstructions of `measurements`; samples are rows."""
        return reduce(layer, self.matrices(), measurements)

    def end_to_end(self) -> Float[AnyArray, "signal_dim measurement_dim"]:
        """The matrix of the whole map."""
        return reduce(lambda product, matrix: product @ matrix, self.matrices()[::-1])


class ResidualProduct(StructuredProduct):
    """x_hat = W_L (I + W_{L-1}) ... (I + W_2) W_1 y: input and output maps around residual layers."""

    def matrices(self) -> list[Any]:
        """W_1, I + W_l, W_L: (out, in) arrays."""
        first, *hidden, last = self.weights
        return [first, *(weight + jnp.eye(len(weight), dtype=weight.dtype) for weight in hidden), last]


class TiedProduct(StructuredProduct):
    """x_hat = W_L H ... H W_1 y, one hidden matrix `repeats` times. `weights` are W_1, H, W_L."""

    repeats: int = eqx.field(static=True)
    is_chain: ClassVar[bool] = False
    pads: ClassVar[bool] = False

    @property
    def depth(self) -> int:
        """Number of layers, L."""
        return self.repeats + 2

    def matrices(self) -> list[Any]:
        """W_1, H as often as it is repeated, W_L: (out, in) arrays."""
        first, hidden, last = self.weights
        return [first, *[hidden] * self.repeats, last]


class CirculantProduct(StructuredProduct):
    """x_hat = W_L C_{L-1} ... C_2 W_1 y with circular convolutions C_l on the hidden space.

    `weights` are W_1, the filters (width,) of the convolutions, W_L: C[i, j] = filter[(i - j) mod width].
    """

    is_chain: ClassVar[bool] = False
    pads: ClassVar[bool] = False

    def matrices(self) -> list[Any]:
        """W_1, the circulant matrices, W_L: (out, in) arrays."""
        first, *filters, last = self.weights
        return [first, *map(circulant, filters), last]


def circulant(taps: Float[AnyArray, " width"]) -> Float[AnyArray, "width width"]:
    """The matrix of the circular convolution with `taps`: C[i, j] = taps[(i - j) mod width]."""
    place = namespace(taps).arange(len(taps))
    return taps[(place[:, None] - place[None, :]) % len(taps)]


def _chain(weights: Any, activation: Activation, nonlinear_layers: int | None) -> Layers:
    """W_L ... W_1, with the activation between its layers unless it is linear."""
    if activation is ACTIVATIONS["linear"]:
        return LayerProduct(tuple(weights))
    return ActivatedNetwork(tuple(weights), activation, nonlinear_layers)


def _residual(weights: Any, activation: Activation, nonlinear_layers: int | None) -> Layers:
    """Hidden layers I + W_l / (L - 2) at the start: the product stays of the order of one whatever the depth."""
    first, *hidden, last = _linear("residual", weights, activation)
    return ResidualProduct((first, *(weight / len(hidden) for weight in hidden), last))


def _tied(weights: Any, activation: Activation, nonlinear_layers: int | None) -> Layers:
    """The second layer in place of all hidden ones."""
    first, *hidden, last = _linear("tied", weights, activation)
    return TiedProduct((first, hidden[0], last), len(hidden))


def _circulant(weights: Any, activation: Activation, nonlinear_layers: int | None) -> Layers:
    """The first columns of the hidden layers as filters."""
    first, *hidden, last = _linear("circulant", weights, activation)
    return CirculantProduct((first, *(weight[:, 0] for weight in hidden), last))


def _linear(name: str, weights: Any, activation: Activation) -> Any:
    """The weights; ArgumentError for an activation, and where there is no hidden layer between two others."""
    if activation is not ACTIVATIONS["linear"]:
        raise fail("activation", f'"linear" for architecture {name!r}', "one that is not", "leave it out")
    if len(weights) < 3:
        raise fail("depth", f"at least 3 for architecture {name!r}", f"{len(weights)}", "pass more layers")
    return weights


def _made(name: str | None, given: Any) -> Architecture:
    check_function("architecture", given, "(weights, activation, nonlinear_layers)", 3)
    return given


ARCHITECTURES: Registry[Architecture] = Registry(
    "architecture", _made, {"product": _chain, "residual": _residual, "tied": _tied, "circulant": _circulant}
)
"""Networks by name: functions of the weights of a chain of layers, the activation and how many layers have it."""
