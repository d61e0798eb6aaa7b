"""Reading results: what was measured, by name and by the arguments of the runs, with nothing parsed by hand."""

from collections.abc import Mapping, Sequence
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np

from ..checks import ArgumentError, check_known, nearest
from ..sweeps.digests import canonical
from ..sweeps.grid import Cell, Sweep
from ..sweeps.running import build
from ..training.setup import Setup
from .timing import Timing

if TYPE_CHECKING:
    import xarray


class Runs:
    """The results of one grid: `data`, an xarray.Dataset over its axes, with what an analysis derived from it.

    Names of variables and axes that are not there are refused with the nearest ones.
    """

    def __init__(self, grid: Sweep | Timing, data: "xarray.Dataset", derived: "xarray.Dataset | None" = None):
        self.grid = grid
        self.data = (
            data if derived is None else data.merge(derived, join="left", compat="override", combine_attrs="override")
        )

    def __getitem__(self, name: str) -> "xarray.DataArray":
        """A variable or an axis by name."""
        known = [str(key) for key in (*self.data.data_vars, *self.data.coords)]
        check_known("result", name, known)
        return self.data[name]

    def __contains__(self, name: str) -> bool:
        return name in self.data.variables

    def select(self, name: str, **selection: Any) -> "xarray.DataArray":
        """A variable at those values of its axes; ArgumentError where the grid has no such value."""
        chosen = self[name]
        for axis, value in selection.items():
            check_known(f"axis of {name}", axis, map(str, chosen.dims))
            chosen = chosen.isel({axis: _index(chosen, axis, value)})
        return chosen

    def at(self, record: int, name: str, **selection: Any) -> "xarray.DataArray":
        """A variable at a record by number (-1: the last of each run), at those values of its axes."""
        chosen = self.select(name, **selection)
        if "record" not in chosen.dims:
            return chosen
        if "step" not in chosen.coords:  # a method of one's own that says of none
            return chosen.isel(record=record)
        step = chosen["step"]
        if record >= 0 or step.dims == ("record",):
            # without its step, which would meet that of the curves it is compared with
            return chosen.isel(record=record).drop_vars("step")
        # runs of different lengths: NaN beyond the end of each
        last = step.notnull().sum("record") + record
        return chosen.where(_numbers(chosen) == last).sum("record", min_count=1)

    def start(self, name: str, **selection: Any) -> "xarray.DataArray":
        """A variable before the first step."""
        return self.at(0, name, **selection)

    def end(self, name: str, **selection: Any) -> "xarray.DataArray":
        """A variable after the last step of each run."""
        return self.at(-1, name, **selection)

    @property
    def sizes(self) -> Mapping[str, int]:
        """The length of each axis."""
        return {str(name): size for name, size in self.data.sizes.items()}

    def argument(self, name: str) -> Any:
        """The value of an argument that all runs share, default or given; ArgumentError for an axis."""
        if name in self.grid.axes:
            raise ArgumentError(f"argument {name!r} must be one value, got the axis of that name; read runs[{name!r}]")
        shared = self._shared()
        if name not in shared:
            raise ArgumentError(f"unknown argument {name!r}; {nearest(name, shared)}")
        return shared[name]

    def _shared(self) -> dict[str, Any]:
        if isinstance(self.grid, Timing):
            return dict(self.grid.shared)
        first = self.grid.cells()[0]
        return {"seed": first.seed} | {n: v for arguments in first.arguments.values() for n, v in arguments.items()}

    @cached_property
    def cells(self) -> list[Cell]:
        """The cells of the grid."""
        if isinstance(self.grid, Timing):
            raise ArgumentError("cells are those of a Sweep, got a Timing; read its axes")
        return self.grid.cells()

    def build(self, **selection: Any) -> Setup:
        """Problem, network and descent of the first cell with those values of the axes."""
        for axis in selection:
            check_known("axis", axis, self.grid.axes)
        wanted = {axis: canonical(value) for axis, value in selection.items()}
        for cell in self.cells:
            if all(canonical(cell.point[axis]) == value for axis, value in wanted.items()):
                return build(cell)
        raise ArgumentError(f"no cell at {selection!r}; the axes are {dict(self.grid.axes)!r}")


def _numbers(data: "xarray.DataArray") -> "xarray.DataArray":
    import xarray

    return xarray.DataArray(np.arange(data.sizes["record"]), dims="record")


def _index(data: "xarray.DataArray", axis: str, value: Any) -> Any:
    """The position of a value along an axis, or the positions of several."""
    if isinstance(value, slice):
        raise ArgumentError(f"{axis} must be a value or a list of values, got a slice; pass the values")
    if isinstance(value, Sequence | np.ndarray) and not isinstance(value, str):
        return [_index(data, axis, each) for each in value]
    known = data[axis].values
    found = np.flatnonzero(known == value)
    if not len(found) and known.dtype.kind == "f" and not isinstance(value, str):
        found = np.flatnonzero(np.isclose(known, value, rtol=1e-9, atol=0))
    if not len(found):
        raise ArgumentError(f"{axis} must be one of {', '.join(map(str, known))}, got {value!r}")
    return int(found[0])
