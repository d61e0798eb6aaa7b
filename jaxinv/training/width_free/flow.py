"""The gradient flow in place of the descent, once its linear phase is over: steps in the thousands at a time.

A step of the descent, W <- (1 - eta lambda) W - eta G, is what the flow dW/dt = -(G + lambda W) does of a constant G
in the time -log(1 - eta lambda) / lambda. So in this time a step the flow decays as the descent does, exactly, and
differs from it by what G changes within a step. The flow is stiff: fitted directions relax in a step of the descent,
weights decay in 1 / (eta lambda). It is integrated by the stabilised explicit method RKC2 (Sommeijer, Shampine and
Verwer 1997), whose reach grows with the square of its stages.
"""

from collections.abc import Callable
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int

from .descent import Standing, Task, Trained, reveal, signals_of, slopes_of, with_leak
from .descent import advance as descend

SLOW = 0.01
"""The flow stands in where a step of the descent changes the slopes of each layer by at most this share."""

CHUNK = 64
"""So many steps of the descent are taken before they are looked at again."""

FIRST_STRIDE = 32
"""Steps that the flow goes first. Where it cannot go a quarter of them, the descent goes on."""

ACCURACY = 1e-4
"""Estimated error of a stride of the flow, relative to what is trained in each layer."""

POWERS = 12
"""Products with the Hessian for an estimate of its largest eigenvalue."""

MARGIN = 1.2
"""The estimate is taken so many times larger."""

DAMPING = 2 / 13
"""Of the stability polynomial."""


def advance(task: Task, standing: Standing, stop: Int[Array, ""]) -> Standing:
    """`advance` of the descent, in which the gradient flow stands in for slow steps."""

    def unfinished(now: Standing):
        return ~now.known.full & ((now.time < stop) | (now.leak > task.tolerance))

    def go(now: Standing) -> Standing:
        flows = now.stride > 0  # then nothing is left to descend but what leaks is revealed
        now = descend(task, now, jnp.where(flows, now.time, jnp.minimum(stop, now.time + CHUNK)))
        begun = eqx.tree_at(lambda s: s.stride, now, jnp.where(is_slow(task, now), FIRST_STRIDE, 0))
        return jax.lax.cond(flows & ~now.known.full, lambda: _flow(task, now, stop), lambda: begun)

    return jax.lax.while_loop(unfinished, go, standing)


def is_slow(task: Task, now: Standing) -> Bool[Array, ""]:
    """Whether the next step of the descent changes the slopes of each layer by at most SLOW of their norm."""
    here = slopes_of(task, now.trained, now.signals)
    after = jax.tree.map(lambda weight, slope: weight - task.descent.step_size * slope, now.trained, here)
    change = jax.tree.map(jnp.subtract, slopes_of(task, after, signals_of(task, now.known, after)), here)
    return jnp.all(_norms(change) <= SLOW * _norms(here))


def _norms(trained: Trained) -> Float[Array, " depth"]:
    """Of each layer."""
    return jnp.append(jnp.sqrt(jnp.sum(trained.added**2, axis=(1, 2))), jnp.linalg.norm(trained.first))


def _flow(task: Task, now: Standing, stop) -> Standing:
    """A stride of the flow, or what it would have leaked revealed, or a shorter stride to come."""
    stride = jnp.minimum(now.stride, stop - now.time)
    eta, decay = task.descent.step_size, task.descent.weight_decay
    unit = -jnp.log1p(-eta * decay) / decay

    def motion(trained):
        slopes = slopes_of(task, trained, signals_of(task, now.known, trained))
        return jax.tree.map(lambda slope: -unit * slope, slopes)

    trained, error = rkc(motion, now.trained, stride.astype(unit.dtype), largest_rate(motion, now.trained))
    trained = eqx.tree_at(lambda t: t.share, trained, now.trained.share * jnp.exp(-unit * decay * stride))
    error = jnp.max(_norms(error) / _norms(now.trained)) / ACCURACY
    error = jnp.where(jnp.isfinite(error), error, jnp.inf)
    factor = jnp.clip(0.8 * error ** (-1 / 3), 0.1, 5.0)
    proposed = jnp.round(factor * stride).astype(stride.dtype)
    good = error <= 1
    # a stride cut short by a record says little of the next
    after = jnp.where(good & (stride < now.stride), jnp.maximum(proposed, now.stride), proposed)
    after = jnp.where(after < FIRST_STRIDE // 4, 0, after)
    reached = with_leak(task, eqx.tree_at(
        lambda s: (s.trained, s.signals, s.time, s.stride, s.flowed), now,
        (trained, signals_of(task, now.known, trained), now.time + stride, after, now.flowed + stride),
    ))  # fmt: skip
    accepted = eqx.tree_at(lambda s: s.leaked, reached, jnp.maximum(now.leaked, reached.leak))
    refused = eqx.tree_at(lambda s: s.stride, now, after)
    leaks = good & (reached.leak > task.tolerance)
    return jax.lax.cond(
        leaks, lambda: _revealed(task, now, reached),
        lambda: jax.tree.map(lambda yes, no: jnp.where(good, yes, no), accepted, refused),
    )  # fmt: skip


def _revealed(task: Task, now: Standing, reached: Standing) -> Standing:
    """Where the stride began, with what its end leaks revealed."""
    looked = reveal(task, reached)
    known = looked.known
    back = eqx.tree_at(
        lambda s: (s.known, s.looks, s.signals), now, (known, looked.looks, signals_of(task, known, now.trained))
    )
    return with_leak(task, back)


def largest_rate(motion: Callable[[Any], Any], place: Any) -> Float[Array, ""]:
    """The largest eigenvalue of -d motion / d place, to a few per cent and MARGIN above, by power iteration."""

    def power(_, carry):
        vector, size = carry
        moved = derivative(jax.tree.map(lambda leaf: leaf / size, vector))
        return moved, _size(moved)

    start, derivative = jax.linearize(motion, place)
    return MARGIN * jax.lax.fori_loop(0, POWERS, power, (start, _size(start)))[1]


def _size(tree) -> Float[Array, ""]:
    return jnp.sqrt(sum(jnp.sum(leaf**2) for leaf in jax.tree.leaves(tree)))


def rkc(motion: Callable[[Any], Any], start: Any, time: Float[Array, ""], rate: Float[Array, ""]) -> tuple[Any, Any]:
    """Where `start` is carried in `time` by d place / dt = motion(place), and the estimated error of it.

    RKC2, of second order, with as many stages as are stable where `rate` is the largest eigenvalue of -d motion.
    The equations and their names (Verwer, Sommeijer and Hundsdorfer 2004, section 2; here t, d, e are T_j, T_j', T_j''
    at w0) are those of the literature.
    """
    stages = jnp.maximum(2, 1 + jnp.ceil(jnp.sqrt(1 + 1.54 * time * rate))).astype(jnp.int64)
    w0 = 1 + DAMPING / stages**2
    root = jnp.sqrt(w0**2 - 1)
    angle = stages * jnp.log(w0 + root)
    w1 = jnp.sinh(angle) * root**2 / (stages * root * jnp.cosh(angle) - w0 * jnp.sinh(angle))

    def stage(_, carry):
        (t2, t1), (d2, d1), (e2, e1), (b2, b1), (y2, y1) = carry
        t, d, e = 2 * w0 * t1 - t2, 2 * w0 * d1 - d2 + 2 * t1, 2 * w0 * e1 - e2 + 4 * d1
        b = e / d**2
        mu, nu, moved = 2 * b * w0 / b1, -b / b2, 2 * b * w1 / b1 * time
        y = _combined((1 - mu - nu, start), (mu, y1), (nu, y2), (moved, motion(y1)), ((b1 * t1 - 1) * moved, slope))
        return (t1, t), (d1, d), (e1, e), (b1, b), (y1, y)

    slope = motion(start)
    one, zero = jnp.ones_like(w0), jnp.zeros_like(w0)
    b = 4 / (4 * w0) ** 2  # of the second stage, for those before it too
    first = _combined((1, start), (b * w1 * time, slope))
    polynomials = (one, w0), (zero, one), (zero, zero), (b, b)
    end = jax.lax.fori_loop(1, stages, stage, (*polynomials, (start, first)))[-1][1]
    error = _combined((0.8, start), (-0.8, end), (0.4 * time, slope), (0.4 * time, motion(end)))
    return end, error


def _combined(*terms: tuple[Any, Any]) -> Any:
    """The sum of factors times trees."""
    factors, trees = zip(*terms, strict=True)
    return jax.tree.map(lambda *leaves: sum(c * leaf for c, leaf in zip(factors, leaves, strict=True)), *trees)
