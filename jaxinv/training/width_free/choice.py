"""Which engine is the cheaper: a measured rule of width, depth and rank of the data."""

from collections.abc import Sequence
from typing import Any

from ...measures.records import Recordable
from ..setup import Setup
from .scope import outside

CROSSOVER = 25
"""Measured on two CPU cores, tolerance 1e-4: widths 200, 300, 500 at depth 2, 3, 5 and rank 4 (docs/any_width.md)."""


def choose_engine(name: str, setup: Setup, metrics: Sequence[str | Recordable] | None, reduce: bool = True) -> str:
    """ "dense" or "width_free": the `name`, or for "auto" the cheaper of those that hold for the setup."""
    if name != "auto":
        return name
    return "dense" if outside(setup, tuple(metrics or ()), reduce) else cheaper(setup)


def cheaper(setup: Setup) -> str:
    """ "width_free" from CROSSOVER * depth * rank of the data on: of what seeds, step sizes and decay share.

    Signals meet more directions the more there are of them and the more layers they pass; a dense step costs the width
    squared.
    """
    network: Any = setup.network
    crossover = CROSSOVER * network.depth * setup.problem.measurement_rank
    return "width_free" if network.width >= crossover else "dense"
