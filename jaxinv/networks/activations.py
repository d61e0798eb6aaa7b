"""Activations by name, and what is exact for each."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

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
        """Whether zero stays zero: then layers can be padded with zeros."""
        with jax.ensure_compile_time_eval():
            return float(self.function(jnp.zeros(()))) == 0


def made(name: str | None, given: Any) -> Activation:
    """The activation that a user's function is, its gain by quadrature. Raises ArgumentError for no function."""
    if isinstance(given, Activation):
        return given
    check_function("activation", given, "an array")
    nodes, weights = np.polynomial.hermite_e.hermegauss(100)
    with jax.ensure_compile_time_eval():
        power = np.sum(weights * np.asarray(given(jnp.asarray(nodes)), np.float64) ** 2) / np.sum(weights)
    return Activation(given, float(power**-0.5) if power > 0 else 1.0)


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
