"""optimizers: each claim is seen to hold and to fail, its figure to have what it must."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import xarray as xr

import jaxinv as ji
from jaxinv.studies.experiment import load
from tests.experiments.divergence import assert_divergence_helps_no_claim

FILE = Path(__file__).parents[2] / "experiments" / "optimizers.py"
SIZES = {"signal_dim": 12, "measurement_dim": 6, "subspace_dim": 1, "width": 18, "depth": 2, "samples": 6}
AXES, SEEDS, STEPS = ("optimizer", "decay", "seed"), 3, 400
STEP = np.unique(np.rint(np.geomspace(1, STEPS + 1, 60))).astype(int) - 1


@pytest.fixture(scope="module")
def experiment():
    return load(FILE)


@pytest.fixture(scope="module")
def grid(experiment):
    made = experiment.grids("quick")
    axes = {**made.axes, "seed": range(SEEDS)}
    return replace(made, axes=axes, fixed={**SIZES, "horizon": STEPS}, steps=STEPS)


@pytest.fixture
def good(grid):
    """Results that show every claim."""
    names, decays = (list(grid.axes[axis]) for axis in AXES[:2])
    shape, t = (len(names), len(decays), SEEDS, len(STEP)), STEP / STEPS
    eta, decay = np.full(shape[:-1], 0.05), np.broadcast_to(np.array([0.0, 1.0, 1.0])[:, None], shape[:-1])
    data = xr.Dataset(
        {
            "diverged": (AXES, np.zeros(shape[:-1], bool)),
            "step_size": (AXES, eta),
            "weight_decay": (AXES, decay.copy()),
        },
        {"optimizer": names, "decay": decays, "seed": range(SEEDS), "step": ("record", STEP)},
    )
    factors = 0.05 * 0.5 * (1 + np.cos(np.pi * np.arange(STEPS) / STEPS))
    law = np.concatenate([[1.0], np.cumprod(1 - factors)])[STEP]
    curves = {"regression_error": np.maximum(np.exp(-12 * t), 0.01), "oracle_distance": 2 - 1.9 * t,
              "off_subspace_error": 2 * law, "off_range": 3 * law, "test_error": 0.1 + 0 * t,
              "noise_sensitivity": 0.5 - 0.4 * t}  # fmt: skip
    for name, rows in curves.items():
        data[name] = ((*AXES, "record"), np.broadcast_to(rows, shape).copy())
    plain, beside, adam, muon = {"decay": "none"}, {"decay": "decoupled"}, {"optimizer": "adam"}, {"optimizer": "muon"}
    data["regression_error"].loc[plain] = np.exp(-12 * t)
    data["off_subspace_error"].loc[plain] = 2.0
    data["off_range"].loc[plain] = 3.0
    data["noise_sensitivity"].loc[plain] = 0.5
    data["oracle_distance"].loc[plain] = 2.0
    data["oracle_distance"].loc[plain | muon] = np.where(t > 0.9, 0.8, 2.0)
    data["off_subspace_error"].loc[beside | adam] = data["off_range"].loc[beside | adam] = 1.0
    for name in (adam, muon):
        data["regression_error"].loc[beside | name] *= 0.1
    return data


def judged(experiment, grid, data):
    """Which claims fail."""
    runs = ji.Runs(grid, data, experiment.analyse(ji.Runs(grid, data)))
    return {i for i, verdict in enumerate(experiment.claims(runs)) if not verdict.holds}


def put(name, factor, **at):
    """The change of a result that multiplies a metric from the second record on."""

    def change(data):
        data[name].loc[{**at, "record": range(1, len(STEP))}] *= factor

    return change


def lose(data):
    data["diverged"].loc[{"optimizer": "adam", "decay": "coupled", "seed": 1}] = True


def stay_far(data):
    data["oracle_distance"].loc[{"optimizer": "muon", "decay": "none", "seed": 1}] = 1.8


ONE = {"optimizer": "nesterov", "seed": 2}


def test_it_holds_on_results_that_show_the_claims(experiment, grid, good):
    assert judged(experiment, grid, good) == set()


@pytest.mark.parametrize(
    ("failing", "violate"),
    [
        ({0}, lose),
        ({1}, put("off_subspace_error", 1e4, decay="coupled", **ONE)),
        ({2}, put("off_subspace_error", 0.01, decay="none", **ONE)),
        ({3}, put("oracle_distance", 1.05, decay="coupled", **ONE)),
        ({3}, put("oracle_distance", 1.05, decay="decoupled", **ONE)),
        ({4}, put("off_range", 1.001, decay="decoupled", optimizer="muon", seed=0)),
        ({5}, put("off_subspace_error", 0.01, decay="decoupled", optimizer="adam", seed=0)),
        ({6}, put("regression_error", 5, decay="decoupled", optimizer="muon", seed=0)),
        ({7}, put("oracle_distance", 0.7, decay="none", optimizer="adam", seed=0)),
        ({8}, stay_far),
        ({9}, put("noise_sensitivity", 30, decay="coupled", optimizer="adam", seed=0)),
    ],
)
def test_a_violated_claim_fails_alone(experiment, grid, good, failing, violate):
    violate(good)
    assert judged(experiment, grid, good) == failing


def test_the_figure_has_every_optimizer(experiment, grid, good):
    figure = experiment.draw(ji.Runs(grid, good, experiment.analyse(ji.Runs(grid, good))))
    coupled, decoupled, bias, noise = figure.axes
    assert [len(panel.lines) for panel in (coupled, decoupled)] == [5, 8]
    assert len(bias.lines) == 5 * SEEDS + 1
    assert len([line for line in noise.lines if len(line.get_xdata())]) == 15
    assert [text.get_text() for text in coupled.get_legend().get_texts()][-2:] == ["muon", "nesterov"]


def test_divergence_helps_no_claim(experiment, grid, good):
    assert_divergence_helps_no_claim(experiment, ji.Runs(grid, good))
