"""latent_dimension: each claim is seen to hold and to fail, its figure to have what it must."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

import jaxinv as ji
from jaxinv.studies.experiment import load
from tests.experiments.divergence import assert_divergence_helps_no_claim

FILE = Path(__file__).parents[2] / "experiments" / "latent_dimension.py"
BELOW, BEYOND = {"subspace_dim": 2}, {"subspace_dim": 24}


@pytest.fixture(scope="module")
def experiment():
    return load(FILE)


@pytest.fixture(scope="module")
def runs(experiment):
    quick = experiment.grids("quick")
    axes = {"subspace_dim": [2, 24], "gamma": [0.0, 0.1], "seed": range(2)}
    fixed = {**quick.fixed, "signal_dim": 40, "measurement_dim": 20, "samples": 30, "width": 60}
    grid = replace(quick, axes=axes, fixed=fixed, steps=3000, records=2)
    return ji.Runs(grid, ji.run_sweep(grid))


def holds(experiment, runs):
    return [verdict.holds for verdict in experiment.claims(runs)]


def test_it_holds(experiment, runs):
    assert holds(experiment, runs) == [True] * 7


@pytest.mark.parametrize(
    ("index", "name", "where", "factor"),
    [
        (0, "off_subspace_error", {**BELOW, "gamma": 0.1}, 1e40),
        (1, "off_subspace_gain", {**BELOW, "gamma": 0.0, "record": 1}, 0.5),
        (2, "noise_gain", {**BELOW, "gamma": 0.1}, 1.6),
        (3, "noisy_error", {**BELOW, "gamma": 0.1, "map": "network"}, 1.3),
        (4, "noisy_error", {**BELOW, "gamma": 0.0, "map": "network"}, 0.3),
        (5, "test_error", {**BEYOND, "gamma": 0.1}, 0.8),
        (6, "test_error", {**BEYOND, "gamma": 0.0}, 1.3),
    ],
)
def test_a_violated_claim_fails_alone(experiment, runs, index, name, where, factor):
    data = runs.data.copy(deep=True)
    data[name].loc[where] *= factor
    assert holds(experiment, ji.Runs(runs.grid, data)) == [k != index for k in range(7)]


def test_a_diverged_run_fails_what_it_enters(experiment, runs):
    data = runs.data.copy(deep=True)
    for name in ("off_subspace_error", "noise_gain", "noisy_error", "test_error"):
        data[name].loc[{**BELOW, "gamma": 0.1, "seed": 1, "record": 1}] = np.nan
    assert holds(experiment, ji.Runs(runs.grid, data)) == [False, True, False, False, False, True, True]


def test_the_figure_breaks_its_lines_at_m_and_shows_the_laws(experiment, runs):
    figure = experiment.draw(runs)
    off, gain, clean, loud = figure.axes
    # beyond m there is no subspace to be off, and no oracle
    assert [len(axes.lines) for axes in (off, gain, clean, loud)] == [2, 5, 3, 3]
    np.testing.assert_array_equal(clean.lines[0].get_xdata(), [2, np.nan, 24])
    labels = [text.get_text() for text in figure.legends[0].get_texts()]
    assert len(labels) == len(set(labels)) == 6
    law = gain.lines[3]
    assert law.get_ydata()[0] == pytest.approx((2 * 20 / 17) ** 0.5)


def test_divergence_helps_no_claim(experiment, runs):
    assert_divergence_helps_no_claim(experiment, runs)
