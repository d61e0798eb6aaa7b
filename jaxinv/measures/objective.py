"""The training objective: misfit + penalty, read by the update and by the loss metric alike."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from ..arrays import AnyArray
from ..registry import Registry, check_function
from .regularizers import Regularizer

Rows = Float[AnyArray, "rows signal_dim"]


@dataclass(frozen=True)
class Loss:
    """A misfit: `function(outputs, targets)`, samples being rows. `is_squared`: compressed data have the same."""

    function: Callable[[Any, Any], Any]
    is_squared: bool = False


def misfit(outputs: Rows, targets: Rows, residual: Any = 0.0) -> Float[Array, ""]:
    """(1/2)||outputs - targets||_F^2, samples being rows.

    `residual` is the norm of what compression removed from the targets: no output reaches it, its half square is added.
    """
    return 0.5 * (jnp.sum((outputs - targets) ** 2) + residual**2)


def _made(name: str | None, given: Any) -> Loss:
    if isinstance(given, Loss):
        return given
    check_function("loss", given, "(outputs, targets)")
    return Loss(given)


LOSSES: Registry[Loss] = Registry("loss", _made, {
    "squared": Loss(misfit, is_squared=True),
    "absolute": Loss(lambda outputs, targets: jnp.sum(jnp.abs(outputs - targets))),
    "huber": Loss(lambda outputs, targets: jnp.sum(_huber(outputs - targets))),
})  # fmt: skip
"""Losses by name, summed over entries and samples. Huber's is quadratic below 1 and linear above."""


def _huber(errors: Any) -> Any:
    size = jnp.abs(errors)
    return jnp.where(size < 1, 0.5 * size**2, size - 0.5)


class Objective(eqx.Module):
    """loss(network(inputs), targets) + (weight_decay/2) sum_l ||W_l||_F^2 + strength * regularizer(network, inputs)."""

    weight_decay: Any = 0.0
    strength: Any = 0.0
    regularizer: Regularizer | None = eqx.field(static=True, default=None)
    loss: Loss = eqx.field(static=True, default=LOSSES["squared"])

    def misfit(self, outputs: Any, targets: Any, residual: Any = 0.0) -> Any:
        """The loss; `residual` as in `misfit`, which is 0 where data are not compressed."""
        if self.loss.is_squared:
            return misfit(outputs, targets, residual)
        return self.loss.function(outputs, targets)

    def penalty(self, network: Any, inputs: Any) -> Any:
        """strength * regularizer(network, inputs), which stands beside weight decay; 0 where there is none."""
        return 0.0 if self.regularizer is None else self.strength * self.regularizer.penalty(network, inputs)

    def decay(self, squared_norm: Any) -> Any:
        """(weight_decay/2) sum_l ||W_l||_F^2, `squared_norm` being the sum."""
        return 0.5 * self.weight_decay * squared_norm

    def gradient(self, network: Any, inputs: Any, targets: Any, *, decay: bool = True, times: float = 1.0) -> Any:
        """The gradient with respect to the network, without that of weight decay if `decay` is False.

        The loss counts `times`.
        """

        def value(net):
            fit = self.misfit(net(inputs), targets)
            return (fit if times == 1 else times * fit) + self.penalty(net, inputs)

        slopes = jax.grad(value)(network)
        if not decay:
            return slopes
        return jax.tree.map(lambda slope, weight: slope + self.weight_decay * weight, slopes, network)


def squared_norm(network: Any) -> Any:
    """sum_l ||W_l||_F^2 over the layers of `network`."""
    return sum(jnp.sum(weight**2) for weight in network.weights)
