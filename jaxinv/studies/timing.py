"""Grids whose results are times, measured in turns and kept under the machine that made them; and what can be timed."""

import inspect
import itertools
import os
import platform
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache, cached_property
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from ..arrays import plain_values
from ..checks import ArgumentError, check_count, check_known, check_number, fail, nearest
from ..measures.metrics import NAMES
from ..sweeps.digests import canonical, digest, package_source
from ..sweeps.store import check_writable, load_dataset, save_dataset
from ..training.dense import Dense
from ..training.precision import run_settings
from ..training.setup import Setup

if TYPE_CHECKING:
    import xarray


class Timed(NamedTuple):
    """Something to be timed, set up and compiled: `advance(steps)` does that many steps and waits for them.

    `units` is how many runs a step advances, or does the work of. `measured` are other numbers to keep, by name; alone
    where `advance` is None.
    """

    advance: Callable[[int], None] | None
    units: float = 1
    measured: Mapping[str, float] = {}


@dataclass(frozen=True)
class Timing:
    """A grid of times: every combination of `axes`, with `fixed` arguments beside; `where` leaves combinations out.

    `prepare` takes arguments by those names and returns a `Timed`. All points are prepared first, then timed in turns,
    so that the machine's drift falls on all of them: `rounds` rounds of about `seconds` each. Both happen in the
    settings of a run (float64 allowed, matrix products at the highest precision). The results are `ms`, milliseconds
    for a step of one unit, over the axes and "round", and what `measured` names, over the axes; NaN where a point has
    none. They are kept under the machine and the versions that made them, and never reused on another.
    Raises ArgumentError for an argument that `prepare` does not take or lacks, and for an axis that cannot be.
    """

    axes: Mapping[str, Sequence[Any]]
    prepare: Callable[..., Timed]
    fixed: Mapping[str, Any] = field(default_factory=dict)
    rounds: int = 5
    seconds: float = 0.3
    where: Callable[..., bool] | None = None

    def __post_init__(self):
        check_count("rounds", self.rounds)
        check_number("seconds", self.seconds, strict=True)
        for name, values in self.axes.items():
            self._check_axis(name, values)
        for name in (*self.axes, *self.fixed):
            self.owner(name)
        missing = [name for name in self._required if name not in self.axes and name not in self.fixed]
        if missing:
            raise ArgumentError(f"prepare needs {', '.join(missing)}; add it to axes or fixed")

    def _check_axis(self, name: str, values: Any) -> None:
        if name in ("round", "ms"):
            raise ArgumentError(f"axis {name!r} is a name of the results; rename the argument")
        if isinstance(values, str) or not isinstance(values, Sequence | np.ndarray) or not len(values):
            raise fail(f"axis {name!r}", "a non-empty sequence of values", repr(values), "pass a list")
        if len(set(map(canonical, plain_values(list(values))))) < len(values):
            raise fail(f"axis {name!r}", "without repeated values", repr(list(values)), "drop the repetitions")
        if name in self.fixed:
            raise ArgumentError(f"{name!r} must be an axis or a fixed value, got both; drop one of them")

    @property
    def _parameters(self) -> Mapping[str, inspect.Parameter]:
        return inspect.signature(self.prepare).parameters

    @property
    def _required(self) -> list[str]:
        return [name for name, parameter in self._parameters.items() if parameter.default is parameter.empty]

    @property
    def arguments(self) -> set[str]:
        """The names that an axis or a fixed value can have."""
        return set(self._parameters)

    def owner(self, name: str) -> str:
        """ArgumentError unless `prepare` has an argument `name`."""
        if name not in self.arguments:
            raise ArgumentError(f"unknown axis or argument {name!r}; {nearest(name, self.arguments)}")
        return "prepare"

    @property
    def shared(self) -> dict[str, Any]:
        """The arguments that all points share, defaults included."""
        defaults = {name: parameter.default for name, parameter in self._parameters.items()}
        known = {name: value for name, value in defaults.items() if name not in self._required}
        return {name: value for name, value in {**known, **self.fixed}.items() if name not in self.axes}

    def points(self) -> list[dict[str, Any]]:
        """The combinations of the axes, the last axis running fastest; ArgumentError where `where` leaves none."""
        values = itertools.product(*map(plain_values, self.axes.values()))
        points = [dict(zip(self.axes, point, strict=True)) for point in values]
        kept = [point for point in points if self._kept(point)]
        if not kept:
            raise fail("where", "true for some point", f"false for all {len(points)}", "leave fewer out")
        return kept

    def _kept(self, point: Mapping[str, Any]) -> bool:
        if self.where is None:
            return True
        known = {**self.shared, **point}
        asked = inspect.signature(self.where).parameters
        for name in asked:
            check_known("argument of where", name, known)
        return bool(self.where(**{name: known[name] for name in asked}))

    @cached_property
    def digest(self) -> str:
        """A digest of everything that decides what is timed."""
        axes = [(name, list(values)) for name, values in self.axes.items()]
        return digest([axes, self.points(), self.shared, self.prepare, self.rounds, self.seconds])


def run_timing(
    timing: Timing, folder: Path, progress: Callable[[int, int, str], None], *, fresh: bool = False
) -> "xarray.Dataset":
    """The times of a grid: those kept in `folder` by this machine and this code, else measured now and kept."""
    path = folder / f"times-{digest([timing.digest, machine(), package_source()])}.nc"
    points = timing.points()
    made = None if fresh else load_dataset(path)
    if made is None:
        check_writable(folder)
        with run_settings():
            made = _measure(timing, points, progress)
        save_dataset(path, made)
    progress(len(points), len(points), "timed")
    return made


def _measure(timing: Timing, points: Sequence[Mapping[str, Any]], progress) -> "xarray.Dataset":
    import xarray

    prepared = []
    for i, point in enumerate(points):
        progress(0, len(points), f"set-up {i + 1}")
        prepared.append(timing.prepare(**timing.fixed, **point))
    progress(0, len(points), f"{timing.rounds} rounds")
    coords = {name: plain_values(values) for name, values in timing.axes.items()}
    shape = tuple(len(values) for values in coords.values())
    names = dict.fromkeys(name for timed in prepared for name in timed.measured)
    ms = np.full((*shape, timing.rounds), np.nan)
    measured = {name: np.full(shape, np.nan) for name in names}
    for point, timed, row in zip(points, prepared, _in_turns(prepared, timing.rounds, timing.seconds), strict=True):
        index = tuple(values.index(point[name]) for name, values in coords.items())
        ms[index] = row
        for name, value in timed.measured.items():
            measured[name][index] = value
    variables = {"ms": ((*coords, "round"), ms)} | {name: (tuple(coords), rows) for name, rows in measured.items()}
    return xarray.Dataset(variables, coords, {**machine(), "devices": _devices()})


def _in_turns(prepared: Sequence[Timed], rounds: int, seconds: float) -> np.ndarray:
    """Milliseconds for a step of one unit, (points, rounds): each point has its turn in every round."""
    ms = np.full((len(prepared), rounds), np.nan)
    steps = [_steps_in(timed, seconds) for timed in prepared]
    for turn in range(rounds):
        for i, (timed, count) in enumerate(zip(prepared, steps, strict=True)):
            if timed.advance is not None:
                ms[i, turn] = seconds_of(timed.advance, count) / count / timed.units * 1e3
    return ms


def _steps_in(timed: Timed, seconds: float) -> int:
    """How many steps take about `seconds`; warms up."""
    if timed.advance is None:
        return 0
    timed.advance(1)
    once = seconds_of(timed.advance, 5) / 5
    return max(5, int(seconds / max(once, 1e-6)))


def seconds_of(call: Callable[..., Any], *arguments: Any) -> float:
    """How long a call takes."""
    begun = time.perf_counter()
    call(*arguments)
    return time.perf_counter() - begun


def dense_steps(setups: Sequence[Setup], done: int = 0, *, records: bool = False) -> tuple[Timed, list[np.ndarray]]:
    """The steps of the dense engine on all local devices, and the first setup's weights after `done` of them.

    A CPU takes one setup a device at a time, an accelerator all of them. Measured are the seconds of set-up and of
    compilation, the number of weights that are trained in a setup, and with `records` the milliseconds that a record of
    all metrics of a setup takes. Call it in `run_settings`.
    """
    import jax

    devices, begun = jax.local_devices(), time.perf_counter()
    engine = Dense(devices, each=1 if devices[0].platform == "cpu" else -(-len(setups) // len(devices)))
    size = len(devices) * engine.each
    blocks = [engine.prepare(setups[i : i + size]) for i in range(0, len(setups), size)]

    def advance(steps, chosen=()):
        for i, block in enumerate(blocks):
            blocks[i], _ = engine.advance(block, [steps], chosen)
            jax.block_until_ready(blocks[i].state)

    weights = sum(leaf.size for leaf in jax.tree.leaves(blocks[0].state.network)) / size
    measured = {"setup_s": time.perf_counter() - begun, "compile_s": seconds_of(advance, 0), "weights": weights}
    if records:
        advance(0, NAMES)  # compiles
        measured["record_ms"] = min(seconds_of(advance, 0, NAMES) for _ in range(5)) / len(setups) * 1e3
    advance(done)
    return Timed(advance, len(setups), measured), [np.asarray(w) for w in engine.networks(blocks[0])[0].weights]


def memory_passes(passes: int, entries: int, precision: str, units: int) -> Timed:
    """The limit that memory sets: a step passes `passes` times over `entries` numbers of each unit.

    The units are shared among the local devices; the numbers of those on a device are one array, which is multiplied in
    place: that reads it once and writes it once. `passes` must be even.
    """
    import jax
    from jax.sharding import Mesh, NamedSharding, PartitionSpec

    mesh, split = Mesh(np.array(jax.local_devices()), ("device",)), PartitionSpec("device")
    each = -(-units // mesh.size)
    array = jax.device_put(np.ones((mesh.size, each * entries), precision), NamedSharding(mesh, split))

    @jax.jit
    def scale(array, times):
        def local(rows, times):
            return jax.lax.fori_loop(0, times, lambda _, row: row * row.dtype.type(0.999), rows)

        return jax.shard_map(local, mesh=mesh, in_specs=(split, PartitionSpec()), out_specs=split)(array, times)

    return Timed(lambda steps: jax.block_until_ready(scale(array, steps * passes // 2)), each * mesh.size)


def matrix_product(operations: float, precision: str, size: int) -> Timed:
    """The limit that arithmetic sets: a step of a unit takes so many `operations` (a multiplication or an addition).

    What is timed is a product of two matrices of `size` rows and columns on each of the local devices, which is the
    work of 2 size^3 / operations units there.
    """
    import jax
    from jax.sharding import Mesh, NamedSharding, PartitionSpec

    mesh, split = Mesh(np.array(jax.local_devices()), ("device",)), PartitionSpec("device")
    array = jax.device_put(np.full((mesh.size, size, size), 1 / size, precision), NamedSharding(mesh, split))

    @jax.jit
    def multiply(array, times):
        def local(factor, times):
            return jax.lax.fori_loop(0, times, lambda _, product: factor[0] @ product, factor[0])[None]

        return jax.shard_map(local, mesh=mesh, in_specs=(split, PartitionSpec()), out_specs=split)(array, times)

    return Timed(lambda steps: jax.block_until_ready(multiply(array, steps)), 2 * size**3 / operations * mesh.size)


def peak_memory(code: str) -> float:
    """The most memory, in MiB, that a process held which ran this Python code. Linux only."""
    status = "import pathlib; print(pathlib.Path('/proc/self/status').read_text())"
    done = subprocess.run([sys.executable, "-c", f"{code}\n{status}"], capture_output=True, text=True, check=True)
    return int(done.stdout.rpartition("VmHWM:")[2].split()[0]) / 1024


@cache
def machine() -> dict[str, str]:
    """What decides how long something takes: the machine, its devices and the versions."""
    found = {}
    for name in ("jax", "jaxlib", "numpy", "optax", "equinox", "torch"):
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            found[name] = "not installed"
    here = {"node": platform.node(), "processor": platform.machine(), "cores": str(os.cpu_count())}
    return {**here, "timed_on": _devices(), "python": platform.python_version(), **found}


def _devices() -> str:
    import jax

    return f"{jax.local_device_count()} x {jax.local_devices()[0].device_kind}"
