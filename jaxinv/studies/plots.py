"""What figures share: the style, bands over seeds, colours and labels of an axis, legends, saving."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial, wraps
from pathlib import Path
from typing import Any

import numpy as np

from ..checks import ArgumentError
from ..sweeps.store import write

STEP = "gradient descent step (0 drawn at 0.5)"
"""The label of an axis of steps, logarithmic."""

COLUMN_WIDTH = 3.4
"""Width of a single journal column in inches."""

STYLE: Any = {
    "font.size": 8,
    "axes.labelsize": 8,
    "axes.titlesize": 8,
    "legend.fontsize": 7,
    "xtick.labelsize": 7,
    "ytick.labelsize": 7,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "grid.color": "0.9",
    "grid.linewidth": 0.5,
    "lines.linewidth": 1.3,
    "legend.frameon": False,
    "figure.dpi": 100,
    "savefig.dpi": 250,
    "figure.constrained_layout.use": True,
    "pdf.fonttype": 42,
}

NO_DECAY = "#D55E00"
REFERENCE = "0.35"


def styled(draw: Callable[..., Any]) -> Callable[..., Any]:
    """`draw` run in our style; no global setting is touched."""

    @wraps(draw)
    def in_style(*args: Any, **kwargs: Any) -> Any:
        import matplotlib

        with matplotlib.rc_context(STYLE):
            return draw(*args, **kwargs)

    return in_style


def panels(width: float, height: float, mosaic: Any, **kwargs: Any) -> tuple[Any, dict[str, Any]]:
    """A figure of `width` x `height` inches and its axes by name; no window and no pyplot state."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width, height), layout="constrained")
    return figure, figure.subplot_mosaic(mosaic, **kwargs)


def colours_of(name: str, values: Sequence[Any], colormap: str = "viridis") -> dict[Any, Any]:
    """A colour for each value of the axis `name`, from colour-blind safe scales.

    Along gamma: vermilion for none, a sequential scale for the others. Else from light to dark.
    """
    import matplotlib

    scale = matplotlib.colormaps[colormap]
    if name == "gamma":
        positive = sorted(float(g) for g in values if g > 0)
        shades = np.linspace(0.75, 0.05, len(positive)) if positive else []
        return {0.0: NO_DECAY, **{g: scale(shade) for g, shade in zip(positive, shades, strict=True)}}
    return dict(zip(values, scale(np.linspace(0.85, 0.05, len(values))), strict=True))


def label_of(name: str, value: Any) -> str:
    """A value of an axis as a legend says it."""
    symbol = {"gamma": "$\\gamma$", "width": "$d_w$", "depth": "$L$", "condition_number": "$\\kappa$", "samples": "$n$",
              "power": "$p$"}  # fmt: skip
    none = "  (no weight decay)" if name == "gamma" and value == 0 else ""
    return f"{symbol.get(name, name.replace('_', ' '))} = {value:g}{none}" if not isinstance(value, str) else value


def bands(
    axes: Any,
    data: Any,
    *,
    x: str,
    colour: str | None = None,
    colours: Mapping[Any, Any] | None = None,
    shade: Any = REFERENCE,
    label: str | Callable[[Any], str] | None = None,
    style: str = "-",
    marker: int = 0,
    broken_at: float | None = None,
    span: tuple[float, float] = (0.0, 1.0),
) -> None:
    """For each value of the axis `colour`: the median of `data` over all but `x`, in a band from least to largest.

    `data` is an xarray.DataArray, `x` one of its coordinates. Against "step" the runs that diverged are left out, and
    step 0 is drawn at 0.5; against anything else, at each point those numbers are that are finite. `label` is text, or
    a function of the value; left out, the values of the axis are named. `marker` is the size of the points, dots
    unless `style` names another marker. The line is broken between the points with x below `broken_at` and the rest.
    `shade` is the colour where `colour` names no axis. `span` are the quantiles between which the band lies.
    """
    shades = {} if colour is None else colours or colours_of(colour, data[colour].values.tolist())
    for value in [None] if colour is None else data[colour].values.tolist():
        one = data if colour is None else data.sel({colour: value})
        at, rows = _rows(one, x)
        named = label(value) if callable(label) else label
        named = label_of(colour, value) if label is None and colour is not None else named
        chosen = (colours or shades).get(value, shade)
        looks = {"colour": chosen, "label": named, "style": style, "marker": marker}
        finite_band(axes, at, rows.T, broken_at=broken_at, span=span, **looks)


def _rows(data: Any, x: str) -> tuple[Any, Any]:
    """The values of the coordinate `x`, and `data` as rows along it."""
    along = data[x].dims[-1]
    rows = data.transpose(..., along).values.reshape(-1, data.sizes[along])
    if x != "step":
        return np.asarray(data[x].values, float), rows
    at = data[x].broadcast_like(data).transpose(..., along).values.reshape(rows.shape).astype(float)
    run = np.isfinite(at).any(axis=1)  # not those that the grid leaves out
    if not run.any():
        return np.empty(0), np.empty((0, 0))
    at, rows = at[run], rows[run]
    if not np.array_equal(at, np.broadcast_to(at[0], at.shape), equal_nan=True):
        raise ArgumentError("runs in one band must have the same steps, got several; give each its own colour")
    there = np.isfinite(at[0])
    rows = rows[:, there]
    return np.maximum(at[0][there], 0.5), rows[np.isfinite(rows).all(axis=1)]


def band(axes: Any, x: Any, rows: Any, *, colour: Any, label: str | None = None, style: str = "-") -> None:
    """The median of `rows` (seeds first) against `x`, with a band from its smallest to its largest value."""
    rows = np.asarray(rows, float)
    axes.plot(x, np.median(rows, axis=0), style, color=colour, label=label)
    axes.fill_between(x, rows.min(axis=0), rows.max(axis=0), color=colour, alpha=0.2, linewidth=0)


def finite_band(
    axes: Any,
    x: Any,
    rows: Any,
    *,
    marker: int = 0,
    broken_at: float | None = None,
    span: tuple[float, float] = (0.0, 1.0),
    **style: Any,
) -> None:
    """`band` of those `rows` (points first, seeds second) that are finite, at the points that have any; see `bands`."""
    rows = np.asarray(rows, float)
    kept = np.isfinite(rows).any(axis=1)
    if kept.any():
        finite = [row[np.isfinite(row)] for row in rows[kept]]
        # three rows whose median and range are those of the seeds, however many each point has
        low, high = span
        at, ends = np.asarray(x, float)[kept], np.array([np.quantile(row, [low, 0.5, high]) for row in finite]).T
        if broken_at is not None:
            cut = np.searchsorted(at, broken_at)
            at, ends = np.insert(at, cut, np.nan), np.insert(ends, cut, np.nan, axis=1)
        band(axes, at, ends, **style)
        if marker:
            line = axes.lines[-1]
            line.set(marker="o" if line.get_marker() == "None" else line.get_marker(), markersize=marker)


def dots(
    axes: Any,
    x: Any,
    y: Any,
    *,
    colour: Any,
    marker: str = "o",
    size: float = 3.5,
    face: str = "none",
    label: str | None = None,
) -> None:
    """An open marker for each run: `y` against `x`, two DataArrays broadcast by name, where both are finite.

    Lines are seen through it, unless `face` is a colour.
    """
    import xarray

    at, values = (each.values.ravel() for each in xarray.broadcast(x, y))
    there = np.isfinite(at) & np.isfinite(values)
    axes.plot(at[there], values[there], linestyle="none", marker=marker, markersize=size, markerfacecolor=face,
              color=colour, label=label)  # fmt: skip


def log_log(axes: Any, xlabel: str, ylabel: str, title: str) -> None:
    """Logarithmic scales and labels; `title` says what the panel shows."""
    axes.set(xscale="log", yscale="log", xlabel=xlabel, ylabel=ylabel)
    axes.set_title(title, loc="left", fontweight="bold")


def ticks_at(axes: Any, values: Any, labels: Sequence[str] | None = None) -> None:
    """Ticks of the x axis at these values alone, labelled by them or by `labels`."""
    axes.set_xticks(values, [f"{value:g}" for value in values] if labels is None else labels)
    axes.set_xticks([], minor=True)


def ticks_with_diverged(axes: Any, diverged: Any, x: str | None = None, words: str = "{} of {}\ndiverged") -> None:
    """Ticks of the x axis at the values of one axis of the grid, each with the number of its seeds that diverged.

    `diverged`, a DataArray of booleans, has that axis and "seed"; `x` is the coordinate that is drawn, where it is not
    the axis itself. `words` take the number that diverged and that of all seeds, and are left out where none did.
    """
    (axis,) = [name for name in diverged.dims if name != "seed"]
    values, lost, seeds = diverged[x or axis].values, diverged.sum("seed").values, diverged.sizes["seed"]
    labels = [f"{v:g}" + (f"\n{words.format(n, seeds)}" if n else "") for v, n in zip(values, lost, strict=True)]
    ticks_at(axes, values, labels)


def plain_ticks(axis: Any) -> None:
    """Ticks of a logarithmic axis at 1, 2, 3 and 5 times powers of ten, written out: for a range of few decades."""
    from matplotlib.ticker import LogLocator, NullFormatter, StrMethodFormatter

    axis.set_major_locator(LogLocator(subs=(1, 2, 3, 5)))
    axis.set_major_formatter(StrMethodFormatter("{x:g}"))
    axis.set_minor_formatter(NullFormatter())


def words_above(axes: Any, x: Any, words: Sequence[str], row: int, colour: Any) -> None:
    """A word above each of the points `x`, below the top of the panel and `row` rows of words."""
    for at, word in zip(np.asarray(x), words, strict=True):
        axes.annotate(word, (at, 0.98 - 0.075 * row), xycoords=("data", "axes fraction"), color=colour, fontsize=7,
                      ha="center", va="top")  # fmt: skip


def explain(axes: Any, meanings: Mapping[str, str], *, loc: str = "upper right", **options: Any) -> None:
    """The legend of a panel, with entries that say what styles mean: lines and open markers by their format.

    "." stands for a filled marker, "" for words alone.
    """
    for style, meaning in meanings.items():
        face, size = ("0.4", 8) if style == "." else ("white", 4)
        axes.plot([], [], style or " ", color="0.4", markersize=size, markerfacecolor=face, label=meaning)
    axes.legend(loc=loc, **options)


def legend(axes: Any, place: str = "best", **options: Any) -> None:
    """The legend of one panel; an empty one, without a warning, where all runs diverged and nothing was drawn."""
    axes.legend(*axes.get_legend_handles_labels(), loc=place, **options)


def shared_legend(figure: Any, panels: Iterable[Any], ncols: int) -> None:
    """One legend below the panels, each label once."""
    entries = [panel.get_legend_handles_labels() for panel in panels]
    handles = {label: handle for pair in entries for handle, label in zip(*pair, strict=True)}
    figure.legend(handles.values(), handles.keys(), loc="outside lower center", ncols=ncols)


@styled
def save(figure: Any, stem: Path) -> dict[Path, str]:
    """The figure as `stem`.png and `stem`.pdf, each written whole or not at all; returns their paths and digests.

    The layout is found once.
    """
    import matplotlib

    digests = {}
    for kind in ("png", "pdf"):
        path = stem.with_name(f"{stem.name}.{kind}")
        digests[path] = write(path, partial(figure.savefig, format=kind))
        with matplotlib.rc_context({"figure.constrained_layout.use": False}):
            figure.set_layout_engine(None)  # "none" leaves an engine, for which all is gone through once more
    return digests
