"""What an experiment is, and where experiments are found."""

import importlib.util
import inspect
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .checks import ArgumentError, check_known, nearest
from .grid import Sweep

if TYPE_CHECKING:
    import xarray


@dataclass(frozen=True)
class Verdict:
    """One claim against one measured number: `holds` says whether `measured` keeps to `bound`.

    `bound` is words that name the limit and where it comes from, such as "below 1e-6 (issue of the paper's phase 3)".
    """

    claim: str
    measured: float
    bound: str
    holds: bool

    def line(self) -> str:
        """The verdict on one line of a terminal."""
        return f"{'holds' if self.holds else 'FAILS'}  {self.claim}: {self.measured:.4g}, bound {self.bound}"


@dataclass(frozen=True)
class Experiment:
    """A claim, the grids that test it, the figure that shows it and the judge that decides it.

    `draw(results)` returns a matplotlib figure; `judge(results)` returns verdicts. `source` says what of the setting
    is the paper's and what is ours. `paper` has the argument values that the paper states: a parameter equal to it is
    marked [paper] in captions, every other [ours]. `file` and `about`, its docstring, are filled in by `find`.
    """

    name: str
    claim: str
    source: str
    grids: Mapping[str, Sweep]
    draw: Callable[["xarray.Dataset"], Any]
    judge: Callable[["xarray.Dataset"], Sequence[Verdict]]
    paper: Mapping[str, Any] = field(default_factory=dict)
    file: Path | None = None
    about: str = ""

    def grid(self, preset: str) -> Sweep:
        """The sweep of a preset; ArgumentError with the nearest name where there is none."""
        check_known(f"preset of {self.name}", preset, self.grids)
        return self.grids[preset]

    def line(self) -> str:
        """Name, claim and the size of each preset on one line."""
        return f"{self.name}: {self.claim} [{'; '.join(f'{p}: {size(g)}' for p, g in self.grids.items())}]"


def size(sweep: Sweep) -> str:
    """How much work a sweep is, in words."""
    return f"{len(sweep.cells())} runs x {sweep.steps:,} steps"


def find(names: Sequence[str], folder: Path) -> list[Experiment]:
    """The experiments of those names (all of `folder` for none); a name that ends in .py is a file.

    Raises ArgumentError, with the nearest name, for one that is not there.
    """
    files = sorted(path for path in folder.glob("*.py") if not path.name.startswith("_")) if folder.is_dir() else []
    known = {path.stem: path for path in files}
    if not names and not known:
        raise ArgumentError(
            f"no experiments in {str(folder)!r}; run from the project's root, or pass --experiments DIR or a file"
        )
    chosen = []
    for name in dict.fromkeys(names or known):
        path = Path(name) if name.endswith(".py") else known.get(name)
        if path is None or not path.is_file():
            raise ArgumentError(f"unknown experiment {name!r}; {nearest(name, known)}")
        chosen.append(_load(path))
    return chosen


def load_module(path: Path) -> Any:
    """The Python module at `path`."""
    spec = importlib.util.spec_from_file_location(f"jaxinv_file_{path.stem}", path)
    if spec is None or spec.loader is None:
        raise ArgumentError(f"{path} must be a Python module; pass a file that ends in .py")
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module  # so that a sweep can name the builders it defines
    spec.loader.exec_module(module)
    return module


def _load(path: Path) -> Experiment:
    module = load_module(path)
    experiment = getattr(module, "EXPERIMENT", None)
    if not isinstance(experiment, Experiment):
        raise ArgumentError(f"{path} must define EXPERIMENT = jaxinv.Experiment(...), got {experiment!r}")
    return replace(experiment, file=path, about=inspect.cleandoc(module.__doc__ or ""))
