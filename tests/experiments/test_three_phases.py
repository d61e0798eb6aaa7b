"""three_phases: each claim is seen to hold and to fail, its figure to have what it must."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

import jaxinv as ji
from jaxinv.studies.experiment import load
from tests.experiments.divergence import assert_divergence_helps_no_claim

FILE = Path(__file__).parents[2] / "experiments" / "three_phases.py"
RECORDED = ("off_range", "off_subspace_error", "regression_error")


@pytest.fixture(scope="module")
def experiment():
    return load(FILE)


@pytest.fixture(scope="module")
def runs(experiment):
    axes = {"gamma": [0.0, 0.1, 0.3], "seed": range(2)}
    grid = replace(experiment.grids("quick"), axes=axes, steps=2000)
    return analysed(experiment, grid, ji.run_sweep(grid))


def analysed(experiment, grid, data):
    return ji.Runs(grid, data, experiment.analyse(ji.Runs(grid, data)))


def changed(experiment, runs, change):
    """The runs with `change` made to a copy of what was recorded, and analysed again."""
    data = runs.data[[*RECORDED, "diverged", "step_size", "weight_decay"]].copy(deep=True)
    change(data)
    return analysed(experiment, runs.grid, data)


def failing(experiment, runs):
    """Indices of the verdicts that fail."""
    return [index for index, verdict in enumerate(experiment.claims(runs)) if not verdict.holds]


def test_every_claim_holds(experiment, runs):
    verdicts = experiment.claims(runs)
    assert len(verdicts) == 8
    assert all(verdict.holds for verdict in verdicts), [verdict.line() for verdict in verdicts]


def first_layer(run):
    """A first layer that decays at a rate a millionth off."""
    run["off_range"] *= np.exp(1e-8 * run["step"])


def early(run):
    run["off_subspace_error"][(run["step"] > 2) & (run["step"] <= 10)] *= 0.9


def late(run):
    """2% off the rate."""
    run["off_subspace_error"] *= np.where(run["late"] > 4.5, np.exp(0.02 * run["late"]), 1.0)


def plateau(run):
    run["regression_error"] *= 1.25


def dip(run):
    below = run["regression_error"] / run["regression_error"][-1]
    run["regression_error"] *= np.where(below < 1, (0.83 + 0.17 * below) / below, 1)


def order(run):
    """The off-subspace error touches its level while the fit settles."""
    run["off_subspace_error"][np.argmax(run["step"] > 15)] *= 1e-4


@pytest.mark.parametrize(
    ("index", "damage"), [(1, first_layer), (2, early), (3, late), (4, plateau), (5, dip), (6, order)]
)
def test_a_claim_fails_where_one_run_violates_it(experiment, runs, index, damage):
    where = {"gamma": 0.1, "seed": 1}

    def change(data):
        rate = float(data.step_size.loc[where] * data.weight_decay.loc[where])
        recorded = {name: data[name].loc[where].values for name in RECORDED}
        damage(recorded | {"step": data.step.values, "late": rate * data.step.values})

    assert failing(experiment, changed(experiment, runs, change)) == [index]


def test_an_off_subspace_error_that_goes_without_decay_fails(experiment, runs):
    def change(data):
        data.off_subspace_error.loc[{"gamma": 0.0, "seed": 0, "record": data.sizes["record"] - 1}] *= 0.5

    assert failing(experiment, changed(experiment, runs, change)) == [7]


def test_a_run_too_short_to_tell_its_late_rate_fails(experiment, runs):
    short = analysed(experiment, runs.grid, runs.data[[*RECORDED, "diverged", "step_size", "weight_decay"]].isel(
        record=runs["step"].values < 300))  # fmt: skip
    assert {3, 6} <= set(failing(experiment, short))


def test_diverged_runs_are_counted_and_fail_what_they_enter(experiment, runs):
    def one(data):
        where = {"gamma": 0.3, "seed": 1}
        data.diverged.loc[where] = True
        for name in RECORDED:
            data[name].loc[where] = np.nan

    broken = changed(experiment, runs, one)
    assert failing(experiment, broken) == [0, 1, 2, 3, 5, 6]
    assert experiment.claims(broken)[0].measured == 1

    def without_decay(data):
        data.diverged.loc[{"gamma": 0.0, "seed": 1}] = True
        data.off_subspace_error.loc[{"gamma": 0.0, "seed": 1}] = np.nan

    assert failing(experiment, changed(experiment, runs, without_decay)) == [0, 1, 2, 7]

    def late(data):
        where = {"gamma": 0.3, "seed": 1}
        data.diverged.loc[where] = True
        for name in RECORDED:
            data[name].loc[{**where, "record": data.sizes["record"] - 1}] = np.nan

    # it had followed every law up to there
    assert failing(experiment, changed(experiment, runs, late)) == [0, 1, 2, 3, 5, 6]

    def most(data):
        one(data)
        data.diverged.loc[{"gamma": [0.1, 0.3]}] = True
        for name in RECORDED:
            data[name].loc[{"gamma": [0.1, 0.3], "record": range(1, data.sizes["record"])}] = np.nan

    broken = changed(experiment, runs, most)
    assert failing(experiment, broken) == [0, 1, 2, 3, 4, 5, 6]
    assert experiment.draw(broken).axes


def test_a_grid_without_a_run_without_decay_is_judged_and_drawn(experiment, runs):
    data = runs.data[[*RECORDED, "diverged", "step_size", "weight_decay"]].sel(gamma=[0.1, 0.3])
    grid = replace(runs.grid, axes={**runs.grid.axes, "gamma": [0.1, 0.3]})
    rest = analysed(experiment, grid, data)
    assert failing(experiment, rest) == [2, 7]
    assert experiment.draw(rest).axes


def test_the_figure_shows_every_gamma_and_prediction(experiment, runs):
    figure = experiment.draw(runs)
    labels = [text.get_text() for text in figure.legends[0].get_texts()]
    assert len(labels) == len(set(labels)) == 6
    assert all(axes.get_ylabel() for axes in figure.axes)
    fit, rate, off = figure.axes
    # two plateaus and their entry in the legend; two runs, two late rates, the early one, an entry
    assert [len(axes.lines) for axes in (fit, off, rate)] == [3 + 3, 3, 6]
    assert [text.get_text() for text in fit.texts] == ["1 fit", "2 settle", "3 forget"]


def test_divergence_helps_no_claim(experiment, runs):
    assert_divergence_helps_no_claim(experiment, runs)
