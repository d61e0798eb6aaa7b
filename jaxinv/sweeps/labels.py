"""The values of cells as one labelled dataset: the axes of the grid, then the records, then a value's own axes."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import jax
import numpy as np

from ..arrays import plain_values
from ..checks import fail
from .digests import canonical
from .grid import NUMERICS, Cell, Sweep
from .keyed import same_call

if TYPE_CHECKING:
    import xarray


def label(
    sweep: Sweep, cells: Sequence[Cell], values: Sequence[Mapping[str, np.ndarray]], devices: Sequence[Any]
) -> "xarray.Dataset":
    """The `values` of each of the `cells` over the axes of `sweep`.

    `step`, where there is one, is a coordinate of "record" where all cells have the same, else one of the axes too, NaN
    beyond its end.
    """
    import xarray

    coords: dict[str, Any] = {name: list(plain_values(axis)) for name, axis in sweep.axes.items()}
    coords |= {name: list(labels) for name, labels in sweep.own_coordinates.items()}
    dims, shape = tuple(sweep.axes), tuple(len(axis) for axis in sweep.axes.values())
    order = {canonical(point): i for i, point in enumerate(sweep.points())}
    where = [order[canonical(cell.point)] for cell in cells]
    trained, own = sweep.method is None, sweep.own_dims
    variables: dict[str, Any] = {}
    for name in dict.fromkeys(name for value in values for name in value if name not in sweep.axes):
        having = [i for i, value in enumerate(values) if name in value]
        rows = [np.asarray(values[i][name]) for i in having]
        if len({row.shape[1:] for row in rows}) > 1:
            shapes = sorted({row.shape[1:] for row in rows})
            raise fail(f"metric {name!r}", "of one shape in all cells", f"{shapes}", "pad it to the largest")
        extra = (("record",) if trained and rows[0].ndim else ()) + own.get(name, ())
        table = _scatter(rows, [where[i] for i in having], len(order))
        variables[name] = ((*dims, *extra), table.reshape(shape + table.shape[1:]))
    steps = [np.asarray(cell.record_steps) for cell in cells] if trained else []
    if variables.pop("step", None):  # a method that says of it
        steps = [np.asarray(value["step"]) for value in values]
    if steps and all(np.array_equal(step, steps[0]) for step in steps) and len(cells) == len(order):
        coords["step"] = ("record", steps[0])
    elif steps:
        table = _scatter([step.astype(float) for step in steps], where, len(order))
        coords["step"] = ((*dims, "record"), table.reshape(shape + table.shape[1:]))
    attributes = {
        "arguments": same_call(shared_arguments(sweep, cells)),
        **(_training(sweep, cells) if trained else {}),
        "matmul_precision": "highest",
        "jax": jax.__version__,
        "devices": f"{len(devices)} x {devices[0].device_kind}",
        "numerics": NUMERICS,
    }
    return xarray.Dataset(variables, coords, attributes)


def _training(sweep: Sweep, cells: Sequence[Cell]) -> dict[str, Any]:
    """What is said of training runs."""
    said = {"steps": max(cell.steps for cell in cells), "precision": sweep.precision, "engine": sweep.engine}
    return said if sweep.engine == "dense" else {**said, "tolerance": sweep.tolerance}


def shared_arguments(sweep: Sweep, cells: Sequence[Cell]) -> dict[str, dict[str, Any]]:
    """The resolved arguments of each builder that no axis changes."""
    return {role: {n: v for n, v in a.items() if n not in sweep.axes} for role, a in cells[0].arguments.items()}


def _scatter(rows: Sequence[np.ndarray], where: Sequence[int], size: int) -> np.ndarray:
    """`rows` at the indices `where` of a table of `size` rows, each row as long as the longest.

    What is missing is NaN, False for flags. Whole numbers in some rows are numbers where others have a fraction.
    """
    longest = max((len(row) for row in rows if row.ndim), default=0)
    dtype = np.result_type(*{row.dtype for row in rows})
    dtype = dtype if dtype.kind != "i" or len(rows) == size else np.dtype(float)
    fill: Any = False if dtype.kind == "b" else np.nan if dtype.kind == "f" else 0
    table = np.full((size, *((longest, *rows[0].shape[1:]) if rows[0].ndim else ())), fill, dtype)
    for index, row in zip(where, rows, strict=True):
        if row.ndim:
            table[index, : len(row)] = row
        else:
            table[index] = row
    return table
