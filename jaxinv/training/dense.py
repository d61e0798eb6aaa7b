"""The dense engine: every weight is held, in the smallest coordinates that alter no iterate."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any, ClassVar

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh, NamedSharding

from ..arrays import cast, host_device
from ..measures.records import Chosen, recorder
from ..measures.view import View, view_of_weights
from ..networks.own import as_given
from ..networks.padding import cut_width, pad_width
from .decay import check_decay
from .descent import State, advance, start
from .devices import COMPILER_OPTIONS, SPLIT, mesh_of, on_each, release_programs, stack
from .engine import Progress
from .precision import check_float32, decay_per_step, run_settings
from .reduction import Reduced, in_problem_coordinates, reduce_setup, with_off_range
from .setup import Setup, Standing, check_fit

RECORDS = 32
"""So many records may one call of a compiled program take, whatever their number: one program serves them all."""

WORK = 4e9
"""About so many multiplications may one call take, a third of a second on a core: then divergence is looked for."""


@dataclass(frozen=True)
class Block:
    """Setups on their devices, after `steps` steps: `batch` and `state` are their stacked, sharded arrays.

    Row i of those is setup `filled[i]`: the last one is repeated until the block is full.
    """

    setups: Sequence[Setup]
    reduced: list[Reduced]
    mesh: Mesh
    batch: Reduced
    state: State
    filled: list[int]
    steps: int = 0


@dataclass(frozen=True)
class Dense:
    """Setups of one shape on `devices`, `each` of them at a time on each device.

    `reduce` allows the exact changes of coordinates that make a step cheap; the iterates are the same without. Hidden
    widths may differ where `width` is given: all are padded to it with zeros, which changes no result. The numbers are
    those of one setup after the other: to the last bit on a CPU with `each` = 1, to rounding otherwise. What
    `shared(key, make)` returned once may be used again: setups of the same problem and network change coordinates once.
    """

    name: ClassVar[str] = "dense"
    holds_weights: ClassVar[bool] = True
    devices: Sequence[Any]
    each: int = 1
    width: int | None = None
    reduce: bool = True
    shared: Callable[[Any, Callable[[], Any]], Any] = field(default=lambda _, make: make(), compare=False)

    def prepare(self, setups: Sequence[Setup]) -> Block:
        """The setups in the coordinates they are trained in, stacked over the devices; call it in `run_settings`."""
        release_programs(advance_block)
        with jax.default_device(host_device()):
            made = [self._reduced(setup) for setup in setups]
            descents = [cast(setup.descent, one.off_range.dtype) for setup, one in zip(setups, made, strict=True)]
            pairs = list(zip(made, descents, strict=True))
            states = [start(descent, one.network, len(one.coordinates.inputs)) for one, descent in pairs]
            # the state has the network
            reduced = [replace(one, network=None, descent=descent) for one, descent in pairs]
        filled = [min(i, len(setups) - 1) for i in range(len(self.devices) * self.each)]
        mesh = mesh_of(self.devices)
        batch, state = stack([(reduced[i], states[i]) for i in filled], mesh)
        return Block(setups, reduced, mesh, batch, state, filled)

    def follow(
        self, block: Block, step: Any, chosen: Chosen, progress: Progress | None = None
    ) -> tuple[Block, dict[str, np.ndarray]]:
        """The block after the last `step`, what is `chosen` at each: arrays, records and setups first.

        As many records as one call takes together; after those it looks whether every setup has diverged, and stops.
        """
        rows: list[dict[str, np.ndarray]] = []
        failed, done = np.zeros(len(block.setups), bool), 0
        while not rows or (done < len(step) and not failed.all()):
            several = np.diff(step[done:], prepend=block.steps).tolist()
            several = several[: self.together(block, several)]
            block, made = self.advance(block, several, chosen)
            rows.append(made)
            failed |= ~np.isfinite(made["loss"]).all(axis=0)
            done += len(several)
            if progress is not None:
                progress(int(step[done - 1]))
        return block, {name: _filled([made[name] for made in rows], len(step)) for name in rows[0]}

    def reduction(self, block: Block) -> list[dict[str, Any]]:
        """Nothing: the numbers are those of the plain computation."""
        return [{} for _ in block.setups]

    def together(self, block: Block, steps: Sequence[int]) -> int:
        """How many of the next records one call of `advance` takes, which come after so many more `steps` each.

        A record of all metrics costs about as much as a hundred steps.
        """
        weights = sum(leaf.size for leaf in jax.tree.leaves(block.state.network)) / len(self.devices)
        work = np.cumsum(np.asarray(steps) + 100.0) * weights * block.batch.coordinates.inputs.shape[1]
        return int(np.clip(np.searchsorted(work, WORK), 1, RECORDS))

    def advance(self, block: Block, steps: Sequence[int], chosen: Chosen) -> tuple[Block, dict[str, np.ndarray]]:
        """The block after so many more `steps`, one number for each record, and what is `chosen` at those.

        Arrays, records first, then setups. At most RECORDS of them; none compiles the program and leaves the block.
        """
        count, several = len(steps), np.asarray(steps, np.int64)
        after = block.steps + np.cumsum(several)
        factors = np.ones((len(block.filled), RECORDS), block.batch.coordinates.targets.dtype)
        factors[:, :count] = cast(self._factors(block, after)[block.filled], factors.dtype)
        padded = np.pad(several, (0, RECORDS - count))
        state, records = advance_block(block.mesh, block.batch, block.state, count, padded, factors, chosen)
        there = {
            name: np.asarray(value, np.float64)[: len(block.setups), :count].swapaxes(0, 1)
            for name, value in jax.device_get(records).items()
        }
        return replace(block, state=_split(state, block.mesh), steps=block.steps + int(several.sum())), there

    def compile_for(self, setups: Sequence[Setup], chosen: Chosen) -> None:
        """Have the program compiled that `setups` need, by a call that trains nothing; it is kept for the next call."""
        with run_settings():
            self.advance(self.prepare(setups), [], chosen)

    def standing(self, block: Block) -> list[Standing]:
        """Where each setup stands, on the host: what `resume` goes on from."""
        stacked = jax.tree.map(np.asarray, block.state)
        states = [jax.tree.map(lambda leaf, i=i: leaf[i], stacked) for i in range(len(block.setups))]
        pairs = zip(block.setups, states, strict=True)
        return [Standing(setup, self.reduce, state, block.steps) for setup, state in pairs]

    def resume(self, block: Block, standing: Sequence[Standing]) -> Block:
        """A prepared block as it stood: all of its setups after equally many steps."""
        state = stack([standing[i].state for i in block.filled], block.mesh)
        return replace(block, state=state, steps=standing[0].steps)

    def views(self, block: Block) -> list[View]:
        """Where each setup stands, in the coordinates it is trained in; call it in `run_settings`."""
        trained = zip(block.reduced, self._trained(block), self._factors(block, [block.steps])[:, 0], strict=True)
        with jax.default_device(host_device()):
            # metrics take JAX's arrays
            made = [jax.tree.map(jnp.asarray, cast(parts, parts[0].off_range.dtype)) for parts in trained]
            return [view(*parts) for parts in made]

    def networks(self, block: Block) -> list[Any]:
        """The networks as trained so far, rotated back to the problems' own measurements in f64."""
        factors = self._factors(block, [block.steps])[:, 0]
        made = []
        with jax.default_device(host_device()):
            for setup, reduced, network, factor in zip(
                block.setups, block.reduced, self._trained(block), factors, strict=True
            ):
                wide = cast(reduced, np.float64), cast(network, np.float64)
                with np.errstate(all="ignore"):  # the weights of a diverged run are not finite
                    own = in_problem_coordinates(*wide, factor)
                    own = own if self.width is None else cut_width(own, setup.network)
                made.append(as_given(jax.tree.map(jnp.asarray, cast(own, network.weights[0].dtype))))
        return made

    def _reduced(self, setup: Setup) -> Reduced:
        """Coordinates are changed in f64, whatever the run's own float type; then everything is cast to that.

        The descent may be that of another setup of the same problem and network.
        """
        check_fit(setup)
        check_decay(setup.descent, setup.network)
        dtype = setup.network.weights[0].dtype
        if dtype == jnp.float32:
            taken = decay_per_step(setup.descent, setup.network, setup.problem.measurements)
            check_float32(taken, setup.descent.regularizer)

        def changed():
            problem, network, descent = cast(tuple(setup), np.float64)
            if self.width is not None:
                network = pad_width(network, self.width)
            return cast(reduce_setup(Setup(problem, network, descent), self.reduce), dtype), setup

        # the setup is kept beside, so that no other object gets the identity of its problem or network
        kind = setup.descent.compresses, setup.descent.rotates
        return self.shared((id(setup.problem), id(setup.network), self.width, *kind), changed)[0]

    def _factors(self, block: Block, steps: Any) -> np.ndarray:
        """What the part of W_1 off the range of the data has shrunk by after each of `steps`: (setups, steps)."""
        after = np.asarray(steps)
        pairs = zip(block.setups, block.reduced, strict=True)
        return np.array(
            [s.descent.off_range_factor(after) if r.off_range.shape[1] else np.ones(len(after)) for s, r in pairs]
        )

    def _trained(self, block: Block) -> list[Any]:
        stacked = jax.tree.map(np.asarray, block.state.network)
        return [jax.tree.map(lambda leaf, i=i: leaf[i], stacked) for i in range(len(block.setups))]


def view(reduced: Reduced, network: Any, factor: Any) -> View:
    """Where a run stands whose trained weights are `network`, its part off the range of the data shrunk by `factor`."""
    return view_of_weights(reduced.coordinates, with_off_range(reduced, network, factor))


@partial(jax.jit, static_argnames=("mesh", "chosen"), donate_argnames="state", compiler_options=COMPILER_OPTIONS)
def advance_block(
    mesh: Mesh, batch: Reduced, state: State, count: Any, steps: Any, factors: Any, chosen: Chosen
) -> tuple[State, Mapping[str, Any]]:
    """Every setup after `count` records: before each its number of `steps`, then what is `chosen`, (setups, RECORDS).

    `factors`, (setups, RECORDS), are what the parts of W_1 off the range of the data have shrunk by at each.
    """

    def one(reduced: Reduced, state: State, factors):
        coordinates, descent = reduced.coordinates, reduced.descent
        inputs = coordinates.inputs[:, : coordinates.trained]
        record = recorder(descent.objective, chosen)

        def taken(state, factor):
            return record(view(reduced, state.network, factor)) if chosen else {}

        def stretch(i, carry):
            state, rows = carry
            state = advance(descent, inputs, coordinates.targets, state, steps[i])
            # always taken: a branch is compiled by itself, where a record fused with its storing would round otherwise
            row = jax.lax.cond(steps[i] >= 0, taken, lambda *_: blank, state, factors[i])
            return state, jax.tree.map(lambda table, value: table.at[i].set(value), rows, row)

        shapes = jax.eval_shape(taken, state, factors[0])
        blank = jax.tree.map(lambda leaf: jnp.zeros(leaf.shape, leaf.dtype), shapes)
        rows = jax.tree.map(lambda leaf: jnp.zeros((len(factors), *leaf.shape), leaf.dtype), shapes)
        return jax.lax.fori_loop(0, count, stretch, (state, rows))

    return on_each(mesh, one, batch, state, factors)


def _filled(rows: Sequence[np.ndarray], length: int) -> np.ndarray:
    """`rows` after each other, the last one repeated up to `length`."""
    table = np.concatenate(rows)
    return np.concatenate([table, np.repeat(table[-1:], length - len(table), axis=0)])


def _split(state: State, mesh: Mesh) -> State:
    """`state` split over the mesh by name: one device may call it unsplit, which would compile the next call anew."""
    sharding = NamedSharding(mesh, SPLIT)
    return jax.tree.map(lambda leaf: leaf if leaf.sharding == sharding else jax.device_put(leaf, sharding), state)
