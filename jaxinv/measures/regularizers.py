"""Regularizers by name: what is added to the misfit beside, or in place of, weight decay."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp

from ..checks import ArgumentError
from ..networks.own import as_given
from ..registry import Registry, check_function


@dataclass(frozen=True)
class Regularizer:
    """`penalty(network, inputs)`, a number; `inputs` are the measurements trained on, as rows.

    What is exact with it is declared here. `first_decay`: the gradient of the part of W_1 off the range of the data is
    that many times this part itself, so that it only shrinks (fact 1); None: not so. `pads`: weights that are zero and
    see no gradient of the misfit see none of the penalty (fact 6).
    """

    penalty: Callable[[Any, Any], Any]
    first_decay: float | None = None
    pads: bool = False


def _l1(network, inputs):
    """sum_l ||W_l||_1, the sum of absolute entries; slope 0 at 0."""
    return sum(jnp.sum(jnp.abs(weight)) for weight in network.weights)


def _layer(index, network, inputs):
    """(1/2)||W_l||_F^2 of one layer: decay of that one alone."""
    return 0.5 * jnp.sum(network.weights[index] ** 2)


def _all_layers(network, inputs):
    """(1/2) sum_l ||W_l||_F^2."""
    return sum(_layer(index, network, inputs) for index in range(len(network.weights)))


def _nuclear(network, inputs):
    """The sum of the singular values of the map."""
    return jnp.linalg.norm(_map_of(network), "nuc")


def _frobenius(network, inputs):
    """(1/2)||W||_F^2 of the map W."""
    return 0.5 * jnp.sum(_map_of(network) ** 2)


def _spectral(network, inputs):
    """||W||_2 of the map W."""
    return jnp.linalg.norm(_map_of(network), 2)


def _jacobian(network, inputs):
    """The mean over the inputs of (1/2)||J||_F^2, J the Jacobian of the network there; of a linear one "frobenius"."""
    if network.is_linear:
        return _frobenius(network, inputs)
    jacobians = jax.vmap(jax.jacrev(lambda row: network(row[None])[0]))(inputs)
    return 0.5 * jnp.mean(jnp.sum(jacobians**2, axis=(1, 2)))


def _map_of(network):
    if not network.is_linear:
        raise ArgumentError("regularizer of the end-to-end map needs a linear network, got one that is not; "
                            'pass regularizer="jacobian"')  # fmt: skip
    return network.end_to_end()


def _made(name: str | None, given: Any) -> Regularizer:
    if isinstance(given, Regularizer):
        return given
    check_function("regularizer", given, "the network")
    return Regularizer(lambda network, inputs: given(as_given(network)))


WEIGHT_DECAY, NONE = "weight_decay", "none"
"""Names of those that the descent's own `weight_decay` is."""

REGULARIZERS: Registry[Regularizer] = Registry("regularizer", _made, {
    WEIGHT_DECAY: Regularizer(_all_layers, 1.0, True),
    NONE: Regularizer(lambda network, inputs: 0.0, 0.0, True),
    "first_layer_decay": Regularizer(partial(_layer, 0), 1.0, True),
    "last_layer_decay": Regularizer(partial(_layer, -1), 0.0, True),
    "l1": Regularizer(_l1, None, True),
    "nuclear": Regularizer(_nuclear),
    "frobenius": Regularizer(_frobenius),
    "spectral": Regularizer(_spectral),
    "jacobian": Regularizer(_jacobian),
})  # fmt: skip
"""Regularizers by name: functions of the network and the measurements trained on."""
