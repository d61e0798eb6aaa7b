"""One experiment from its grid to its figure and verdicts on disk, doing only what is not there yet."""

import hashlib
import json
import platform
import time
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cached_property
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

from . import store
from .checks import ArgumentError
from .experiment import Experiment
from .grid import NUMERICS, Sweep, canonical
from .summary import FILE, Summary, parameters
from .sweep import Progress, run_sweep

if TYPE_CHECKING:
    import xarray

RESULTS = "results.nc"
CLOCK = "clock.json"
KINDS = ("png", "pdf")


@dataclass(frozen=True)
class Job:
    """What to run and where: `sweep` is the grid of `preset`, or one made from it; `command` makes the same again."""

    experiment: Experiment
    preset: str
    sweep: Sweep
    out: Path
    command: str

    @cached_property
    def grid(self) -> str:
        """Digest of all that decides the numbers."""
        return digest_of_grid(self.sweep)

    @cached_property
    def adjusted(self) -> bool:
        """Whether the grid is another than the preset's."""
        return self.grid != digest_of_grid(self.experiment.grid(self.preset))

    @property
    def cells(self) -> Path:
        """Where finished cells are kept, those of adjusted grids too."""
        return self.out / self.experiment.name / self.preset / "cells"

    @property
    def folder(self) -> Path:
        """Where results, figure and summary go."""
        return self.out / self.experiment.name / (f"{self.preset}-adjusted" if self.adjusted else self.preset)


def run(job: Job, progress: Progress) -> tuple[Summary, bool]:
    """The summary of `job`, and whether anything had to be done for it.

    Cells that are stored are not computed again; figure and verdicts are not made again while the grid, the source of
    the experiment and of this package, and the files themselves are what they were.
    """
    source = digest_of_source(job.experiment)
    there = Summary.read(job.folder)
    if there is not None and there.digests == _digests(job, source):
        return there, False
    clock = Clock(job.folder / CLOCK, job.grid, progress)
    results = run_sweep(job.sweep, job.cells, progress=clock)
    progress(len(job.sweep.cells()), len(job.sweep.cells()), "drawing")
    store.check_writable(job.folder)
    (job.folder / FILE).unlink(missing_ok=True)  # it tells of results that are about to be replaced
    store.save_dataset(job.folder / RESULTS, results)
    verdicts = _draw_and_judge(job, results)
    known = there is not None and there.digests.get("grid") == job.grid and not clock.computing
    made_in = there.environment if there is not None and known else environment(results.attrs["devices"])
    summary = _summarise(job, results, verdicts, clock, made_in, _digests(job, source))
    summary.write(job.folder)
    return summary, True


def _summarise(job: Job, results, verdicts, clock: "Clock", made_in, digests: dict[str, str]) -> Summary:
    experiment = job.experiment
    return Summary(
        name=experiment.name,
        claim=experiment.claim,
        source=experiment.source,
        about=experiment.about,
        shows=" ".join((experiment.draw.__doc__ or "").split()),
        preset=job.preset,
        adjusted=job.adjusted,
        command=job.command,
        cells=results.diverged.size,
        diverged=int(results.diverged.sum()),
        seconds=clock.seconds,
        computed=clock.computed,
        date=datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC"),
        verdicts=tuple(verdicts),
        parameters=parameters(experiment, job.sweep, results),
        environment=made_in,
        digests=digests,
    )


def environment(devices: str) -> dict[str, str]:
    """What computes here: versions, devices, the precision of matrix products."""
    packages = {name: version(name) for name in ("jaxinv", "jax", "jaxlib", "numpy", "optax", "equinox", "xarray")}
    return {
        "devices": devices,
        "system": f"{platform.system()} {platform.machine()}",
        "python": platform.python_version(),
        **packages,
        "matrix products": "precision highest",
    }


def digest_of_grid(sweep: Sweep) -> str:
    """A digest of everything that decides the numbers of all its cells, equal for equal grids."""
    axes = [(name, list(values)) for name, values in sweep.axes.items()]
    content = (
        axes, dict(sweep.fixed), sweep.cells()[0].arguments, sweep.steps, sweep.records, sweep.metrics,
        sweep.precision, sweep.reduce, sweep.problem, sweep.network, sweep.descent, NUMERICS,
    )  # fmt: skip
    return _sha(canonical(content).encode())


def digest_of_source(experiment: Experiment) -> str:
    """A digest of the code that a figure and its verdicts can depend on: the experiment's file and this package."""
    files = [*sorted(Path(__file__).parent.glob("*.py")), *([experiment.file] if experiment.file else [])]
    return _sha(b"".join(path.read_bytes() for path in files))


class Clock:
    """A progress callback that keeps in a file, after each batch, how long the computing of a grid took so far.

    `seconds` and `computed` are the time and the number of cells it was spent on, interrupted runs included;
    `computing` says whether any of them was computed now.
    """

    def __init__(self, path: Path, grid: str, progress: Progress):
        self.path, self.grid, self.progress = path, grid, progress
        self.begun = time.perf_counter()
        self.before, self.already = self._read()
        self.seconds, self.computed = self.before, self.already
        self.found: int | None = None
        self.done = 0

    @property
    def computing(self) -> bool:
        """Whether a cell was computed in this run."""
        return self.found is not None and self.done > self.found

    def __call__(self, done: int, total: int, what: str) -> None:
        """Note the time where a batch has finished, then tell of the progress."""
        if self.found is None:
            self.found = self.done = done
            if self.already > done:  # cells are gone, and the time they took with them
                self.before, self.already = self.seconds, self.computed = 0.0, 0
        if done > self.done:
            self.done = done
            self.seconds = self.before + time.perf_counter() - self.begun
            self.computed = self.already + done - self.found
            self._write()
        self.progress(done, total, what)

    def _read(self) -> tuple[float, int]:
        try:
            kept = json.loads(self.path.read_text(encoding="utf-8"))
            return (float(kept["seconds"]), int(kept["computed"])) if kept["grid"] == self.grid else (0.0, 0)
        except (OSError, ValueError, TypeError, KeyError):
            return 0.0, 0

    def _write(self) -> None:
        self.path.parent.mkdir(parents=True, exist_ok=True)
        content = {"grid": self.grid, "seconds": round(self.seconds, 2), "computed": self.computed}
        store.write_text(self.path, json.dumps(content) + "\n")


def _draw_and_judge(job: Job, results: "xarray.Dataset") -> Any:
    """The figure on disk, and the verdicts. An adjusted grid may lack what they compare: then ArgumentError."""
    from . import figures

    name = job.experiment.name
    try:
        figures.save(job.experiment.draw(results), job.folder / name)
        return job.experiment.judge(results)
    except (KeyError, ValueError, IndexError) as error:
        if not job.adjusted:
            raise
        raise ArgumentError(
            f"--set must leave {name} what its figure compares, got a grid without ({error}); "
            f"the results are kept in {job.folder / RESULTS}"
        ) from None


def _digests(job: Job, source: str) -> dict[str, str]:
    """Of the grid, the source and the files as they are now; a missing file has an empty one."""
    files = [RESULTS, *(f"{job.experiment.name}.{kind}" for kind in KINDS)]
    return {"grid": job.grid, "source": source, **{name: _file_digest(job.folder / name) for name in files}}


def _file_digest(path: Path) -> str:
    return _sha(path.read_bytes()) if path.is_file() else ""


def _sha(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()[:32]
