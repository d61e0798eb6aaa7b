"""Optimizers by name: what each makes of a gradient, and what stays exact with it."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import jax
import optax

from ...checks import fail
from ...registry import Registry, check_function


@dataclass(frozen=True)
class Optimizer:
    """`direction(momentum)` is the optax transformation of a gradient into what a step_size multiplies.

    `momentum` is its default. `mix`: with velocities v <- gradient + momentum v alone as its state, the direction is
    a gradient + b v of before, (a, b) = mix(momentum): then training in rotated measurements gives the same iterates,
    and a block of weights without gradient moves by a known factor (facts 1 and 5); None: not so. `pads`: a weight
    that is zero and sees no gradient stays zero (fact 6). `decoupled`: weight decay is a share of the weights of its
    own, beside the direction, not part of the gradient. `limit`: a quadratic of curvature mu diverges where step_size *
    mu is above. `share` of the root mean square weight is the step size of an optimizer whose steps have one size,
    whatever that of the gradient; None: the gradient decides.
    """

    direction: Callable[[float], optax.GradientTransformation]
    momentum: float = 0.0
    mix: Callable[[float], tuple[float, float]] | None = None
    pads: bool = True
    decoupled: bool = False
    limit: float = 2.0
    share: float | None = None


@dataclass(frozen=True)
class Whole:
    """An optimizer of a user's: `transform(step_size, weight_decay)` gives the whole optax transformation."""

    transform: Callable[[Any, Any], optax.GradientTransformation]


def _heavy_ball(momentum: float) -> optax.GradientTransformation:
    return optax.trace(decay=momentum) if momentum else optax.identity()


def _nesterov(momentum: float) -> optax.GradientTransformation:
    return optax.trace(decay=momentum, nesterov=True)


def _adam(momentum: float) -> optax.GradientTransformation:
    return optax.scale_by_adam(b1=momentum)


def _muon(momentum: float) -> optax.GradientTransformation:
    inner = optax.contrib.scale_by_muon(beta=momentum, weight_dimension_numbers=_matrices)

    def update(updates, state, params=None):
        made, state = inner.update(updates, state, params)
        return jax.tree.map(lambda one, like: one.astype(like.dtype), made, updates), state  # its numbers are float64

    return optax.GradientTransformation(inner.init, update)


def _matrices(weights: Any) -> Any:
    """Which axes optax orthogonalizes; ArgumentError for weights that are no matrices."""
    if odd := {weight.ndim for weight in jax.tree.leaves(weights)} - {2}:
        raise fail("optimizer", "another than muon for weights that are no matrices", f"weights of {min(odd)} axes",
                   'pass "adamw"')  # fmt: skip
    return jax.tree.map(lambda _: optax.contrib.MuonDimensionNumbers(), weights)


def _made(name: str | None, given: Any) -> Optimizer | Whole:
    if isinstance(given, Optimizer | Whole):
        return given
    check_function("optimizer", given, "(step_size, weight_decay)")
    return Whole(given)


GRADIENT_DESCENT = Optimizer(_heavy_ball, mix=lambda momentum: (1.0, momentum))

OPTIMIZERS: Registry[Optimizer | Whole] = Registry("optimizer", _made, {
    "gradient_descent": GRADIENT_DESCENT,
    "momentum": replace(GRADIENT_DESCENT, momentum=0.9),
    "nesterov": Optimizer(_nesterov, 0.9, lambda momentum: (1 + momentum, momentum**2), limit=1.35),
    "adam": Optimizer(_adam, 0.9, share=0.01),
    "adamw": Optimizer(_adam, 0.9, decoupled=True, share=0.01),
    "muon": Optimizer(_muon, 0.95, decoupled=True, share=0.01),
})  # fmt: skip
"""Heavy ball, Nesterov (its limit is (2 + 2 beta) / (1 + 2 beta)), Adam, AdamW and Muon, as optax has them."""
