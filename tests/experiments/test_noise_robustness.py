"""noise_robustness: each claim is seen to hold and to fail, its figure to have what it must."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

import jaxinv as ji
from jaxinv.studies.experiment import load
from tests.experiments.divergence import assert_divergence_helps_no_claim

FILE = Path(__file__).parents[2] / "experiments" / "noise_robustness.py"
SIZES = {"signal_dim": 64, "measurement_dim": 32, "subspace_dim": 3, "samples": 40, "width": 64, "depth": 3}


@pytest.fixture(scope="module")
def experiment():
    return load(FILE)


@pytest.fixture(scope="module")
def runs(experiment):
    grid = replace(experiment.grids("quick"), axes={"gamma": [0.0, 0.1], "seed": range(3)}, fixed=SIZES, steps=3000)
    runs = ji.Runs(grid, ji.run_sweep(grid))
    return ji.Runs(grid, runs.data, experiment.analyse(runs))


def holds(experiment, runs):
    return [verdict.holds for verdict in experiment.claims(runs)]


def test_it_holds(experiment, runs):
    assert holds(experiment, runs) == [True] * 5


@pytest.mark.parametrize(
    ("index", "name", "where", "factor"),
    [
        (0, "off_subspace_gain", {"gamma": 0.0}, 1.2),
        (1, "off_subspace_gain", {"gamma": 0.0, "record": -1}, 0.5),
        (2, "off_subspace_error", {"gamma": 0.1}, 1e40),
        (3, "noisy_error", {"gamma": 0.1, "map": "network"}, 1.2),
        (3, "noisy_error", {"gamma": 0.1, "map": "network", "seed": 1}, 0.8),
        (4, "noisy_error", {"gamma": 0.0, "map": "network", "seed": 2}, 0.3),
    ],
)
def test_a_violated_claim_fails_alone(experiment, runs, index, name, where, factor):
    data = runs.data.copy(deep=True)
    where = {**where, "record": data.sizes["record"] - 1} if "record" in where else where
    data[name].loc[where] *= factor
    assert holds(experiment, ji.Runs(runs.grid, data)) == [k != index for k in range(5)]


@pytest.mark.parametrize(
    ("gamma", "expected"), [(0.0, [True, False, True, True, False]), (0.1, [True, True, False, False, False])]
)
def test_a_diverged_run_fails_what_it_enters(experiment, runs, gamma, expected):
    data = runs.data.copy(deep=True)
    for name in ("off_subspace_gain", "off_subspace_error", "noisy_error"):
        data[name].loc[{"gamma": gamma, "seed": 1, "record": range(1, data.sizes["record"])}] = np.nan
    assert holds(experiment, ji.Runs(runs.grid, data)) == expected


def test_the_figure_shows_the_networks_and_the_maps_to_compare_with(experiment, runs):
    figure = experiment.draw(runs)
    noise, fit, off = figure.axes
    assert [len(axes.lines) for axes in (noise, fit, off)] == [4, 2, 2]
    assert [text.get_text() for text in figure.legends[0].get_texts()] == [
        "$\\gamma$ = 0  (no weight decay)", "$\\gamma$ = 0.1", "oracle", "minimum norm",
    ]  # fmt: skip
    plain = runs.end("noisy_error", map="network", gamma=0.0)
    np.testing.assert_allclose(noise.lines[0].get_ydata(), plain.median("seed"))


def test_divergence_helps_no_claim(experiment, runs):
    assert_divergence_helps_no_claim(experiment, runs, standing=[0])
