"""The judge of three_phases: each claim is seen to hold and to fail."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

import jaxinv as ji
from jaxinv.experiment import find

ROOT = Path(__file__).parent.parent


@pytest.fixture(scope="module")
def experiment():
    return find(["three_phases"], ROOT / "experiments")[0]


@pytest.fixture(scope="module")
def results(experiment):
    axes = {"gamma": [0.0, 0.1, 0.3], "seed": range(2)}
    return ji.run_sweep(replace(experiment.grid("quick"), axes=axes, steps=2000))


def failing(experiment, results):
    """Indices of the verdicts that fail."""
    return [index for index, verdict in enumerate(experiment.judge(results)) if not verdict.holds]


def test_every_claim_holds(experiment, results):
    verdicts = experiment.judge(results)
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
def test_a_claim_fails_where_one_run_violates_it(experiment, results, index, damage):
    broken = results.copy(deep=True)
    where = {"gamma": 0.1, "seed": 1}
    run = {name: broken[name].loc[where].values for name in ("off_range", "off_subspace_error", "regression_error")}
    one = broken.sel(where)
    damage(run | {"step": broken.step.values, "late": float(one.step_size * one.weight_decay) * broken.step.values})
    assert failing(experiment, broken) == [index]


def test_an_off_subspace_error_that_goes_without_decay_fails(experiment, results):
    broken = results.copy(deep=True)
    broken.off_subspace_error.loc[{"gamma": 0.0, "seed": 0, "record": -1}] *= 0.5
    assert failing(experiment, broken) == [7]


def test_diverged_runs_are_counted_and_left_out(experiment, results):
    broken = results.copy(deep=True)
    where = {"gamma": 0.3, "seed": 1}
    broken.diverged.loc[where] = True
    for metric in ("off_range", "off_subspace_error", "regression_error"):
        broken[metric].loc[where] = np.nan
    assert failing(experiment, broken) == [0]
    assert experiment.judge(broken)[0].measured == 1
    broken.diverged.loc[{"gamma": [0.1, 0.3]}] = True
    assert failing(experiment, broken) == [0, 2, 3, 4, 5, 6]
    assert experiment.draw(broken).axes


def test_the_figure_shows_every_gamma_and_prediction(experiment, results):
    figure = experiment.draw(results)
    labels = [text.get_text() for text in figure.legends[0].get_texts()]
    assert len(labels) == 6
    assert all(axes.get_ylabel() for axes in figure.axes)
