"""Axes -> cells -> groups of one shape -> batches on devices -> labelled results."""

import hashlib
import inspect
import itertools
import json
import numbers
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np

from . import metrics
from .checks import ArgumentError, fail, is_traced, nearest
from .descent import gradient_descent, record_steps
from .network import layer_product
from .problem import subspace_problem
from .store import Batch, Store
from .train import SMALLEST_FLOAT32_DECAY, Run, Trio, host_device, train_block

if TYPE_CHECKING:
    import xarray

NUMERICS = 1
"""Version of the numbers: raised when a change alters what a cell computes, so that stored cells are made anew."""

PRECISIONS = ("auto", "float32", "float64")
HANDED = ("key", "problem", "network")
"""Arguments that the builders get from each other, never from an axis."""

Progress = Callable[[int, int, str], None]


@dataclass(frozen=True)
class Sweep:
    """A grid of runs: every combination of `axes`, with `fixed` arguments beside.

    An axis or fixed value goes to the one of the three builders (`problem`, `network`, `descent`) that has an
    argument of that name; `seed` k (0 where it is not given) hands `jax.random.key(k)` to the builders that take a
    key, so that cells which differ elsewhere share their draws. `precision` is "float32", "float64" or "auto":
    float64 for the cells whose weight decay float32 cannot resolve. `reduce` False trains in plain coordinates.
    Raises ArgumentError for an unknown or ambiguous name, an empty axis and a repeated value.
    """

    axes: Mapping[str, Sequence[Any]]
    fixed: Mapping[str, Any] = field(default_factory=dict)
    steps: int = 1000
    records: int = 60
    precision: str = "auto"
    problem: Callable[..., Any] = subspace_problem
    network: Callable[..., Any] = layer_product
    descent: Callable[..., Any] = gradient_descent
    reduce: bool = True

    def __post_init__(self):
        if self.precision not in PRECISIONS:
            raise ArgumentError(f"unknown precision {self.precision!r}; {nearest(str(self.precision), PRECISIONS)}")
        record_steps(self.steps, self.records)
        for name, values in self.axes.items():
            if isinstance(values, str) or not len(values):
                raise fail(f"axis {name!r}", "a non-empty sequence of values", repr(values), "pass a list")
            if len({_canonical(value) for value in values}) < len(values):
                raise fail(f"axis {name!r}", "without repeated values", repr(list(values)), "drop the repetitions")
            if name in self.fixed:
                raise ArgumentError(f"{name!r} must be an axis or a fixed value, got both; drop one of them")
        for name in (*self.axes, *self.fixed):
            _ = self._owner(name)
        for seed in [*self.axes.get("seed", ()), self.fixed.get("seed", 0)]:
            if not isinstance(seed, numbers.Integral) or isinstance(seed, bool) or seed < 0:
                raise fail("seed", "a whole number of at least 0", repr(seed), "pass range(N) for N seeds")

    @cached_property
    def builders(self) -> dict[str, dict[str, inspect.Parameter]]:
        """The arguments of each builder by name."""
        functions = {"problem": self.problem, "network": self.network, "descent": self.descent}
        return {role: dict(inspect.signature(function).parameters) for role, function in functions.items()}

    def _owner(self, name: str) -> str:
        """The builder that takes argument `name`; "seed" belongs to all."""
        known = {a for arguments in self.builders.values() for a in arguments} - set(HANDED) | {"seed"}
        if name == "seed":
            return "seed"
        owners = [role for role, arguments in self.builders.items() if name in arguments and name not in HANDED]
        if not owners:
            raise ArgumentError(f"unknown axis or argument {name!r}; {nearest(name, known)}")
        if len(owners) > 1:
            raise ArgumentError(f"axis or argument {name!r} is ambiguous: {' and '.join(owners)} take it; rename it")
        return owners[0]

    def cells(self) -> list["Cell"]:
        """Every combination of the axes, the last axis running fastest."""
        names, values = tuple(self.axes), self.axes.values()
        return [
            Cell(self, dict(zip(names, point, strict=True))) for point in itertools.product(*map(_plain, values))
        ]  # fmt: skip


@dataclass(frozen=True)
class Cell:
    """One run of a sweep: `point` holds its value on each axis."""

    sweep: Sweep
    point: dict[str, Any]

    @property
    def seed(self) -> int:
        """The number its key is made of."""
        return int({**self.sweep.fixed, **self.point}.get("seed", 0))

    @cached_property
    def arguments(self) -> dict[str, dict[str, Any]]:
        """All resolved arguments of each builder, defaults included."""
        given = {name: value for name, value in {**self.sweep.fixed, **self.point}.items() if name != "seed"}
        resolved: dict[str, dict[str, Any]] = {}
        for role, parameters in self.sweep.builders.items():
            values = {n: p.default for n, p in parameters.items() if p.default is not inspect.Parameter.empty}
            values |= {name: value for name, value in given.items() if name in parameters}
            missing = [n for n, p in parameters.items() if n not in values and n not in HANDED and p.kind in _NAMED]
            if missing:
                raise ArgumentError(f"{role} needs {', '.join(missing)}; add it to axes or fixed")
            resolved[role] = {name: value for name, value in values.items() if name not in HANDED}
        return resolved

    def hash(self, precision: str) -> str:
        """The name of its result: a digest of everything that decides its numbers at a resolved `precision`."""
        sweep = self.sweep
        functions = {"problem": sweep.problem, "network": sweep.network, "descent": sweep.descent}
        content = {
            "arguments": self.arguments,
            "seed": self.seed,
            "builders": {role: f"{f.__module__}.{f.__qualname__}" for role, f in functions.items()},
            "steps": sweep.steps,
            "records": sweep.records,
            "precision": precision,
            "reduce": sweep.reduce,
            "numerics": NUMERICS,
        }
        return hashlib.sha256(_canonical(content).encode()).hexdigest()[:32]


_NAMED = (inspect.Parameter.POSITIONAL_OR_KEYWORD, inspect.Parameter.KEYWORD_ONLY)


def build(cell: Cell) -> Trio:
    """Problem, network and descent of one cell, as the sweep trains them (`ji.train(*ji.build(cell), steps=...)`)."""
    return _build(cell, _plan([cell])[0].precision)


def run_sweep(
    sweep: Sweep,
    store: str | Path | None = None,
    *,
    progress: Progress | None = None,
    devices: Sequence[Any] | None = None,
) -> "xarray.Dataset":
    """Every cell of `sweep`, trained on all local devices (or those given): metrics over the axes and "record".

    With `store`, a folder, finished batches are kept there as they come, and cells found there are not run again.
    `progress` is called with (cells done, cells in all, what is running). Variables of the result: every metric,
    `diverged`, `step_size`, `weight_decay`, `precision`; coordinates: the axes and `step`. All arguments are checked
    before anything is written. Raises ArgumentError (a ValueError) for a bad one.
    """
    devices = list(devices or jax.local_devices())
    plans = _plan(sweep.cells())
    shelf = None if store is None else Store(Path(store))
    found = {} if shelf is None else shelf.load({plan.hash for plan in plans})
    waiting = [plan for plan in plans if plan.hash not in found]
    done = len(plans) - len(waiting)
    report = progress or (lambda done, total, what: None)
    report(done, len(plans), f"{done} cells found")
    for block in _blocks(waiting, len(devices)):
        batch = _run_block(block, devices, lambda step, done=done: report(done, len(plans), f"step {step:,}"))
        if shelf is not None:
            shelf.save(batch)
        found |= batch.cells()
        done += len(block)
        report(done, len(plans), "done")
    return _label(sweep, plans, found, devices)


@dataclass(frozen=True)
class _Plan:
    """A cell with what is known before it runs: `shape` is equal for cells that one compilation serves."""

    cell: Cell
    precision: str
    hash: str
    shape: Any


def _plan(cells: Sequence[Cell]) -> list[_Plan]:
    """Check the arguments of all cells and resolve their precision, by tracing each distinct builder call once."""
    seen: dict[str, tuple[float | None, Any]] = {}
    plans = []
    for cell in cells:
        call = _canonical(cell.arguments)
        if call not in seen:
            seen[call] = _trace(cell)
        product, shape = seen[call]
        precision = cell.sweep.precision
        if precision == "auto":
            if product is None:  # the builder makes it from drawn numbers: draw them
                descent = _build(cell, "float64")[2]
                product = float(descent.step_size) * float(descent.weight_decay)
            precision = "float64" if 0 < product < SMALLEST_FLOAT32_DECAY else "float32"
        plans.append(_Plan(cell, precision, cell.hash(precision), (precision, shape)))
    return plans


def _trace(cell: Cell) -> tuple[float | None, Any]:
    """(step_size * weight_decay where it does not depend on drawn numbers, shapes of problem, network and descent)."""
    products: list[float | None] = []

    def trace(key):
        problem, network, descent = _assemble(cell, key)
        product = descent.step_size * descent.weight_decay
        products.append(None if is_traced(product) else float(product))
        return problem, network, jax.tree.map(jnp.asarray, descent)

    with jax.enable_x64(True):
        shapes, structure = jax.tree.flatten(eqx.filter_eval_shape(trace, jax.random.key(0)))
    return products[0], (str(structure), tuple((leaf.shape, str(leaf.dtype)) for leaf in shapes))


def _assemble(cell: Cell, key) -> Trio:
    sweep, arguments = cell.sweep, cell.arguments

    def call(role: str, function, *handed):
        given = dict(zip(HANDED, handed, strict=False))
        return function(**{n: given[n] for n in HANDED if n in given and n in sweep.builders[role]}, **arguments[role])

    problem = call("problem", sweep.problem, key)
    network = call("network", sweep.network, key, problem)
    return problem, network, call("descent", sweep.descent, key, problem, network)


def _build(cell: Cell, precision: str) -> Trio:
    with jax.enable_x64(True), jax.default_device(host_device()):
        problem, network, descent = _assemble(cell, jax.random.key(cell.seed))
        problem, network = jax.tree.map(lambda leaf: jnp.asarray(leaf, precision), (problem, network))
        return problem, network, descent


def _blocks(plans: Sequence[_Plan], size: int) -> Iterator[list[_Plan]]:
    """Blocks of at most `size` cells of one shape, in the order in which shapes first appear."""
    groups: dict[Any, list[_Plan]] = {}
    for plan in plans:
        groups.setdefault(plan.shape, []).append(plan)
    for group in groups.values():
        yield from (group[i : i + size] for i in range(0, len(group), size))


def _run_block(block: Sequence[_Plan], devices, progress) -> Batch:
    sweep = block[0].cell.sweep
    trios = [_build(plan.cell, plan.precision) for plan in block]
    runs = train_block(
        trios, devices, steps=sweep.steps, records=sweep.records, reduce=sweep.reduce, progress=progress
    )  # fmt: skip
    return Batch(
        hashes=[plan.hash for plan in block],
        arguments=[_canonical({**plan.cell.arguments, "seed": plan.cell.seed}) for plan in block],
        step=runs[0].step,
        values={name: np.stack([run.metrics[name] for run in runs]) for name in metrics.NAMES}
        | {name: np.array(values) for name, values in _scalars(block, trios, runs).items()},
    )


def _scalars(block: Sequence[_Plan], trios: Sequence[Trio], runs: Sequence[Run]) -> dict[str, list]:
    return {
        "diverged": [run.diverged for run in runs],
        "step_size": [float(descent.step_size) for _, _, descent in trios],
        "weight_decay": [float(descent.weight_decay) for _, _, descent in trios],
        "bits": [int(plan.precision[-2:]) for plan in block],
    }


def _label(sweep: Sweep, plans: Sequence[_Plan], found: Mapping[str, Mapping[str, np.ndarray]], devices):
    import xarray

    shape = tuple(len(values) for values in sweep.axes.values())
    dims = tuple(sweep.axes)
    rows = [found[plan.hash] for plan in plans]
    variables = {}
    for name in rows[0].keys() - sweep.axes.keys():
        stacked = np.stack([row[name] for row in rows])
        extra = ("record",) if stacked.ndim > 1 else ()
        variables[name] = ((*dims, *extra), stacked.reshape(*shape, *stacked.shape[1:]))
    coords: dict[str, Any] = {name: list(_plain(values)) for name, values in sweep.axes.items()}
    coords["step"] = ("record", record_steps(sweep.steps, sweep.records))
    attributes = {
        "arguments": _canonical(_shared(sweep, plans[0].cell)),
        "steps": sweep.steps,
        "precision": sweep.precision,
        "matmul_precision": "highest",
        "jax": jax.__version__,
        "devices": f"{len(devices)} x {devices[0].device_kind}",
        "numerics": NUMERICS,
    }
    return xarray.Dataset(variables, coords, attributes)


def _shared(sweep: Sweep, cell: Cell) -> dict[str, dict[str, Any]]:
    """The resolved arguments of each builder that no axis changes."""
    return {role: {n: v for n, v in a.items() if n not in sweep.axes} for role, a in cell.arguments.items()}


def _plain(values: Sequence[Any]) -> list[Any]:
    """Axis values as plain Python numbers and strings."""
    return [value.item() if isinstance(value, np.generic) else value for value in values]


def _canonical(value: Any) -> str:
    """JSON that is equal for equal arguments: sorted, 0 == 0.0, arrays by digest, functions by name."""
    return json.dumps(_jsonable(value), sort_keys=True)


def _jsonable(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {str(key): _jsonable(entry) for key, entry in value.items()}
    if isinstance(value, np.ndarray | jax.Array) and np.ndim(value) > 0:
        array = np.ascontiguousarray(value)
        return {"shape": array.shape, "dtype": str(array.dtype), "sha256": hashlib.sha256(array.tobytes()).hexdigest()}
    if isinstance(value, np.generic | jax.Array):
        value = value.item()
    if isinstance(value, float) and value.is_integer():
        return int(value)
    if isinstance(value, list | tuple | range):
        return [_jsonable(entry) for entry in value]
    if callable(value):
        return f"{value.__module__}.{value.__qualname__}"
    if value is None or isinstance(value, bool | int | float | str):
        return value
    raise fail("an argument of a sweep", "a number, a string, an array or a function", repr(value), "pass plain data")
