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
class Misfit:
    """`function(outputs, targets)`, samples being rows. `is_squared`: compressed data have the same."""

    function: Callable[[Any, Any], Any]
    is_squared: bool = False


def squared(outputs: Rows, targets: Rows, residual: Any = 0.0) -> Float[Array, ""]:
    """(1/2)||outputs - targets||_F^2, samples being rows.

    `residual` is the norm of what compression removed from the targets: no output reaches it, its half square is added.
    """
    return 0.5 * (jnp.sum((outputs - targets) ** 2) + residual**2)


def _made(name: str | None, given: Any) -> Misfit:
    if isinstance(given, Misfit):
        return given
    check_function("misfit", given, "(outputs, targets)", 2)
    return Misfit(given)


MISFITS: Registry[Misfit] = Registry("misfit", _made, {
    "squared": Misfit(squared, is_squared=True),
    "absolute": Misfit(lambda outputs, targets: jnp.sum(jnp.abs(outputs - targets))),
    "huber": Misfit(lambda outputs, targets: jnp.sum(_huber(outputs - targets))),
})  # fmt: skip
"""Misfits by name, summed over entries and samples. Huber's is quadratic below 1 and linear above."""


def _huber(errors: Any) -> Any:
    size = jnp.abs(errors)
    return jnp.where(size < 1, 0.5 * size**2, size - 0.5)


class Objective(eqx.Module):
    """misfit(outputs, targets) + (weight_decay/2) sum_l ||W_l||_F^2 + strength * regularizer(network, inputs)."""

    weight_decay: Any = 0.0
    strength: Any = 0.0
    regularizer: Regularizer | None = eqx.field(static=True, default=None)
    misfit: Misfit = eqx.field(static=True, default=MISFITS["squared"])

    def data_term(self, outputs: Any, targets: Any, residual: Any = 0.0) -> Any:
        """The misfit; `residual` as in `squared`, which is 0 where data are not compressed."""
        if self.misfit.is_squared:
            return squared(outputs, targets, residual)
        return self.misfit.function(outputs, targets)

    def penalty(self, network: Any, inputs: Any) -> Any:
        """strength * regularizer(network, inputs), which stands beside weight decay; 0 where there is none."""
        return 0.0 if self.regularizer is None else self.strength * self.regularizer.penalty(network, inputs)

    def decay(self, squared_norm: Any) -> Any:
        """(weight_decay/2) sum_l ||W_l||_F^2, `squared_norm` being the sum."""
        return 0.5 * self.weight_decay * squared_norm

    def gradient(self, network: Any, inputs: Any, targets: Any, *, decay: bool = True, times: float = 1.0) -> Any:
        """The gradient with respect to the network, without that of weight decay if `decay` is False.

        The misfit counts `times`.
        """

        def value(net):
            fit = self.data_term(net(inputs), targets)
            return (fit if times == 1 else times * fit) + self.penalty(net, inputs)

        slopes = jax.grad(value)(network)
        if not decay:
            return slopes
        return jax.tree.map(lambda slope, weight: slope + self.weight_decay * weight, slopes, network)


def squared_norm(network: Any) -> Any:
    """sum_l ||W_l||_F^2 over the layers of `network`."""
    return sum(jnp.sum(weight**2) for weight in network.weights)
