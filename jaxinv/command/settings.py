"""Grids with other arguments than the preset's: NAME=VALUE settings, and numbers of seeds."""

import ast
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from ..checks import ArgumentError, check_count, fail, nearest, shown
from ..studies.experiment import Grid, Grids
from ..sweeps.grid import Sweep

MOST_SEEDS = 10**6
"""A grid holds every cell that it has."""


def adjusted(grids: Grids, seeds: int | None, settings: Sequence[str]) -> dict[str, Grid]:
    """The grids with other seeds and arguments, each changed wherever a grid has it; axes stay axes.

    Raises ArgumentError for an argument that no grid has or that is given twice, and for several values where a grid
    has one.
    """
    changes: dict[str, list[Any]] = {}
    for name, values in map(parse, settings):
        if name in changes:
            raise fail("--set", "given once for each argument", f"{name} twice", f"for several values: {name}=V,V")
        changes[name] = values
    if seeds is not None:
        if "seed" in changes:
            raise ArgumentError("--seeds and --set seed exclude each other: both name the seeds; pass one of them")
        if check_count("seeds", seeds) > MOST_SEEDS:
            raise fail("seeds", f"at most {MOST_SEEDS:,}", shown(seeds), "pass fewer, or one with --set seed=K")
        changes["seed"] = list(range(seeds))
    for name in changes:
        if not any(name in _names(grid) for grid in grids.values()):
            known = set().union(*map(_names, grids.values()))
            raise ArgumentError(f"unknown axis or argument {name!r}; {nearest(name, known)}")
    return {name: _changed(grid, changes) for name, grid in grids.items()}


def _names(grid: Grid) -> set[str]:
    return grid.arguments | ({"steps"} if _trains(grid) else set())


def _trains(grid: Grid) -> bool:
    """Whether its cells are training runs, which have steps."""
    return isinstance(grid, Sweep) and grid.method is None


def _changed(grid: Grid, changes: Mapping[str, list[Any]]) -> Grid:
    axes, fixed, others = dict(grid.axes), dict(grid.fixed), {}
    for name, values in changes.items():
        if name not in _names(grid):
            continue
        if name in axes:
            if None in values:
                raise fail(f"--set {name}", "numbers or words, being an axis", "None", "leave it out")
            axes[name] = values
        elif isinstance(fixed.get(name), tuple | list):
            got = ",".join(map(str, values))
            raise fail(f"--set {name}", "left out, being a whole table", got, "edit the experiment's file")
        elif len(values) > 1:
            raise ArgumentError(
                f"--set {name} must be one value, got {len(values)}; only {', '.join(axes)} are axes of this experiment"
            )
        elif name == "steps" and _trains(grid):
            others[name] = check_count(name, values[0])
        else:
            fixed[name] = values[0]
    return replace(grid, axes=axes, fixed=fixed, **others)


def parse(text: str) -> tuple[str, list[Any]]:
    """Name and values of NAME=VALUE or NAME=VALUE,VALUE."""
    name, equals, values = text.partition("=")
    if not (name and equals and values):
        raise ArgumentError(f"--set must be NAME=VALUE or NAME=VALUE,VALUE, got {text!r}; for example width=100")
    return name, [_value(part) for part in values.removeprefix("[").removesuffix("]").split(",")]


def _value(text: str) -> Any:
    try:
        return ast.literal_eval(text.strip())
    except (ValueError, SyntaxError, TypeError):
        return text
