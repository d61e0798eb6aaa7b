"""Whether what an optimizer of one's own declares is so: tried once, on two tiny layers, before anything trains."""

from collections.abc import Callable
from functools import lru_cache
from typing import Any

import jax
import numpy as np

from ...arrays import host_device
from ...checks import fail

STEPS = 10
"""So many gradients are tried: a warm-up or a correction of a bias shows itself within them."""

TOLERANCE = 1e-6
"""Relative difference up to which directions are the same: in float64 only rounding is below it."""


@lru_cache
def check_declared(
    direction: Callable[[float], Any],
    mix: Callable[[float], tuple[float, float]] | None,
    pads: bool,
    momentum: float,
) -> None:
    """Hold an optimizer to the `mix` and `pads` that it declares, see `Optimizer`.

    Two layers of 2 x 2 weights are handed gradients from 1e-3 to 1e3, at `momentum` and at another. Raises
    ArgumentError where the direction is no optax transformation, or not what is declared.
    """
    rng = np.random.default_rng(0)
    sizes = 10.0 ** rng.uniform(-3, 3, (STEPS, 1, 1))
    gradients = tuple(rng.standard_normal((STEPS, 2, 2)) * sizes for _ in range(2))
    found = _directions(direction, momentum, gradients)
    if mix is not None:
        for beta, given in ((momentum, found), (0.5, _directions(direction, 0.5, gradients))):
            if not _same(given, [_mixed(mix, beta, each) for each in gradients]):
                raise fail("mix", "what the direction makes of gradient and velocity, or None",
                           f"one that at momentum {beta:g} it is not", "leave it out")  # fmt: skip
    if pads:
        around = ((0, 0), (0, 1), (0, 1))
        wide = _directions(direction, momentum, tuple(np.pad(each, around) for each in gradients))
        if not _same(wide, [np.pad(each, around) for each in found]):
            raise fail("pads", "False where zeros beside the weights move, or change how the others do", "True",
                       "leave it out")  # fmt: skip


def _directions(direction: Callable[[float], Any], beta: float, gradients: tuple[np.ndarray, ...]) -> list[np.ndarray]:
    """What the direction makes of the gradients, steps first, an array for each layer. Weights without any are 0."""
    try:
        made = direction(beta)
        _ = made.init, made.update
    except (TypeError, AttributeError) as error:
        raise fail("direction", "a function of the momentum that gives an optax transformation", str(error),
                   "pass lambda momentum: optax.trace(momentum)") from None  # fmt: skip

    @jax.jit
    def follow(weights, gradients):
        def step(state, slopes):
            updates, state = made.update(slopes, state, weights)
            return state, updates

        return jax.lax.scan(step, made.init(weights), gradients)[1]

    with jax.ensure_compile_time_eval(), jax.enable_x64(True), jax.default_device(host_device()):
        found = follow(tuple(np.where(each[0] != 0, 1.0, 0.0) for each in gradients), gradients)
        return [np.asarray(layer) for layer in found]


def _mixed(mix: Callable[[float], tuple[float, float]], beta: float, gradients: np.ndarray) -> np.ndarray:
    """a gradient + b velocity, for velocity <- gradient + beta velocity."""
    of_gradient, of_velocity = mix(beta)
    velocity, made = np.zeros_like(gradients[0]), []
    for gradient in gradients:
        made.append(of_gradient * gradient + of_velocity * velocity)
        velocity = gradient + beta * velocity
    return np.stack(made)


def _same(found: list[np.ndarray], declared: list[np.ndarray]) -> bool:
    """Whether directions agree at each step, to TOLERANCE of the largest entry there."""
    return all(
        np.all(np.abs(one - other) <= TOLERANCE * np.max(np.abs(other), axis=(1, 2), keepdims=True))
        for one, other in zip(found, declared, strict=True)
    )
