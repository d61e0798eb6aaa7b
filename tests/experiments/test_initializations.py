"""initializations: each claim is seen to hold and to fail, its figure to have what it must."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import xarray as xr

import jaxinv as ji
from jaxinv.studies.experiment import load
from tests.experiments.divergence import assert_divergence_helps_no_claim

FILE = Path(__file__).parents[2] / "experiments" / "initializations.py"
SIZES = {"signal_dim": 12, "measurement_dim": 6, "subspace_dim": 2, "samples": 5, "width": 8, "depth": 3}
STEP = np.array([0, 1, 3, 10, 30, 100, 300, 1000])
LATE = 1 - np.exp(-STEP / 100.0)
BESIDE = {"gamma": [0.0, 0.1], "seed": range(2)}
NAMES = ["fan_in", "fan_out", "orthogonal", "balanced", "identity", "zero_asymmetric", "small"]
SCALES = [0.03, 0.1, 0.3, 1.0]
CURVES = ("regression_error", "off_subspace_error", "oracle_distance", "noisy_error")


@pytest.fixture(scope="module")
def experiment():
    return load(FILE)


@pytest.fixture(scope="module")
def healthy(experiment):
    """Results that show every claim, made up."""
    grids = experiment.grids("quick")
    assert grids["starts"].axes["init"] == NAMES
    starts, scales = (
        made_up(replace(grids[name], axes={axis: values, **BESIDE}, fixed=SIZES))
        for name, axis, values in (("starts", "init", NAMES), ("scales", "scale", SCALES))
    )
    data = starts.data
    data["off_subspace_error"].loc[{"init": "zero_asymmetric"}] = 1e-16
    data["oracle_distance"].loc[{"init": "zero_asymmetric", "gamma": 0.0}] = 1e-9
    data["noisy_error"].loc[{"init": "small", "map": "network"}] = 0.21
    data["regression_error"].loc[{"init": "small", "gamma": 0.0}] = np.exp(-STEP / 100.0)
    plain = {"gamma": 0.0}
    scales.data["off_subspace_error"].loc[plain] = (
        2 * scales.data.scale + 0 * scales.data["off_subspace_error"].loc[plain]
    )
    scales.data["regression_error"].loc[{"scale": 0.03, "gamma": 0.1}] = 1.0
    return {"starts": starts, "scales": scales}


def made_up(grid):
    """Curves as from fan-in: the error off the subspace stays without decay, and vanishes with it."""
    dims, shape = tuple(grid.axes), tuple(map(len, grid.axes.values()))
    plain, decayed = np.full(len(STEP), 2.0), 2.0 * 1e-9**LATE
    rows = {
        "regression_error": np.stack([np.exp(-STEP / 10.0), np.maximum(np.exp(-STEP / 10.0), 0.07)]),
        "off_subspace_error": np.stack([plain, decayed]),
        "oracle_distance": np.stack([plain, 0.1 + decayed]),
    }
    whole = (*shape, len(STEP))
    data = {name: ((*dims, "record"), np.broadcast_to(row[:, None], whole).copy()) for name, row in rows.items()}
    noisy = np.stack([np.linspace(2.0, 1.0, len(STEP)), np.full(len(STEP), 0.2)], 1)[..., None]
    data["noisy_error"] = ((*dims, "record", "map", "noise"), np.broadcast_to(noisy, (*shape, *noisy.shape)).copy())
    data |= {"diverged": (dims, np.zeros(shape, bool)), "step_size": (dims, np.full(shape, 0.1))}
    coords = {**{name: list(axis) for name, axis in grid.axes.items()}, "step": ("record", STEP)}
    return ji.Runs(grid, xr.Dataset(data, {**coords, "map": ["network", "oracle"], "noise": [0.3]}))


def copied(runs):
    return {name: ji.Runs(run.grid, run.data.copy(deep=True)) for name, run in runs.items()}


def failing(experiment, runs):
    verdicts = experiment.claims(runs)
    assert len(verdicts) == 11
    return [index for index, verdict in enumerate(verdicts) if not verdict.holds]


def test_every_claim_holds_on_results_that_show_them(experiment, healthy):
    assert failing(experiment, healthy) == []


@pytest.mark.parametrize(
    ("index", "grid", "metric", "where", "record", "factor"),
    [
        (1, "starts", "off_subspace_error", {"init": "orthogonal", "gamma": 0.1}, 7, 1e4),
        (2, "starts", "regression_error", {"init": "identity", "gamma": 0.1}, 7, 1.02),
        (3, "starts", "off_subspace_error", {"init": "balanced", "gamma": 0.0}, 7, 0.4),
        (4, "starts", "off_subspace_error", {"init": "zero_asymmetric", "gamma": 0.1}, 3, 1e5),
        (4, "starts", "off_subspace_error", {"init": "zero_asymmetric", "gamma": 0.0}, 3, 1e5),
        (5, "starts", "oracle_distance", {"init": "zero_asymmetric", "gamma": 0.0}, 7, 1e4),
        (6, "scales", "off_subspace_error", {"scale": 0.03, "gamma": 0.0}, 7, 0.5),
        (7, "scales", "regression_error", {"scale": 0.03, "gamma": 0.1}, 7, 0.98),
        (8, "starts", "noisy_error", {"init": "small", "gamma": 0.0, "map": "network"}, 7, 1.3),
        (9, "starts", "noisy_error", {"init": "fan_in", "gamma": 0.0, "map": "network"}, 7, 0.3),
    ],
)
def test_a_claim_fails_where_one_seed_violates_it(experiment, healthy, index, grid, metric, where, record, factor):
    runs = copied(healthy)
    runs[grid].data[metric].loc[{**where, "seed": 1}][{"record": record}] *= factor
    assert failing(experiment, runs) == [index]


def test_a_small_start_that_is_fast_fails(experiment, healthy):
    runs = copied(healthy)
    runs["starts"].data["regression_error"].loc[{"init": "small", "gamma": 0.0, "seed": 1}] = np.exp(-STEP / 20.0)
    assert failing(experiment, runs) == [10]


def test_a_diverged_run_is_counted_and_fails_what_it_enters(experiment, healthy):
    runs = copied(healthy)
    for name, where in (("starts", {"init": "fan_in", "seed": 0}), ("scales", {"scale": 0.03, "seed": 1})):
        runs[name].data["diverged"].loc[where] = True
        for metric in CURVES:
            runs[name].data[metric].loc[where][{"record": slice(5, None)}] = np.nan
    assert failing(experiment, runs) == [0, 1, 2, 3, 6, 7, 9, 10]
    assert experiment.claims(runs)[0].measured == 4
    experiment.draw(runs)


def test_the_figure_has_each_start_and_scale(experiment, healthy):
    figure = experiment.draw(healthy)
    plain, decayed, fit, scales = figure.axes
    assert [len(panel.lines) for panel in (plain, decayed, fit, scales)] == [7, 7, 7, 3]
    assert [text.get_text() for text in figure.legends[0].get_texts()] == [name.replace("_", " ") for name in NAMES]
    np.testing.assert_allclose(scales.lines[0].get_ydata(), 2 * np.array(SCALES))


def test_divergence_helps_no_claim(experiment, healthy):
    assert_divergence_helps_no_claim(experiment, healthy)
