"""Activations by name, and what is exact for each."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from ..checks import fail
from ..registry import Registry, check_function


@dataclass(frozen=True)
class Activation:
    """A function applied to every entry of a hidden layer. `gain` times a layer's weights makes up for it at the start.

    The gain is 1 / the root mean square of function(z) for standard normal z, so that the power of signals stays; ours,
    and for ReLU that of He et al. (arXiv 1502.01852).
    """

    function: Callable[[Any], Any]
    gain: float = 1.0

    @property
    def fixes_zero(self) -> bool:
        """Whether zero stays zero, with a finite slope, as that is multiplied by 0: then zeros can pad layers."""
        with jax.ensure_compile_time_eval():
            value, slope = jax.value_and_grad(lambda z: jnp.asarray(self.function(z), float))(jnp.zeros(()))
            return float(value) == 0 and bool(jnp.isfinite(slope))


NODES = 100
"""Of the quadrature of gains."""


def made(name: str | None, given: Any) -> Activation:
    """The activation that a user's function is, its gain by quadrature, 1 where that is no number.

    Raises ArgumentError for what is no function of arrays, entry by entry.
    """
    if isinstance(given, Activation):
        return given
    check_function("activation", given, "an array")
    nodes, weights = np.polynomial.hermite_e.hermegauss(NODES)
    try:
        # always in float64, as the gain is part of the numbers
        with jax.enable_x64(True), jax.ensure_compile_time_eval(), np.errstate(all="ignore"):
            whole, part = (np.asarray(given(jnp.asarray(rows)), np.float64) for rows in (nodes, nodes[: NODES // 3]))
            power = float(np.sum(weights * whole**2) / np.sum(weights))
        shaped = whole.shape == nodes.shape
        entrywise = shaped and np.allclose(whole[: NODES // 3], part, equal_nan=True)
        got = "one that mixes them" if shaped else f"one that gives shape {whole.shape}"
    except Exception as error:
        entrywise, got, power = False, f"{type(error).__name__}: {str(error).partition(chr(10))[0]}", 0.0
    if not entrywise:
        raise fail("activation", "a function of arrays, entry by entry", got, "compute with jax.numpy")
    return Activation(given, power**-0.5 if 0 < power < np.inf else 1.0)


ACTIVATIONS: Registry[Activation] = Registry(
    "activation",
    made,
    {
        "linear": Activation(lambda rows: rows),
        "relu": Activation(jax.nn.relu, 2**0.5),
        "leaky_relu": Activation(jax.nn.leaky_relu, (2 / (1 + 0.01**2)) ** 0.5),
        "gelu": Activation(jax.nn.gelu, 1.5335),
        "tanh": Activation(jnp.tanh, 1.5925),
        "sigmoid": Activation(jax.nn.sigmoid, 1.8463),
    },
)
"""Activations of all hidden layers, or of those that `nonlinear_layers` says."""
