"""Regularizers by name: what is added to the misfit beside, or in place of, weight decay."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp

from ..checks import ArgumentError, check_number, fail
from ..networks.own import as_given
from ..registry import Registry, check_function


@dataclass(frozen=True)
class Regularizer:
    """`penalty(network, inputs)`, a number; `inputs` are the measurements trained on, as rows.

    What is exact with it is declared here. `first_decay`: it is the same in rotated measurements, and its gradient of
    the part of W_1 off the range of the data is that many times this part itself, so that it only shrinks (fact 1);
    None: not so. `pads`: weights that are zero and see no gradient of the misfit see none of the penalty (fact 6).
    `compresses`: that of a linear network is the same for compressed inputs (fact 4), as where it reads none.
    """

    penalty: Callable[[Any, Any], Any]
    first_decay: float | None = None
    pads: bool = False
    compresses: bool = False


@dataclass(frozen=True)
class LayerDecay:
    """(1/2) sum_l rate_l ||W_l||_F^2."""

    rates: tuple[float, ...]

    def __call__(self, network: Any, inputs: Any) -> Any:
        """Its value; ArgumentError unless there is a rate for each layer."""
        layers = len(network.weights)
        if len(self.rates) != layers:
            raise fail("regularizer", f"a layer_decay of {layers} rates, one for each layer", f"{len(self.rates)}",
                       "pass as many")  # fmt: skip
        squares = [jnp.sum(weight**2) for weight in network.weights]
        return 0.5 * sum(rate * square for rate, square in zip(self.rates, squares, strict=True) if rate)


def layer_decay(rates: Sequence[float]) -> Regularizer:
    """Weight decay of its own for each layer: (1/2) sum_l rates[l] ||W_l||_F^2, the rate of W_1 first.

    A regularizer: `strength` multiplies all rates. ArgumentError for a rate that is no number of at least 0.
    """
    for rate in rates:
        check_number("rates", rate)
    if not any(rates):
        raise fail("rates", "above 0 for some layer", f"{list(rates)}", 'pass regularizer="none" for no decay')
    numbers = tuple(float(rate) for rate in rates)
    return Regularizer(LayerDecay(numbers), numbers[0], pads=True, compresses=True)


@dataclass(frozen=True)
class OfNetwork:
    """A penalty of the network alone, as its user made it."""

    function: Callable[[Any], Any]

    def __call__(self, network: Any, inputs: Any) -> Any:
        """Its value."""
        return self.function(as_given(network))


def check_penalty(regularizer: Regularizer, network: Any, inputs: Any) -> None:
    """ArgumentError unless it gives a number for the network, whose arrays may be known by their shapes alone."""
    try:
        made = jax.eval_shape(regularizer.penalty, network, inputs)
    except ArgumentError:
        raise
    except Exception as error:
        got = f"{type(error).__name__}: {str(error).partition(chr(10))[0]}"
        raise fail("regularizer", "a function of the network, in JAX's terms", got, "mend it") from None
    if getattr(made, "shape", None) != ():
        raise fail(
            "regularizer", "a function that gives a number", f"one that gives {_what(made)}", "sum what it gives"
        )


def _what(made: Any) -> str:
    return f"shape {made.shape}" if hasattr(made, "shape") else type(made).__name__


def _l1(network, inputs):
    """sum_l ||W_l||_1, the sum of absolute entries. Its slope at 0 is 0, where that of jnp.abs is 1."""
    return sum(jnp.sum(weight * jnp.sign(weight)) for weight in network.weights)


def _layer(index, network, inputs):
    """(1/2)||W_l||_F^2 of one layer: decay of that one alone."""
    return 0.5 * jnp.sum(network.weights[index] ** 2)


def _all_layers(network, inputs):
    """(1/2) sum_l ||W_l||_F^2."""
    return sum(_layer(index, network, inputs) for index in range(len(network.weights)))


def _nuclear(network, inputs):
    """The sum of the singular values of the map. Its slope is U V^T, without those that are 0 to rounding."""
    return jnp.sum(_values_above_rounding(_map_of(network)))


def _frobenius(network, inputs):
    """(1/2)||W||_F^2 of the map W."""
    return 0.5 * jnp.sum(_map_of(network) ** 2)


def _spectral(network, inputs):
    """||W||_2 of the map W. Equally large singular values share the slope; it is 0 at W = 0."""
    return jnp.max(_values_above_rounding(_map_of(network)))


def _values_above_rounding(matrix):
    """The singular values, 0 in place of those at rounding, whose vectors are arbitrary: then they have no slope."""
    values = jnp.linalg.svd(matrix, compute_uv=False)
    rounding = max(matrix.shape) * jnp.finfo(matrix.dtype).eps * values[0]
    return jnp.where(values <= rounding, 0, values)


JACOBIANS = 32
"""So many Jacobians of a network that is not linear are taken at a time."""


def _jacobian(network, inputs):
    """The mean over the inputs of (1/2)||J||_F^2, J the Jacobian of the network there; of a linear one "frobenius"."""
    if network.is_linear:
        return _frobenius(network, inputs)

    @jax.checkpoint  # or the slope would keep all layers of all rows of all Jacobians
    def square(row):
        return jnp.sum(jax.jacrev(lambda one: network(one[None])[0])(row) ** 2)

    return 0.5 * jnp.mean(jax.lax.map(square, inputs, batch_size=JACOBIANS))


def _map_of(network):
    if not network.is_linear:
        raise ArgumentError("regularizer of the end-to-end map needs a linear network, got one that is not; "
                            'pass regularizer="jacobian"')  # fmt: skip
    return network.end_to_end()


def _made(name: str | None, given: Any) -> Regularizer:
    if isinstance(given, Regularizer):
        return given
    check_function("regularizer", given, "the network")
    return Regularizer(OfNetwork(given), compresses=True)


WEIGHT_DECAY, NONE = "weight_decay", "none"
"""Names of those that the descent's own `weight_decay` is."""

_exact = partial(Regularizer, pads=True, compresses=True)

REGULARIZERS: Registry[Regularizer] = Registry("regularizer", _made, {
    WEIGHT_DECAY: _exact(_all_layers, 1.0),
    NONE: _exact(lambda network, inputs: 0.0, 0.0),
    "first_layer_decay": _exact(partial(_layer, 0), 1.0),
    "last_layer_decay": _exact(partial(_layer, -1)),  # the first layer, too, at depth 1
    "l1": _exact(_l1),
    "nuclear": _exact(_nuclear),
    "frobenius": _exact(_frobenius),
    "spectral": _exact(_spectral),
    "jacobian": _exact(_jacobian),
})  # fmt: skip
"""Regularizers by name: functions of the network and the measurements trained on."""
