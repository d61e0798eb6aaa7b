"""The training objective: misfit + penalty, read by the update and by the loss metric alike."""

from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from ..arrays import AnyArray

Rows = Float[AnyArray, "rows signal_dim"]


def misfit(outputs: Rows, targets: Rows, residual: Any = 0.0) -> Float[Array, ""]:
    """(1/2)||outputs - targets||_F^2, samples being rows.

    `residual` is the norm of what compression removed from the targets: no output reaches it, its half square is added.
    """
    return 0.5 * (jnp.sum((outputs - targets) ** 2) + residual**2)


def weight_penalty(squared_norm: Any, weight_decay: Any) -> Any:
    """(weight_decay/2) sum_l ||W_l||_F^2, `squared_norm` being the sum."""
    return 0.5 * weight_decay * squared_norm


def squared_norm(network: Any) -> Any:
    """sum_l ||W_l||_F^2 over the layers of `network`."""
    return sum(jnp.sum(weight**2) for weight in network.weights)


def misfit_gradient(network: Any, inputs: Float[AnyArray, "rows columns"], targets: Rows) -> Any:
    """The gradient of `misfit` of network(inputs) with respect to the network."""
    return jax.grad(lambda net: misfit(net(inputs), targets))(network)


def gradient(network: Any, inputs: Float[AnyArray, "rows columns"], targets: Rows, weight_decay: Any) -> Any:
    """The gradient of misfit + penalty with respect to the network."""
    slopes = misfit_gradient(network, inputs, targets)
    return jax.tree.map(lambda slope, weight: slope + weight_decay * weight, slopes, network)
