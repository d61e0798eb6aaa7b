"""samples: each claim is seen to hold and to fail, its figure to have what it must."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

import jaxinv as ji
from jaxinv.studies.experiment import load
from tests.experiments.divergence import assert_divergence_helps_no_claim

FILE = Path(__file__).parents[2] / "experiments" / "samples.py"
NETWORK = {"map": "network"}


@pytest.fixture(scope="module")
def experiment():
    return load(FILE)


@pytest.fixture(scope="module")
def runs(experiment):
    quick = experiment.grids("quick")
    axes = {"samples": [1, 2, 20], "gamma": [0.0, 0.03, 0.1], "seed": range(2)}
    fixed = {**quick.fixed, "signal_dim": 40, "measurement_dim": 20, "subspace_dim": 2, "width": 60}
    grid = replace(quick, axes=axes, fixed=fixed)
    return ji.Runs(grid, ji.run_sweep(grid))


def holds(experiment, runs):
    return [verdict.holds for verdict in experiment.claims(runs)]


def test_it_holds(experiment, runs):
    assert holds(experiment, runs) == [True] * 4


@pytest.mark.parametrize(
    ("index", "name", "places", "factor"),
    [
        (0, "test_error", [{"samples": 1, "gamma": 0.1}], 1.3),
        (1, "noisy_error", [{"samples": 2, "gamma": [0.03, 0.1], **NETWORK}], 1.4),
        # ridge regression, too: else the second claim fails with the third
        (2, "noisy_error", [{"samples": 20, "gamma": [0.03, 0.1], **NETWORK}, {"samples": 20, "map": "ridge"}], 1.5),
        (3, "noisy_error", [{"samples": 2, "gamma": 0.0, **NETWORK}], 0.4),
    ],
)
def test_a_violated_claim_fails_alone(experiment, runs, index, name, places, factor):
    data = runs.data.copy(deep=True)
    for place in places:
        data[name].loc[place] *= factor
    assert holds(experiment, ji.Runs(runs.grid, data)) == [k != index for k in range(4)]


def test_a_diverged_run_fails_what_it_enters(experiment, runs):
    data = runs.data.copy(deep=True)
    for name in ("test_error", "noisy_error"):
        data[name].loc[{"samples": 2, "gamma": 0.03, "seed": 1, "record": 1}] = np.nan
    assert holds(experiment, ji.Runs(runs.grid, data)) == [True, False, True, False]


def test_the_figure_breaks_its_lines_below_n_equal_s_and_shows_the_references(experiment, runs):
    figure = experiment.draw(runs)
    noisy, clean = figure.axes
    assert [len(axes.lines) for axes in (noisy, clean)] == [5, 4]
    np.testing.assert_array_equal(noisy.lines[0].get_xdata(), [0.5, np.nan, 1, 10])
    assert noisy.lines[3].get_marker() == "s"
    labels = [text.get_text() for text in figure.legends[0].get_texts()]
    assert labels[3:] == ["oracle", "ridge, best penalty", "least possible, $\\sqrt{1-n/s}$"]


def test_divergence_helps_no_claim(experiment, runs):
    assert_divergence_helps_no_claim(experiment, runs)
