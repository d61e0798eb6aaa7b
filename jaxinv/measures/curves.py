"""What a recorded curve says: steps to a level, the contraction factor of its linear phase, where it settles.

Curves are numpy arrays: `step`, rising, and `error`, positive, an entry for each record; `each_run` and the functions
`run_...` take the labelled curves of a grid.
"""

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from jaxtyping import Float, Real

if TYPE_CHECKING:
    import xarray

Steps = Real[np.ndarray, " records"]
Errors = Float[np.ndarray, " records"]

LEAST_RECORDS = 8
LEAST_FALL = 5.0
"""A fit needs so many records in its window, over which the error falls at least by this factor."""

ABOVE_LEAST = 20.0
"""The window ends this factor above the least error: a plateau p added to the curve bends it by p/error."""

CURVED = 0.2
"""The slopes of the two halves of the window of a good fit differ by at most this share of the slope."""


class Contraction(NamedTuple):
    """A linear phase error ~ factor^step. `quality` is "good", or why the numbers should not be trusted.

    `log_rate` is -log(factor); `window` the first and the last step of the fit. NaN where there was nothing to fit.
    """

    factor: float
    log_rate: float
    quality: str
    window: tuple[float, float]


def linear_phase(step: Steps, error: Errors) -> Contraction:
    """The late linear phase of a curve: its contraction factor.

    The window is the second half of the way down, in log(error): from the first record below the geometric mean of
    the first error and the bottom, to the first record at the bottom, which is 20 times the least error. So what is
    fast and over early is left out, and so are a plateau and rounding. The slope is Theil and Sen's, the median over
    all pairs of records, which oscillations and outliers do not move. `quality` is

        good      the slopes of the two halves of the window differ by at most 20%
        curved    they differ more: two rates in the window, of which the number is a mixture
        short     fewer than 8 records, or a fall of less than a factor 5: NaN
        diverged  the curve ends in numbers that are not finite, or above ten times its start: NaN
    """
    step, error = np.asarray(step, float), np.asarray(error, float)
    if not np.isfinite(error).all() or error[-1] > 10 * error[0]:
        return _nothing("diverged")
    bottom = max(ABOVE_LEAST * error.min(), np.finfo(float).tiny)
    below = np.flatnonzero(error <= np.sqrt(error[0] * bottom))
    if bottom >= error[0] or not len(below):
        return _nothing("short")
    first, last = below[0], np.flatnonzero(error <= bottom)[0]
    window = slice(first, last + 1)
    if last - first + 1 < LEAST_RECORDS or error[first] < LEAST_FALL * error[last]:
        return _nothing("short")
    from scipy.stats import theilslopes

    times, logs = step[window], np.log(error[window])
    half = len(times) // 2
    parts = slice(None), slice(half + 1), slice(half, None)
    slope, *halves = (float(np.asarray(theilslopes(logs[part], times[part])[0])) for part in parts)
    quality = "good" if abs(halves[0] - halves[1]) <= CURVED * abs(slope) else "curved"
    return Contraction(float(np.exp(slope)), -slope, quality, (float(times[0]), float(times[-1])))


def steps_to(step: Steps, error: Float[np.ndarray, "*curves records"], level: float) -> Any:
    """The first step at which the error is `level` or less, log(error) being linear between records; NaN if never.

    A number for one curve, an array of the leading axes for many.
    """
    if np.ndim(error) > 1:
        return np.apply_along_axis(lambda row: steps_to(step, row, level), -1, error)
    reached = np.flatnonzero(np.asarray(error) <= level)
    if not len(reached):
        return np.nan
    i = reached[0]
    if i == 0 or not np.isfinite(error[i - 1]) or error[i] <= 0:
        return float(step[i])
    before, after = np.log(error[i - 1]), np.log(error[i])
    return float(step[i - 1] + (step[i] - step[i - 1]) * (before - np.log(level)) / (before - after))


def settled(step: Steps, error: Errors, drift: float = 0.01) -> float:
    """Where the curve has settled: its last value, NaN unless all of the last fifth of the steps is within `drift`."""
    late = np.asarray(error)[np.asarray(step) >= 0.8 * step[-1]]
    near = np.isfinite(late).all() and len(late) > 1 and np.abs(late - late[-1]).max() <= drift * late[-1]
    return float(late[-1]) if near else np.nan


def reached(step: Steps, error: Errors, level: float) -> float:
    """The step of the first record at which the error is `level` or less; NaN if never."""
    below = np.flatnonzero(error <= level)
    return float(step[below[0]]) if len(below) else np.nan


def lowest(step: Steps, error: Errors) -> float:
    """The step at which the error is least, the first where there are several; NaN where it is not finite."""
    return float(step[np.argmin(error)]) if np.isfinite(error).all() else np.nan


def comes_to_rest(step: Steps, error: Errors, share: float) -> float:
    """The first step from which on the error is within `share` of its last value; NaN where it is not finite."""
    if not np.isfinite(error).all():
        return np.nan
    apart = np.flatnonzero(np.abs(error / error[-1] - 1) > share)
    return float(step[apart[-1] + 1] if len(apart) else step[0])


def each_run(
    read: Callable[..., Any], curves: "xarray.DataArray", *arguments: Any, dtype: Any = float
) -> "xarray.DataArray":
    """`read(step, error, *arguments)` for the curve of each run, `curves` having an axis "record" and its "step".

    `arguments` are numbers, or arrays with named axes that are broadcast against those of the runs. Steps that are NaN,
    beyond the end of a shorter run, are left out; a run that is missing altogether is read as a curve of NaN.
    """
    import xarray

    def read_run(step, error, *numbers):
        there = np.isfinite(step)
        if not there.any():
            return read(np.arange(len(step)), np.full(len(step), np.nan), *numbers)
        return read(step[there], error[there], *numbers)

    core = [["record"], ["record"], *([] for _ in arguments)]
    made = xarray.apply_ufunc(read_run, curves["step"], curves, *arguments, input_core_dims=core, vectorize=True,
                              output_dtypes=[dtype])  # fmt: skip
    return made.transpose(*(dim for dim in curves.dims if dim != "record"), ...)


def run_at_lowest(values: "xarray.DataArray", errors: "xarray.DataArray") -> "xarray.DataArray":
    """`values` of each run at the record where its `errors` are least, as of a run that is stopped there.

    NaN where an error is not finite at a step of the run, as after it diverged: it was not known where to stop.
    """
    least = errors.fillna(np.inf).argmin("record")
    known: Any = np.isfinite(errors) | errors["step"].isnull()
    return values.isel(record=least).where(known.all("record")).drop_vars("step")


def run_steps_to_each(curves: "xarray.DataArray", levels: Sequence[float]) -> "xarray.DataArray":
    """`steps_to` for each run and each of the levels, an axis "level"; NaN if never."""
    import xarray

    return each_run(steps_to, curves, xarray.DataArray(list(levels), {"level": list(levels)}))


def run_phases(curves: "xarray.DataArray") -> "xarray.Dataset":
    """`log_rate` and `quality` of the `linear_phase` of each run."""
    import xarray

    return xarray.Dataset({
        "log_rate": each_run(lambda *curve: linear_phase(*curve).log_rate, curves),
        "quality": each_run(lambda *curve: linear_phase(*curve).quality, curves, dtype=object).astype(str),
    })  # fmt: skip


def run_steps_to(curves: "xarray.DataArray", level: float) -> "xarray.DataArray":
    """`steps_to` for each run: the first step at which its error is `level` or less, infinite if never."""
    return each_run(steps_to, curves, level).fillna(np.inf)


def at_level(curves: "xarray.DataArray", other: "xarray.DataArray", level: float) -> "xarray.DataArray":
    """`other` at the first record at which each of the curves is `level` or less; NaN if it never is."""
    below = curves <= level
    return other.isel(record=below.argmax("record")).where(below.any("record")).drop_vars("step", errors="ignore")


def _nothing(why: str) -> Contraction:
    return Contraction(np.nan, np.nan, why, (np.nan, np.nan))
