"""`jaxinv run`: experiments, one after the other, then the page."""

import shlex
import time
import warnings
from collections import deque
from collections.abc import Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any

import tyro

from .report import write
from .settings import adjusted

OUT = Path("results")


@dataclass(frozen=True)
class Options:
    """What running experiments and benchmarks has in common."""

    names: Annotated[tuple[str, ...], tyro.conf.Positional] = ()
    """By name, or files that define one; all of them if none is given."""
    preset: str = "quick"
    """Size of the grids: quick (small, for a first look) or paper."""
    seeds: int | None = None
    """Number of seeds in place of the preset's: 0 to SEEDS - 1."""
    set: Annotated[tuple[str, ...], tyro.conf.arg(name="set")] = field(default_factory=tuple)
    """Other arguments in place of the preset's, such as width=100, or gamma=0,0.1 where gamma is an axis."""
    fresh: bool = False
    """Compute anew what is stored."""
    compare: Path | None = None
    """The results.nc of an earlier run of one of them; says what changed since beyond seed noise."""
    out: Path = OUT
    """Folder for results, figures and the page."""

    def run(self, verb: str, kind: str, own: Path | None) -> None:
        """Run those of the `kind` that are shipped and in the folder `own`, which --kind sets; then write the page."""
        from ..checks import ArgumentError
        from ..studies.experiment import find, folders
        from ..studies.runner import Job

        found = find(self.names, *folders(kind, own))
        if self.compare is not None and len(found) > 1:
            raise ArgumentError(f"--compare must go with one name, got {len(found)}; name the one it is a result of")
        jobs = []
        for experiment in found:
            grids = experiment.named_grids(self.preset)
            if self.set or self.seeds is not None:
                grids = adjusted(grids, self.seeds, self.set)
            command = self._command(verb, experiment, [] if own is None else [f"--{kind}", str(own)])
            job = Job(experiment, self.preset, grids, self.out, command, self.fresh, self.compare)
            _ = job.grids_digest  # bad arguments are refused before anything is run
            jobs.append(job)
        _run_all(jobs)
        write(self.out)

    def _command(self, verb: str, experiment: Any, folder: Sequence[str]) -> str:
        """The command that makes one of them, as one would type it."""
        given = experiment.file is not None and any(Path(name) == experiment.file for name in self.names)
        words = ["jaxinv", verb, str(experiment.file) if given else experiment.name, "--preset", self.preset]
        words += [] if self.seeds is None else ["--seeds", str(self.seeds)]
        words += ["--set", *self.set] if self.set else []
        words += ["--out", str(self.out)] if self.out != OUT else []
        return shlex.join([*words, *folder])


@dataclass(frozen=True)
class Run(Options):
    """Run experiments, or resume them: what is finished under --out is not run again. Ends with the page.

    A claim that fails is a result: the exit code is 0.
    """

    experiments: Path | None = None
    """Folder of your own experiments, beside those that jaxinv has."""

    def __call__(self) -> None:
        """Run, draw, judge; one experiment after the other, then the page."""
        self.run("run", "experiments", self.experiments)


def _run_all(jobs: Sequence[Any]) -> None:
    """Run or resume one after the other; what was computed is drawn and judged beside the computing of the next."""
    with ThreadPoolExecutor(max_workers=1) as beside:
        waiting: deque[tuple[Any, Future]] = deque()
        for job in jobs:
            while waiting and (job.timed or waiting[0][1].done()):
                _say(*waiting.popleft())
            waiting.append((job, _begin(job, beside)))
        while waiting:
            _say(*waiting.popleft())


def _begin(job: Any, beside: ThreadPoolExecutor) -> Future:
    """Compute a job, and have the rest of it done beside: a future of its outcome and the seconds it took."""
    from ..studies.runner import Outcome, compute, conclude
    from .progress import Progress

    begun = time.perf_counter()
    with Progress(job.experiment.name) as progress, warnings.catch_warnings():
        warnings.showwarning = lambda message, *_, **__: progress.say(f"jaxinv: {message}")
        computed = compute(job, progress)
    took = time.perf_counter() - begun

    def rest():
        begun = time.perf_counter()
        outcome = computed if isinstance(computed, Outcome) else conclude(computed)
        return outcome, took + time.perf_counter() - begun

    return beside.submit(rest)


def _say(job: Any, rest: Future) -> None:
    """The table of a job, its verdicts where they are new or fail, what changed, and one line."""
    outcome, seconds = rest.result()
    summary = outcome.summary
    if outcome.table:
        print(outcome.table)
    if summary.diverged:
        print(f"  {summary.diverged} of {summary.cell_count} runs diverged; their metrics are NaN from there on")
    for verdict in summary.verdicts:
        if outcome.fresh or not verdict.holds:
            print(f"  {verdict.line()}")
    for line in outcome.comparison:
        print(f"  {line}")
    took = f"{seconds:.0f} s" if outcome.fresh else "unchanged"
    figure = job.folder / f"{summary.name}.png"
    print(f"{summary.name}: {summary.held} of {len(summary.verdicts)} claims held  {figure}  ({took})", flush=True)
