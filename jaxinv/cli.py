"""The command line: parse, call, show progress. Global settings (devices, caches) are made here and nowhere else."""

import ast
import inspect
import os
import shlex
import sys
import time
import warnings
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Annotated, Any

import tyro

from .checks import ArgumentError, check_count, check_known
from .interrupt import note

EXPERIMENTS = Path("experiments")
OUT = Path("results")
DESCRIPTION = "Batched experiments on deep linear networks that solve inverse problems."


@dataclass(frozen=True)
class List:
    """Name, claim and size of every experiment, one line each."""

    experiments: Path = EXPERIMENTS
    """Folder of experiments."""

    def __call__(self) -> None:
        """Print the list."""
        from .experiment import find

        for experiment in find((), self.experiments):
            print(experiment.line())


@dataclass(frozen=True)
class Run:
    """Run experiments, or resume them: what is finished under --out is not run again. Ends with the report.

    A claim that fails is a result: the exit code is 0.
    """

    names: Annotated[tuple[str, ...], tyro.conf.Positional] = ()
    """Experiments by name, or files that define one; all of them if none is given."""
    preset: str = "quick"
    """Size of the grids: quick (small, for a first look) or paper."""
    seeds: int | None = None
    """Number of seeds in place of the preset's: 0 to SEEDS - 1."""
    set: Annotated[tuple[str, ...], tyro.conf.arg(name="set")] = field(default_factory=tuple)
    """Other arguments in place of the preset's, such as width=100, or gamma=0,0.1 where gamma is an axis."""
    out: Path = OUT
    """Folder for results, figures and the report."""
    experiments: Path = EXPERIMENTS
    """Folder of experiments."""

    def __call__(self) -> None:
        """Run, draw, judge; one experiment after the other, then the report."""
        from .experiment import find
        from .runner import Job

        jobs = []
        for experiment in find(self.names, self.experiments):
            sweep = _adjusted(experiment.grid(self.preset), self.seeds, self.set)
            job = Job(experiment, self.preset, sweep, self.out, self._command(experiment))
            _ = job.grid  # arguments that cannot be are refused before anything is run
            jobs.append(job)
        for job in jobs:
            _run_one(job)
        _report(self.out)

    def _command(self, experiment: Any) -> str:
        """The command that makes one experiment, as one would type it."""
        given = experiment.file is not None and any(Path(name) == experiment.file for name in self.names)
        words = ["jaxinv", "run", str(experiment.file) if given else experiment.name, "--preset", self.preset]
        words += [] if self.seeds is None else ["--seeds", str(self.seeds)]
        words += ["--set", *self.set] if self.set else []
        words += ["--out", str(self.out)] if self.out != OUT else []
        return shlex.join(words + (["--experiments", str(self.experiments)] if self.experiments != EXPERIMENTS else []))


@dataclass(frozen=True)
class Report:
    """Write the report again from what is stored: one page with each claim, its figure and whether it held."""

    out: Path = OUT
    """Folder of results."""

    def __call__(self) -> None:
        """Write it and print where."""
        _report(self.out)


@dataclass(frozen=True)
class Bench:
    """Run a benchmark: convergence (rate against width and depth), speed (a step against the loops people write)."""

    name: Annotated[str, tyro.conf.Positional]
    """The benchmark, a file of --benchmarks."""
    preset: str = "quick"
    """Size: quick or paper."""
    set: Annotated[tuple[str, ...], tyro.conf.arg(name="set")] = field(default_factory=tuple)
    """Convergence: other values in place of the preset's, such as width=50,100 seeds=8 measurement_dim=30."""
    compare: Path | None = None
    """Convergence: the results.nc of an earlier run; says what changed since beyond seed noise."""
    out: Path = OUT
    """Folder for what it writes."""
    benchmarks: Path = Path("benchmarks")
    """Folder of benchmarks."""

    def __call__(self) -> None:
        """Call main(preset, out, ...) of the benchmark's module, with those options that are given."""
        from .experiment import load_module

        known = {path.stem: path for path in sorted(self.benchmarks.glob("*.py"))}
        check_known("benchmark", self.name, known)
        benchmark = load_module(known[self.name]).main
        options: dict[str, Any] = {}
        if self.set:
            options["settings"] = dict(_parse(text) for text in self.set)
        if self.compare is not None:
            options["compare"] = self.compare
        for name in options:
            if name not in inspect.signature(benchmark).parameters:
                flag = {"settings": "--set"}.get(name, f"--{name}")
                raise ArgumentError(f"{flag} must be left out: benchmark {self.name} does not take it")
        benchmark(self.preset, self.out, **options)


@dataclass(frozen=True)
class Info:
    """Versions, devices, precision and where things are kept."""

    def __call__(self) -> None:
        """Print one line a fact."""
        from importlib.metadata import version

        import jax

        for name in ("jaxinv", "jax", "jaxlib", "optax", "equinox", "numpy", "xarray"):
            print(f"{name} {version(name)}")
        print(f"python {sys.version.split()[0]}")
        print(f"devices {', '.join(f'{d.id}: {d.device_kind}' for d in jax.local_devices())}")
        print(f"compilation cache {cache_folder()}")
        print('precision "auto": float64 where 0 < step_size * weight_decay < 1e-6, float32 otherwise; matmul highest')


Command = Annotated[
    Annotated[List, tyro.conf.subcommand("list")]
    | Annotated[Run, tyro.conf.subcommand("run")]
    | Annotated[Report, tyro.conf.subcommand("report")]
    | Annotated[Bench, tyro.conf.subcommand("bench")]
    | Annotated[Info, tyro.conf.subcommand("info")],
    tyro.conf.OmitSubcommandPrefixes,
]


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line; returns the exit code: 0, or 2 for bad input."""
    command: Any = tyro.cli(Command, prog="jaxinv", args=arguments, description=DESCRIPTION)  # type: ignore[arg-type]
    try:
        _configure()
        command()
    except ArgumentError as error:
        print(f"jaxinv: {error}", file=sys.stderr)
        return 2
    return 0


def _configure() -> None:
    """One host device a core, so that replicas run beside each other on a CPU; compiled programs kept for next time.

    Before JAX looks for devices.
    """
    import jax

    jax.config.update("jax_compilation_cache_dir", str(cache_folder()))
    jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.1)
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    jax.config.update("jax_num_cpu_devices", cores)


def cache_folder() -> Path:
    """Where compiled programs are kept: the user's cache folder, or JAX_COMPILATION_CACHE_DIR."""
    home = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    return Path(os.environ.get("JAX_COMPILATION_CACHE_DIR") or home / "jaxinv" / "xla")


def _adjusted(sweep: Any, seeds: int | None, settings: Sequence[str]) -> Any:
    """The sweep with other seeds and arguments; the axes stay those of the preset, which its figure is made for."""
    axes, fixed = dict(sweep.axes), dict(sweep.fixed)
    changes = dict(_parse(text) for text in settings)
    if seeds is not None:
        changes["seed"] = list(range(check_count("seeds", seeds)))
    for name, values in changes.items():
        if name in axes:
            axes[name] = values
        elif len(values) > 1:
            raise ArgumentError(
                f"--set {name} must be one value, got {len(values)}; only {', '.join(axes)} are axes of this experiment"
            )
        else:
            fixed[name] = values[0]
    return replace(sweep, axes=axes, fixed=fixed)


def _parse(text: str) -> tuple[str, list[Any]]:
    name, equals, values = text.partition("=")
    if not (name and equals and values):
        raise ArgumentError(f"--set must be NAME=VALUE or NAME=VALUE,VALUE, got {text!r}; for example width=100")
    return name, [_value(part) for part in values.removeprefix("[").removesuffix("]").split(",")]


def _value(text: str) -> Any:
    try:
        return ast.literal_eval(text.strip())
    except (ValueError, SyntaxError):
        return text


def _run_one(job: Any) -> None:
    """Run or resume one experiment; its verdicts where they are new, and one line."""
    from .progress import Progress
    from .runner import run

    begun = time.perf_counter()
    with Progress(job.experiment.name, job.cells) as progress, warnings.catch_warnings():
        warnings.showwarning = lambda message, *_, **__: progress.say(f"jaxinv: {message}")
        summary, fresh = run(job, progress)
    if summary.diverged:
        print(f"  {summary.diverged} of {summary.cells} runs diverged; their metrics are NaN from there on")
    for verdict in summary.verdicts:
        if fresh or not verdict.holds:
            print(f"  {verdict.line()}")
    took = f"{time.perf_counter() - begun:.0f} s" if fresh else "unchanged"
    figure = job.folder / f"{summary.name}.png"
    print(f"{summary.name}: {summary.held} of {len(summary.verdicts)} claims held  {figure}  ({took})", flush=True)


def _report(out: Path) -> None:
    """Write the report and say where."""
    from .report import write_report

    note("all results are kept", out / "report")
    with warnings.catch_warnings():
        warnings.showwarning = lambda message, *_, **__: print(f"jaxinv: {message}", file=sys.stderr)
        print(f"report: {write_report(out)}", flush=True)


if __name__ == "__main__":
    sys.exit(main())
