"""Gradient descent in the coordinates of the directions met: steps until one would leak, then a look at what leaks."""

from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import optax
from jaxtyping import Array, Float, Int, Key

from ...arrays import AnyArray
from ..descent import Descent
from .layers import Known, Start, look, turned

LEFT_OVER = 0.1
"""Directions are revealed until all that is left leaks less than this share of the tolerance."""

NEVER = jnp.iinfo(jnp.int64).max


class Trained(eqx.Module):
    """What the optimizer moves: W_1 on the range of the data is `first`, the layers above are `share` W(0) + `added`.

    Gradient descent and heavy ball are linear in the weights and their gradients: moving these three is moving the
    weights. `share` is (1 - step_size weight_decay)^t for gradient descent.
    """

    first: Float[Array, "*records capacity rank"]
    added: Float[Array, "*records layers capacity capacity"]
    share: Float[Array, "*records"]

    def widened(self, by: int) -> "Trained":
        """With so many coordinates more."""
        return Trained(_grown(self.first, by, (-2,)), _grown(self.added, by, (-1, -2)), self.share)


class Kept(eqx.Module):
    """What is kept at a record: the weights, and the map on the range of the data as the run saw it then.

    What is revealed later may add to the map as much as the tolerance lets leak, which the run never corrected.
    """

    trained: Trained
    on_range: Float[Array, "*records capacity rank"]

    def widened(self, by: int) -> "Kept":
        """With so many coordinates more."""
        return Kept(self.trained.widened(by), _grown(self.on_range, by, (-2,)))


class Signals(eqx.Module):
    """What runs through the layers: what each puts out, W_1 first, and the slopes there."""

    forward: Float[Array, "spaces capacity rank"]
    backward: Float[Array, "spaces capacity rank"]

    @property
    def inputs(self) -> Float[Array, "layers capacity rank"]:
        """Of the layers above W_1."""
        return self.forward[:-1]

    @property
    def slopes(self) -> Float[Array, "layers capacity rank"]:
        """At the outputs of the layers above W_1."""
        return self.backward[1:]


class Standing(eqx.Module):
    """A run after `time` steps; `leak` is what its next step would leak, `leaked` the most that any step did.

    `stride` is the number of steps that the gradient flow goes at a time, 0 where it does not stand in for the descent,
    `flowed` that for which it did.
    """

    known: Known
    trained: Trained
    optimizer: Any
    signals: Signals
    time: Int[Array, ""]
    looks: Int[Array, ""]
    steepest: Float[Array, " layers"]
    leak: Float[Array, ""]
    leaked: Float[Array, ""]
    stride: Int[Array, ""]
    flowed: Int[Array, ""]


class Task(eqx.Module):
    """What is trained: data in coordinates, `inputs` (rank, rank) and `targets` (capacity, rank) as columns."""

    key: Key[Array, ""]
    start: Start
    inputs: Float[AnyArray, "rank rank"]
    targets: Float[Array, "capacity rank"]
    descent: Descent
    tolerance: Float[Array, ""]
    capacity: int = eqx.field(static=True)


def begin(task: Task) -> Standing:
    """The run before its first step."""
    first, known = task.start.first(task.capacity)
    trained: Any = Trained(first, jnp.zeros_like(known.start), jnp.ones(()))
    zero = jnp.zeros(())
    standing = Standing(
        known, trained, task.descent.transformation().init(trained), signals_of(task, known, trained),
        time=jnp.zeros((), jnp.int64), looks=jnp.zeros((), jnp.int64), steepest=jnp.zeros(len(known.start)),
        leak=zero, leaked=zero, stride=jnp.zeros((), jnp.int64), flowed=jnp.zeros((), jnp.int64),
    )  # fmt: skip
    return with_leak(task, standing)


def with_room(task: Task, standing: Standing) -> Standing:
    """A run that found no room, in the larger capacity of `task`: it goes on as if it had had it from the start."""
    by = task.capacity - len(standing.trained.first)
    mine = standing.known
    grown = {name: _grown(getattr(mine, name), by, (-1, -2)) for name in ("start", "right", "left")}
    known = Known(**grown, used=mine.used, bases=_grown(mine.bases, by, (-1,)), full=jnp.array(False))
    trained = standing.trained.widened(by)
    optimizer = jax.tree.map(
        lambda part: part.widened(by) if isinstance(part, Trained) else part, standing.optimizer,
        is_leaf=lambda part: isinstance(part, Trained),
    )  # fmt: skip
    changed = known, trained, optimizer, signals_of(task, known, trained)
    return eqx.tree_at(lambda s: (s.known, s.trained, s.optimizer, s.signals), standing, changed)


def _grown(array, by: int, axes: tuple[int, ...]):
    widths = [(0, by if axis - array.ndim in axes else 0) for axis in range(array.ndim)]
    return jnp.pad(array, widths)


def advance(task: Task, standing: Standing, stop: Int[Array, ""]) -> Standing:
    """The run after `stop` steps, in coordinates that hold its signals; it ends early where they do not suffice.

    What is not finite has diverged, and stays where it is.
    """

    def leaks(now: Standing):
        return now.leak > task.tolerance

    def step_or_look(now: Standing) -> Standing:
        now = jax.lax.while_loop(lambda s: (s.time < stop) & ~leaks(s), lambda s: _step(task, s), now)
        return jax.lax.cond(leaks(now), lambda s: reveal(task, s), lambda s: s, now)

    def unfinished(now: Standing):
        return ~now.known.full & ((now.time < stop) | leaks(now))

    return jax.lax.while_loop(unfinished, step_or_look, standing)


def keep(standing: Standing) -> Kept:
    """What is kept of a run where it stands."""
    trained, through = standing.trained, standing.trained.first
    for weight in trained.share * standing.known.start + trained.added:
        through = weight @ through
    return Kept(trained, through)


def _step(task: Task, now: Standing) -> Standing:
    trained: Any = now.trained  # what optax calls parameters
    updates, optimizer = task.descent.transformation().update(
        slopes_of(task, trained, now.signals), now.optimizer, trained
    )
    trained = optax.apply_updates(trained, updates)
    leaked = jnp.maximum(now.leaked, now.leak)
    moved = eqx.tree_at(
        lambda s: (s.trained, s.optimizer, s.signals, s.time, s.leaked), now,
        (trained, optimizer, signals_of(task, now.known, trained), now.time + 1, leaked),
    )  # fmt: skip
    return with_leak(task, moved)


def slopes_of(task: Task, trained: Trained, signals: Signals) -> Any:
    """The gradient of misfit and penalty."""
    decay = task.descent.weight_decay
    return Trained(
        signals.backward[0] @ task.inputs.T + decay * trained.first,
        signals.slopes @ signals.inputs.swapaxes(1, 2) + decay * trained.added,
        decay * trained.share,
    )


def signals_of(task: Task, known: Known, trained: Trained) -> Signals:
    """Of the data, forward and back."""
    weights = trained.share * known.start + trained.added
    forward = [trained.first @ task.inputs]
    for weight in weights:
        forward.append(weight @ forward[-1])
    backward = [forward[-1] - task.targets]
    for weight in weights[::-1]:
        backward.append(weight.T @ backward[-1])
    return Signals(jnp.stack(forward), jnp.stack(backward[::-1]))


def with_leak(task: Task, now: Standing) -> Standing:
    """With what the next step would leak, relative to what it is added to.

    Slopes are compared with the geometric mean of their size and the largest they had, so that those of a fitted
    network do not count.
    """
    signals, known = now.signals, now.known
    sizes = _sizes(signals.forward), _sizes(signals.backward)
    steepest = jnp.maximum(now.steepest, sizes[1][:-1])
    forward, backward = _scales(task, now.trained.share, *sizes, steepest)
    unseen = forward * _sizes(signals.inputs - known.right @ signals.inputs)
    unseen_slopes = backward * _sizes(signals.slopes - known.left @ signals.slopes)
    leak = jnp.max(jnp.maximum(unseen, unseen_slopes))
    lost = ~jnp.isfinite(jnp.sum(sizes[0] + sizes[1]))
    return eqx.tree_at(
        lambda s: (s.steepest, s.leak, s.time), now,
        (steepest, jnp.where(lost, 0.0, leak), jnp.where(lost, NEVER, now.time)),
    )  # fmt: skip


def _sizes(matrices):
    return jnp.sqrt(jnp.sum(matrices**2, axis=(1, 2)))


def _scales(task: Task, share, forward, backward, steepest):
    """What a unit of unseen signal counts in each layer above W_1: forward of what it puts out, backward of the slopes
    at what it takes in. `forward` and `backward` are the sizes of the signals.
    """
    outputs, into = forward[1:], backward[:-1]
    tiny = jnp.sqrt(jnp.finfo(outputs.dtype).tiny)  # a gain over it is finite: infinity times no signal is NaN
    gains = jnp.abs(share) * task.start.gains
    return gains[:, 0] / jnp.maximum(outputs, tiny), gains[:, 1] / jnp.maximum(jnp.sqrt(into * steepest), tiny)


def reveal(task: Task, now: Standing) -> Standing:
    """A pass forward and one back, each layer looking at what it meets."""
    trained, layers = now.trained, len(now.known.start)
    floor = LEFT_OVER * task.tolerance
    sizes = _sizes(now.signals.forward), _sizes(now.signals.backward)
    forward, backward = _scales(task, trained.share, *sizes, now.steepest)
    key = jax.random.fold_in(task.key, now.looks)

    def visit(turn, carry):
        """Layers 0, 1, ... forward and then ..., 1, 0 back."""
        signals, known = carry
        up = turn < layers
        layer = jnp.where(up, turn, 2 * layers - 1 - turn)
        scale = jnp.where(up, forward[layer], backward[layer])
        signals = jnp.where(turn == layers, signals - task.targets, signals)
        known = look(task.start, known, jax.random.fold_in(key, turn), layer, up, signals, scale, floor)
        weight = trained.share * known.start[layer] + trained.added[layer]
        return turned(weight, up) @ signals, known

    _, known = jax.lax.fori_loop(0, 2 * layers, visit, (trained.first @ task.inputs, now.known))
    looked = eqx.tree_at(
        lambda s: (s.known, s.signals, s.looks), now, (known, signals_of(task, known, trained), now.looks + 1)
    )
    stays = eqx.tree_at(lambda s: s.known.full, now, known.full)
    return jax.tree.map(lambda before, after: jnp.where(known.full, before, after), stays, with_leak(task, looked))
