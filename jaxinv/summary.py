"""What is kept beside the results of an experiment: its verdicts, parameters and origin, all that a report needs."""

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .experiment import Experiment, Verdict
from .grid import Sweep, canonical, plain_values
from .store import write_text

if TYPE_CHECKING:
    import xarray

FILE = "summary.json"
FORMAT = 1


@dataclass(frozen=True)
class Parameter:
    """An argument of the runs, in words: its values that the paper states, and those that are ours."""

    name: str
    paper: tuple[str, ...]
    ours: tuple[str, ...]


@dataclass(frozen=True)
class Summary:
    """An experiment that has run, been drawn and judged.

    `shows` says what the figure shows, `command` makes all of it again. `seconds` is the time that computing took, over
    all the runs of the command that it needed, for `computed` of its `cells`; what is missing to `cells` another grid
    had computed. `digests` tell whether anything has changed since: of the grid, of the source, and of each file.
    """

    name: str
    claim: str
    source: str
    about: str
    shows: str
    preset: str
    adjusted: bool
    command: str
    cells: int
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
        """Into `folder`, whole or not at all. Numbers that are not finite are written as text: JSON has none."""
        content: dict[str, Any] = {"format": FORMAT, **asdict(self)}
        for verdict in content["verdicts"]:
            number = float(verdict["measured"])
            verdict |= {"measured": number if math.isfinite(number) else str(number), "holds": bool(verdict["holds"])}
        write_text(folder / FILE, json.dumps(content, indent=1, ensure_ascii=False, allow_nan=False) + "\n")

    @classmethod
    def read(cls, folder: Path) -> "Summary | None":
        """The summary in `folder`; None where there is none that can be read."""
        try:
            content = json.loads((folder / FILE).read_text(encoding="utf-8"))
            if content.pop("format") != FORMAT:
                return None
            verdicts = tuple(Verdict(**{**v, "measured": float(v["measured"])}) for v in content.pop("verdicts"))
            parameters = tuple(
                Parameter(p["name"], tuple(p["paper"]), tuple(p["ours"])) for p in content.pop("parameters")
            )
            return cls(**content, verdicts=verdicts, parameters=parameters)
        except (OSError, ValueError, TypeError, KeyError, AttributeError):
            return None


def parameters(experiment: Experiment, sweep: Sweep, results: "xarray.Dataset") -> tuple[Parameter, ...]:
    """Every argument of every run, defaults included; each value marked by whether the paper states it.

    An argument left to its builder (None) is shown by the values in the results where they have it, else not at all.
    """
    taken: dict[str, Sequence[Any]] = {}
    for arguments in sweep.cells()[0].arguments.values():
        taken |= {name: sweep.axes.get(name, [value]) for name, value in arguments.items()}
    taken["seed"] = sweep.axes.get("seed", [sweep.fixed.get("seed", 0)])
    taken |= {"steps": [sweep.steps], "records": [results.sizes["record"]]}
    taken["precision"] = sorted({f"float{bits}" for bits in results.precision_bits.values.flat})
    shown = []
    for name, values in taken.items():
        known = [value for value in plain_values(values) if value is not None]
        if known:
            shown.append(_marked(name, known, experiment.paper))
        elif name in results:
            shown.append(Parameter(name, (), (_span(results[name].values.ravel().tolist()),)))
    return tuple(shown)


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
    plain = json.loads(canonical(value))
    if isinstance(plain, dict) and "shape" in plain:
        return f"array {' × '.join(map(str, plain['shape']))}"
    name = plain.get("name", "partial") if isinstance(plain, dict) else plain
    return name.rpartition(".")[2] if isinstance(name, str) else ", ".join(map(str, name))
