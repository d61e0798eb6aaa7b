"""Running a grid: what is stored is found, the rest is computed block after block, and all of it is labelled."""

import time
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, wait
from contextlib import closing, suppress
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import jax
import numpy as np

from ..arrays import host_device
from ..checks import fail, shown
from ..measures.records import choose
from ..networks.own import as_given
from ..training.dense import Dense
from ..training.engine import WIDTH_FREE, Engine
from ..training.run import Run, train_block
from ..training.setup import Setup
from ..training.width_free.engine import WidthFree
from .grid import Cell, Sweep, build_at
from .keyed import Built, forget_changed, same_call
from .labels import label
from .method import checks_of, compute, no_build
from .plan import Layout, Plan, alike, blocks, method_blocks, plan_cells, plan_methods
from .store import Batch, Store

if TYPE_CHECKING:
    import xarray

Progress = Callable[[int, int, str], None]


def build(cell: Cell) -> Setup:
    """Problem, network and descent of one cell, as the sweep trains them (`ji.train(*ji.build(cell), steps=...)`)."""
    if not isinstance(cell, Cell):
        raise fail("cell", "a cell of a sweep", shown(cell), "pass one of sweep.cells()")
    if cell.sweep.method is not None:
        raise no_build(cell.sweep.method)
    (plan,) = plan_cells([cell], named=False)
    problem, network, descent = build_at(cell, plan.precision, engine=plan.engine)
    with jax.enable_x64(True), jax.default_device(host_device()):
        return Setup(jax.device_put(problem), as_given(jax.device_put(network)), descent)


def run_sweep(
    sweep: Sweep,
    store: str | Path | None = None,
    *,
    progress: Progress | None = None,
    devices: Sequence[Any] | None = None,
    layout: Layout | None = None,
    fresh: bool = False,
    made_by: str = "",
    own: bool = False,
) -> "xarray.Dataset":
    """Every cell of `sweep`, trained on all local devices (or those given): metrics over the axes and "record".

    Where the sweep has a `method`, what that gives of every cell, over the axes and its own; the following holds of its
    cells too, but for the names of the results.

    With `store`, a folder, finished cells are kept there within a second or so, marked as `made_by`, and cells found
    there are not run again: unless `fresh`, and with `own` unless they are marked so.
    `progress` is called with (cells done, cells in all, what is running). `layout` is chosen for the devices unless
    it is given. Variables of the result: every metric, `diverged`, `step_size`, whether it is the "stable" one as
    `stable_step_size`, `weight_decay`, `strength` where another regularizer is used (else NaN), `precision_bits`;
    coordinates: the axes and `step`, which has the axes too where cells differ in it. Cells left out are NaN, False or
    "". Where `engine` is not "dense" also `width_free`, whether that engine ran the cell, with the gradient
    flow or without, and what it says of itself: `coordinates`, `leak`, `filled` (see `Run`). All arguments are checked
    before anything is written. Raises ArgumentError (a ValueError) for a bad one.
    """
    devices = list(devices or jax.local_devices())
    layout = layout or Layout.of(devices[0])
    called = [sweep.problem, sweep.network, sweep.descent, sweep.method]
    forget_changed([*called, *(sweep.metrics or ()), *sweep.fixed.values()])
    plans, check = _planned(sweep, layout, named=store is not None)
    kept = None if store is None else Store(Path(store))
    found = {} if kept is None or fresh else kept.load({plan.digest for plan in plans}, made_by if own else None)
    values = {id(plan): found[plan.digest] for plan in plans if plan.digest in found}
    for cell in values.values():
        check(cell)

    def report(what: str) -> None:
        (progress or _silent)(len(values), len(plans), what)

    report(f"{len(values)} cells found")
    missing = [plan for plan in plans if id(plan) not in values]
    with _Sharing(kept) as files, closing(_batches(missing, devices, layout, made_by, report)) as batches:
        for block, batch in batches:
            made = batch.by_cell()
            for cell in made:
                check(cell)
            files.add(batch)
            values.update(zip(map(id, block), made, strict=True))
            report("done")
    return label(sweep, [plan.cell for plan in plans], [values[id(plan)] for plan in plans], devices)


def _planned(sweep: Sweep, layout: Layout, named: bool) -> tuple[list[Plan], Callable[[Mapping[str, Any]], None]]:
    """The cells with what is known before they run, and what checks the values of one."""
    if sweep.method is None:
        return plan_cells(sweep.cells(), layout, named=named), _silent
    return plan_methods(sweep.cells(), named=named), checks_of(sweep.method, sweep.axes)


def _batches(
    missing: Sequence[Plan], devices: Sequence[Any], layout: Layout, made_by: str, report: Callable[[str], None]
) -> Generator[tuple[list[Plan], Batch], None, None]:
    """The blocks of cells that are `missing`, each with what it gave."""
    if missing and missing[0].cell.sweep.method is not None:
        for block, each in method_blocks(missing, len(devices), layout):
            yield block, _call_method(block, devices, each, layout.most > 1, made_by)
        return
    changed = Built(most=1)  # cells of one problem and network follow each other
    with _Ahead(devices, layout) as ahead:
        for block, each in ahead.of(list(blocks(missing, len(devices), layout))):
            yield block, _run_block(block, ahead.setups(block), changed, devices, each, report, made_by)


class _Ahead:
    """Builds setups, and on a CPU has the program that the next shape of cells needs compiled beside the training.

    Compiling takes one core. What goes wrong there goes wrong again in the run itself, which says so.
    """

    def __init__(self, devices: Sequence[Any], layout: Layout):
        self.devices, self.compiles = devices, layout.most == 1
        self.built, self.kept = Built(), dict[int, list[Setup]]()
        self.beside = ThreadPoolExecutor(max_workers=1)
        self.compiling: Future | None = None

    def __enter__(self) -> "_Ahead":
        return self

    def __exit__(self, *_: object) -> None:
        self.beside.shutdown(cancel_futures=True)

    def of(self, cut: Sequence[tuple[list[Plan], int]]) -> Iterator[tuple[list[Plan], int]]:
        """The blocks that were `cut`, each once its program is there, or nobody compiles it."""
        shape = None
        for i, (block, each) in enumerate(cut):
            if block[0].shape != shape:
                shape = block[0].shape
                if self.compiling is not None:
                    wait([self.compiling])
                following = next((later for later, _ in cut[i:] if later[0].shape != shape), None)
                if self.compiles and following is not None and following[0].engine == "dense":
                    with suppress(Exception):  # raised again in its turn, once the cells before it are stored
                        self.kept[id(following)] = self.setups(following)
                    if id(following) in self.kept:
                        self._compile(following, self.kept[id(following)])
            yield block, each

    def setups(self, block: Sequence[Plan]) -> list[Setup]:
        """The setups of a block, which may have been built before."""
        if id(block) in self.kept:
            return self.kept.pop(id(block))
        return [build_at(plan.cell, plan.precision, self.built, plan.engine) for plan in block]

    def _compile(self, block: Sequence[Plan], setups: Sequence[Setup]) -> None:
        sweep, groups = block[0].cell.sweep, [[setups[i] for i in members] for members in alike(setups)]
        engine = Dense(self.devices, width=block[0].width, reduce=sweep.reduce)

        def compile_all():
            for group in groups:
                engine.compile_for(group, choose(sweep.metrics, group[0].problem, group[0].network))

        self.compiling = self.beside.submit(compile_all)


class _Sharing:
    """Has finished batches written, if there is a store: those that finish within a second share a file.

    A file costs as much as a small run. What waits is written on leaving, whatever happened.
    """

    def __init__(self, store: Store | None):
        self.store, self.waiting, self.since = store, list[Batch](), time.monotonic()

    def __enter__(self) -> "_Sharing":
        return self

    def __exit__(self, *_: object) -> None:
        self._write()

    def add(self, batch: Batch) -> None:
        """Write `batch` with those before it, once the last file was written a second ago."""
        if self.waiting and _kind(batch) != _kind(self.waiting[0]):
            self._write()
        self.waiting.append(batch)
        if time.monotonic() - self.since >= 1:
            self._write()

    def _write(self) -> None:
        if self.store is not None and self.waiting:
            first, *_ = self.waiting
            self.store.save(replace(
                first,
                digests=[digest for batch in self.waiting for digest in batch.digests],
                arguments=[text for batch in self.waiting for text in batch.arguments],
                values={name: np.concatenate([batch.values[name] for batch in self.waiting]) for name in first.values},
            ))  # fmt: skip
        self.waiting, self.since = [], time.monotonic()


def _kind(batch: Batch) -> tuple:
    """What is equal for batches that one file can hold: its records, and the shape of each value there."""
    step = None if batch.step is None else batch.step.tolist()
    return step, {name: array.shape[1:] for name, array in batch.values.items()}


def _run_block(
    block: Sequence[Plan], setups: Sequence[Setup], changed: Built, devices, each: int, report, made_by: str
) -> Batch:
    sweep = block[0].cell.sweep
    engine: Engine = Dense(devices, each=each, width=block[0].width, reduce=sweep.reduce, shared=changed.get)
    if block[0].engine in WIDTH_FREE:
        flow = block[0].engine == "gradient_flow"
        engine = WidthFree(devices, each=each, tolerance=sweep.tolerance, flow=flow, ends=False)
    step = block[0].cell.record_steps
    runs: dict[int, Run] = {}
    for members in alike(setups):
        made = train_block(
            engine, [setups[i] for i in members], steps=step[-1], records=step, metrics=sweep.metrics,
            progress=lambda step: report(f"step {step:,}"), networks=False,
        )  # fmt: skip
        runs |= dict(zip(members, made, strict=True))
    return Batch(
        digests=[plan.digest for plan in block],
        arguments=_arguments(block),
        step=runs[0].step,
        values={name: np.stack([runs[i].metrics[name] for i in range(len(block))]) for name in runs[0].metrics}
        | {name: np.array(values) for name, values in _scalars(block, setups, runs).items()},
        made_by=made_by,
    )


def _call_method(block: Sequence[Plan], devices, each: int, together: bool, made_by: str) -> Batch:
    method = block[0].cell.sweep.method
    assert method is not None
    given = [method.split(plan.cell.arguments["method"], plan.cell.seed) for plan in block]
    made = compute(method, given, devices, each, together=together)
    return Batch([plan.digest for plan in block], _arguments(block), None, made, made_by)


def _arguments(block: Sequence[Plan]) -> list[str]:
    """The arguments of each cell, as the store has them."""
    return [same_call({**plan.cell.arguments, "seed": plan.cell.seed}) for plan in block]


def _silent(*_: object) -> None:
    pass


def _scalars(block: Sequence[Plan], setups: Sequence[Setup], runs: Mapping[int, Run]) -> dict[str, list]:
    held = [runs[i].reduction for i in range(len(block))]
    reduced = (
        {}
        if block[0].cell.sweep.engine == "dense"
        else {
            "width_free": [plan.engine in WIDTH_FREE for plan in block],
            "coordinates": [float(one.get("coordinates", np.nan)) for one in held],
            "leak": [float(one.get("leak", np.nan)) for one in held],
            "filled": [bool(one.get("filled", False)) for one in held],
        }
    )
    of_regularizer = {}
    if any(descent.regularizer is not None for _, _, descent in setups):
        of_regularizer["strength"] = [float(descent.strength) for _, _, descent in setups]
    return (
        reduced
        | of_regularizer
        | {
            "diverged": [runs[i].diverged for i in range(len(block))],
            "step_size": [float(descent.step_size) for _, _, descent in setups],
            "stable_step_size": [bool(descent.stable) for _, _, descent in setups],
            "weight_decay": [float(descent.weight_decay) for _, _, descent in setups],
            "precision_bits": [int(plan.precision[-2:]) for plan in block],
        }
    )
