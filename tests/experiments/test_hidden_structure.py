"""hidden_structure: each claim is seen to hold and to fail, its figure to have what it must."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

import jaxinv as ji
from jaxinv.studies.experiment import load
from tests.experiments.divergence import assert_divergence_helps_no_claim

FILE = Path(__file__).parents[2] / "experiments" / "hidden_structure.py"
SIZES = {"signal_dim": 24, "measurement_dim": 12, "subspace_dim": 2, "samples": 6, "width": 32, "depth": 3}


@pytest.fixture(scope="module")
def experiment():
    return load(FILE)


@pytest.fixture(scope="module")
def runs(experiment):
    axes = {"gamma": [0.0, 0.1], "seed": range(2)}
    grid = replace(experiment.grids("quick"), axes=axes, fixed=SIZES, steps=1500, records=4)
    return ji.Runs(grid, ji.run_sweep(grid))


def failing(experiment, runs):
    """Indices of the verdicts that fail."""
    return [index for index, verdict in enumerate(experiment.claims(runs)) if not verdict.holds]


def test_every_claim_holds(experiment, runs):
    verdicts = experiment.claims(runs)
    assert len(verdicts) == 7
    assert all(verdict.holds for verdict in verdicts), [verdict.line() for verdict in verdicts]


@pytest.mark.parametrize(
    ("index", "metric", "where", "factor"),
    [
        (1, "effective_rank", {"gamma": 0.1}, 1.2),
        (2, "layer_rank", {"gamma": 0.1, "layer": 1}, 1.2),
        (3, "misalignment", {"gamma": 0.1, "joint": 0}, 1e4),
        (4, "layer_values", {"gamma": 0.1, "layer": 2, "index": 0}, 1.02),
        (5, "effective_rank", {"gamma": 0.0}, 0.1),
        (6, "misalignment", {"gamma": 0.0, "joint": 1}, 0.1),
    ],
)
def test_a_claim_fails_where_one_run_violates_it(experiment, runs, index, metric, where, factor):
    data = runs.data.copy(deep=True)
    data[metric].loc[{"seed": 1, **where}] *= factor
    assert failing(experiment, ji.Runs(runs.grid, data)) == [index]


def test_diverged_runs_are_counted_and_fail_what_they_enter(experiment, runs):
    data = runs.data.copy(deep=True)
    where = {"gamma": 0.0, "seed": 1}
    data.diverged.loc[where] = True
    for metric in ("effective_rank", "layer_values", "layer_rank", "misalignment", "map_values"):
        data[metric].loc[where] = np.nan
    broken = ji.Runs(runs.grid, data)
    assert failing(experiment, broken) == [0, 5, 6]
    assert experiment.claims(broken)[0].measured == 1
    assert len(experiment.draw(broken).subfigs) == 2


def test_the_figure_has_a_panel_for_each_layer_and_decay(experiment, runs):
    top, bottom = experiment.draw(runs).subfigs
    assert len(top.axes) == 2 * 3
    assert [len(panel.lines) for panel in top.axes] == [2] * 6
    assert [panel.get_ylabel() for panel in bottom.axes] == ["effective rank", "sine of largest angle"]
    labels = [text.get_text() for text in bottom.legends[0].get_texts()]
    assert len(labels) == len(set(labels)) == 7


def test_divergence_helps_no_claim(experiment, runs):
    assert_divergence_helps_no_claim(experiment, runs)
