"""Gradient descent and its relatives: their parameters, one pure step, and many steps in a compiled loop."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import equinox as eqx
import jax
import numpy as np
import optax
from jaxtyping import Array, Float, Integer

from ..arrays import AnyArray
from ..checks import ArgumentError, check_number, fail, shown
from ..measures.objective import MISFITS, Misfit, Objective
from ..measures.regularizers import Regularizer
from ..problems.problem import Problem
from .optimizers.batches import Batches, Order
from .optimizers.named import GRADIENT_DESCENT, Optimizer, check_optimizer
from .optimizers.schedules import Schedule
from .optimizers.stable import check_step_size, stable_step_size

Transform = Callable[[Any, Any], optax.GradientTransformation]
Scalar = float | Float[Array, "..."]


class Descent(eqx.Module):
    """How a network is trained: an update rule, and the objective that it descends.

    Step size, weight decay and strength are traced, so one compilation serves a whole grid of them. The rule is
    `optimizer` (by default gradient descent) with `momentum` (by default the optimizer's own), its step size times
    `schedule`, on all samples or on `batches` of them. The objective is `misfit` + weight decay + `strength` times
    `regularizer`: see `Objective`. Where the optimizer is `decoupled`, weights lose step_size * weight_decay of
    themselves in a step, beside its direction. `transform(step_size, weight_decay)` gives an optax transformation of
    your own in place of the rule. It gets the gradient without weight decay: the decay is its business, and it is held
    to `weight_decay` before training begins, see `check_decay`. `step_size` may be "stable": then it is what
    `stable_step_size` says of the problem and network that are trained, and `stable` says so. Raises ArgumentError for
    a bad argument.
    """

    step_size: Any
    weight_decay: Scalar
    momentum: float = eqx.field(static=True, default=None)  # pyright: ignore[reportAssignmentType]
    transform: Transform | None = eqx.field(static=True, default=None)
    stable: Any = False
    optimizer: Optimizer = eqx.field(static=True, default=GRADIENT_DESCENT)
    schedule: Schedule | None = None
    batches: Batches | None = None
    strength: Any = 0.0
    regularizer: Regularizer | None = eqx.field(static=True, default=None)
    misfit: Misfit = eqx.field(static=True, default=MISFITS["squared"])

    def __post_init__(self):
        if self.momentum is None and isinstance(self.optimizer, Optimizer):
            self.momentum = self.optimizer.momentum

    def __check_init__(self):
        check_step_size(self.step_size)
        check_number("weight_decay", self.weight_decay)
        check_number("strength", self.strength)
        check_optimizer(self.optimizer)
        check_number("momentum", self.momentum)
        if self.momentum >= 1:
            raise ArgumentError(f"momentum must be below 1, got {self.momentum!r}; pass a number in [0, 1)")
        for name, kind, optional in (("schedule", Schedule, True), ("batches", Batches, True),
                                     ("regularizer", Regularizer, True), ("misfit", Misfit, False)):  # fmt: skip
            given = getattr(self, name)
            if not (isinstance(given, kind) or (optional and given is None)):
                raise fail(name, f"a {kind.__name__}", shown(given), f"name it in ji.gradient_descent(..., {name}=)")
        if self.transform is not None:
            self._check_transform()

    def _check_transform(self):
        if not callable(self.transform):
            raise fail("transform", "a function (step_size, weight_decay) -> optax transformation",
                       type(self.transform).__name__, "wrap it: lambda eta, decay: optax.sgd(eta)")  # fmt: skip
        beside = {"momentum": self.momentum, "schedule": self.schedule is not None,
                  "optimizer": self.optimizer != GRADIENT_DESCENT}  # fmt: skip
        for name, given in beside.items():
            if given:
                raise ArgumentError(f"{name} and transform exclude each other: put the {name} into the transformation")

    @property
    def is_plain(self) -> bool:
        """Whether it is gradient descent or heavy ball on squared misfit and weight decay, all samples at each step."""
        return replace(self.optimizer, momentum=0.0) == GRADIENT_DESCENT and self.regularizer is None and self.rotates

    @property
    def compresses(self) -> bool:
        """Whether compressed data of a linear network give the same gradients (fact 4)."""
        penalty = self.regularizer is None or self.regularizer.compresses
        return self.batches is None and self.misfit.is_squared and penalty

    @property
    def rotates(self) -> bool:
        """Whether training in rotated coordinates gives the same iterates (facts 1 and 5): not so for every optimizer.

        Then a block of weights without gradient moves by a known factor, too.
        """
        whole = self.transform is None and type(self) is Descent and self.schedule is None and self.compresses
        return whole and self.optimizer.mix is not None and self._first_decay is not None

    @property
    def pads(self) -> bool:
        """Whether a weight whose gradient is always zero and that starts at zero stays there (fact 6)."""
        known = self.transform is None and type(self) is Descent and self.optimizer.pads
        return known and (self.regularizer is None or self.regularizer.pads)

    @property
    def objective(self) -> Objective:
        """What it descends.

        Decoupled decay is that of the objective over `Optimizer.gain`. Adam and the like descend none that has it: it
        counts all the same.
        """
        decoupled = self.optimizer.decoupled
        decay = self.weight_decay / self.optimizer.gain(self.momentum) if decoupled else self.weight_decay
        return Objective(decay, self.strength, self.regularizer, self.misfit)

    @property
    def _first_decay(self) -> float | None:
        return 0.0 if self.regularizer is None else self.regularizer.first_decay

    def resolved(self, problem: Problem, network: Any) -> "Descent":
        """Itself with a number for its step size, as it is to train `network` on `problem`."""
        if not isinstance(self.step_size, str):
            return self
        if self.optimizer.share is not None:
            raise fail("step_size", "a number for an optimizer whose steps have one size, whatever the gradient's",
                       repr(self.step_size), "leave it out of ji.gradient_descent")  # fmt: skip
        pace = self.optimizer.pace(self.momentum) * (1.0 if self.batches is None else self.batches.pace(problem))
        made = stable_step_size(problem, network) * pace, True
        return eqx.tree_at(lambda descent: (descent.step_size, descent.stable), self, made)

    def transformation(self) -> optax.GradientTransformation:
        """The optax transformation of what `gradient` gives."""
        if self.transform is not None:
            return made_by(self.transform, self.step_size, self.weight_decay)
        rate: Any = self.step_size
        if self.schedule is not None:
            factor = self.schedule
            rate = lambda count: self.step_size * factor(count)  # noqa: E731
        decay = [optax.add_decayed_weights(self.weight_decay)] if self.optimizer.decoupled else []
        return optax.chain(self.optimizer.direction(self.momentum), *decay, optax.scale_by_learning_rate(rate))

    def gradient(self, network: Any, inputs: Any, targets: Any, times: float = 1.0) -> Any:
        """The gradient that the optimizer is given: without that of weight decay where the optimizer decays by itself.

        The misfit counts `times`.
        """
        decay = self.transform is None and not self.optimizer.decoupled
        return self.objective.gradient(network, inputs, targets, decay=decay, times=times)

    def off_range_factor(self, steps: Integer[np.ndarray, " records"]) -> Float[np.ndarray, " records"]:
        """What a block of W_1 that sees no gradient is multiplied by after each of `steps`, in f64.

        (1 - step_size weight_decay)^t for gradient descent (fact 1); with momentum a two-term recursion.
        """
        if not self.rotates or self.optimizer.mix is None:
            raise ArgumentError("the decay off the range of the data is known for gradient descent and momentum only; "
                                "train with reduce=False")  # fmt: skip
        eta, decay, beta = float(self.step_size), float(self.weight_decay), self.momentum
        beside = decay if self.optimizer.decoupled else 0.0
        decay = decay - beside + float(self.strength) * (self._first_decay or 0.0)
        with np.errstate(over="ignore", invalid="ignore"):  # a block that grows without bound: the run diverges
            if beta == 0 and beside == 0:
                return (1.0 - eta * decay) ** np.asarray(steps, np.float64)
            of_gradient, of_velocity = self.optimizer.mix(beta)
            # (weight, velocity) <- (weight - eta (a decay weight + b velocity), decay weight + beta velocity)
            once = np.array([[1 - eta * (of_gradient * decay + beside), -eta * of_velocity], [decay, beta]])
            return np.array([np.linalg.matrix_power(once, int(t))[0, 0] for t in steps])


def made_by(transform: Transform, step_size: Any, weight_decay: Any) -> optax.GradientTransformation:
    """The transformation that a user's function gives; ArgumentError for anything else."""
    made = transform(step_size, weight_decay)
    if not (hasattr(made, "init") and hasattr(made, "update")):
        raise fail("transform", "a function that gives an optax transformation", f"one that gives {shown(made)}",
                   "return what optax.sgd(step_size) gives, say")  # fmt: skip
    return made


class State(eqx.Module):
    """What a run carries from step to step: the trained network, the optimizer's state, its place in the samples."""

    network: Any
    optimizer: Any
    order: Order | None = None


def start(descent: Descent, network: Any, samples: int) -> State:
    """The state before the first step, on so many samples."""
    order = None if descent.batches is None else descent.batches.start(samples)
    return State(network, descent.transformation().init(network), order)


def step(
    descent: Descent,
    inputs: Float[AnyArray, "rows columns"],
    targets: Float[AnyArray, "rows signal_dim"],
    state: State,
) -> State:
    """One step on the training objective: on all rows, or on the next batch, which then counts for all."""
    order, times = state.order, 1.0
    if descent.batches is not None and order is not None:
        times = len(inputs) / descent.batches.size
        inputs, targets, order = descent.batches.take(order, inputs, targets)
    slopes = descent.gradient(state.network, inputs, targets, times)
    updates, optimizer = descent.transformation().update(slopes, state.optimizer, state.network)
    return State(optax.apply_updates(state.network, updates), optimizer, order)


def advance(
    descent: Descent,
    inputs: Float[AnyArray, "rows columns"],
    targets: Float[AnyArray, "rows signal_dim"],
    state: State,
    steps: Integer[Array, ""],
) -> State:
    """The state after `steps` steps; the count is traced."""
    return jax.lax.fori_loop(0, steps, lambda _, s: step(descent, inputs, targets, s), state)
