"""Which engine is the cheaper: a rule of width, depth, rank and steps, measured by benchmarks/."""

from collections.abc import Sequence
from typing import Any

from ...measures.records import Recordable
from ..setup import Setup
from .scope import outside


def choose_engine(name: str, setup: Setup, metrics: Sequence[str | Recordable] | None, reduce: bool = True) -> str:
    """ "dense" or "width_free": the `name`, or for "auto" the cheaper of those that hold for the setup."""
    if name != "auto":
        return name
    return "dense" if outside(setup, tuple(metrics or ()), reduce) else cheaper(setup)


def cheaper(setup: Setup) -> str:
    """By the measured crossover: see docs/any_width.md."""
    network: Any = setup.network
    return "width_free" if network.width >= 100 * setup.problem.measurement_rank else "dense"
