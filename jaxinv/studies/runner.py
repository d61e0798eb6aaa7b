"""One experiment from its grids to its figure and verdicts on disk, doing only what is not there yet."""

import platform
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cached_property, partial
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from ..checks import ArgumentError, fail, shown
from ..sweeps import store
from ..sweeps.digests import digest, package_source
from ..sweeps.grid import Sweep
from ..sweeps.running import Progress, run_sweep
from . import plots
from .analysis import derive, plain, with_derived
from .clock import Clock
from .compare import EXPERIMENT, changes, older_results
from .experiment import Experiment, Grid, Grids
from .results import Runs
from .summary import FILE, Summary, parameters
from .timing import Timing, machine, run_timing
from .verdicts import Verdict

if TYPE_CHECKING:
    import xarray

RESULTS = "results.nc"
TABLE = "table.txt"
KINDS = ("png", "pdf")


@dataclass(frozen=True)
class Job:
    """What to run and where: `grids` are those of `preset`, or made from them; `command` makes the same again.

    `fresh` computes anew what is stored. `compare`, an older results.nc, asks what changed since: then cells that other
    code or another machine left are computed anew too.
    """

    experiment: Experiment
    preset: str
    grids: Grids
    out: Path
    command: str
    fresh: bool = False
    compare: Path | None = None

    @cached_property
    def grids_digest(self) -> str:
        """Digest of all that decides the numbers."""
        return digest_of_grids(self.grids)

    @cached_property
    def adjusted(self) -> bool:
        """Whether the grids are others than the preset's."""
        return self.grids_digest != digest_of_grids(self.experiment.named_grids(self.preset))

    @property
    def timed(self) -> bool:
        """Whether some of its results are times, which want a machine that does nothing else."""
        return any(isinstance(grid, Timing) for grid in self.grids.values())

    @property
    def cell_folder(self) -> Path:
        """Where finished cells are kept, those of adjusted grids too."""
        return self.out / self.experiment.name / self.preset / "cells"

    @property
    def folder(self) -> Path:
        """Where results, figure and summary go: each adjusted grid has a folder of its own."""
        own = f"{self.preset}-adjusted-{self.grids_digest[:8]}"
        return self.out / self.experiment.name / (own if self.adjusted else self.preset)


class Outcome(NamedTuple):
    """The summary of a job, whether anything was done for it, its table, and what changed since an older result."""

    summary: Summary
    fresh: bool
    table: str
    comparison: Sequence[str]


class Computed(NamedTuple):
    """The results of a job, and what is known beside them before its figure and verdicts are made.

    `written` is the digest of the file that has them, `there` the summary that the last run left, `older` the results
    to compare with.
    """

    job: Job
    runs: Mapping[str, Runs]
    clocks: Sequence[Clock]
    made_from: Mapping[str, str]
    written: str
    there: Summary | None
    older: "Mapping[str, xarray.Dataset] | None"


def run(job: Job, progress: Progress) -> Outcome:
    """What `job` found, computed or, where nothing has changed, read."""
    found = compute(job, progress)
    return found if isinstance(found, Outcome) else conclude(found)


def compute(job: Job, progress: Progress) -> Outcome | Computed:
    """The results of `job`, kept on disk; its outcome where nothing has changed since that was written.

    Cells that are stored are not computed again; analysis, figure and verdicts are not made again while the grids, the
    source of the experiment and of this package, and the files themselves are what they were.
    """
    older = None if job.compare is None else older_results(job.compare, job.experiment.name, job.grids)
    made_from, there = _made_from(job), Summary.read(job.folder)
    if older is None and not job.fresh and there is not None and there.digests == made_from | _on_disk(job):
        return Outcome(there, False, _table(job), ())
    clocks, runs = _results_of_grids(job, progress)
    total = sum(clock.total for clock in clocks)
    progress(total, total, "drawing")
    store.check_writable(job.folder)
    (job.folder / FILE).unlink(missing_ok=True)  # it tells of results that are about to be replaced
    return Computed(job, runs, clocks, made_from, _save(job, runs), there, older)


def conclude(computed: Computed) -> Outcome:
    """Analysis, figure, table and verdicts of what was computed, and the summary that says they are there."""
    job, runs, clocks, made_from, written, there, older = computed
    anew = job.fresh or older is not None  # cells that other code left may have been computed again
    derived = _checked(job, lambda: derive(job.experiment, runs, job.grids_digest, job.folder, fresh=anew))
    if derived:
        runs = with_derived(runs, derived)
        written = _save(job, runs)
    verdicts, drawn = _draw_and_judge(job, runs)
    made_in = environment(next(iter(runs.values())).data)
    if there is not None and there.digests.get("grids") == job.grids_digest and not any(c.computing for c in clocks):
        made_in = there.environment
    digests = {**made_from, RESULTS: written, **drawn}
    summary = _summarise(job, runs, verdicts, clocks, made_in, digests)
    summary.write(job.folder)
    changed = () if older is None else tuple(_changes(older, runs, job))
    return Outcome(summary, True, _table(job), changed)


def _results_of_grids(job: Job, progress: Progress) -> tuple[list[Clock], dict[str, Runs]]:
    """The results of every grid, and the clocks that ran."""
    sizes = {name: _size(grid) for name, grid in job.grids.items()}
    clocks, runs, before = [], {}, 0
    made_by = digest([machine(), package_source()])
    for name, grid in job.grids.items():
        shown = partial(_shifted, progress, before, sum(sizes.values()))
        clock = Clock(job.folder / f"clock{name and '-'}{name}.json", grid.digest, shown)
        if isinstance(grid, Timing):
            data = run_timing(grid, job.cell_folder, clock, fresh=job.fresh)
        else:
            data = run_sweep(
                grid, job.cell_folder, progress=clock, fresh=job.fresh, made_by=made_by, own=job.compare is not None
            )
        clocks.append(clock)
        runs[name] = Runs(grid, data)
        before += sizes[name]
    return clocks, runs


def _shifted(progress: Progress, before: int, total: int, done: int, of: int, what: str) -> None:
    progress(before + done, total, what)


def _size(grid: Grid) -> int:
    return len(grid.points() if isinstance(grid, Timing) else grid.cells())


def _checked(job: Job, make: Any) -> Any:
    """What `make` returns. An adjusted grid may lack what the experiment compares: then ArgumentError."""
    try:
        return make()
    except (KeyError, ValueError, IndexError) as error:
        if not job.adjusted:
            raise
        raise ArgumentError(
            f"--set must leave {job.experiment.name} what its figure compares, got a grid without ({error}); "
            f"the results are kept in {job.folder / RESULTS}"
        ) from None


def _draw_and_judge(job: Job, runs: Mapping[str, Runs]) -> tuple[Sequence[Verdict], dict[str, str]]:
    """The verdicts, and the digests of the figure and the table that were written."""
    experiment, read = job.experiment, plain(runs)
    drawn = _checked(job, lambda: plots.styled(experiment.draw)(read))
    if not hasattr(drawn, "savefig"):
        raise fail(f"draw of {experiment.name}", "a function that returns a figure", shown(drawn), "return its figure")
    lines = _listed(job, "table", experiment.table, read, str) if experiment.table is not None else []
    verdicts = _listed(job, "claims", experiment.claims, read, Verdict)
    figure = _checked(job, lambda: plots.save(drawn, job.folder / experiment.name))
    table = store.write_text(job.folder / TABLE, "".join(f"{line}\n" for line in lines))
    return verdicts, {TABLE: table, **{path.name: written for path, written in figure.items()}}


def _listed(job: Job, name: str, function: Any, read: Any, kind: type) -> list[Any]:
    """What a function of the experiment returns, as a list; ArgumentError unless all of it is of this kind."""

    def returned() -> Any:
        made = function(read)
        return list(made) if isinstance(made, Iterable) and not isinstance(made, kind) else made

    found = _checked(job, returned)
    wrong = [entry for entry in found if not isinstance(entry, kind)] if isinstance(found, list) else [found]
    if wrong:
        must = f"a function that returns a list of {kind.__name__}"
        raise fail(f"{name} of {job.experiment.name}", must, shown(wrong[0]), "return a list")
    return found


def _summarise(job: Job, runs: Mapping[str, Runs], verdicts, clocks: Sequence[Clock], made_in, digests) -> Summary:
    experiment = job.experiment
    sweeps = [results.data for results in runs.values() if "diverged" in results]
    return Summary(
        name=experiment.name,
        claim=experiment.claim,
        about=experiment.about,
        shows=" ".join((experiment.draw.__doc__ or "").split()),
        preset=job.preset,
        adjusted=job.adjusted,
        command=job.command,
        cell_count=sum(_size(grid) for grid in job.grids.values() if isinstance(grid, Sweep)),
        timings=sum(_size(grid) for grid in job.grids.values() if isinstance(grid, Timing)),
        diverged=sum(int(data.diverged.sum()) for data in sweeps),
        seconds=sum(clock.seconds for clock in clocks),
        computed=sum(
            clock.computed for clock, grid in zip(clocks, job.grids.values(), strict=True) if isinstance(grid, Sweep)
        ),
        date=datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC"),
        verdicts=tuple(verdicts),
        parameters=parameters(experiment.paper, {name: runs[name] for name in job.grids}),
        environment=made_in,
        digests=digests,
    )


def environment(data: "xarray.Dataset") -> dict[str, str]:
    """What computed these results here: versions, devices, the precision of matrix products."""
    packages = {name: version(name) for name in ("jaxinv", "jax", "jaxlib", "numpy", "optax", "equinox", "xarray")}
    return {
        "devices": str(data.attrs["devices"]),
        "system": f"{platform.system()} {platform.machine()}",
        "python": platform.python_version(),
        **packages,
        "matrix products": "precision highest",
    }


def digest_of_grids(grids: Grids) -> str:
    """A digest of everything that decides the numbers of all cells, equal for equal grids."""
    return digest({name: grid.digest for name, grid in grids.items()})


def digest_of_source(experiment: Experiment) -> str:
    """A digest of what a figure and its verdicts depend on: the experiment's file and words, the package."""
    assert experiment.source, "an experiment that was found has a source"
    words = experiment.about, experiment.draw.__doc__
    return digest([experiment.source, words, package_source()])


def _changes(old: "Mapping[str, xarray.Dataset]", runs: Mapping[str, Runs], job: Job) -> Iterator[str]:
    """What changed since the older results, in words."""
    found, tests = changes(old, {name: results.data for name, results in runs.items()})
    made = next(iter(old.values())).attrs
    yield f"compared with {job.compare} ({made.get('devices')}, jax {made.get('jax')}):"
    yield from (change.line() for change in found)
    if not found:
        nothing = f"nothing changed beyond seed noise in {tests} comparisons"
        yield nothing if tests else "no point of the grid in common"


def _table(job: Job) -> str:
    path = job.folder / TABLE
    return path.read_text(encoding="utf-8") if path.is_file() else ""


def _save(job: Job, runs: Mapping[str, Runs]) -> str:
    named = {name: results.data.assign_attrs({EXPERIMENT: job.experiment.name}) for name, results in runs.items()}
    return store.save_datasets(job.folder / RESULTS, named)


def _made_from(job: Job) -> dict[str, str]:
    """Digests of all that decides the results, the figure and the verdicts."""
    here = digest(machine()) if job.timed else ""
    return {"grids": job.grids_digest, "source": digest_of_source(job.experiment), "machine": here}


def _on_disk(job: Job) -> dict[str, str]:
    """Digests of the files as they are now; a missing file has an empty one.

    A summary has those of the files that its run wrote: another run may have written others since.
    """
    files = [RESULTS, TABLE, *(f"{job.experiment.name}.{kind}" for kind in KINDS)]
    return {name: store.file_digest(job.folder / name) for name in files}
