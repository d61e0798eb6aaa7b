"""conditioning: each claim is seen to hold and to fail, its figure to have what it must."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import xarray as xr

import jaxinv as ji
from jaxinv import theory
from jaxinv.studies.experiment import load
from tests.experiments.divergence import assert_divergence_helps_no_claim

FILE = Path(__file__).parents[2] / "experiments" / "conditioning.py"
SIZES = {"signal_dim": 32, "measurement_dim": 16, "subspace_dim": 2, "samples": 20, "width": 16, "depth": 2}
AXES = ("condition_number", "gamma", "seed")
KAPPAS, GAMMAS, SEEDS = [1.0, 2.0, 4.0], [0.0, 0.1], range(3)
STEP = np.unique(np.rint(np.geomspace(1, 6000, 160))) - 1
CURVES = ("regression_error", "off_subspace_error", "test_error", "noise_sensitivity")


@pytest.fixture(scope="module")
def experiment():
    return load(FILE)


@pytest.fixture(scope="module")
def grid(experiment):
    axes = {"condition_number": KAPPAS, "gamma": GAMMAS, "seed": SEEDS}
    return replace(experiment.grids("quick"), axes=axes, fixed=SIZES)


@pytest.fixture(scope="module")
def plateaus(grid):
    """Where the problems of the grid settle, (condition_number, gamma, seed, record)."""
    runs = ji.Runs(grid, xr.Dataset())
    setups = [[runs.build(condition_number=k, gamma=0.1, seed=seed) for seed in SEEDS] for k in KAPPAS]
    rows = [[theory.plateau(each.problem, 2, each.descent.weight_decay) for each in row] for row in setups]
    return np.array(rows)[:, None, :, None]


@pytest.fixture
def good(plateaus):
    """Results that show every claim: rates of half the wide limit's, in proportion to 1/kappa^2."""
    kappa, gamma, seed, t = np.ix_(np.array(KAPPAS), np.array(GAMMAS), np.arange(3), STEP)
    shape = (3, 2, 3, len(STEP))
    rate = 0.3 / kappa**2
    fit = np.where(gamma > 0, plateaus, np.maximum(np.exp(-rate * t), 1e-12) * (1 + 0.1 * seed))
    off = 2 * np.exp(-0.1 * gamma / kappa**2 * t)
    curves = dict(zip(CURVES, (fit, off, 0.01, np.where(gamma > 0, 0.3, 1.0)), strict=True))
    # step size 1 and as many hidden units as measurements: the limit's log-rate is -log(1 - 2 least^2)
    extremes = np.sqrt((1 - np.exp(-2 * rate)) / 2)[..., None] * [1.0, 1.0]
    return xr.Dataset(
        {name: ((*AXES, "record"), np.broadcast_to(rows, shape).copy()) for name, rows in curves.items()}
        | {"diverged": (AXES, np.zeros(shape[:-1], bool)), "step_size": (AXES, np.ones(shape[:-1]))}
        | {"weight_decay": (AXES, np.broadcast_to(gamma, shape)[..., 0].copy())}
        | {"measured_extremes": ((*AXES, "record", "extreme"), np.broadcast_to(extremes, (*shape, 2)))},
        {"condition_number": KAPPAS, "gamma": GAMMAS, "seed": SEEDS, "step": ("record", STEP)},
    )


def analysed(experiment, grid, data):
    """The results as the experiment reads them, with what it derives from them."""
    return ji.Runs(grid, data, experiment.analyse(ji.Runs(grid, data)))


def lose_a_seed(data):
    data.diverged.loc[{"condition_number": 4, "seed": 0}] = True


def contract_like_kappa(data):
    data.regression_error.loc[{"gamma": 0.0}] = np.maximum(np.exp(-0.3 / data.condition_number * data.step), 1e-12)


def contract_at_two_rates(data):
    curve = np.maximum(np.exp(-0.3 / 16 * data.step**0.5), 1e-12)
    data.regression_error.loc[{"gamma": 0.0, "condition_number": 4, "seed": [0, 1]}] = curve


def decay_like_kappa(data):
    data.off_subspace_error.loc[{"gamma": 0.1}] = 2 * np.exp(-0.01 / data.condition_number * data.step)


def settle_elsewhere(data):
    data.regression_error.loc[{"gamma": 0.1, "condition_number": 2, "seed": 1}] *= 1.02


def decay_in_vain(data):
    data.noise_sensitivity.loc[{"gamma": 0.1, "condition_number": 2, "seed": 1}] = 5.0


def a_power_between(data):
    """Two of three seeds contract like kappa^-1.72, beyond the slack."""
    for seed, power in enumerate((1.72, 1.72, 2.1)):
        rate = 0.3 / data.condition_number**power
        data.regression_error.loc[{"gamma": 0.0, "seed": seed}] = np.maximum(np.exp(-rate * data.step), 1e-12)


def diverge(data):
    for name in CURVES:
        data[name].loc[{"condition_number": 4, "seed": [0, 1], "record": range(1, len(STEP))}] = np.nan


def test_it_holds_on_results_that_show_the_claims(experiment, grid, good):
    found = experiment.claims(analysed(experiment, grid, good))
    assert all(verdict.holds for verdict in found), [verdict.line() for verdict in found]
    assert [verdict.measured for verdict in found[1:3]] == pytest.approx([1, 2], rel=1e-6)


@pytest.mark.parametrize(
    ("failing", "violate"),
    [
        ({0}, lose_a_seed),
        ({1}, contract_like_kappa),
        ({1}, contract_at_two_rates),
        ({2}, decay_like_kappa),
        ({3}, settle_elsewhere),
        ({4}, decay_in_vain),
        ({1, 2, 3, 4}, diverge),
    ],
)
def test_a_violated_claim_fails_alone(experiment, grid, good, failing, violate):
    violate(good)
    found = experiment.claims(analysed(experiment, grid, good))
    assert {i for i, verdict in enumerate(found) if not verdict.holds} == failing


def test_a_deeper_network_is_held_to_the_first_order_within_ten_percent(experiment, grid, good):
    deeper = replace(grid, fixed={**SIZES, "depth": 3})
    runs = analysed(experiment, deeper, good)
    good.regression_error.loc[{"gamma": 0.1}] = 1.09 * runs["plateau"]
    assert experiment.claims(ji.Runs(deeper, good, experiment.analyse(runs)))[3].holds
    good.regression_error.loc[{"gamma": 0.1}] *= 1.2
    assert not experiment.claims(ji.Runs(deeper, good, experiment.analyse(runs)))[3].holds


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_a_lost_seed_does_not_pull_the_median_of_the_others_to_the_law(experiment, grid, good, seed):
    a_power_between(good)
    assert not experiment.claims(analysed(experiment, grid, good))[1].holds
    for name in CURVES:
        good[name].loc[{"seed": seed, "gamma": 0.0, "record": range(1, len(STEP))}] = np.nan
    good.diverged.loc[{"seed": seed, "gamma": 0.0}] = True
    assert not experiment.claims(analysed(experiment, grid, good))[1].holds


def test_nothing_holds_where_every_run_diverged(experiment, grid, good):
    good.diverged[:] = True
    for name in CURVES:
        good[name][..., 1:] = np.nan
    runs = analysed(experiment, grid, good)
    assert not any(verdict.holds for verdict in experiment.claims(runs))
    experiment.draw(runs)


def test_the_figure_has_curves_and_their_laws(experiment, grid, good):
    fit, rate, off, errors = experiment.draw(analysed(experiment, grid, good)).axes
    assert [len(panel.lines) for panel in (fit, rate, off, errors)] == [3, 2, 2, 4]
    assert [text.get_text() for text in fit.get_legend().get_texts()] == [f"$\\kappa$ = {k:g}" for k in KAPPAS]
    np.testing.assert_allclose(rate.lines[0].get_ydata(), 0.3 / np.square(KAPPAS), rtol=1e-6)
    np.testing.assert_allclose(rate.lines[1].get_ydata(), 0.6 / np.square(KAPPAS), rtol=1e-6)
    np.testing.assert_allclose(off.lines[1].get_ydata(), np.log(10) / -np.log1p(-0.1), rtol=1e-6)
    assert [label.get_text() for label in rate.get_xticklabels()] == ["1", "2", "4"]


def test_a_small_sweep_holds_where_it_should(experiment, grid):
    axes = {"condition_number": [1, 2, 3], "gamma": GAMMAS, "seed": range(2)}
    small = replace(grid, axes=axes, fixed={**SIZES, "width": 32}, steps=1500)
    runs = analysed(experiment, small, ji.run_sweep(small))
    found = experiment.claims(runs)
    assert [found[i].holds for i in (0, 2, 3, 4)] == [True] * 4, [verdict.line() for verdict in found]
    experiment.draw(runs)


def test_divergence_helps_no_claim(experiment, grid, good):
    assert_divergence_helps_no_claim(experiment, ji.Runs(grid, good))
