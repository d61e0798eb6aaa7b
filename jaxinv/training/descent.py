"""Gradient descent with weight decay: its parameters, one pure step, and many steps in a compiled loop."""

from collections.abc import Callable
from typing import Any

import equinox as eqx
import jax
import numpy as np
import optax
from jaxtyping import Array, Float, Integer

from ..arrays import AnyArray, is_traced
from ..checks import ArgumentError, check_number, fail
from ..measures import objective
from ..problems.problem import Problem

Transform = Callable[[Any, Any], optax.GradientTransformation]
Scalar = float | Float[Array, "..."]


class Descent(eqx.Module):
    """An optimizer: `transform(step_size, weight_decay)` gives the optax transformation, built inside the loop.

    Step size and weight decay are traced, so one compilation serves a whole grid of them. `transform` None is heavy
    ball with `momentum` (0: plain gradient descent) on the gradient of misfit + penalty. A transformation of your own
    gets the gradient of the misfit alone: the decay is its business. It is held to `weight_decay` before training
    begins, see `check_decay`. Raises ArgumentError for a bad argument.
    """

    step_size: Scalar
    weight_decay: Scalar
    momentum: float = eqx.field(static=True, default=0.0)
    transform: Transform | None = eqx.field(static=True, default=None)

    def __check_init__(self):
        check_number("step_size", self.step_size, strict=True)
        check_number("weight_decay", self.weight_decay)
        check_number("momentum", self.momentum)
        if self.momentum >= 1:
            raise ArgumentError(f"momentum must be below 1, got {self.momentum!r}; pass a number in [0, 1)")
        if self.transform is not None and not callable(self.transform):
            raise fail("transform", "a function (step_size, weight_decay) -> optax transformation",
                       type(self.transform).__name__, "wrap it: lambda eta, decay: optax.sgd(eta)")  # fmt: skip
        if self.transform is not None and self.momentum:
            raise ArgumentError("momentum and transform exclude each other: put the momentum into the transformation")

    @property
    def rotates(self) -> bool:
        """Whether training in rotated coordinates gives the same iterates (facts 1 and 5): not so for every optimizer.

        Then a block of weights without gradient moves by a known factor, too. Compressed data are exact for any.
        """
        return self.transform is None and type(self) is Descent

    @property
    def pads(self) -> bool:
        """Whether a weight whose gradient is always zero and that starts at zero stays there (fact 6)."""
        return self.transform is None and type(self) is Descent

    def optimizer(self) -> optax.GradientTransformation:
        """The optax transformation of what `gradient` gives."""
        if self.transform is not None:
            return self.transform(self.step_size, self.weight_decay)
        return optax.sgd(self.step_size, momentum=self.momentum or None)

    def gradient(self, network: Any, inputs: Any, targets: Any) -> Any:
        """The gradient that the optimizer is given: of misfit + penalty, or of the misfit for your own `transform`."""
        if self.transform is not None:
            return objective.misfit_gradient(network, inputs, targets)
        return objective.gradient(network, inputs, targets, self.weight_decay)

    def off_range_factor(self, steps: Integer[np.ndarray, " records"]) -> Float[np.ndarray, " records"]:
        """What a block of W_1 that sees no gradient is multiplied by after each of `steps`, in f64.

        (1 - step_size weight_decay)^t for gradient descent (fact 1); with momentum a two-term recursion.
        """
        if not self.rotates:
            raise ArgumentError("the decay off the range of the data is known for gradient descent and momentum only; "
                                "train with reduce=False")  # fmt: skip
        eta, decay, beta = float(self.step_size), float(self.weight_decay), self.momentum
        with np.errstate(over="ignore", invalid="ignore"):  # a block that grows without bound: the run diverges
            if beta == 0:
                return (1.0 - eta * decay) ** np.asarray(steps, np.float64)
            # (weight, velocity) <- (weight - eta v', v'), v' = decay weight + beta velocity
            once = np.array([[1 - eta * decay, -eta * beta], [decay, beta]])
            return np.array([np.linalg.matrix_power(once, int(t))[0, 0] for t in steps])


def gradient_descent(
    problem: Problem,
    network: Any,
    *,
    gamma: float | None = None,
    step_size: float | None = None,
    weight_decay: float | None = None,
    momentum: float = 0.0,
) -> Descent:
    """Full-batch gradient descent on (1/2)||W_{L:1} Y - X||_F^2 + (weight_decay/2) sum_l ||W_l||_F^2.

    Defaults are ours: step_size = m / (L d_w sigma_max(X)^2); weight_decay = gamma sigma_min(X)^2
    sqrt(m/d), or given itself, or 0 where neither is. sigma are the extreme non-zero singular values of X without
    noise; d_w is the width of `network`, of which only the shapes are read. The step size assumes an operator with
    ||A x|| about ||x|| on the signals, and leaves no margin for deep, narrow networks: they may diverge. Raises
    ArgumentError for a bad argument.
    """
    if gamma is not None and weight_decay is not None:
        raise ArgumentError("gamma and weight_decay exclude each other: gamma sets weight_decay; pass one of them")
    check_number("momentum", momentum)
    largest, smallest = problem.signal_extremes
    m, d = problem.measurement_dim, problem.signal_dim
    if step_size is None:
        step_size = m / (network.depth * network.width * largest**2)
    else:
        check_number("step_size", step_size, strict=True)
    if weight_decay is not None:
        check_number("weight_decay", weight_decay)
    elif gamma is not None:
        check_number("gamma", gamma)
        weight_decay = gamma * smallest**2 * (m / d) ** 0.5
    return Descent(_known(step_size), _known(0.0 if weight_decay is None else weight_decay), float(momentum))


def _known(value) -> Scalar:
    return value if is_traced(value) else float(value)


class State(eqx.Module):
    """What a run carries from step to step: the trained network and the optimizer's own state."""

    network: Any
    optimizer: Any


def start(descent: Descent, network: Any) -> State:
    """The state before the first step."""
    return State(network, descent.optimizer().init(network))


def step(
    descent: Descent,
    inputs: Float[AnyArray, "rows columns"],
    targets: Float[AnyArray, "rows signal_dim"],
    state: State,
) -> State:
    """One full-batch step on the training objective."""
    slopes = descent.gradient(state.network, inputs, targets)
    updates, optimizer = descent.optimizer().update(slopes, state.optimizer, state.network)
    return State(optax.apply_updates(state.network, updates), optimizer)


def advance(
    descent: Descent,
    inputs: Float[AnyArray, "rows columns"],
    targets: Float[AnyArray, "rows signal_dim"],
    state: State,
    steps: Integer[Array, ""],
) -> State:
    """The state after `steps` steps; the count is traced."""
    return jax.lax.fori_loop(0, steps, lambda _, s: step(descent, inputs, targets, s), state)
