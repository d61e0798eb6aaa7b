"""The command line: parse, call, show progress. Global settings (devices, caches) are made here and nowhere else."""

import ast
import os
import sys
import time
import warnings
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Annotated, Any

import tyro

from .checks import ArgumentError, check_count, check_known

EXPERIMENTS = Path("experiments")
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
    """Run experiments, or resume them: what is finished under --out is not run again. Draws the figures and judges.

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
    out: Path = Path("results")
    """Folder for results and figures."""
    experiments: Path = EXPERIMENTS
    """Folder of experiments."""

    def __call__(self) -> None:
        """Run, draw, judge; one experiment after the other."""
        from .experiment import find

        chosen = find(self.names, self.experiments)
        sweeps = [_adjusted(experiment.grid(self.preset), self.seeds, self.set) for experiment in chosen]
        for experiment, sweep in zip(chosen, sweeps, strict=True):
            _run_one(experiment, self.preset, sweep, self.out)


@dataclass(frozen=True)
class Bench:
    """Run a benchmark: speed (a step against the loops people write)."""

    name: Annotated[str, tyro.conf.Positional]
    """The benchmark, a file of --benchmarks."""
    preset: str = "quick"
    """Size: quick or paper."""
    out: Path = Path("results")
    """Folder for what it writes."""
    benchmarks: Path = Path("benchmarks")
    """Folder of benchmarks."""

    def __call__(self) -> None:
        """Call main(preset, out) of the benchmark's module."""
        from .experiment import load_module

        known = {path.stem: path for path in sorted(self.benchmarks.glob("*.py"))}
        check_known("benchmark", self.name, known)
        load_module(known[self.name]).main(self.preset, self.out)


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
    | Annotated[Bench, tyro.conf.subcommand("bench")]
    | Annotated[Info, tyro.conf.subcommand("info")],
    tyro.conf.OmitSubcommandPrefixes,
]


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line; returns the exit code: 0, 2 for bad input, 130 for an interrupt."""
    command: Any = tyro.cli(Command, prog="jaxinv", args=arguments, description=DESCRIPTION)  # type: ignore[arg-type]
    try:
        _configure()
        command()
    except ArgumentError as error:
        print(f"jaxinv: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("\njaxinv: interrupted; finished cells are kept, the same command goes on from there", file=sys.stderr)
        return 130
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


def _run_one(experiment: Any, preset: str, sweep: Any, out: Path) -> None:
    """Run or resume the sweep, then draw and judge it; grids other than the preset's have a folder of their own."""
    from . import figures, store
    from .sweep import run_sweep

    begun = time.perf_counter()
    cells = out / experiment.name / preset / "cells"
    folder = out / experiment.name / (preset if sweep == experiment.grid(preset) else f"{preset}-adjusted")
    with _Progress(experiment.name) as progress, warnings.catch_warnings():
        warnings.showwarning = lambda message, *_, **__: progress.say(f"jaxinv: {message}")
        results = run_sweep(sweep, cells, progress=progress)
    store.check_writable(folder)
    store.save_dataset(folder / "results.nc", results)
    failed = int(results.diverged.sum())
    if failed:
        print(f"  {failed} of {results.diverged.size} runs diverged; their metrics are NaN from there on")
    try:
        paths = figures.save(experiment.draw(results), folder / experiment.name)
        verdicts = experiment.judge(results)
    except (KeyError, ValueError) as error:
        if sweep == experiment.grid(preset):
            raise
        raise ArgumentError(
            f"--set must leave {experiment.name} what its figure compares, got a grid without ({error}); "
            f"the results are kept in {folder / 'results.nc'}"
        ) from None
    for verdict in verdicts:
        print(f"  {verdict.line()}")
    print(f"  {paths[0]}  ({time.perf_counter() - begun:.0f} s)", flush=True)


class _Progress:
    """A bar on a terminal, plain lines elsewhere: what is running, cells done, time left."""

    def __init__(self, name: str):
        self.name = name
        self.printed = -1
        self.begun = time.perf_counter()
        self.first: int | None = None
        self.bar: Any = None
        self.task: Any = None

    def __enter__(self) -> "_Progress":
        from rich import progress

        if sys.stdout.isatty():
            self.bar = progress.Progress(
                progress.TextColumn(f"{self.name}: {{task.description}}"), progress.BarColumn(),
                progress.MofNCompleteColumn(), progress.TextColumn("cells"), progress.TimeElapsedColumn(),
                progress.TextColumn("left"), progress.TimeRemainingColumn(),
            )  # fmt: skip
            self.bar.start()
            self.task = self.bar.add_task("set-up", total=None)
        return self

    def __exit__(self, *_: object) -> None:
        if self.bar is not None:
            self.bar.stop()

    def __call__(self, done: int, total: int, what: str) -> None:
        """Show that `done` of `total` cells are finished and `what` is going on."""
        self.first = done if self.first is None else self.first
        if self.bar is not None:
            self.bar.update(self.task, completed=done, total=total, description=what)
        elif done != self.printed:
            self.printed = done
            self.say(f"{self.name}: {done} of {total} cells{self._left(done, total)}")

    def say(self, line: str) -> None:
        """Print a line above the bar."""
        (self.bar.console.print if self.bar is not None else lambda text: print(text, flush=True))(line)

    def _left(self, done: int, total: int) -> str:
        here = done - (self.first or 0)
        if here == 0 or done == total:
            return ""
        return f", about {(time.perf_counter() - self.begun) / here * (total - done):.0f} s left"


if __name__ == "__main__":
    sys.exit(main())
