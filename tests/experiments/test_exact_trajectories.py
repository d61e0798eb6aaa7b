"""exact_trajectories: its claims hold on small runs, and each fails on results that violate it."""

from dataclasses import replace
from pathlib import Path
from unittest.mock import patch

import numpy as np
import pytest

import jaxinv as ji
from jaxinv.studies.experiment import load
from tests.experiments.divergence import assert_divergence_helps_no_claim, once

FILE = Path(__file__).parents[2] / "experiments" / "exact_trajectories.py"
BUILD = once(ji.Runs.build)
SIZES = {"signal_dim": 7, "measurement_dim": 5}


@pytest.fixture(scope="module")
def experiment():
    return load(FILE)


@pytest.fixture(scope="module")
def runs(experiment):
    """Small runs of the flow and of depth 2."""
    grids = experiment.grids("quick")
    each = {"aligned": [True, False], "seed": range(2)}
    fixed = {"flow": {"subspace_dim": 5, "width": 6}, "depth_2": {"subspace_dim": 2, "width": 5}}
    axes = {"flow": {"halvings": [2, 3], **each}, "depth_2": {"fills": [False, True], **each}}
    made = {name: replace(grids[name], axes=axes[name], fixed={**grids[name].fixed, **SIZES, **fixed[name]})
            for name in fixed}  # fmt: skip
    made["depth_2"] = replace(made["depth_2"], steps=60, records=5)
    return {name: ji.Runs(grid, ji.run_sweep(grid)) for name, grid in made.items()}


@pytest.fixture
def judge(experiment, runs):
    """Judges the results once `violate` has changed them; gives both."""

    def judged(violate=None):
        made = {name: ji.Runs(run.grid, run.data.copy(deep=True)) for name, run in runs.items()}
        if violate:
            violate(**{name: run.data for name, run in made.items()})
        with patch.object(ji.Runs, "build", BUILD):
            derived = experiment.analyse(made)
        made = {name: ji.Runs(run.grid, run.data, derived[name]) for name, run in made.items()}
        return made, experiment.claims(made)

    return judged


def test_orthogonal_layers_have_one_singular_value_each(runs):
    for aligned in (True, False):
        _, network, _ = runs["depth_2"].build(fills=False, aligned=aligned, seed=1)
        for weight in network.weights:
            np.testing.assert_allclose(np.linalg.svd(weight, compute_uv=False), 0.5, rtol=1e-12)


def test_every_claim_holds_on_small_runs(experiment, judge):
    made, found = judge()
    assert all(verdict.holds for verdict in found), [verdict.line() for verdict in found]
    assert found[5].measured == 4
    figure = experiment.draw(made)
    maps, order, values, apart = figure.axes
    assert [len(panel.lines) for panel in (maps, order, values, apart)] == [15, 3, 15, 2]


def lose_a_run(flow, depth_2):
    depth_2.diverged[0, 0, 0] = True


def stay_apart(aligned):
    def violate(flow, depth_2):
        flow["map"].loc[{"aligned": aligned, "seed": 1, "halvings": 3}] += 0.01

    return violate


def leave_the_recursion(aligned):
    def violate(flow, depth_2):
        depth_2.layer_values.loc[{"aligned": aligned, "seed": 1, "fills": True}][3, 1, 0] *= 1 + 2e-9

    return violate


def leave_together(flow, depth_2):
    depth_2.layer_values.loc[{"aligned": False, "seed": 0, "fills": False}][2, 1] *= 1 + 2e-9


@pytest.mark.parametrize(
    ("failing", "violate"),
    [
        ({0}, lose_a_run),
        ({1}, stay_apart(True)),
        ({2}, stay_apart(False)),
        ({3}, leave_the_recursion(True)),
        ({4}, leave_the_recursion(False)),
        ({4, 5}, leave_together),
    ],
)
def test_a_violated_claim_fails_alone(judge, failing, violate):
    _, found = judge(violate)
    assert {i for i, verdict in enumerate(found) if not verdict.holds} == failing


def test_divergence_helps_no_claim(experiment, runs):
    with np.errstate(invalid="ignore"):  # entries of maps have signs: damaged, some are NaN
        assert_divergence_helps_no_claim(experiment, runs)


def test_the_figure_is_drawn_where_every_run_diverged(experiment, judge):
    def lose_all(flow, depth_2):
        for data, name in ((flow, "map"), (flow, "modes"), (depth_2, "layer_values")):
            data.diverged[:], data[name][:] = True, np.nan

    made, found = judge(lose_all)
    assert not any(verdict.holds for verdict in found)
    experiment.draw(made)
