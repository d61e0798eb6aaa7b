"""Judges under divergence: what the test of each experiment asks of its verdicts."""

import re
from collections.abc import Collection
from unittest.mock import patch

import numpy as np

import jaxinv as ji
from jaxinv.studies.analysis import ALONE, plain, with_derived

WORST, MIDDLE = "largest|least|farthest|every|worst|share of|runs that", "median|half of the seeds|over problems"
"""Words of claims that fail where one seed diverged, and of those that need not."""


def assert_divergence_helps_no_claim(
    experiment, runs, chosen: Collection[int] = (), standing: Collection[int] = ()
) -> None:
    """No claim that failed holds because runs diverged; none about the worst run holds where a seed did.

    `runs` are healthy results. They are damaged at random: all cells, one, or all at a value of an axis; then one cell,
    all at that value, or all of the grid diverge. `chosen`: claims that by their words compare from the narrowest width
    that trains, which is another where most of its seeds diverge. `standing`: claims about problems or the start.
    """
    rng, failed = np.random.default_rng(0), set()
    healthy = recorded(experiment, runs if isinstance(runs, dict) else {"": runs})
    grids = [name for name, run in healthy.items() if "diverged" in run or is_plain(run)]
    whole = {name: {} for name in grids}
    with patch.object(ji.Runs, "build", once(ji.Runs.build)):
        first = judged(experiment, healthy)
        for trial in range(21):
            cell = {name: any_cell(healthy[name], rng) for name in grids}
            axis = rng.integers(12)
            row = {name: dict([list(at.items())[axis % len(at)]]) for name, at in cell.items()}
            size = (0.5, 2, 8)[trial // 3 % 3] if trial else 0
            bad = damaged(healthy, (whole, cell, row)[trial % 3], size, rng)
            before = judged(experiment, bad)
            failed |= {i for i, verdict in enumerate(before) if not verdict.holds}
            for where in (cell, row):
                after = judged(experiment, diverged(bad, where, rng))
                for i, (then, now) in enumerate(zip(before, after, strict=True)):
                    moved = i in chosen and where is row
                    assert then.holds or not now.holds or moved, f"{i}, {where}: {then.line()}; {now.line()}"
        one_seed = {name: {"seed": healthy[name]["seed"].values[-1]} for name in grids}
        for verdict in judged(experiment, diverged(healthy, one_seed, rng)):
            about_all = re.search(WORST, verdict.claim) and not re.search(MIDDLE, verdict.claim)
            assert not (about_all and verdict.holds), verdict.line()
        nothing = judged(experiment, diverged(healthy, whole, rng))
    assert {i for i, verdict in enumerate(nothing) if verdict.holds} <= set(standing)
    counted = {i for i, verdict in enumerate(first) if "diverge" in verdict.claim and verdict.measured == 0}
    shown = failed | counted | set(standing)
    assert shown == set(range(len(first))), f"claims {set(range(len(first))) - shown} never failed: nothing is shown"


def recorded(experiment, runs):
    """The results by grid, without what was derived from them."""
    derived = analysed(experiment, runs)
    return {
        name: ji.Runs(run.grid, run.data.drop_vars(set(derived.get(name, ())), errors="ignore"))
        for name, run in runs.items()
    }


def analysed(experiment, runs):
    """What the experiment derives from the results, by grid."""
    made = {} if experiment.analyse is None else experiment.analyse(plain(runs))
    return made if isinstance(made, dict) else {"" if set(runs) == {""} else ALONE: made}


def judged(experiment, runs):
    """The verdicts on recorded results."""
    return experiment.claims(plain(with_derived(runs, analysed(experiment, runs))))


def once(build):
    """`build` that makes each setup once: what is recorded changes none."""
    made = {}

    def find(runs, **selection):
        key = id(runs.grid), *((name, np.asarray(value).item()) for name, value in sorted(selection.items()))
        if key not in made:
            made[key] = build(runs, **selection)
        return made[key]

    return find


def is_plain(run):
    """Whether the results are those of a method of one's own that says nothing of divergence: NaN is failure there."""
    return getattr(run.grid, "method", None) is not None and "diverged" not in run


def any_cell(run, rng):
    """A cell that was run: its value of each axis."""
    data = run.data
    if is_plain(run):
        return {axis: rng.choice(data[axis].values) for axis in run.grid.axes}
    there = data["step_size"].notnull()
    at = rng.choice(np.argwhere(there.values))
    return {axis: there[axis].values[i] for axis, i in zip(there.dims, at, strict=True)}


def curves(data):
    """The names of what is recorded."""
    return [name for name in data.data_vars if "record" in data[name].dims]


def damaged(runs, where, size, rng):
    """The results with other curves at the cells `where` of each grid, from the second record on.

    Each cell of a whole grid is changed in its own way, the cells at a point of it alike.
    """
    made = dict(runs)
    for name, selection in where.items():
        data = runs[name].data.copy(deep=True)
        if is_plain(runs[name]):
            for value in data.data_vars:
                old = data[value].loc[selection]
                data[value].loc[selection] = old * np.exp(size * rng.standard_normal(old.shape))
        for metric in curves(data):
            old = data[metric].loc[selection].isel(record=slice(1, None))
            each = old.isel(record=0, drop=True) * 0 + 1 if not selection else 1.0
            power, factor = (np.exp(s * rng.standard_normal(np.shape(each))) * each for s in (size / 4, size))
            changed = old ** np.minimum(power, 2) * factor
            data[metric].loc[{**selection, "record": range(1, data.sizes["record"])}] = changed.transpose(*old.dims)
        made[name] = ji.Runs(runs[name].grid, data)
    return made


def diverged(runs, where, rng):
    """The results as the engine leaves them where the cells `where` of each grid diverge: NaN from some record on."""
    made = dict(runs)
    for name, selection in where.items():
        data = runs[name].data.copy(deep=True)
        if is_plain(runs[name]):
            for value in data.data_vars:
                data[value].loc[selection] = np.nan
            made[name] = ji.Runs(runs[name].grid, data)
            continue
        data["diverged"].loc[selection] = data["step_size"].loc[selection].notnull()
        first = rng.choice([1, max(1, data.sizes["record"] // 2)])
        for metric in curves(data):
            data[metric].loc[{**selection, "record": range(first, data.sizes["record"])}] = np.nan
        made[name] = ji.Runs(runs[name].grid, data)
    return made
