"""noise_robustness_relu: each claim is seen to hold and to fail, its figure to have what it must."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

import jaxinv as ji
from jaxinv.studies.experiment import load
from tests.experiments.divergence import assert_divergence_helps_no_claim

FILE = Path(__file__).parents[2] / "experiments" / "noise_robustness_relu.py"
FIXED = {"signal_dim": 24, "measurement_dim": 12, "subspace_dim": 1, "subspaces": 3, "samples": 24, "held_out": 60,
         "width": 40, "depth": 2, "momentum": 0.9}  # fmt: skip
LAST = {"map": "network", "record": 4}


@pytest.fixture(scope="module")
def experiment():
    return load(FILE)


@pytest.fixture(scope="module")
def trained(experiment):
    axes = {"gamma": [0.0, 0.1], "seed": range(2)}
    grid = replace(experiment.grids("quick"), axes=axes, fixed=FIXED, steps=100, records=5)
    runs = ji.Runs(grid, ji.run_sweep(grid))
    return ji.Runs(grid, runs.data, experiment.analyse(runs))


def with_errors(runs, plain, decayed):
    """The runs with other errors of the networks after the last step, (seeds, noise)."""
    data = runs.data.copy(deep=True)
    data.noisy_error.loc[{"gamma": 0.0, **LAST}] = plain
    data.noisy_error.loc[{"gamma": 0.1, **LAST}] = decayed
    return ji.Runs(runs.grid, data)


@pytest.fixture(scope="module")
def runs(trained):
    """As good as the oracle with decay, twice the best linear map's error without."""
    return with_errors(trained, 2 * trained["best_linear_error"], trained["union_oracle_error"])


def holds(experiment, runs):
    return [verdict.holds for verdict in experiment.claims(runs)]


def test_it_holds(experiment, runs):
    assert holds(experiment, runs) == [True] * 4


def test_the_first_layer_of_a_trained_network_decays_as_it_must(experiment, trained):
    assert experiment.claims(trained)[0].holds
    left = trained.end("first_layer_off", gamma=0.1) / trained.start("first_layer_off", gamma=0.1)
    assert float(left.max()) < 0.5


@pytest.mark.parametrize(
    ("index", "name", "where", "factor"),
    [
        (0, "first_layer_off", {"gamma": 0.1, "record": 2}, 1.02),
        (1, "noisy_error", {"gamma": 0.0, "seed": 1}, 0.2),
        (3, "noisy_error", {"gamma": 0.1, "seed": 0}, 1.2),
    ],
)
def test_a_violated_claim_fails_alone(experiment, runs, index, name, where, factor):
    data = runs.data.copy(deep=True)
    data[name].loc[where] *= factor
    assert holds(experiment, ji.Runs(runs.grid, data)) == [k != index for k in range(4)]


def test_errors_above_the_best_linear_map_fail(experiment, runs):
    # they are above the oracle's, too, which no linear map reaches
    linear = runs["best_linear_error"]
    assert holds(experiment, with_errors(runs, 3 * linear, 1.3 * linear)) == [True, True, False, False]


def test_a_diverged_run_fails_what_it_enters(experiment, runs):
    data = runs.data.copy(deep=True)
    data.noisy_error.loc[{"gamma": 0.1, "seed": 1}] = np.nan
    assert holds(experiment, ji.Runs(runs.grid, data)) == [True, False, False, False]


def test_the_figure_shows_the_maps_to_compare_with_and_the_prediction(experiment, runs):
    figure = experiment.draw(runs)
    noise, fit, off = figure.axes
    assert [len(axes.lines) for axes in (noise, fit, off)] == [4, 2, 4]
    assert [text.get_text() for text in off.get_legend().get_texts()] == ["predicted"]
    assert [text.get_text() for text in figure.legends[0].get_texts()][2:] == [
        "best linear map", "oracle, knows each subspace",
    ]  # fmt: skip
    measured, predicted = off.lines[1].get_ydata(), off.lines[3].get_ydata()
    np.testing.assert_allclose(measured, predicted, atol=1e-5)


def test_divergence_helps_no_claim(experiment, runs):
    assert_divergence_helps_no_claim(experiment, runs)
