"""deep_prior: each claim is seen to hold and to fail, its figure to have what it must."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import xarray as xr

import jaxinv as ji
from jaxinv.studies.analysis import with_derived
from jaxinv.studies.experiment import load
from tests.experiments.divergence import assert_divergence_helps_no_claim

FILE = Path(__file__).parents[2] / "experiments" / "deep_prior.py"
STEP = np.array([0.0, 10, 100, 1000, 2000])
WIDTHS, M, SEEDS, NOISE = [8, 32, 256, 8192], [1, 3, 5, 8], range(3), [0.01, 0.1, 1.0]


@pytest.fixture(scope="module")
def experiment():
    return load(FILE)


def dataset(grid, loss, error, moved, needed):
    """Results of a grid, of values that are broadcast to its axes and the records."""
    dims, shape = [*grid.axes], [len(values) for values in grid.axes.values()]
    curves = {"loss": loss, "error": error, "moved": moved}
    made = {n: ((*dims, "record"), np.broadcast_to(v, (*shape, 5)).copy()) for n, v in curves.items()}
    plain = {"needed": needed, "allowed": 1.0, "share": 0.002, "step_size": 1.0, "condition": 2.0}
    made |= {name: (dims, np.broadcast_to(value, shape).copy()) for name, value in plain.items()}
    step = ((*dims, "record"), np.broadcast_to(STEP, (*shape, 5)).copy())
    return xr.Dataset(made | {"diverged": (dims, np.zeros(shape, bool))}, {**grid.axes, "step": step})


@pytest.fixture
def good(experiment):
    """Results that show every claim: n = 5."""
    grids = experiment.named_grids("quick")
    axes = {"width": WIDTHS, "measurement_dim": M, "seed": SEEDS}
    k, m, _ = np.ix_(WIDTHS, M, SEEDS)
    solved = (k >= np.select([m == 1, m == 3, m == 5], [8, 32, 8192], 256))[..., None]
    loss = 3 * np.where(solved, np.exp(-0.0085 * STEP), np.maximum(np.exp(-0.01 * STEP), 0.1))
    needed = np.where((k == 8192) & (m == 1), 0.5, 20.0)
    error = np.select([m < 5, m == 5], [0.9, 0.05], 1e-3)[..., None]
    grid = replace(grids["map"], axes=axes)
    loss = np.broadcast_to(loss, (4, 4, 3, 5)).copy()
    loss[:, 2, 2] = 0.3  # at m = n one start fails, whose A is badly conditioned
    found = ji.Runs(grid, dataset(grid, loss, error, 0.25 * needed[..., None] * STEP / 2000, needed))
    found.data.condition.loc[{"measurement_dim": 5}] = [2.0, 3.0, 9.0]
    axes = {"noise": NOISE, "measurement_dim": [5, 8], "seed": SEEDS}
    e, m, _ = np.ix_(NOISE, [5, 8], SEEDS)
    least = np.select([m == 8, e == 1.0], [3, 1], 3)[..., None]  # at that record
    error = e[..., None] * np.where(np.arange(5) == least, 1.0, [1e3, 1.3, 1.3, 1.3, 1.3])
    grid = replace(grids["noise"], axes=axes)
    return {"map": found, "noise": ji.Runs(grid, dataset(grid, 1.0, error, 1.0, 20.0))}


def analysed(experiment, runs):
    return with_derived(runs, experiment.analyse(runs))


def verdicts(experiment, runs):
    return experiment.claims(analysed(experiment, runs))


def curve(runs, name="map"):
    return runs[name].data


def above_the_bound(runs):
    curve(runs).loss.loc[{"width": 8192, "measurement_dim": 1, "seed": 2, "record": 1}] = 2.99


def gone_too_far(runs):
    curve(runs).moved.loc[{"width": 8192, "measurement_dim": 1, "seed": 2, "record": 1}] = 0.6


def one_width_fails(runs):
    curve(runs).loss.loc[{"width": 256, "measurement_dim": 3, "seed": 0}] = 3.0


def not_at_the_widest(runs):
    curve(runs).loss.loc[{"width": 8192, "measurement_dim": 8, "seed": [0]}] = 3.0


def as_soon_with_more(runs):
    data = curve(runs)
    data.loss.loc[{"width": 8, "measurement_dim": 3}] = data.loss.loc[{"width": 8, "measurement_dim": 1}].values


def well_conditioned_ones_fail(runs):
    data = curve(runs)
    data.condition.loc[{"measurement_dim": 5}] = [2.0, 9.0, 3.0]


def the_premise_is_early(runs):
    data = curve(runs)
    data.needed.loc[{"width": [32, 256, 8192], "measurement_dim": 1}] = 0.5
    data.moved.loc[{"measurement_dim": 1}] = 0.1


def recovered_without_enough(runs):
    curve(runs).error.loc[{"width": 8192, "measurement_dim": 3, "seed": [0, 1]}] = 0.2


def not_recovered(runs):
    curve(runs).error.loc[{"width": 8192, "measurement_dim": 8, "seed": 1}] = 0.03


def another_power(runs):
    data = curve(runs, "noise")
    data.error.loc[{"measurement_dim": 8}] = data.error.loc[{"measurement_dim": 8}] ** 0.7


def nothing_is_lost_at_the_end(runs):
    curve(runs, "noise").error.loc[{"noise": 1.0, "measurement_dim": 8, "seed": [0, 1], "record": 4}] = 1.1


def loud_noise_waits_as_long(runs):
    curve(runs, "noise").error.loc[{"noise": 1.0, "measurement_dim": 5, "seed": [0, 1], "record": 3}] = 0.9


def a_seed_is_lost(runs):
    for name in runs:
        data = curve(runs, name)
        data.diverged.loc[{"seed": 1}] = True
        for metric in ("loss", "error", "moved"):
            data[metric].loc[{"seed": 1, "record": range(1, data.sizes["record"])}] = np.nan


VIOLATIONS = [
    (above_the_bound, {0}),
    (gone_too_far, {1}),
    (one_width_fails, {2}),
    (not_at_the_widest, {2, 3}),
    (as_soon_with_more, {4}),
    (well_conditioned_ones_fail, {5}),
    (the_premise_is_early, {6}),
    (recovered_without_enough, {7}),
    (not_recovered, {8}),
    (another_power, {9}),
    (nothing_is_lost_at_the_end, {10}),
    (loud_noise_waits_as_long, {11}),
    (a_seed_is_lost, set(range(12))),
]


def test_it_holds_on_results_that_show_the_claims(experiment, good):
    found = verdicts(experiment, good)
    assert all(verdict.holds for verdict in found), [verdict.line() for verdict in found]
    assert [found[i].measured for i in (1, 4, 5, 6)] == pytest.approx([0.25, 2, 3.6, 1448.2 / 8], rel=1e-4)


@pytest.mark.parametrize(("violate", "failing"), VIOLATIONS)
def test_a_violated_claim_fails_alone(experiment, good, violate, failing):
    violate(good)
    found = verdicts(experiment, good)
    assert {i for i, verdict in enumerate(found) if not verdict.holds} == failing


def test_without_a_cell_where_the_premise_holds_nothing_is_said_of_it(experiment, good):
    curve(good).needed[:] = 20.0
    found = verdicts(experiment, good)
    assert {i for i, verdict in enumerate(found) if not verdict.holds} == {0, 1, 6}


def test_the_figure_has_the_map_and_where_premise_and_conclusion_begin(experiment, good):
    curve(good).loss.loc[{"width": [8, 32], "record": 1}] = 3.0  # above the bound
    panels = experiment.draw(analysed(experiment, good)).axes
    share = panels[0].collections[0].get_array()
    assert share.shape == (4, 4)
    np.testing.assert_allclose(share[:, -1], [1, 1, 2 / 3, 1])
    half, follow, begin = panels[0].lines
    np.testing.assert_allclose(half.get_xdata(), [8, 16, 256 * 32**0.75, 8192**0.5])
    np.testing.assert_allclose(follow.get_xydata(), [[256, 0], [256, 1], [256, 3]])
    np.testing.assert_allclose(begin.get_xydata(), [[(256 * 8192) ** 0.5, 0]])
    assert [len(panel.lines) for panel in panels[1:5]] == [2 * 2 + 1 + 2, 3, 3 + 3, 2 * 2 + 2]


def test_a_small_grid_shows_what_it_can(experiment, good):
    grid = experiment.named_grids("quick")["map"]
    few = replace(grid, axes={"width": [4096], "measurement_dim": [1, 5, 8], "seed": range(3)})
    runs = analysed(experiment, {**good, "map": ji.Runs(few, ji.run_sweep(few))})
    assert runs["map"]["premise"].sel(measurement_dim=1).any()
    found = experiment.claims(runs)
    assert [found[i].holds for i in (0, 1, 2, 3, 8)] == [True] * 5, [verdict.line() for verdict in found]


def test_divergence_helps_no_claim(experiment, good):
    assert_divergence_helps_no_claim(experiment, good)
