"""Optimizers by name: what each makes of a gradient, and what stays exact with it."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import jax
import optax

from ...checks import fail, shown
from ...registry import Registry, check_function
from .declared import check_declared


@dataclass(frozen=True)
class Optimizer:
    """`direction(momentum)` is the optax transformation of a gradient into what a step_size multiplies.

    `momentum` is its default. `decoupled`: weight decay is a share of the weights of its own, beside the direction, not
    part of the gradient.

    What is exact is declared, and held to before anything trains (`check_declared`). `mix`: with velocities v <-
    gradient + momentum v alone as its state, the direction is a gradient + b v of before, (a, b) = mix(momentum): then
    training in rotated measurements gives the same iterates, and a block of weights without gradient moves by a known
    factor (facts 1 and 5); None: not so. `pads`: zero weights that see no gradient stay zero, and the others move as
    without them (fact 6).

    Its default step size is made of `share`, for an optimizer whose steps have one size, whatever that of the gradient:
    of each entry where it is `entrywise`, of each singular value otherwise; see `default_step_size`. None: the gradient
    decides, as in gradient descent.
    """

    direction: Callable[[float], optax.GradientTransformation]
    momentum: float = 0.0
    mix: Callable[[float], tuple[float, float]] | None = None
    pads: bool = False
    decoupled: bool = False
    share: float | None = None
    entrywise: bool = False

    def gain(self, momentum: float) -> float:
        """What it makes of a gradient that stays, in the long run; 1 where that is not known."""
        if self.mix is None:
            return 1.0
        of_gradient, of_velocity = self.mix(momentum)
        return of_gradient + of_velocity / (1 - momentum)

    def pace(self, momentum: float) -> float:
        """What times the step size of gradient descent goes as far in the long run.

        1 for gradient descent itself, whatever momentum it is given.
        """
        return 1 / self.gain(momentum) if self.momentum else 1.0


@dataclass(frozen=True)
class Whole:
    """An optimizer of a user's: `transform(step_size, weight_decay)` gives the whole optax transformation."""

    transform: Callable[[Any, Any], optax.GradientTransformation]


def check_optimizer(given: Optimizer) -> None:
    """ArgumentError unless what the optimizer declares is so; ours are held to it by tests."""
    if not isinstance(given, Optimizer):
        raise fail("optimizer", "a ji.Optimizer", shown(given), "pass ji.gradient_descent(..., optimizer=) its name")
    declared = given.direction, given.mix, given.pads
    if declared not in [(one.direction, one.mix, one.pads) for one in OURS.values()]:
        check_declared(*declared, given.momentum)


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
    if isinstance(given, Optimizer):
        check_optimizer(given)
    if isinstance(given, Optimizer | Whole):
        return given
    check_function("optimizer", given, "(step_size, weight_decay)", 2)
    return Whole(given)


GRADIENT_DESCENT = Optimizer(_heavy_ball, mix=lambda momentum: (1.0, momentum), pads=True)
ADAM = Optimizer(_adam, 0.9, pads=True, share=0.3, entrywise=True)

OURS: dict[str, Optimizer] = {
    "gradient_descent": GRADIENT_DESCENT,
    "momentum": replace(GRADIENT_DESCENT, momentum=0.9),
    "nesterov": Optimizer(_nesterov, 0.9, lambda momentum: (1 + momentum, momentum**2), pads=True),
    "adam": ADAM,
    "adamw": replace(ADAM, decoupled=True),
    "muon": Optimizer(_muon, 0.95, pads=True, decoupled=True, share=0.03),
}

OPTIMIZERS: Registry[Optimizer | Whole] = Registry("optimizer", _made, OURS)
"""Heavy ball, Nesterov, Adam, AdamW and Muon, as optax has them."""
