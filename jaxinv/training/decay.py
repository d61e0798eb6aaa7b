"""Whether an optimizer of one's own decays the weights as its descent declares."""

import math
import warnings
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from ..arrays import host_device
from ..checks import fail
from .descent import Descent, made_by

STEPS = 10
"""So many steps without gradient may an optimizer take until it decays at all: a warm-up may begin at 0."""

TOLERANCE = 1e-3
"""Relative difference up to which a decay is the one declared."""


def check_decay(descent: Descent, network: Any) -> None:
    """Hold a `transform` to the weight decay that its descent declares and that the recorded loss counts.

    What it does to a weight of 1 in a step of zero gradient, beyond what it does to a weight of 0, is its decay: it
    should be step_size * weight_decay in every layer. AdamW, SGD with `add_decayed_weights` and Lion decay so. Raises
    ArgumentError where weights do not decay at all, in `STEPS` steps, though a decay is declared. Warns of any other
    difference: Adam on the gradient of the penalty decays by about a step_size, some optimizers decay by themselves.
    The layers have 2 x 2 weights here, whatever those of `network`.
    """
    if descent.transform is None:
        return
    eta, decay = float(descent.step_size), float(descent.weight_decay)
    with jax.enable_x64(True), jax.default_device(host_device()):
        small = jax.tree.map(lambda weight: np.ones((2, 2)), network)
        first, most = (float(amount) for amount in _shrinkage(descent.transform, eta, decay, small))
    declared = f"step_size * weight_decay = {eta * decay:.3g}"
    if not (math.isfinite(first) and math.isfinite(most)) or abs(first - eta * decay) <= TOLERANCE * eta * decay:
        return
    if most == 0:
        raise fail(
            "transform", f"an optimizer that decays the weights ({declared})", "one without weight decay",
            "chain optax.add_decayed_weights(decay) into it before the scaling, or pass weight_decay=0",
        )  # fmt: skip
    warnings.warn(
        f"transform takes {first:.3g} of a weight without gradient in its first step, not {declared}: the loss counts "
        "the penalty that is declared; pass on the decay it is handed, or go by the regression error",
        stacklevel=2,
    )


@partial(jax.jit, static_argnames="transform")
def _shrinkage(transform: Any, eta: Any, decay: Any, network: Any) -> tuple[Any, Any]:
    """What the layer furthest from eta * decay loses in the first step without gradient, and the most any loses."""
    zeros = jax.tree.map(jnp.zeros_like, network)
    optimizer = made_by(transform, eta, decay)

    def shares(weights):
        """What each layer loses of a weight of 1 in each step."""
        state, lost = optimizer.init(weights), []
        for _ in range(STEPS):
            updates, state = optimizer.update(zeros, state, weights)
            lost.append(jnp.stack([jnp.mean(update) for update in jax.tree.leaves(updates)]))
        return jnp.stack(lost)

    lost = shares(zeros) - shares(network)
    return lost[0, jnp.argmax(jnp.abs(lost[0] - eta * decay))], jnp.max(jnp.abs(lost))
