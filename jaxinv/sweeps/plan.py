"""Cells with what is known before they run, and the blocks that one call of the engine computes."""

import time
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp

from ..arrays import host_device, is_traced
from ..checks import UnknownNumbers
from ..measures.metrics import warn_in_sample
from ..measures.records import choose, in_sample
from ..networks.padding import pad_width
from ..networks.unsampled import UnsampledProduct
from ..training.decay import check_decay
from ..training.descent import Descent
from ..training.engine import WIDTH_FREE
from ..training.precision import check_float32, decay_per_step, resolved
from ..training.recorded import check_dims, check_sizes, recorded_shapes
from ..training.setup import Setup, check_generated, check_misfit
from ..training.width_free.choice import cheaper
from ..training.width_free.scope import check_flow, check_scope, outside
from .grid import RESERVED, Cell, assemble, build_at
from .keyed import Built, same_call
from .method import MOST

RESULTS = (*RESERVED, "step_size", "weight_decay", "strength")
"""Names of the results that no axis of a metric can have."""


class Layout(NamedTuple):
    """How cells share a device: up to `most` at a time within `memory` bytes, widths padded to `buckets` or not."""

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

    def fitting(self, size: int) -> int:
        """How many cells of `size` bytes a device takes at a time."""
        return max(1, int(min(self.most, self.memory // size)))


ONE_BY_ONE = Layout(1, float("inf"), False)


def bucket(width: int) -> int:
    """The width that hidden layers are padded to on an accelerator: the next 2^k or 1.5 2^k."""
    power = 1 << (width - 1).bit_length()
    return power * 3 // 4 if width <= power * 3 // 4 else power


@dataclass(frozen=True)
class Plan:
    """A cell with what is known before it runs: `shape` is equal for cells that one compilation serves.

    `digest` is its name in the store, `width` what its hidden layers are padded to (None: not at all), `bytes` what it
    takes on a device; `engine` is "dense" or one of WIDTH_FREE.
    """

    cell: Cell
    precision: str
    engine: str
    digest: str
    shape: Any
    width: int | None
    bytes: int


def plan_cells(cells: Sequence[Cell], layout: Layout = ONE_BY_ONE, *, named: bool = True) -> list[Plan]:
    """Check the arguments of all cells and resolve their precision, by tracing each distinct builder call once.

    Metrics of one's own are traced on each distinct shape. `named` False leaves the digests out, which only a store
    needs.
    """
    seen: dict[str, _Trace] = {}
    built, plans = Built(), []
    shared = cells[0].sweep.shared_content() if named else {}
    recorded: dict[Any, dict[str, tuple[int, ...]]] = {}
    names: dict[str, None] = {}
    own = [metric for metric in cells[0].sweep.metrics or () if not isinstance(metric, str)]
    check_dims(own, RESULTS)
    for cell in cells:
        call = repr([same_call(arguments) for arguments in cell.arguments.values()])
        if call not in seen:
            seen[call], setup = _trace(cell, layout, built)
            wanted = cell.sweep.metrics
            names |= dict.fromkeys(in_sample(wanted, choose(wanted, setup.problem, setup.network), setup.problem))
            if own and seen[call].engine == "dense" and seen[call].shape not in recorded:
                recorded[seen[call].shape] = recorded_shapes(setup, cell.sweep.reduce, own)
                check_sizes(own, recorded.values())
        taken, shape, width, entries, engine, regularizer = seen[call]
        precision = cell.sweep.precision if engine == "dense" else "float64"
        if precision != "float64" and taken is None:
            taken = _built_decay(cell, built)
        if taken is not None:
            precision = resolved(precision, taken)
        if precision == "float32" and taken is not None:
            check_float32(taken, regularizer)
        size = entries * int(precision[-2:]) // 8
        name = cell.digest(precision, shared, engine) if named else ""
        alike = precision, engine, shape, width, tuple(cell.record_steps)
        plans.append(Plan(cell, precision, engine, name, alike, width, size))
    warn_in_sample(names)
    return plans


def plan_methods(cells: Sequence[Cell], *, named: bool = True) -> list[Plan]:
    """As `plan_cells`, for cells of a method of one's own: alike are those that differ in batched arguments alone."""
    method, shared = cells[0].sweep.method, cells[0].sweep.shared_content() if named else {}
    assert method is not None
    plans = []
    for cell in cells:
        alike = same_call(dict(method.split(cell.arguments["method"], cell.seed)[0]))
        plans.append(Plan(cell, "", "", cell.digest("", shared) if named else "", alike, None, 1))
    return plans


def _built_decay(cell: Cell, built: Built) -> float:
    """What only building tells: a step size made from random numbers, the slope of a regularizer."""
    problem, network, descent = build_at(cell, "float64", built)
    return decay_per_step(descent, network, problem.measurements)


WIDE_ENTRIES = 2**14
"""Of a layer at a record in the width-free engine, at the capacity that most runs need."""


class _Trace(NamedTuple):
    """What one abstract call of the builders tells of a cell.

    `decay_per_step` is step_size * weight_decay, where it does not depend on random numbers and no `regularizer` stands
    beside: how weak that is, its slope at the weights tells.
    """

    decay_per_step: float | None
    shape: Any
    width: int | None
    entries: int
    engine: str
    regularizer: Any


def _trace(cell: Cell, layout: Layout, built: Built) -> tuple[_Trace, Setup]:
    """What the call tells, and the setup it made, its arrays known by their shapes."""
    sweep = cell.sweep
    asked = tuple(sweep.metrics or ())
    if sweep.engine in WIDTH_FREE:
        trace, setup = _trace_for(cell, layout, sweep.engine, built)
        check_scope(setup, asked, sweep.reduce, sweep.engine)
        if sweep.engine == "gradient_flow":
            check_flow(setup.descent, trace.decay_per_step)
        return trace, setup
    trace, setup = _trace_for(cell, layout, "dense", built)
    if sweep.engine == "auto" and sweep.precision != "float32" and not outside(setup, asked, sweep.reduce):
        if cheaper(setup) == "width_free":
            return _trace_for(cell, layout, "width_free", built)
    check_generated(setup.network)
    return trace, setup


def _trace_for(cell: Cell, layout: Layout, engine: str, built: Built) -> tuple[_Trace, Setup]:
    products: list[float | None] = []
    widths: list[int | None] = []
    descents: list[Descent] = []

    def trace(key, kept=None):
        problem, network, descent = assemble(cell, key, kept, engine)
        choose(cell.sweep.metrics, problem, network)
        descents.append(descent)
        product = descent.step_size * descent.weight_decay
        unknown = is_traced(product) or descent.regularizer is not None
        products.append(None if unknown else float(product))
        pad = layout.buckets and descent.pads and network.pads and network.depth > 1
        widths.append(bucket(network.width) if pad else None)
        if widths[-1] is not None:
            network = pad_width(network, widths[-1])
        return problem, network, jax.tree.map(jnp.asarray, descent)

    traced: Any
    with jax.enable_x64(True):
        try:
            traced = eqx.filter_eval_shape(trace, jax.random.key(0))
        except (UnknownNumbers, jax.errors.JAXTypeError):  # a builder that looks at its random numbers
            with jax.default_device(host_device()):
                traced = trace(jax.random.key(cell.seed), built)
            products = [None]  # another seed may have another
    problem, network, descent = traced
    unsampled = isinstance(network, UnsampledProduct)
    leaves, structure = jax.tree.flatten((problem, network.any_width() if unsampled else network, descent))
    shape = str(structure), tuple((leaf.shape, str(leaf.dtype)) for leaf in leaves)
    setup = Setup(*traced)
    if not unsampled:
        check_misfit(setup)
    if not is_traced(descents[-1].step_size, descents[-1].weight_decay):
        with suppress(jax.errors.JAXTypeError):  # an optimizer that holds random numbers is checked when it is built
            check_decay(descents[-1], network)
    # weights, gradients, momentum and the products that balancedness needs; data where they are not compressed
    entries = 8 * sum(leaf.size for leaf in jax.tree.leaves(network)) + 6 * problem.signal_dim * problem.measurement_dim
    if not (cell.sweep.reduce and network.is_linear and descents[-1].compresses):
        entries += problem.samples * (problem.signal_dim + problem.measurement_dim)
    if engine in WIDTH_FREE:
        entries += WIDE_ENTRIES * network.depth * len(cell.record_steps)
    return _Trace(products[0], shape, widths[0], entries, engine, descents[-1].regularizer), setup


def blocks(plans: Sequence[Plan], devices: int, layout: Layout) -> Iterator[tuple[list[Plan], int]]:
    """Blocks of cells of one shape with the number for each device, in the order in which shapes first appear.

    The blocks of a shape are equally large, so that one compilation serves them all. Cells that share problem and
    network follow each other, so that those are built once.
    """
    groups: dict[Any, list[Plan]] = {}
    for plan in plans:
        groups.setdefault(plan.shape, []).append(plan)
    for group in groups.values():
        first: dict[Any, int] = {}
        group.sort(key=lambda plan, first=first: first.setdefault(plan.cell.built_from, len(first)))
        most = devices * layout.fitting(max(plan.bytes for plan in group))
        count = -(-len(group) // most)
        each = -(-len(group) // (count * devices))
        yield from ((group[i : i + devices * each], each) for i in range(0, len(group), devices * each))


LONG = 0.5
"""Seconds that a call of a method of one's own may take before no more cells are put into one."""


def method_blocks(plans: Sequence[Plan], devices: int, layout: Layout) -> Iterator[tuple[list[Plan], int]]:
    """As `blocks`, for cells of a method of one's own, which take nobody knows how long.

    Where they are computed one after the other, one on each device at first, then twice as many while that is quick:
    what has finished is stored within a second or so.
    """
    groups: dict[Any, list[Plan]] = {}
    for plan in plans:
        groups.setdefault(plan.shape, []).append(plan)
    for group in groups.values():
        if layout.most > 1:
            yield from blocks(group, devices, layout)
            continue
        each = 1
        while group:
            begun = time.monotonic()
            yield group[: devices * each], each
            group = group[devices * each :]
            each = min(2 * each, MOST) if time.monotonic() - begun < LONG else each


def alike(setups: Sequence[Setup]) -> list[list[int]]:
    """Indices of the setups that one block can hold: what only building tells, such as a rank, may set them apart."""
    groups: dict[Any, list[int]] = {}
    for i, (problem, network, descent) in enumerate(setups):
        kind = problem.measurement_rank, jax.tree.structure((network, descent))
        groups.setdefault(kind, []).append(i)
    return list(groups.values())
