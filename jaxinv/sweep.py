"""Cells -> groups of one shape -> batches on devices -> labelled results."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np

from .checks import UnknownNumbers, is_traced
from .descent import record_steps
from .grid import NUMERICS, Cell, Sweep, assemble, build_at, canonical, plain_values
from .metrics import Metric, choose
from .reduction import pad_width
from .store import Batch, Store
from .train import SMALLEST_FLOAT32_DECAY, Run, Trio, check_float32, train_block

if TYPE_CHECKING:
    import xarray

Progress = Callable[[int, int, str], None]


class Layout(NamedTuple):
    """How replicas share a device: up to `most` at a time within `memory` bytes, widths padded to `buckets` or not."""

    most: int
    memory: float
    buckets: bool

    @classmethod
    def of(cls, device: Any) -> "Layout":
        """One after another on a CPU, whose caches hold one; as many as fit half the memory of an accelerator."""
        if device.platform == "cpu":
            return ONE_BY_ONE
        limit = (device.memory_stats() or {}).get("bytes_limit", 8 * 2**30)
        return cls(most=512, memory=0.5 * limit, buckets=True)

    def replicas(self, size: int) -> int:
        """How many replicas of `size` bytes a device takes at a time."""
        return max(1, int(min(self.most, self.memory // size)))


ONE_BY_ONE = Layout(1, float("inf"), False)


def bucket(width: int) -> int:
    """The width that hidden layers are padded to on an accelerator: the next 2^k or 1.5 2^k."""
    power = 1 << (width - 1).bit_length()
    return power * 3 // 4 if width <= power * 3 // 4 else power


def build(cell: Cell) -> Trio:
    """Problem, network and descent of one cell, as the sweep trains them (`ji.train(*ji.build(cell), steps=...)`)."""
    return build_at(cell, _plan([cell])[0].precision)


def run_sweep(
    sweep: Sweep,
    store: str | Path | None = None,
    *,
    progress: Progress | None = None,
    devices: Sequence[Any] | None = None,
    layout: Layout | None = None,
) -> "xarray.Dataset":
    """Every cell of `sweep`, trained on all local devices (or those given): metrics over the axes and "record".

    With `store`, a folder, finished batches are kept there as they come, and cells found there are not run again.
    `progress` is called with (cells done, cells in all, what is running). `layout` is chosen for the devices unless
    it is given. Variables of the result: every metric, `diverged`, `step_size`, `weight_decay`, `precision_bits`;
    coordinates: the axes and `step`. All arguments are checked before anything is written. Raises ArgumentError (a
    ValueError) for a bad one.
    """
    devices = list(devices or jax.local_devices())
    layout = layout or Layout.of(devices[0])
    plans = _plan(sweep.cells(), layout)
    shelf = None if store is None else Store(Path(store))
    found = {} if shelf is None else shelf.load({plan.hash for plan in plans})
    waiting = [plan for plan in plans if plan.hash not in found]
    done = len(plans) - len(waiting)
    report = progress or _silent
    report(done, len(plans), f"{done} cells found")
    for block, each in _blocks(waiting, len(devices), layout):
        tell = partial(_tell, report, done, len(plans))
        batch = _run_block(block, devices, each, tell)
        if shelf is not None:
            shelf.save(batch)
        found |= batch.cells()
        done += len(block)
        report(done, len(plans), "done")
    return _label(sweep, plans, found, devices)


@dataclass(frozen=True)
class _Plan:
    """A cell with what is known before it runs: `shape` is equal for cells that one compilation serves.

    `width` is what its hidden layers are padded to (None: not at all), `bytes` what it takes on a device.
    """

    cell: Cell
    precision: str
    hash: str
    shape: Any
    width: int | None
    bytes: int


def _plan(cells: Sequence[Cell], layout: Layout = ONE_BY_ONE) -> list[_Plan]:
    """Check the arguments of all cells and resolve their precision, by tracing each distinct builder call once."""
    seen: dict[str, _Trace] = {}
    plans = []
    for cell in cells:
        call = canonical(cell.arguments)
        if call not in seen:
            seen[call] = _trace(cell, layout)
        product, shape, width, entries = seen[call]
        precision = cell.sweep.precision
        if precision == "auto":
            if product is None:  # the builder makes it from drawn numbers: draw them
                descent = build_at(cell, "float64")[2]
                product = float(descent.step_size) * float(descent.weight_decay)
            precision = "float64" if 0 < product < SMALLEST_FLOAT32_DECAY else "float32"
        if precision == "float32" and product is not None:
            check_float32(product)
        size = entries * int(precision[-2:]) // 8
        plans.append(_Plan(cell, precision, cell.hash(precision), (precision, shape, width), width, size))
    return plans


class _Trace(NamedTuple):
    """What one abstract call of the builders tells of a cell."""

    product: float | None  # step_size * weight_decay, where it does not depend on drawn numbers
    shape: Any
    width: int | None
    entries: int


def _trace(cell: Cell, layout: Layout) -> _Trace:
    products: list[float | None] = []
    widths: list[int | None] = []

    def trace(key):
        problem, network, descent = assemble(cell, key)
        choose(cell.sweep.metrics, network)
        product = descent.step_size * descent.weight_decay
        products.append(None if is_traced(product) else float(product))
        pad = layout.buckets and descent.rotates and network.is_linear and network.depth > 1
        widths.append(bucket(network.width) if pad else None)
        if widths[-1] is not None:
            network = pad_width(network, widths[-1])
        return problem, network, jax.tree.map(jnp.asarray, descent)

    with jax.enable_x64(True):
        try:
            traced = eqx.filter_eval_shape(trace, jax.random.key(0))
        except (UnknownNumbers, jax.errors.JAXTypeError):  # a builder that looks at what it has drawn
            traced = trace(jax.random.key(cell.seed))
    leaves, structure = jax.tree.flatten(traced)
    shape = str(structure), tuple((leaf.shape, str(leaf.dtype)) for leaf in leaves)
    problem, network, _ = traced
    # weights, gradients, momentum and the products that balancedness needs; data where they are not compressed
    entries = 8 * sum(leaf.size for leaf in jax.tree.leaves(network)) + 6 * problem.signal_dim * problem.measurement_dim
    if not (cell.sweep.reduce and network.is_linear):
        entries += problem.samples * (problem.signal_dim + problem.measurement_dim)
    return _Trace(products[0], shape, widths[0], entries)


def _blocks(plans: Sequence[_Plan], devices: int, layout: Layout) -> Iterator[tuple[list[_Plan], int]]:
    """Blocks of cells of one shape with the number for each device, in the order in which shapes first appear.

    The blocks of a shape are equally large, so that one compilation serves them all.
    """
    groups: dict[Any, list[_Plan]] = {}
    for plan in plans:
        groups.setdefault(plan.shape, []).append(plan)
    for group in groups.values():
        most = devices * layout.replicas(max(plan.bytes for plan in group))
        blocks = -(-len(group) // most)
        each = -(-len(group) // (blocks * devices))
        yield from ((group[i : i + devices * each], each) for i in range(0, len(group), devices * each))


def _run_block(block: Sequence[_Plan], devices, each: int, progress) -> Batch:
    sweep = block[0].cell.sweep
    trios = [build_at(plan.cell, plan.precision) for plan in block]
    runs: dict[int, Run] = {}
    for members in _alike(trios):
        made = train_block(
            [trios[i] for i in members], devices, steps=sweep.steps, records=sweep.records, metrics=sweep.metrics,
            reduce=sweep.reduce, each=each, width=block[0].width, progress=progress,
        )  # fmt: skip
        runs |= dict(zip(members, made, strict=True))
    return Batch(
        hashes=[plan.hash for plan in block],
        arguments=[canonical({**plan.cell.arguments, "seed": plan.cell.seed}) for plan in block],
        step=runs[0].step,
        values={name: np.stack([runs[i].metrics[name] for i in range(len(block))]) for name in runs[0].metrics}
        | {name: np.array(values) for name, values in _scalars(block, trios, runs).items()},
    )


def _alike(trios: Sequence[Trio]) -> list[list[int]]:
    """Indices of the replicas that one batch can hold: what only building tells, such as a rank, may set them apart."""
    groups: dict[Any, list[int]] = {}
    for i, (problem, _, descent) in enumerate(trios):
        groups.setdefault((problem.measurement_rank, jax.tree.structure(descent)), []).append(i)
    return list(groups.values())


def _tell(report: Progress, done: int, total: int, step: int) -> None:
    report(done, total, f"step {step:,}")


def _silent(done: int, total: int, what: str) -> None:
    pass


def _scalars(block: Sequence[_Plan], trios: Sequence[Trio], runs: Mapping[int, Run]) -> dict[str, list]:
    return {
        "diverged": [runs[i].diverged for i in range(len(block))],
        "step_size": [float(descent.step_size) for _, _, descent in trios],
        "weight_decay": [float(descent.weight_decay) for _, _, descent in trios],
        "precision_bits": [int(plan.precision[-2:]) for plan in block],
    }


def _label(sweep: Sweep, plans: Sequence[_Plan], found: Mapping[str, Mapping[str, np.ndarray]], devices):
    import xarray

    shape = tuple(len(values) for values in sweep.axes.values())
    dims = tuple(sweep.axes)
    rows = [found[plan.hash] for plan in plans]
    own = {metric.name: metric.dims for metric in sweep.metrics or () if isinstance(metric, Metric)}
    variables = {}
    for name in (name for name in rows[0] if name not in sweep.axes):
        stacked = np.stack([row[name] for row in rows])
        extra = ("record", *own.get(name, ())) if stacked.ndim > 1 else ()
        variables[name] = ((*dims, *extra), stacked.reshape(shape + stacked.shape[1:]))
    coords: dict[str, Any] = {name: list(plain_values(values)) for name, values in sweep.axes.items()}
    coords["step"] = ("record", record_steps(sweep.steps, sweep.records))
    attributes = {
        "arguments": canonical(_shared(sweep, plans[0].cell)),
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
