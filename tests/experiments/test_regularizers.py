"""regularizers: each claim is seen to hold and to fail, its figure to have what it must."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import xarray as xr

import jaxinv as ji
from jaxinv.studies.experiment import load
from tests.experiments.divergence import assert_divergence_helps_no_claim

FILE = Path(__file__).parents[2] / "experiments" / "regularizers.py"
SIZES = {"signal_dim": 12, "measurement_dim": 6, "subspace_dim": 2, "samples": 5, "width": 8, "depth": 3}
GAMMAS, SEEDS, STEP = [0.03, 0.1], range(2), np.array([0, 1, 3, 10, 30, 100, 300, 1000])
ETA, FALLS = 0.1, {"weight_decay": 1e-9, "first_layer_decay": 1e-9, "frobenius": 1e-9, "nuclear": 0.01}
NAMES = [*FALLS, "last_layer_decay", "l1", "spectral"]
CURVES = ("regression_error", "off_subspace_error", "off_range", "noisy_error")


@pytest.fixture(scope="module")
def experiment():
    return load(FILE)


@pytest.fixture(scope="module")
def healthy(experiment):
    """Results that show every claim, made up but for the laws and optima that the experiment finds itself."""
    grids = experiment.grids("quick")
    axes = {"regularizer": NAMES, "gamma": GAMMAS, "seed": SEEDS}
    named = replace(grids["named"], axes=axes, fixed=SIZES)
    none = replace(grids["none"], axes={"seed": SEEDS}, fixed=SIZES)
    runs = {"named": made_up(named, {}, 0.1), "none": made_up(none, {}, 1.0)}
    strength = xr.DataArray(ETA * np.array(GAMMAS), {"gamma": GAMMAS}, ("gamma",))
    data = runs["named"].data
    data["weight_decay"] = (strength.where(data.regularizer == "weight_decay", 0) + 0 * data.step_size).transpose(*axes)
    data["strength"] = (strength.where(data.regularizer != "weight_decay") + 0 * data.step_size).transpose(*axes)
    late = 1 - np.exp(-data.step / 100.0)
    for name, share in FALLS.items():
        data["off_subspace_error"].loc[{"regularizer": name}] = 3 * share**late
        data["noisy_error"].loc[{"regularizer": name, "map": "network"}] = 0.22
    law = experiment.analyse(runs)["named"]
    data["off_range"] = 5 * law.law
    data["regression_error"][:] = law.optimum.fillna(0.1)
    return runs


def made_up(grid, values, share):
    """Curves that fall to a share of their start off the subspace, the oracle's noisy error being 0.2."""
    dims, shape = tuple(grid.axes), tuple(map(len, grid.axes.values()))
    rows = {
        "regression_error": np.full(len(STEP), 0.1),
        "off_subspace_error": 3 * share ** (1 - np.exp(-STEP / 100.0)),
        "off_range": np.full(len(STEP), 5.0),
    }
    noisy = np.stack([np.linspace(2.0, 1.0, len(STEP)), np.full(len(STEP), 0.2)], 1)[..., None]
    data = {name: ((*dims, "record"), np.broadcast_to(row, (*shape, len(STEP))).copy()) for name, row in rows.items()}
    data["noisy_error"] = ((*dims, "record", "map", "noise"), np.broadcast_to(noisy, (*shape, *noisy.shape)).copy())
    data |= {"diverged": (dims, np.zeros(shape, bool)), "step_size": (dims, np.full(shape, ETA))}
    coords = {**{name: list(axis) for name, axis in grid.axes.items()}, "step": ("record", STEP)}
    return ji.Runs(grid, xr.Dataset(data, {**coords, "map": ["network", "oracle"], "noise": [0.3]}))


def copied(runs):
    return {name: ji.Runs(run.grid, run.data.copy(deep=True)) for name, run in runs.items()}


def analysed(experiment, runs):
    derived = experiment.analyse(runs)
    return {name: ji.Runs(run.grid, run.data, derived.get(name)) for name, run in runs.items()}


def failing(experiment, runs):
    verdicts = experiment.claims(analysed(experiment, runs))
    assert len(verdicts) == 14
    return [index for index, verdict in enumerate(verdicts) if not verdict.holds]


def test_every_claim_holds_on_results_that_show_them(experiment, healthy):
    assert failing(experiment, healthy) == []


@pytest.mark.parametrize(
    ("index", "grid", "metric", "where", "factor"),
    [
        (1, "named", "off_range", {"regularizer": "first_layer_decay", "record": 3}, 1 + 1e-8),
        (1, "named", "off_range", {"regularizer": "weight_decay", "record": 3}, 1 + 1e-8),
        (2, "named", "off_range", {"regularizer": "last_layer_decay", "record": 7}, 1 - 1e-8),
        (2, "none", "off_range", {"record": 7}, 1 - 1e-8),
        (3, "named", "off_subspace_error", {"regularizer": "weight_decay", "record": 7}, 1e4),
        (4, "named", "off_subspace_error", {"regularizer": "first_layer_decay", "record": 7}, 1e4),
        (5, "named", "off_subspace_error", {"regularizer": "frobenius", "record": 7}, 1e4),
        (6, "named", "off_subspace_error", {"regularizer": "nuclear", "record": 7}, 10),
        (7, "named", "off_subspace_error", {"regularizer": "last_layer_decay", "record": 7}, 0.1),
        (8, "named", "off_subspace_error", {"regularizer": "l1", "record": 7}, 0.1),
        (9, "named", "off_subspace_error", {"regularizer": "spectral", "record": 7}, 0.1),
        (10, "none", "off_subspace_error", {"record": 7}, 0.4),
        (11, "none", "noisy_error", {"map": "network", "record": 5}, 0.2),
        (12, "named", "noisy_error", {"regularizer": "nuclear", "map": "network", "record": 7}, 1.3),
        (13, "named", "regression_error", {"regularizer": "frobenius", "gamma": 0.1, "record": 7}, 1.03),
    ],
)
def test_a_claim_fails_where_one_seed_violates_it(experiment, healthy, index, grid, metric, where, factor):
    runs = copied(healthy)
    where = {**where, "seed": 1}
    record = {"record": where.pop("record")}
    runs[grid].data[metric].loc[where][record] = runs[grid].data[metric].loc[where][record] * factor
    assert failing(experiment, runs) == [index]


def test_early_stopping_takes_the_record_with_the_least_error_on_noisy_pairs(experiment, healthy):
    runs = copied(healthy)
    runs["none"].data["off_subspace_error"].loc[{"seed": 1}][{"record": 4}] = 0.1
    assert failing(experiment, runs) == []
    runs["none"].data["noisy_error"].loc[{"seed": 1, "map": "network"}][{"record": 4}] = 0.9
    assert failing(experiment, runs) == [10]


def test_a_diverged_run_is_counted_and_fails_what_it_enters(experiment, healthy):
    runs = copied(healthy)
    for name, where in (("named", {"regularizer": "weight_decay", "gamma": 0.1, "seed": 0}), ("none", {"seed": 0})):
        runs[name].data["diverged"].loc[where] = True
        for metric in CURVES:
            runs[name].data[metric].loc[where][{"record": slice(6, None)}] = np.nan
    assert failing(experiment, runs) == [0, 1, 2, 3, 10, 11, 12, 13]
    assert experiment.claims(analysed(experiment, runs))[0].measured == 2
    experiment.draw(analysed(experiment, runs))


def test_the_figure_has_each_regularizer_and_none(experiment, healthy):
    figure = experiment.draw(analysed(experiment, healthy))
    off, first, noise, fit = figure.axes
    assert [len(off.lines), len(first.lines), len(noise.lines)] == [8, 8 + 2 + 1, 7 + 1]
    labels = [text.get_text() for text in figure.legends[0].get_texts()]
    assert labels == ["none", "weight decay", "first layer decay", "frobenius", "nuclear", "last layer decay", "l1",
                      "spectral"]  # fmt: skip
    np.testing.assert_allclose(noise.lines[0].get_ydata(), [1.1, 1.1])
    assert len(fit.lines) == 2 * 7 + 1


def test_divergence_helps_no_claim(experiment, healthy):
    assert_divergence_helps_no_claim(experiment, analysed(experiment, healthy))
