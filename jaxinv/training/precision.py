"""Precision of a run: the settings it is computed under, and where float32 cannot resolve the decay of weights."""

from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from ..arrays import cast, host_device
from ..checks import ArgumentError

SMALLEST_FLOAT32_DECAY = 1e-6
"""Below this step_size * weight_decay a float32 weight loses less per step than its rounding (fact 10)."""

SHARE = "what a step of the regularizer takes of the weights"
"""In place of step_size * weight_decay, where another regularizer is the weaker."""


@contextmanager
def run_settings() -> Iterator[None]:
    """What every run is computed under: float64 allowed, matrix products at the highest precision."""
    with jax.enable_x64(True), jax.default_matmul_precision("highest"):
        yield


def decay_per_step(descent: Any, network: Any, inputs: Any) -> float:
    """The share of its weights that a step takes from a layer by itself: step_size * weight_decay, 0 where none.

    Of a regularizer it is step_size * strength * ||slope|| / ||W_l|| where training starts, the least over the layers
    that have both: as much as a weight decay of that size takes. Where there are two, the smaller counts.
    """
    eta, strength = float(descent.step_size), float(descent.strength)
    shares = [eta * float(descent.weight_decay)]
    if descent.regularizer is not None and strength > 0:
        with run_settings(), jax.default_device(host_device()):
            taken = _slope_shares(descent.regularizer, *cast((network, inputs), np.float64))
        shares.append(eta * strength * float(taken))
    return min((share for share in shares if 0 < share < np.inf), default=0.0)


@partial(jax.jit, static_argnames="regularizer")
def _slope_shares(regularizer: Any, network: Any, inputs: Any) -> Any:
    """The least ||slope|| / ||W_l|| of the penalty over the layers that have both; infinite where none has."""
    slopes = jax.grad(lambda net: jnp.asarray(regularizer.penalty(net, inputs), float))(network)
    norms = jnp.stack(
        [jnp.stack([jnp.linalg.norm(leaf) for leaf in jax.tree.leaves(tree)]) for tree in (slopes, network)]
    )
    there = (norms > 0).all(axis=0)
    return jnp.min(jnp.where(there, norms[0] / jnp.where(there, norms[1], 1), jnp.inf))


def resolved(precision: str, decay_per_step: float) -> str:
    """`precision`, with "auto" made float64 where that `decay_per_step` is lost in float32, else float32."""
    if precision == "auto":
        return "float64" if 0 < decay_per_step < SMALLEST_FLOAT32_DECAY else "float32"
    return precision


def check_float32(decay_per_step: float, regularizer: Any = None) -> None:
    """ArgumentError where a float32 weight would not decay, by so much a step: see `decay_per_step`."""
    if 0 < decay_per_step < SMALLEST_FLOAT32_DECAY:
        raise ArgumentError(
            f"precision must be float64 where {'step_size * weight_decay' if regularizer is None else SHARE} is below "
            f"{SMALLEST_FLOAT32_DECAY:g}, got float32 at {decay_per_step:.2g}; a float32 weight would not decay: use "
            "float64, or raise the weight decay"
        )
