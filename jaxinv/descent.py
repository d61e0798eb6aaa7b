"""Gradient descent with weight decay: its parameters, one pure step, and many steps in one compiled loop."""

from collections.abc import Callable, Sequence
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import optax
from jaxtyping import Array, Float, Integer

from .checks import AnyArray, ArgumentError, check_count, check_number, fail, is_traced
from .problem import Problem

Transform = Callable[[Any, Any], optax.GradientTransformation]
Scalar = float | Float[Array, "..."]


class Descent(eqx.Module):
    """An optimizer: `transform(step_size, weight_decay)` gives the optax transformation, built inside the loop.

    Step size and weight decay are traced, so one compilation serves a whole grid of them. `transform` None is heavy
    ball with `momentum` (0: plain gradient descent). Those are the optimizers that commute with rotations of the
    measurements, and for which a block of weights without gradients moves by a known factor (`free_factor`): only
    they train in rotated coordinates. Compression of the data is exact for any transformation.
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
        """Whether training in rotated coordinates gives the same iterates (theory.py, fact 5)."""
        return self.transform is None

    def optimizer(self) -> optax.GradientTransformation:
        """The optax transformation, decay included."""
        if self.transform is not None:
            return self.transform(self.step_size, self.weight_decay)
        return optax.chain(
            optax.add_decayed_weights(self.weight_decay),
            optax.sgd(self.step_size, momentum=self.momentum or None),
        )

    def free_factor(self, steps: Integer[np.ndarray, " records"]) -> Float[np.ndarray, " records"]:
        """What a block of W_1 that sees no gradient is multiplied by after each of `steps`, in f64.

        (1 - step_size weight_decay)^t for gradient descent (fact 1); with momentum a two-term recursion.
        """
        if not self.rotates:
            raise ArgumentError("free_factor is known for gradient descent and momentum only; train with reduce=False")
        eta, decay, beta = float(self.step_size), float(self.weight_decay), self.momentum
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
    """One full-batch step on (1/2)||network(inputs) - targets||_F^2; decay and step size come with `descent`."""

    def misfit(network):
        return 0.5 * jnp.sum((network(inputs) - targets) ** 2)

    updates, optimizer = descent.optimizer().update(jax.grad(misfit)(state.network), state.optimizer, state.network)
    return State(optax.apply_updates(state.network, updates), optimizer)


def advance(
    descent: Descent,
    inputs: Float[AnyArray, "rows columns"],
    targets: Float[AnyArray, "rows signal_dim"],
    state: State,
    steps: Integer[Array, ""],
    record: Callable[[Any], Any],
) -> tuple[State, Any]:
    """`steps` steps, then (state, info): info is what `record` reports of the network. The count is traced."""
    state = jax.lax.fori_loop(0, steps, lambda _, s: step(descent, inputs, targets, s), state)
    return state, record(state.network)


def record_steps(steps: int, records: int | Sequence[int]) -> Integer[np.ndarray, " records"]:
    """Steps at which to record: 0, then unique rounded geomspace(1, steps, records - 1); 0 and `steps` for two.

    Or those given, which must rise from 0 to `steps`.
    """
    check_count("steps", steps)
    if isinstance(records, Sequence | np.ndarray):
        given = np.asarray(records, np.int64)
        if given.ndim != 1 or len(given) < 2 or given[0] != 0 or given[-1] != steps or (np.diff(given) < 1).any():
            raise fail("records", f"a number, or steps that rise from 0 to {steps}", repr(records), "mend the list")
        return given
    if check_count("records", records) < 2:
        raise ArgumentError(f"records must be at least 2, the first and the last step, got {records}; pass 2 or more")
    spaced = np.geomspace(1, steps, records - 1) if records > 2 else np.array([steps])
    return np.concatenate([[0], np.unique(np.rint(spaced).astype(np.int64))])
