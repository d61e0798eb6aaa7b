"""`jaxinv bench`: benchmarks, which are experiments whose result is a rate or a time."""

from dataclasses import dataclass
from pathlib import Path

from .run import Options


@dataclass(frozen=True)
class Bench(Options):
    """Run benchmarks: convergence (rate against width and depth), speed (a step against the loops people write)."""

    benchmarks: Path | None = None
    """Folder of your own benchmarks, beside those that jaxinv has."""

    def __call__(self) -> None:
        """Measure, draw, judge; one benchmark after the other, then the page."""
        self.run("bench", "benchmarks", self.benchmarks)
