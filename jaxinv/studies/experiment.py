"""What an experiment is, and where experiments are found."""

import importlib.util
import inspect
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from ..checks import ArgumentError, fail, nearest, shown
from ..sweeps.digests import file_source
from ..sweeps.grid import Sweep
from ..sweeps.trees import SHIPPED, home
from .timing import Timing
from .verdicts import Verdict

FIG_1A: dict[str, Any] = {
    "signal_dim": 200, "measurement_dim": 100, "subspace_dim": 5, "width": 400, "depth": 5,
}  # fmt: skip
"""The sizes of Fig. 1a of arXiv 2502.15522 [paper]."""

PRESETS = ("quick", "paper")

Grid = Sweep | Timing
Grids = Mapping[str, Grid]


@dataclass(frozen=True)
class Experiment:
    """A claim, the grids that test it, the figure that shows it and the verdicts that decide it.

    `grids(preset)` returns a Sweep (or a Timing), or a dict of named ones. The other functions take its results, a
    `Runs` or a dict of them by the same names: `draw(runs)` returns a matplotlib figure, its docstring is the caption;
    `claims(runs)` returns verdicts; `analyse(runs)`, for what is costly, returns an xarray.Dataset that is kept and
    read like the results (of several grids: a dict of Datasets by their names, each read with its grid, or one, read
    as runs["analysis"]); `table(runs)` returns lines for a terminal. `paper` has the argument values that the paper
    states: an argument equal to it is marked [paper] in captions, every other [ours].
    `name` (the file's), `claim` (the first line of its docstring), `about` (all of the docstring), `file` and `source`
    (a digest of what was read) are filled in by `find`.
    """

    grids: Callable[[str], Any]
    draw: Callable[[Any], Any]
    claims: Callable[[Any], Sequence[Verdict]]
    analyse: Callable[[Any], Any] | None = None
    table: Callable[[Any], Any] | None = None
    paper: Mapping[str, Any] = field(default_factory=dict)
    name: str = ""
    claim: str = ""
    about: str = ""
    file: Path | None = None
    source: str = ""

    def named_grids(self, preset: str) -> dict[str, Grid]:
        """The grids of a preset by name, a single one under ""; ArgumentError where there is no such preset."""
        try:
            made = self.grids(preset)
        except ArgumentError:
            raise
        except Exception as error:
            if isinstance(error, KeyError) and preset not in PRESETS:
                raise ArgumentError(f"unknown preset {preset!r} of {self.name}; {nearest(preset, PRESETS)}") from None
            raise ArgumentError(f"grids of {self.name} must return the grids of {preset!r}, got {one_line(error)}; "
                                "correct it") from error  # fmt: skip
        grids = dict(made) if isinstance(made, Mapping) else {"": made}
        if [*grids] != [""] and not all(str(name).isidentifier() for name in grids or [""]):
            raise fail(f"grids of {self.name}", "a Sweep, a Timing or a dict of them by words", shown([*grids]),
                       "rename them")  # fmt: skip
        for name, grid in grids.items():
            if not isinstance(grid, Sweep | Timing):
                raise ArgumentError(
                    f"grids of {self.name} must return a Sweep, a Timing or a dict of them, got {type(grid).__name__}"
                    f"{f' for {name!r}' if name else ''}; return jaxinv.Sweep(...)"
                )
        return grids

    def line(self) -> str:
        """Name, claim and the size of each preset on one line."""
        sizes = [f"{preset}: {' + '.join(map(size, self.named_grids(preset).values()))}" for preset in PRESETS]
        return f"{self.name}: {self.claim} [{'; '.join(sizes)}]"


def size(grid: Grid) -> str:
    """How much work a grid is, in words."""
    if isinstance(grid, Timing):
        return f"{len(grid.points())} timings"
    cells = grid.cells()
    if grid.method is not None:
        return f"{len(cells)} runs"
    steps = sorted({cell.steps for cell in cells})
    longest = f"{steps[0]:,}" if len(steps) == 1 else f"{steps[0]:,} to {steps[-1]:,}"
    return f"{len(cells)} runs x {longest} steps"


def folders(kind: str, own: Path | None = None) -> list[Path]:
    """Where "experiments" or "benchmarks" are: those that come with this package, in its wheel or its checkout; `own`.

    Raises ArgumentError where `own` is no folder.
    """
    if own is not None and not own.is_dir():
        raise fail(f"--{kind}", "a folder", f"{str(own)!r}, which is none", "pass another, or a file by its name")
    package = Path(__file__).parents[1]
    places = [package / SHIPPED / kind, package.parent / kind]
    return [*[place for place in places if place.is_dir()][:1], *([] if own is None else [own])]


def find(names: Sequence[str], *folders: Path) -> list[Experiment]:
    """The experiments of those names (all of the `folders` for none); a name that ends in .py is a file.

    Raises ArgumentError, with the nearest name, for one that is not there, and for two files of one name.
    """
    known: dict[str, Path] = {}
    twice: dict[str, Path] = {}
    for folder in folders:
        files = [path for path in sorted(folder.glob("*.py")) if not path.name.startswith("_")]
        if not files and not names:
            raise ArgumentError(f"no experiments in {str(folder)!r}; pass another folder, or a file")
        for path in files:
            if not path.samefile(known.setdefault(path.stem, path)):
                twice[path.stem] = path
    chosen: list[Experiment] = []
    for name in dict.fromkeys(names or known):
        if name in twice:
            raise fail("experiments", "of different names", f"{known[name]} and {twice[name]}", "rename a file")
        path = Path(name) if name.endswith(".py") else known.get(name)
        if path is None or not path.is_file():
            kind = "benchmark" if folders and folders[0].name == "benchmarks" else "experiment"
            raise ArgumentError(f"unknown {kind} {name!r}; {nearest(name, known)}")
        if any(path.stem == other.name for other in chosen):
            raise fail("experiments", "of different names", f"{path.stem!r} twice", "rename a file")
        chosen.append(load(path))
    return chosen


def load(path: Path) -> Experiment:
    """The experiment that the file at `path` defines as EXPERIMENT."""
    content = path.read_bytes()
    module = load_module(path)
    source = file_source(path)  # now: by the time it is judged, another may stand there
    if path.read_bytes() != content:
        raise ArgumentError(f"{path} must stay as it is while it is read, got another text meanwhile; start again")
    experiment = getattr(module, "EXPERIMENT", None)
    if not isinstance(experiment, Experiment):
        raise ArgumentError(f"{path} must define EXPERIMENT = jaxinv.Experiment(...), got {shown(experiment)}; "
                            "a file that others import begins with _")  # fmt: skip
    about = inspect.cleandoc(module.__doc__ or "")
    claim = about.partition("\n")[0].rstrip(".")
    if not claim:
        raise ArgumentError(f"{path} must begin with a docstring whose first line is the claim, got none; add one")
    return replace(experiment, name=path.stem, claim=claim, about=about, file=path, source=source)


def load_module(path: Path) -> Any:
    """The Python module at `path`, which can import its neighbours; they are read anew with it."""
    folder = str(path.resolve().parent)
    for name in [name for name in sys.modules if name in _neighbours]:
        del sys.modules[name]
    if folder in sys.path:
        sys.path.remove(folder)
    sys.path.insert(0, folder)
    importlib.invalidate_caches()
    before = {*sys.modules}
    spec = importlib.util.spec_from_file_location(f"jaxinv_file_{path.stem}", path)
    if spec is None or spec.loader is None:
        raise ArgumentError(f"{path} must be a Python module; pass a file that ends in .py")
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module  # so that a sweep can name the builders it defines
    try:
        spec.loader.exec_module(module)
        _neighbours.update(name for name in {*sys.modules} - before if _lies_in(folder, name))
    except Exception as error:
        raise ArgumentError(
            f"{path} must be a module that can be imported, got {one_line(error)}; correct it"
        ) from error
    return module


_neighbours: set[str] = set()
"""Modules that files of experiments imported from their own folders."""


def _lies_in(folder: str, name: str) -> bool:
    """Whether a module was imported from below that folder, and is no library that is installed there."""
    file = getattr(sys.modules[name], "__file__", None)
    return file is not None and Path(folder) in Path(file).parents and not home(name, file)


def one_line(error: Exception) -> str:
    """What was raised, in one line."""
    first = str(error).strip().partition("\n")[0]
    return f"{type(error).__name__}: {first}" if first else type(error).__name__
