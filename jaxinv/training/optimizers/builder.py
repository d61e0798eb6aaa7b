"""The builder of a descent from names and numbers: each with a step size, decay and strength that suit it."""

from dataclasses import replace
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from ...arrays import host_device, is_traced
from ...checks import ArgumentError, UnknownNumbers, check_count, check_flag, check_number, fail, shown
from ...draws import Tag
from ...measures.objective import MISFITS, squared_norm
from ...measures.regularizers import NONE, REGULARIZERS, WEIGHT_DECAY, Regularizer, check_penalty
from ...networks.layers import LayerProduct
from ...networks.own import as_network
from ...networks.unsampled import UnsampledProduct
from ...problems.problem import Problem
from ...theory.linearisation import balanced_fit
from ..descent import Descent
from .batches import Batches
from .named import GRADIENT_DESCENT, OPTIMIZERS, Optimizer, Whole
from .scales import default_decay, default_step_size
from .schedules import CONSTANT, SCHEDULES, Schedule
from .stable import check_step_size

USUAL_GAMMA = 0.1
"""That of a regularizer which is named, where nothing says how strong it is. Ours."""


def gradient_descent(
    problem: Problem,
    network: Any,
    *,
    gamma: float | None = None,
    step_size: float | str | None = None,
    weight_decay: float | None = None,
    momentum: float | None = None,
    optimizer: Any = "gradient_descent",
    decoupled: bool | None = None,
    schedule: Any = CONSTANT,
    horizon: float | None = None,
    batch_size: float | None = None,
    regularizer: Any = None,
    strength: float | None = None,
    misfit: Any = "squared",
    key: Any = None,
) -> Descent:
    """Gradient descent on (1/2)||W_{L:1} Y - X||_F^2 + (weight_decay/2) sum_l ||W_l||_F^2, or what is named instead.

    Names are those of OPTIMIZERS, SCHEDULES, REGULARIZERS and MISFITS; each may also be a function, see `ji.register`.
    `decoupled` weight decay is a share of the weights of its own (None: as the optimizer has it). A schedule multiplies
    the step size by a function of step / `horizon`. With `batch_size` each step sees so many samples, in an order that
    `key` decides. Data of linear networks are not compressed then, nor for another misfit.

    Defaults are ours: weight_decay = gamma sigma_min(X)^2 sqrt(m/d), or given itself, or 0 where neither is. A
    `regularizer` takes the place of weight decay (which is added to it where `weight_decay` is given), and `gamma` sets
    its strength to where it weighs as much: at balanced layers whose product is X Y^+, strength * regularizer =
    (weight_decay/2) sum_l ||W_l||_F^2. Where one is named and nothing says how strong it is, gamma is USUAL_GAMMA.

    On a problem that a generator made, step_size = m / (L d_w sigma_max(X)^2), which assumes ||A x|| about ||x||, reads
    the shapes of `network` alone, and leaves no margin for deep, narrow ones: they may diverge. sigma are the extreme
    non-zero singular values of X without noise, d_w the width of `network`. For optimizers with another limit of
    stability than gradient descent it is in proportion; those whose steps have a size of their own take a share of the
    root mean square weight. On a problem of your own arrays, for networks that are no plain chain, or asked for by
    name, step_size = "stable": see `stable_step_size`. Raises ArgumentError for a bad argument.
    """
    _check_together(gamma, "gamma", weight_decay=weight_decay, strength=strength)
    network = as_network(network)
    rule, transform = _rule(optimizer, decoupled, momentum)
    penalty, decay, given = _penalty(problem, network, regularizer, gamma, weight_decay, strength)
    beta, batches = rule.momentum if momentum is None else float(momentum), _batches(problem, batch_size, key)
    if rule.decoupled and decay is not None and weight_decay is None and strength is None:  # that of gamma
        decay = default_decay(USUAL_GAMMA if gamma is None else gamma, decay, problem, network, rule, beta)
    if step_size is None:
        step_size = default_step_size(problem, network, rule, beta, batches)
    check_step_size(step_size)
    made = Descent(
        _known(step_size),
        _known(0.0 if decay is None else decay),
        beta,
        transform,
        optimizer=rule,
        schedule=_schedule(schedule, horizon),
        batches=batches,
        strength=_known(0.0 if given is None else given),
        regularizer=penalty,
        misfit=MISFITS.find(misfit),
    )
    return made.resolved(problem, network)


def _check_together(value: Any, of: str, **others: Any) -> None:
    """ArgumentError for what is no number of at least 0, and for the argument called `of` beside what it sets."""
    for name, other in {of: value, **others}.items():
        if other is not None:
            check_number(name, other)
        if other is not None and value is not None and name != of:
            raise ArgumentError(f"{of} and {name} exclude each other: {of} sets {name}; pass one of them")


def _penalty(
    problem: Problem, network: Any, regularizer: Any, gamma: Any, weight_decay: Any, strength: Any
) -> tuple[Regularizer | None, Any, Any]:
    """What is added to the misfit beside weight decay, the weight decay, and the strength of the former."""
    named = None if regularizer is None else REGULARIZERS.find(regularizer)
    if named is None and strength is not None:
        raise fail(
            "strength", "left out where no regularizer is named", strength, "pass weight_decay=, or regularizer="
        )
    if named is REGULARIZERS[NONE]:
        return None, weight_decay, None
    if named is REGULARIZERS[WEIGHT_DECAY] and strength is not None:
        _check_together(strength, "strength", weight_decay=weight_decay)
        weight_decay, strength = strength, None
    own = None if named is REGULARIZERS[WEIGHT_DECAY] else named
    if own is not None and not isinstance(network, UnsampledProduct):
        check_penalty(own, network, problem.measurements)
    if named is not None and gamma is None and strength is None and (own is not None or weight_decay is None):
        gamma = USUAL_GAMMA
    if gamma is not None:
        _, smallest = problem.signal_extremes
        of_gamma = gamma * smallest**2 * (problem.measurement_dim / problem.signal_dim) ** 0.5
        if own is not None:
            return own, weight_decay, _as_strong_as(of_gamma, own, problem, network.depth)
        weight_decay = of_gamma
    return own, weight_decay, strength


def _rule(optimizer: Any, decoupled: bool | None, momentum: Any) -> tuple[Optimizer, Any]:
    """The optimizer, and the transformation in its place where it is a user's."""
    rule = OPTIMIZERS.find(optimizer)
    if momentum is not None:
        check_number("momentum", momentum)
    if decoupled is not None:
        check_flag("decoupled", decoupled)
    if isinstance(rule, Whole):
        for name, given in (("momentum", momentum), ("decoupled", decoupled)):
            if given is not None:
                raise fail(name, "left out for an optimizer of your own", given, "put it into the transformation")
        return GRADIENT_DESCENT, rule.transform
    return (rule if decoupled is None else replace(rule, decoupled=decoupled)), None


def _as_strong_as(weight_decay: Any, penalty: Any, problem: Problem, depth: int) -> Any:
    """The strength at which the penalty of balanced layers of X Y^+ is that of `weight_decay`."""
    if is_traced(weight_decay, problem.measurements):
        raise UnknownNumbers("gamma of a regularizer needs known signals, got traced ones; pass strength=")
    if weight_decay == 0:
        return 0.0
    with jax.enable_x64(True), jax.default_device(host_device()), jax.default_matmul_precision("highest"):
        layers = LayerProduct(tuple(map(jnp.asarray, balanced_fit(problem, depth))))
        try:
            size = float(penalty.penalty(layers, jnp.asarray(problem.measurements, jnp.float64)))
        except (AttributeError, IndexError, TypeError, ValueError) as error:  # one of a user's, for a network of theirs
            got = f"{type(error).__name__}: {str(error).partition(chr(10))[0]}"
            raise fail("regularizer", "known at balanced layers of X Y^+ for gamma to set its strength", got,
                       "pass strength=") from None  # fmt: skip
        of_decay = 0.5 * float(weight_decay) * float(squared_norm(layers))
    if not 0 < size < np.inf:
        raise fail("regularizer", "above 0 at balanced layers of X Y^+ for gamma to set its strength", f"{size:.3g}",
                   "pass strength=")  # fmt: skip
    return of_decay / size


def _schedule(schedule: Any, horizon: Any) -> Schedule | None:
    """What multiplies the step size, None for nothing."""
    factor = SCHEDULES.find(schedule)
    if horizon is not None:
        check_number("horizon", horizon, strict=True)
    if factor is SCHEDULES[CONSTANT]:
        return None
    if horizon is None:
        raise fail("horizon", f"a number of steps for schedule {shown(schedule)}", "none",
                   "pass horizon=, the steps to train")  # fmt: skip
    return Schedule(factor, float(horizon))


def _batches(problem: Problem, batch_size: Any, key: Any) -> Batches | None:
    """Mini-batches of that size, None for all samples at each step."""
    if batch_size is None:
        return None
    if check_count("batch_size", batch_size) > problem.samples:
        raise fail("batch_size", f"at most the {problem.samples} samples", batch_size, "pass fewer, or None for all")
    key = jax.random.key(0) if key is None else key
    return Batches(jax.random.key_data(jax.random.fold_in(key, Tag.BATCHES)), int(batch_size))


def _known(value: Any) -> Any:
    return value if is_traced(value) or isinstance(value, str) else float(value)
