"""sharpness: its claims hold on small runs, and each fails on results that violate it."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

import jaxinv as ji
from jaxinv import theory
from jaxinv.studies.experiment import load
from tests.experiments.divergence import assert_divergence_helps_no_claim

FILE = Path(__file__).parents[2] / "experiments" / "sharpness.py"
SIZES = {"signal_dim": 20, "measurement_dim": 10, "subspace_dim": 2, "samples": 8}
MULTIPLES = {"start": [0.5, 1.5], "small": [0.7, 1.1], "decay": [0.5, 1.5]}


@pytest.fixture(scope="module")
def experiment():
    return load(FILE)


@pytest.fixture(scope="module")
def runs(experiment):
    """Small runs of two layers."""
    made = {}
    for name, grid in experiment.grids("quick").items():
        axes = {"depth": [2], "width": [30], "multiple": MULTIPLES[name], "seed": range(2)}
        made[name] = replace(grid, axes=axes, fixed={**grid.fixed, **SIZES}, records=30)
    return {name: ji.Runs(grid, ji.run_sweep(grid)) for name, grid in made.items()}


@pytest.fixture
def judge(experiment, runs):
    """Judges the results once `violate` has changed them; gives both."""

    def judged(violate=None):
        made = {name: ji.Runs(run.grid, run.data.copy(deep=True)) for name, run in runs.items()}
        if violate:
            violate(**{name: run.data for name, run in made.items()})
        derived = experiment.analyse(made)
        made = {name: ji.Runs(run.grid, run.data, derived[name]) for name, run in made.items()}
        return made, experiment.claims(made)

    return judged


def test_step_sizes_are_multiples_of_the_stable_one(runs):
    for name, multiple in (("start", 1.5), ("small", 0.7)):
        problem, network, descent = runs[name].build(multiple=multiple, seed=1)
        weights = network.weights if name == "start" else theory.balanced_fit(problem, 2)
        edge = 2 / theory.linearise(problem, weights).largest()
        assert descent.step_size == pytest.approx(multiple * edge, rel=1e-10)
    first = runs["start"].start("sharpness") * runs["start"]["step_size"]
    np.testing.assert_allclose(first.values[0, 0], [[1, 1], [3, 3]], rtol=1e-9)


def test_every_claim_holds_on_small_runs(experiment, judge):
    made, found = judge()
    assert all(verdict.holds for verdict in found), [verdict.line() for verdict in found]
    start, small, end, decay = experiment.draw(made).axes
    assert [len(panel.lines) for panel in (start, small, end, decay)] == [3, 3, 3, 3]


def lose_a_run(start, small, decay):
    small.diverged[0, 0, 0, 0] = True


def rise_again(start, small, decay):
    start.loss.loc[{"multiple": 0.5, "seed": 1, "record": 20}] += 1e-9 * start.loss[0, 0, 0, 0, 0]


def sharpen_below(start, small, decay):
    start.sharpness.loc[{"multiple": 0.5, "seed": 1, "record": 3}] *= 3


def end_sharper(start, small, decay):
    decay.sharpness.loc[{"multiple": 1.5, "seed": 0}] *= 10


def end_far_below(start, small, decay):
    start.sharpness.loc[{"multiple": 1.5}][..., -1] *= 0.7


def stay_flat(start, small, decay):
    small.sharpness.loc[{"multiple": 0.7, "seed": 1, "record": 0}] *= 5


def never_pass(start, small, decay):
    rows = small.sharpness.loc[{"multiple": 1.1, "seed": 0}]
    rows[:] = np.minimum(rows, rows.isel(record=-1))


def end_elsewhere(start, small, decay):
    decay.sharpness.loc[{"multiple": 0.5, "seed": 0}][..., -1] *= 1.02


@pytest.mark.parametrize(
    ("failing", "violate"),
    [
        ({0}, lose_a_run),
        ({1}, rise_again),
        ({2}, sharpen_below),
        ({3, 7}, end_sharper),
        ({4}, end_far_below),
        ({5}, stay_flat),
        ({6}, never_pass),
        ({7}, end_elsewhere),
    ],
)
def test_a_violated_claim_fails_alone(judge, failing, violate):
    _, found = judge(violate)
    assert {i for i, verdict in enumerate(found) if not verdict.holds} == failing


def test_divergence_helps_no_claim(experiment, runs):
    assert_divergence_helps_no_claim(experiment, runs)


def test_the_figure_is_drawn_where_every_run_diverged(experiment, judge):
    def lose_all(start, small, decay):
        for data in (start, small, decay):
            data.diverged[:] = True
            data.loss[..., 1:] = data.sharpness[..., 1:] = np.nan

    made, found = judge(lose_all)
    assert not any(verdict.holds for verdict in found)
    experiment.draw(made)
