"""What is kept beside the results of an experiment: its verdicts, parameters and origin, all that a report needs."""

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from ..arrays import plain_values
from ..sweeps.digests import canonical
from ..sweeps.store import write_text
from ..sweeps.trees import sha
from .results import Runs
from .timing import Timing
from .verdicts import Verdict

FILE = "summary.json"
FORMAT = 3


@dataclass(frozen=True)
class Parameter:
    """An argument of the runs, in words: its values that the paper states, and those that are ours."""

    name: str
    paper: tuple[str, ...]
    ours: tuple[str, ...]


@dataclass(frozen=True)
class Summary:
    """An experiment that has run, been drawn and judged.

    `shows` says what the figure shows, `command` makes all of it again. `timings` counts what was timed beside the
    cells. `seconds` is the time that computing took, over all the runs of the command that it needed, for `computed` of
    the `cell_count` cells; another grid had computed the others. `digests` tell whether anything has changed since: of
    the grids, of the source, and of each file that was written.
    """

    name: str
    claim: str
    about: str
    shows: str
    preset: str
    adjusted: bool
    command: str
    cell_count: int
    timings: int
    diverged: int
    seconds: float
    computed: int
    date: str
    verdicts: tuple[Verdict, ...]
    parameters: tuple[Parameter, ...]
    environment: Mapping[str, str]
    digests: Mapping[str, str]

    @property
    def held(self) -> int:
        """How many of the claims hold."""
        return sum(verdict.holds for verdict in self.verdicts)

    def write(self, folder: Path) -> None:
        """Into `folder`, whole or not at all, with a digest of its own.

        Numbers that are not finite are written as text: JSON has none.
        """
        content: dict[str, Any] = {"format": FORMAT, **asdict(self)}
        for verdict in content["verdicts"]:
            number = float(verdict["measured"])
            verdict |= {"measured": number if math.isfinite(number) else str(number), "holds": bool(verdict["holds"])}
        write_text(folder / FILE, _json({**content, "digest": sha(_json(content))}) + "\n")

    @classmethod
    def read(cls, folder: Path) -> "Summary | None":
        """The summary in `folder`; None where there is none that can be read, or not as it was written."""
        try:
            content = json.loads((folder / FILE).read_text(encoding="utf-8"))
            if content.pop("digest") != sha(_json(content)) or content.pop("format") != FORMAT:
                return None
            verdicts = tuple(Verdict(**{**v, "measured": float(v["measured"])}) for v in content.pop("verdicts"))
            parameters = tuple(
                Parameter(p["name"], tuple(p["paper"]), tuple(p["ours"])) for p in content.pop("parameters")
            )
            return cls(**content, verdicts=verdicts, parameters=parameters)
        except (OSError, ValueError, TypeError, KeyError, AttributeError):
            return None


def _json(content: Mapping[str, Any]) -> str:
    return json.dumps(content, indent=1, ensure_ascii=False, allow_nan=False)


def parameters(paper: Mapping[str, Any], grids: Mapping[str, Runs]) -> tuple[Parameter, ...]:
    """Every argument of every run, defaults included; each value marked by whether the paper states it.

    An argument left to its builder (None) is shown by the values in the results where they have it, else not at all.
    """
    taken: dict[str, list[Any]] = {}
    for runs in grids.values():
        for name, values in _taken(runs).items():
            known = taken.setdefault(name, [])
            known += [value for value in plain_values(values) if canonical(value) not in map(canonical, known)]
            if len(grids) > 1 and all(isinstance(value, int | float) for value in known):
                known.sort()
    shown = []
    for name, values in taken.items():
        known = [value for value in values if value is not None]
        found = [runs[name].values.ravel() for runs in grids.values() if name in runs]
        if known:
            shown.append(_marked(name, known, paper))
        elif found:
            shown.append(Parameter(name, (), (_span(np.concatenate(found).tolist()),)))
    return tuple(shown)


def _taken(runs: Runs) -> dict[str, Sequence[Any]]:
    """The values that each argument takes in one grid."""
    grid = runs.grid
    if isinstance(grid, Timing):
        return {**grid.axes, **{name: [value] for name, value in grid.fixed.items()}}
    cells = grid.cells()
    taken = {n: grid.axes.get(n, [v]) for a in cells[0].arguments.values() for n, v in a.items()}
    taken["seed"] = grid.axes.get("seed", [grid.fixed.get("seed", 0)])
    if grid.method is not None:
        return taken
    taken["steps"] = sorted({cell.steps for cell in cells})
    taken["records"] = sorted({len(cell.record_steps) for cell in cells})
    bits = runs["precision_bits"].values.ravel()
    taken["precision"] = sorted({f"float{bit:.0f}" for bit in bits if not np.isnan(bit)})
    return taken


def _marked(name: str, values: Sequence[Any], paper: Mapping[str, Any]) -> Parameter:
    stated = paper.get(name, ())
    stated = stated if isinstance(stated, Sequence) and not isinstance(stated, str) else (stated,)
    theirs = {canonical(value) for value in stated}
    read = [value for value in values if canonical(value) in theirs]
    return Parameter(name, _texts(read), _texts([value for value in values if canonical(value) not in theirs]))


def _texts(values: Sequence[Any]) -> tuple[str, ...]:
    """Values in words: a run of whole numbers and a long list of numbers by their ends."""
    numbers = [value for value in values if isinstance(value, int | float) and not isinstance(value, bool)]
    if len(numbers) == len(values) > 3:
        if all(isinstance(v, int) and v == values[0] + i for i, v in enumerate(values)):
            return (f"{values[0]} to {values[-1]}",)
        if len(values) > 12:
            return (f"{len(values)} values from {_text(min(numbers))} to {_text(max(numbers))}",)
    return tuple(_text(value) for value in values)


def _span(values: Sequence[float]) -> str:
    """Smallest to largest of the finite numbers."""
    finite = [value for value in values if math.isfinite(value)] or [math.nan]
    low, high = _text(min(finite)), _text(max(finite))
    return low if low == high else f"{low} to {high}"


def _text(value: Any) -> str:
    if isinstance(value, int) and not isinstance(value, bool):
        return f"{value:,}"
    if isinstance(value, float):
        return f"{value:.3g}"
    if isinstance(value, str | bool):
        return str(value)
    if callable(value):
        return getattr(value, "__name__", type(value).__name__)
    if np.ndim(value):
        return f"array {' × '.join(map(str, np.shape(value)))}"
    return str(value)
