"""What changed between two results beyond the noise of their seeds."""

import itertools
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from ..checks import ArgumentError, fail
from ..sweeps import store

if TYPE_CHECKING:
    import xarray

EXPERIMENT = "experiment"
"""The attribute of results that says whose they are."""

LEVEL = 0.01
"""Chance of any false alarm among all comparisons of two results (Bonferroni)."""

LEAST = 1e-3
"""Relative change below which a difference is no news: rounding, another device's order of summation."""

LOST = 0.5
"""A share of failures of the same seeds that changes by this much is a change, however few they are."""

SLOWER = 3.0
"""Times count as changed by this factor, where those of one result do not overlap those of the other:
of the same code on a shared machine, minutes apart, a factor of 2.5 was seen."""


class Change(NamedTuple):
    """One quantity at one point of the grid, medians before and after, and the chance of it being noise."""

    quantity: str
    point: dict[str, Any]
    old: float
    new: float
    chance: float

    def line(self) -> str:
        """The change on one line of a terminal."""
        where = ", ".join(f"{name} {value:.4g}" if isinstance(value, float) else f"{name} {value}"
                          for name, value in self.point.items())  # fmt: skip
        by = f" ({self.new / self.old - 1:+.1%})" if self.old else ""
        at = f" at {where}" if where else ""
        return f"{self.quantity}{at}: {self.old:.4g} -> {self.new:.4g}{by}, by chance {self.chance:.1g}"


def older_results(path: Path, name: str, grids: Mapping[str, Any]) -> "Mapping[str, xarray.Dataset]":
    """The results at `path`; ArgumentError unless they can be read and belong to experiment `name` with its `grids`."""
    try:
        older = store.read_datasets(path)
    except (OSError, ValueError, KeyError, RuntimeError):
        got = f"{str(path)!r}, which is {'no netCDF file, or a damaged one' if path.exists() else 'not there'}"
        raise ArgumentError(
            f"--compare must be the results.nc of an earlier run, got {got}; pass another file"
        ) from None
    theirs = next(iter(older.values())).attrs.get(EXPERIMENT, name)
    alike = [grid for grid in older if grid in grids and {*grids[grid].axes} <= {*older[grid].coords}]
    if theirs != name or not alike:
        got = f"those of {theirs}" if theirs != name else "those of other grids"
        raise fail("--compare", f"the results of {name}", f"{got} in {str(path)!r}", "pass another file")
    return older


def changes(
    old: "xarray.Dataset | Mapping[str, xarray.Dataset]", new: "xarray.Dataset | Mapping[str, xarray.Dataset]"
) -> tuple[list[Change], int]:
    """Every change between two results over the points that both have, and the number of comparisons.

    A result is a Dataset, or several by the names of their grids: the quantity "fit: steps_to" is that of grid "fit".
    Compared are the variables with a "seed" axis, at each point of their other axes, those of metrics among them; of
    what is recorded during a run, the last record alone. Coordinates, text and what has no seeds are passed over.

    Numbers are compared by a t-test of their logarithms, pairwise where the seeds are the same, and the counts of those
    that are NaN (or true, for flags) by Fisher's test; both at a joint level of 1% and only beyond 0.1%. A count that
    changes by half of the same seeds or more is a change in any case. Numbers with a "round" axis, or whose attribute
    `units` is "s", are times: they changed where all of one result are slower than all of the other, by a factor of 3
    in the median.
    """
    import xarray

    before, after = ({"": data} if isinstance(data, xarray.Dataset) else data for data in (old, new))
    tests = [change for grid in before if grid in after for change in _grid(grid, before[grid], after[grid])]
    level = LEVEL / max(len(tests), 1)
    found = [c for c in tests if c.chance < level and abs(c.new - c.old) > LEAST * abs(c.old)]
    return found, len(tests)


def _grid(grid: str, old: Any, new: Any) -> Iterator[Change]:
    for name in old.data_vars:
        if name in new.data_vars:
            yield from _variable(f"{grid}: {name}" if grid else str(name), _at_end(old[name]), _at_end(new[name]))


def _at_end(data: Any) -> Any:
    """The last record of each run, where there are records."""
    if "record" not in data.dims:
        return data
    # runs of different lengths have NaN for the steps beyond their end
    return data.isel(record=data["step"].notnull().sum("record") - 1 if "step" in data.coords else -1)


def _variable(name: str, old: Any, new: Any) -> Iterator[Change]:
    """One Change a point that both have, whatever its chance."""
    over = next((dim for dim in ("seed", "round") if dim in old.dims), None)
    if over is None or old.dtype.kind not in "fiub" or set(old.dims) != set(new.dims):
        return
    dims = [str(dim) for dim in old.dims if dim != over]
    common = {dim: [value for value in old[dim].values.tolist() if value in new[dim].values] for dim in dims}
    paired = set(old[over].values.tolist()) == set(new[over].values.tolist())
    if paired:
        common[over] = old[over].values.tolist()  # the same seeds in the same order
    flag, timed = old.dtype.kind == "b", over == "round" or old.attrs.get("units") == "s"
    rows = [data.sel(common).transpose(*dims, over).values.astype(float) for data in (old, new)]
    for index, values in enumerate(itertools.product(*(common[dim] for dim in dims))):
        point = dict(zip(dims, values, strict=True))
        before, after = (row.reshape(-1, row.shape[-1])[index] for row in rows)
        if not flag and not (np.isfinite(before).any() or np.isfinite(after).any()):
            continue  # a cell that both leave out, or where neither has a number
        if timed:
            yield from _times(name, point, before, after)
        else:
            yield from _seeds(name, point, before, after, paired, flag)


def _seeds(name: str, point: dict, old: np.ndarray, new: np.ndarray, paired: bool, flag: bool) -> Iterator[Change]:
    from scipy import stats

    counts = [(int(rows.sum()) if flag else int((~np.isfinite(rows)).sum()), len(rows)) for rows in (old, new)]
    if any(count for count, _ in counts):
        table = [[count, size - count] for count, size in counts]
        chance = float(np.asarray(stats.fisher_exact(table)[1]))
        before, after = (count / size for count, size in counts)
        if paired and abs(after - before) >= LOST:
            chance = 0.0
        yield Change(f"{name} (share{'' if flag else ' not finite'})", point, before, after, chance)
    if flag:
        return
    if paired:
        both = np.isfinite(old) & np.isfinite(new)
        old, new = old[both], new[both]
    else:
        old, new = old[np.isfinite(old)], new[np.isfinite(new)]
    if min(len(old), len(new)) >= 2:
        yield Change(name, point, float(np.median(old)), float(np.median(new)), _t_test(old, new, paired))


def _t_test(old: np.ndarray, new: np.ndarray, paired: bool) -> float:
    from scipy import stats

    if (old > 0).all() and (new > 0).all():
        old, new = np.log(old), np.log(new)
    apart = new - old if paired else np.concatenate([old - old.mean(), new - new.mean()])
    if np.ptp(apart) <= 1e-12 * max(np.abs(old).max(), 1e-300):  # no noise at all: any difference is one
        return float(np.isclose(old.mean(), new.mean(), rtol=1e-9, atol=0))
    made: Any = stats.ttest_rel(old, new) if paired else stats.ttest_ind(old, new, equal_var=False)
    return float(made.pvalue)


def _times(name: str, point: dict, old: np.ndarray, new: np.ndarray) -> Iterator[Change]:
    old, new = old[np.isfinite(old)], new[np.isfinite(new)]
    if len(old) and len(new):
        before, after = float(np.median(old)), float(np.median(new))
        apart = old.max() < new.min() or new.max() < old.min()
        far = max(before, after) > SLOWER * min(before, after)
        yield Change(name, point, before, after, 0.0 if apart and far else 1.0)
