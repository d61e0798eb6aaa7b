"""What several figures share: the style, bands over seeds, colours for a weight-decay axis, saving."""

from collections.abc import Callable, Sequence
from functools import wraps
from pathlib import Path
from typing import Any

import numpy as np

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


def decay_colours(gammas: Sequence[float]) -> dict[float, Any]:
    """A colour for each gamma: vermilion for none, a sequential colour-blind safe scale for the others."""
    import matplotlib

    scale = matplotlib.colormaps["viridis"]
    positive = sorted(g for g in gammas if g > 0)
    shades = np.linspace(0.75, 0.05, len(positive)) if positive else []
    return {0.0: NO_DECAY, **{g: scale(shade) for g, shade in zip(positive, shades, strict=True)}}


def band(axes: Any, x: Any, rows: Any, *, colour: Any, label: str | None = None, style: str = "-") -> None:
    """The median of `rows` (seeds first) against `x`, with a band from its smallest to its largest value."""
    rows = np.asarray(rows, float)
    axes.plot(x, np.median(rows, axis=0), style, color=colour, label=label)
    axes.fill_between(x, rows.min(axis=0), rows.max(axis=0), color=colour, alpha=0.2, linewidth=0)


def finite_band(axes: Any, x: Any, rows: Any, **style: Any) -> None:
    """`band` of those `rows` (points first, seeds second) that are finite, at the points that have any."""
    kept = np.isfinite(rows).any(axis=1)
    if kept.any():
        finite = [row[np.isfinite(row)] for row in rows[kept]]
        # three rows whose median and range are those of the seeds, however many each point has
        band(axes, x[kept], np.array([[row.min(), np.median(row), row.max()] for row in finite]).T, **style)


def log_log(axes: Any, xlabel: str, ylabel: str, title: str) -> None:
    """Logarithmic scales and labels; `title` says what the panel shows."""
    axes.set(xscale="log", yscale="log", xlabel=xlabel, ylabel=ylabel)
    axes.set_title(title, loc="left", fontweight="bold")


@styled
def save(figure: Any, stem: Path) -> list[Path]:
    """The figure as `stem`.png and `stem`.pdf, each written whole or not at all."""
    paths = []
    for kind in ("png", "pdf"):
        path = stem.with_suffix(f".{kind}")
        aside = path.with_name(path.name + ".part")
        figure.savefig(aside, format=kind)
        aside.replace(path)
        paths.append(path)
    return paths
