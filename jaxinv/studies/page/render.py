"""The page made from what is stored: each claim with its measured number and whether it held, figures and origins.

The page is self-contained (figures inside, no script, nothing fetched); the figures lie beside it as PNG and PDF.
Where an experiment is stored more than once, the one with the most evidence stands for it in the table of claims:
the paper preset before any other, the other presets by name, grids adjusted on the command line last. The rest are
folded away in its section.
"""

import base64
import struct
import warnings
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import Any

from ...checks import ArgumentError
from ...sweeps import store
from ..runner import KINDS, RESULTS
from ..summary import FILE, Summary
from . import typeset


@dataclass(frozen=True)
class Entry:
    """A stored grid of an experiment: its summary, where it lies, and its figure by kind, as it was drawn for it."""

    summary: Summary
    folder: Path
    figure: Mapping[str, bytes]
    first: bool

    @property
    def stem(self) -> str:
        """Name of its figure beside the page."""
        return self.summary.name if self.first else f"{self.summary.name}-{self.folder.name}"


def write_report(out: Path) -> Path:
    """Write `out`/report/index.html, figures beside it, from what is stored in `out`; returns its path.

    Each file is written whole or not at all. Raises ArgumentError where nothing is stored or nothing can be written.
    """
    entries = collect(out)
    if not entries:
        raise ArgumentError(f"no finished experiment in {str(out)!r}; run one first, or pass the --out of the run")
    folder = out / "report"
    store.check_writable(folder)
    for entry in (entry for group in entries for entry in group):
        for kind, content in entry.figure.items():
            store.write_bytes(folder / f"{entry.stem}.{kind}", content)
    store.write_text(folder / "index.html", render(entries))
    return folder / "index.html"


def collect(out: Path) -> list[list[Entry]]:
    """What is stored in `out`, a list for each experiment by name, each in the order the page shows it."""
    groups: dict[str, list[tuple[Summary, Path, dict[str, bytes]]]] = {}
    for path in sorted(out.glob(f"*/*/{FILE}")):
        summary = Summary.read(path.parent)
        figure = {} if summary is None else _figure(summary, path.parent)
        missing = [kind for kind in KINDS if kind not in figure]
        if summary is None or missing:
            lacks = f"lacks the figure that was drawn for it ({', '.join(missing)})"
            reason = "cannot be read, or was changed" if summary is None else lacks
            warnings.warn(f"{path} {reason}, left out of the report; the run that wrote it mends it", stacklevel=2)
            continue
        groups.setdefault(summary.name, []).append((summary, path.parent, figure))
    return [
        [Entry(*stored, first=i == 0) for i, stored in enumerate(sorted(group, key=lambda stored: _rank(stored[0])))]
        for _, group in sorted(groups.items())
    ]


def _figure(summary: Summary, folder: Path) -> dict[str, bytes]:
    """The figure by kind, in those that are there as they were drawn for this summary."""
    found = {}
    for kind in KINDS:
        path = folder / f"{summary.name}.{kind}"
        content = path.read_bytes() if path.is_file() else b""
        if store.bytes_digest(content) == summary.digests.get(path.name):
            found[kind] = content
    return found


def _rank(summary: Summary) -> tuple[bool, bool, str]:
    return summary.adjusted, summary.preset != "paper", summary.preset


def render(groups: Sequence[Sequence[Entry]]) -> str:
    """The page as text."""
    from jinja2 import Environment, StrictUndefined

    template = resources.files("jaxinv.studies.page").joinpath("page.html.jinja").read_text(encoding="utf-8")
    environment = Environment(autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True)
    words = ("number", "duration", "marked", "title", "sentence", "named", "paragraphs")
    environment.filters |= {"preset": preset, **{name: getattr(typeset, name) for name in words}}
    shown = [group[0].summary for group in groups]
    return environment.from_string(template).render(
        groups=groups,
        shown=shown,
        held=sum(summary.held for summary in shown),
        total=sum(len(summary.verdicts) for summary in shown),
        runs=sum(summary.cell_count for summary in shown),
        diverged=sum(summary.diverged for summary in shown),
        environments=_environments(entry.summary for group in groups for entry in group),
        picture=picture,
        data=RESULTS,
        presets=_grouped((preset(summary), summary.name) for summary in shown),
    )


def picture(entry: Entry) -> dict[str, Any]:
    """The figure as a data URI, with the size it is shown at: two of its pixels to one of the page."""
    content = entry.figure["png"]
    width, height = struct.unpack(">II", content[16:24])  # the header of a PNG
    uri = "data:image/png;base64," + base64.b64encode(content).decode()
    return {"uri": uri, "width": round(width / 2), "height": round(height / 2)}


def preset(summary: Summary) -> str:
    """What grid it is."""
    return f"adjusted {summary.preset}" if summary.adjusted else summary.preset


def _environments(summaries: Iterable[Summary]) -> list[tuple[dict[str, str], list[str]]]:
    """Each environment with the experiments that were computed in it."""
    found = _grouped((tuple(s.environment.items()), f"{typeset.title(s.name)} ({preset(s)})") for s in summaries)
    return [(dict(facts), names) for facts, names in found.items()]


def _grouped(pairs: Iterable[tuple[Any, str]]) -> dict[Any, list[str]]:
    """The second of each pair by the first."""
    groups: dict[Any, list[str]] = {}
    for first, second in pairs:
        groups.setdefault(first, []).append(second)
    return groups
