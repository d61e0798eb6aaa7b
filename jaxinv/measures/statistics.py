"""Statistics over seeds: how runs compare that differ in one argument, in arrays with named axes."""

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    import xarray


def last_over_first(values: "xarray.DataArray", axis: str, kept: "xarray.DataArray", lost: float = np.inf) -> float:
    """The ratio of the last entry along `axis` to the first, of those that are `kept`: its median over seeds.

    The median is over all other axes. Where either entry is NaN, that of a run that diverged, the ratio counts as
    `lost`; as infinite where both are infinite, as 0 where only the first is: it was slow, and did not diverge. NaN
    where fewer than two entries are kept.
    """
    rows = values.where(kept, drop=True)
    if rows.sizes[axis] < 2:
        return np.nan
    return float(_over_first(rows, axis, lost).isel({axis: -1}).median())


def each_over_first(values: "xarray.DataArray", axis: str, kept: "xarray.DataArray") -> np.ndarray:
    """The ratios of entries along `axis` to the first, medians over seeds, of all but the first that are `kept`.

    `kept` has that axis. A ratio counts as infinite where an entry is NaN, and as in `last_over_first` where it is not.
    """
    if values.sizes[axis] < 2:
        return np.empty(0)
    later = {axis: slice(1, None)}
    return values_where(_over_first(values, axis, np.inf).isel(later).median("seed"), kept.isel(later))


def _over_first(values, axis, lost):
    """The ratio of each entry along `axis` to the first, `lost` where either is NaN."""
    first = values.isel({axis: 0}, drop=True)
    with np.errstate(invalid="ignore"):
        ratios = (values / first).fillna(np.inf)
    return ratios.where(first.notnull() & values.notnull(), lost)


def median_bounds(values: "xarray.DataArray", lost: "xarray.DataArray", over: str | None = None) -> "xarray.DataArray":
    """The least and the largest that the median of `values` can be, whatever those are that are `lost`: axis "bound".

    The median is over the axis `over`, or over all; values that are NaN and not lost, those of no run, are left out.
    """
    import xarray

    with np.errstate(invalid="ignore"):  # the middle of two may lie between both infinities: NaN
        ends = [values.where(~lost, end).median(over) for end in (-np.inf, np.inf)]
    return xarray.concat(ends, "bound")


def slope(x: "xarray.DataArray", y: "xarray.DataArray", axis: str, *, least: int = 2) -> "xarray.DataArray":
    """The slope of the least-squares line of `y` on `x` along `axis`, over the points where both are finite.

    NaN where there are fewer than `least` such points.
    """
    there: Any = np.isfinite(x) & np.isfinite(y)
    u, v = x.where(there), y.where(there)
    u = u - u.mean(axis)
    return ((u * (v - v.mean(axis))).sum(axis) / (u**2).sum(axis)).where(there.sum(axis) >= least)


def exponent(x: "xarray.DataArray", y: "xarray.DataArray", axis: str) -> "xarray.DataArray":
    """b of y ~ x^b along `axis`: the slope of log y on log x.

    NaN where one y is NaN, that of a run that was lost; else infinite where one is not a positive finite number.
    """
    known: Any = np.isfinite(y) & (y > 0)
    log_x: Any = np.log(x)
    log_y: Any = np.log(y.where(known))
    return slope(log_x, log_y, axis).where(known.all(axis), np.inf).where(y.notnull().all(axis))


def values_where(values: "xarray.DataArray", kept: "xarray.DataArray") -> np.ndarray:
    """Those of `values` for which the flag `kept` is true, as a flat array; a NaN among them stays."""
    import xarray

    every, flags = xarray.broadcast(values, kept)
    return every.values[flags.values.astype(bool)]


def reaches(values: "xarray.DataArray", axis: str, level: float) -> "xarray.DataArray":
    """Where along a rising positive `axis` values get to `level` for good, linear in its logarithm between entries.

    The first entry where all are there, infinite where the last one is not.
    """
    import xarray

    at = np.log(np.asarray(values[axis], float))

    def one(row):
        below = np.flatnonzero(~(row >= level))
        if not len(below) or below[-1] == len(row) - 1:
            return np.inf if len(below) else np.exp(at[0])
        i = below[-1]
        return np.exp(at[i] + (level - row[i]) / (row[i + 1] - row[i]) * (at[i + 1] - at[i]))

    return xarray.apply_ufunc(one, values, input_core_dims=[[axis]], vectorize=True, output_dtypes=[float])


def largest_fall(values: "xarray.DataArray", axis: str) -> "xarray.DataArray":
    """How far `values` fall along `axis`, at most, from an entry to any after it; 0 where they never do."""
    import xarray

    def fall(rows):
        return (np.maximum.accumulate(rows, axis=-1) - rows).max(axis=-1)

    return xarray.apply_ufunc(fall, values, input_core_dims=[[axis]])


def quantile(
    values: "xarray.DataArray", q: float = 0.5, over: str = "seed", *, least: float = 0.0
) -> "xarray.DataArray":
    """The q-quantile of what is not NaN along an axis; NaN where that is nothing, or less than a share `least`."""
    share = values.notnull().mean(over)
    found = values.where(share > 0, 0.0).quantile(q, over).drop_vars("quantile")
    return found.where((share > 0) & (share >= least))


def median_interval(values: np.ndarray, confidence: float = 0.95) -> tuple[float, float, float]:
    """The median of all that is not NaN, and the ends of its bootstrap confidence interval (percentiles, 2000 samples).

    The ends are NaN for fewer than 4 values. Of 4 they are the range, in which the median lies with 87.5% only.
    """
    from scipy.stats import bootstrap

    kept = values[~np.isnan(values)]
    middle = float(np.median(kept)) if len(kept) else np.nan
    if len(kept) < 4:
        return middle, np.nan, np.nan
    made = bootstrap((kept,), np.median, confidence_level=confidence, method="percentile", n_resamples=2000,
                     rng=np.random.default_rng(0))  # fmt: skip
    return middle, float(made.confidence_interval.low), float(made.confidence_interval.high)


def quartiles_in_words(values: "xarray.DataArray", over: str = "seed") -> "xarray.DataArray":
    """Median and quartiles along an axis of what is not NaN, such as "3 [2.5, 4]"; "-" where that is nothing."""
    low, middle, high = (quantile(values, q, over) for q in (0.25, 0.5, 0.75))
    return _written(lambda a, b, c: "-" if np.isnan(a) else f"{a:.4g} [{b:.4g}, {c:.4g}]", middle, low, high)


def interval_in_words(values: "xarray.DataArray", over: str = "seed") -> "xarray.DataArray":
    """`median_interval` along an axis and the number of values: "1.02 [0.99, 1.04] (8)", of few "1.02 (3)"."""

    def write(row):
        middle, low, high = median_interval(row)
        interval = "" if np.isnan(low) else f" [{low:.3f}, {high:.3f}]"
        return "-" if np.isnan(middle) else f"{middle:.3f}{interval} ({np.sum(~np.isnan(row))})"

    return _written(write, values, over=[over])


def count_in_words(flags: "xarray.DataArray", over: str = "seed") -> "xarray.DataArray":
    """How many of the flags along an axis are true, as text such as "3/8"."""
    return _written(lambda count: f"{count:.0f}/{flags.sizes[over]}", flags.sum(over))


def _written(write: Callable[..., str], *numbers: "xarray.DataArray", over: Sequence[str] = ()) -> "xarray.DataArray":
    import xarray

    core = [list(over) for _ in numbers]
    made = xarray.apply_ufunc(write, *numbers, input_core_dims=core, vectorize=True, output_dtypes=[object])
    return made.astype(str)


def as_table(columns: "Mapping[str, xarray.DataArray]", axes: Sequence[str], kept: Any = True) -> list[str]:
    """Lines of a table: a row for each point of the `axes` at which `kept` is true, and its values in `columns`."""
    import xarray

    rows = xarray.Dataset({**columns, "kept": kept}).reset_coords(drop=True).to_dataframe(list(axes))
    rows = rows[rows.pop("kept").astype(bool)].reset_index()
    return rows.to_string(index=False, na_rep="-", float_format="{:.5g}".format).splitlines()
