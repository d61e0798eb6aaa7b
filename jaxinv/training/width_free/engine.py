"""The width-free engine: setups in the coordinates of the directions that their training meets."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, ClassVar

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh
from jaxtyping import Array, Float, Int

from ...arrays import host_device
from ...measures.metrics import ANY_NETWORK
from ...measures.records import Chosen, recorder
from ...measures.view import View
from ...problems.coordinates import Coordinates
from ..devices import COMPILER_OPTIONS, mesh_of, on_each, release_programs, stack
from ..engine import Progress
from ..setup import Setup
from . import flow
from .descent import Kept, Standing, Task, advance, begin, keep, with_room
from .layers import Complete
from .prepared import Prepared, padded, prepare, trained_network
from .scope import CAPACITIES, check_flow


@dataclass(frozen=True)
class Followed:
    """Setups on their devices, and what was left of their runs."""

    setups: Sequence[Setup]
    prepared: Sequence[Prepared]
    ends: Sequence[Any] = ()
    reduction: Sequence[dict[str, Any]] = ()


@dataclass(frozen=True)
class WidthFree:
    """Setups of one depth and one rank of the data on `devices`, `each` of them at a time on each device.

    What training meets is held in as many coordinates as it takes for every signal to be right to `tolerance`,
    relative; a run that needs more than the last of CAPACITIES is NaN, and `filled`. With `flow` the gradient flow
    stands in for the slow steps: see `flow`. `ends` says whether `networks` will be asked for.
    """

    name: ClassVar[str] = "width_free"
    holds_weights: ClassVar[bool] = False
    devices: Sequence[Any]
    each: int = 1
    tolerance: float = 1e-6
    flow: bool = False
    ends: bool = True

    def prepare(self, setups: Sequence[Setup]) -> Followed:
        """The setups in the coordinates of their data; call it in `run_settings`."""
        release_programs(follow_block)
        if self.flow:
            for _, _, descent in setups:
                check_flow(descent, float(descent.step_size) * float(descent.weight_decay))
        with jax.default_device(host_device()):
            return Followed(setups, [prepare(setup) for setup in setups])

    def follow(
        self, block: Followed, step: Any, chosen: Chosen, progress: Progress | None = None
    ) -> tuple[Followed, dict[str, np.ndarray]]:
        """The block after its last record, and what is `chosen` at each: arrays, records and setups first."""
        step, made = np.asarray(step), {}
        waiting: dict[int, Any] = dict.fromkeys(range(len(block.setups)))
        least = max(one.least_capacity for one in block.prepared)
        for capacity in [each for each in CAPACITIES if each >= least]:
            found, waiting = self._follow(block, waiting, step, chosen, capacity, last=capacity == CAPACITIES[-1])
            made |= found
        if progress is not None:
            progress(int(step[-1]))
        rows, ends, reduction = zip(*(made[i] for i in range(len(block.setups))), strict=True)
        table = {name: np.stack([np.asarray(row[name], np.float64) for row in rows], axis=1) for name in rows[0]}
        return replace(block, ends=ends, reduction=reduction), table

    def networks(self, block: Followed) -> list[Any]:
        """The networks as trained, on the problems' own measurements: of those sampled, the maps."""
        return [trained_network(*each) for each in zip(block.setups, block.prepared, block.ends, strict=True)]

    def reduction(self, block: Followed) -> list[dict[str, Any]]:
        """The most coordinates in use, the largest leak of a step, whether there was no room, the steps by the flow."""
        return list(block.reduction)

    def _follow(self, block: Followed, waiting: dict[int, Any], step, chosen: Chosen, capacity: int, last: bool):
        """Those `waiting` in `capacity` coordinates: what was found of those with room, and the others as they stand.

        Of a run found: what was recorded, where it ended, and how it was held. The `last` capacity is room for all.
        """
        mesh, at_a_time = mesh_of(self.devices), len(self.devices) * self.each
        found, left, members = {}, {}, list(waiting)
        for begin_at in range(0, len(members), at_a_time):
            mine = members[begin_at : begin_at + at_a_time]
            filled = [mine[min(i, len(mine) - 1)] for i in range(at_a_time)]
            batch = stack([block.prepared[i] for i in filled], mesh)
            before = None if waiting[mine[0]] is None else stack([waiting[i] for i in filled], mesh)
            runs = follow_block(mesh, batch, jnp.asarray(step), self.tolerance, capacity, self.flow, before)
            full = np.asarray(runs.standing.known.full)
            some = last or not full.all()
            recorded = jax.device_get(record_block(mesh, batch, runs, chosen, self.ends)) if some else ()
            for row, i in enumerate(mine):
                if full[row] and not last:
                    left[i] = jax.tree.map(lambda leaf, row=row: np.asarray(leaf[row]), runs)
                else:
                    rows, end, held = jax.tree.map(lambda leaf, row=row: leaf[row], recorded)
                    found[i] = rows, end, {name: value.item() for name, value in held.items()}
        return found, left


ONCE = {**COMPILER_OPTIONS, "xla_backend_optimization_level": "0"}
"""How a program is compiled that is called once a run: without optimisation."""


class Runs(eqx.Module):
    """Runs after the first `done` of their records: where they stand, and what was kept at each."""

    standing: Standing
    kept: Kept
    done: Int[Array, ""]


@partial(jax.jit, static_argnames=("mesh", "capacity", "flows"), compiler_options=COMPILER_OPTIONS)
def follow_block(
    mesh: Mesh, batch: Prepared, step: Any, tolerance: Any, capacity: int, flows: bool, runs: Runs | None
) -> Runs:
    """Every setup followed from record to record, from its start or from `runs`, as far as `capacity` takes it."""

    def one(prepared: Prepared, before: Runs | None):
        task = Task(
            jax.random.fold_in(jax.random.wrap_key_data(prepared.key), 0), prepared.start, prepared.inputs,
            padded(prepared.targets.T, capacity), prepared.descent, tolerance, capacity,
        )  # fmt: skip
        if before is None:
            standing = begin(task)
            kept = jax.tree.map(lambda leaf: jnp.zeros((len(step), *leaf.shape), leaf.dtype), keep(standing))
            before = Runs(standing, kept, jnp.zeros((), jnp.int64))
        else:
            by = capacity - len(before.standing.trained.first)
            before = Runs(with_room(task, before.standing), before.kept.widened(by), before.done)

        def to_record(now: Runs):
            standing = (flow.advance if flows else advance)(task, now.standing, step[now.done])
            kept = jax.tree.map(lambda rows, row: rows.at[now.done].set(row), now.kept, keep(standing))
            return Runs(standing, kept, now.done + ~standing.known.full)

        return jax.lax.while_loop(lambda now: ~now.standing.known.full & (now.done < len(step)), to_record, before)

    return on_each(mesh, one, batch, runs)


@partial(jax.jit, static_argnames=("mesh", "chosen", "ends"), compiler_options=ONCE)
def record_block(mesh: Mesh, batch: Prepared, runs: Runs, chosen: Chosen, ends: bool) -> Any:
    """What is `chosen` at the records of every setup, how its network `ends`, and how it was held."""
    maps = ends or not set(chosen) <= set(ANY_NETWORK)

    def one(prepared: Prepared, run: Runs):
        key = jax.random.fold_in(jax.random.wrap_key_data(prepared.key), 1)
        known = run.standing.known
        complete = prepared.start.complete(key, known, maps)
        record = recorder(prepared.descent.objective, chosen)
        rows = jax.lax.map(lambda kept: record(view(prepared.coordinates, complete, kept, maps)), run.kept)
        last = keep(run.standing)
        held = {"coordinates": jnp.max(known.used), "leak": run.standing.leaked, "filled": known.full,
                "flowed": run.standing.flowed}  # fmt: skip
        made = rows, (end_to_end(complete, last), complete.weights(last.trained)) if ends else None
        return *jax.tree.map(lambda leaf: jnp.where(known.full, jnp.nan, leaf), made), held

    return on_each(mesh, one, batch, runs)


def view(coordinates: Coordinates, complete: Complete, kept: Kept, maps: bool) -> View:
    """Where a run stands, in coordinates of signal space: as many as the map needs. The map itself if `maps`."""
    on_range = complete.outputs(kept.on_range)
    there = coordinates.in_signal_space(lambda columns: padded(columns, len(on_range)))
    outputs: Any = there.inputs[:, : coordinates.trained] @ on_range.T
    whole = end_to_end(complete, kept) if maps else None
    return View(there, outputs, complete.squared_norm(kept.trained), whole, None)


def end_to_end(complete: Complete, kept: Kept) -> Float[Array, "outputs measurement_dim"]:
    """The map in coordinates of signal space, of which the first are those of the targets."""
    return jnp.concatenate([complete.outputs(kept.on_range), complete.off_range_map(kept.trained)], axis=1)
