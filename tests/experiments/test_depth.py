"""depth: each claim is seen to hold and to fail, its figure to have what it must."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import xarray as xr

import jaxinv as ji
from jaxinv.studies.experiment import load
from tests.experiments.divergence import assert_divergence_helps_no_claim

FILE = Path(__file__).parents[2] / "experiments" / "depth.py"
SIZES = {"signal_dim": 32, "measurement_dim": 16, "subspace_dim": 2, "samples": 20, "width": 64, "shared_step": 0.05}
DEPTHS, RULES, GAMMAS = [1, 2, 5, 10], ["default", "shared"], [0.0, 0.1]
AXES = ("depth", "step_rule", "gamma", "seed")
STEP = np.unique(np.rint(np.geomspace(1, 2000, 120))) - 1
CURVES = ("regression_error", "off_subspace_error", "test_error", "noise_sensitivity")


@pytest.fixture(scope="module")
def experiment():
    return load(FILE)


def fit_curve(start, arrival):
    """From 1 through 0.1 at step `start` and 1e-4 at step `arrival`."""
    return np.exp(np.interp(STEP, [0, start, arrival, 2000], np.log([1, 0.1, 1e-4, 1e-6])))


def off_subspace_curve(half, arrival):
    """From 1 through 0.5 at step `half` and 0.2 at step `arrival`."""
    return np.exp(np.interp(STEP, [0, half, arrival, 2000], np.log([1, 0.5, 0.2, 0.1])))


def by_depth(curve):
    """`curve` for each of DEPTHS, with an axis each for rule, gamma and seed."""
    return np.stack([curve(depth) for depth in DEPTHS])[:, None, None, None]


@pytest.fixture
def good():
    """Results that show every claim, under both rules: steps to each goal fall with depth."""
    shape = (len(DEPTHS), 2, 2, 3, len(STEP))
    gamma = np.array(GAMMAS)[:, None, None]
    fit = by_depth(lambda depth: fit_curve(100 / depth, 400 + 400 / depth))
    off = by_depth(lambda depth: off_subspace_curve(200 / depth, 500 + 500 / depth))
    curves = dict(zip(CURVES, (fit, off, 0.01, np.where(gamma > 0, 0.3, 1.0)), strict=True))
    names = (*AXES, "record")
    return xr.Dataset(
        {name: (names, np.broadcast_to(rows, shape).copy()) for name, rows in curves.items()}
        | {"diverged": (AXES, np.zeros(shape[:-1], bool)), "step_size": (AXES, np.full(shape[:-1], 0.01))}
        | {"weight_decay": (AXES, np.broadcast_to(gamma, shape)[..., 0].copy())}
        | {"measured_extremes": ((*names, "extreme"), np.broadcast_to([1.2, 0.8], (*shape, 2)))},
        {"depth": DEPTHS, "step_rule": RULES, "gamma": GAMMAS, "seed": range(3), "step": ("record", STEP)},
    )


def analysed(experiment, data):
    """The results as the experiment reads them, with what it derives from them."""
    axes = {name: data[name].values.tolist() for name in AXES}
    grid = replace(experiment.grids("quick"), axes=axes, fixed=SIZES)
    return ji.Runs(grid, data, experiment.analyse(ji.Runs(grid, data)))


def verdicts(experiment, data):
    return experiment.claims(analysed(experiment, data))


def lose_a_seed(data):
    data.diverged.loc[{"depth": 5, "step_rule": "default", "seed": 0}] = True


def fit_like(rule, start, arrival):
    def change(data):
        row = xr.DataArray(fit_curve(start, arrival), dims="record")
        data.regression_error.loc[{"depth": 10, "step_rule": rule, "gamma": 0.0}] = row

    return change


def decay_like(rule, half, arrival):
    def change(data):
        row = xr.DataArray(off_subspace_curve(half, arrival), dims="record")
        data.off_subspace_error.loc[{"depth": 10, "step_rule": rule}] = row

    return change


def decay_in_vain(data):
    data.noise_sensitivity.loc[{"depth": 5, "step_rule": "default", "gamma": 0.1, "seed": [0, 1]}] = 5.0


def test_it_holds_on_results_that_show_the_claims(experiment, good):
    found = verdicts(experiment, good)
    assert all(verdict.holds for verdict in found), [verdict.line() for verdict in found]
    measured = [verdict.measured for verdict in found[1:5]]
    # depth 10 over depth 2, not over depth 1
    assert measured == pytest.approx([0.2, 440 / 600, 0.2, 550 / 750], rel=0.05)
    assert "depth 10 over 2" in found[1].claim


VIOLATIONS = [
    lose_a_seed,
    fit_like("shared", 50, 440),
    fit_like("shared", 10, 600),
    decay_like("shared", 100, 550),
    decay_like("shared", 20, 750),
    fit_like("default", 50, 440),
    fit_like("default", 10, 600),
    decay_like("default", 100, 550),
    decay_like("default", 20, 750),
    decay_in_vain,
]


@pytest.mark.parametrize(("index", "violate"), list(enumerate(VIOLATIONS)))
def test_a_violated_claim_fails_alone(experiment, good, index, violate):
    violate(good)
    assert [verdict.holds for verdict in verdicts(experiment, good)] == [i != index for i in range(10)]


def test_diverged_runs_are_counted_and_never_arrive(experiment, good):
    for name in CURVES:
        good[name].loc[{"depth": 10, "step_rule": "default", "seed": [0, 1]}] = np.nan
    good.diverged.loc[{"depth": 10, "step_rule": "default", "seed": [0, 1]}] = True
    found = verdicts(experiment, good)
    assert found[0].measured == pytest.approx(4 / 48)
    assert [verdict.measured for verdict in found[5:9]] == [np.inf] * 4
    assert found[9].measured == np.inf


DIVERGED = [{"depth": 10, "seed": 0}, {"depth": 10}, {"depth": 2, "seed": 0}, {"depth": 2}, {"depth": 2, "gamma": 0.0},
            {"depth": 2, "gamma": 0.1, "seed": [0, 1]}, {"seed": 0}, {}]  # fmt: skip


@pytest.mark.parametrize("where", DIVERGED)
@pytest.mark.parametrize("violate", VIOLATIONS)
def test_nothing_that_failed_holds_where_runs_diverge(experiment, good, violate, where):
    violate(good)
    before = verdicts(experiment, good)
    good.diverged.loc[where] = True
    for name in CURVES:
        good[name].loc[{**where, "record": range(1, good.sizes["record"])}] = np.nan
    after = verdicts(experiment, good)
    assert not any(now.holds and not then.holds for then, now in zip(before, after, strict=True))
    assert not after[0].holds
    if "seed" not in where:  # all of them
        assert not any(verdict.holds for verdict in after[1:9])


def test_runs_without_a_number_do_not_count_as_helped(experiment, good):
    good.test_error.loc[{"depth": 5, "step_rule": "default", "seed": 1}] = np.nan
    assert verdicts(experiment, good)[9].holds  # in the median over three seeds
    good.test_error.loc[{"depth": 5, "step_rule": "default", "seed": 2}] = np.nan
    assert not verdicts(experiment, good)[9].holds


def test_nothing_is_compared_where_no_depth_has_a_hidden_layer(experiment, good):
    found = verdicts(experiment, good.sel(depth=[1]))
    assert not any(verdict.holds for verdict in found[1:9])


def test_the_figure_says_what_diverged_and_has_one_scale_of_steps(experiment, good):
    good.diverged.loc[{"depth": 10, "step_rule": "default", "seed": 0}] = True
    figure = experiment.draw(analysed(experiment, good))
    _, _, shared, default, _ = figure.axes
    assert [len(panel.lines) for panel in figure.axes] == [4, 4, 6, 6, 2]
    assert [label.get_text() for label in default.get_xticklabels()] == ["1", "2", "5", "10\n1/3"]
    assert [label.get_text() for label in shared.get_xticklabels()] == ["1", "2", "5", "10"]
    assert shared.get_ylim() == default.get_ylim()
    assert shared.get_ylim()[0] < 10 < 1000 < shared.get_ylim()[1]
    labels = [text.get_text() for text in figure.legends[0].get_texts()]
    assert labels[:2] == ["regression error 0.1 without decay", "regression error 0.0001 without decay"]
    assert len(labels) == len(set(labels)) == 6
    # the law of the first phase: (1 - eta lambda)^(L t) is 1/2
    half = np.log(0.5) / np.log(1 - 0.01 * 0.1) / np.array(DEPTHS)
    np.testing.assert_allclose(shared.lines[5].get_ydata(), half)


def test_a_small_sweep_has_the_step_sizes_of_its_rules(experiment):
    axes = {"depth": [2, 3], "step_rule": RULES, "gamma": GAMMAS, "seed": range(2)}
    grid = replace(experiment.grids("quick"), axes=axes, fixed=SIZES, steps=500)
    runs = analysed(experiment, ji.run_sweep(grid))
    largest = np.linalg.norm(runs.build(depth=2, seed=0).problem.signals, 2)
    eta = runs["step_size"].isel(gamma=0, seed=0) * largest**2
    np.testing.assert_allclose(eta.sel(step_rule="shared"), 0.05, rtol=1e-6)
    np.testing.assert_allclose(eta.sel(step_rule="default"), [16 / (2 * 64), 16 / (3 * 64)], rtol=1e-6)
    found = experiment.claims(runs)
    assert [found[i].holds for i in (0, 3, 8, 9)] == [True, True, False, True], [v.line() for v in found]
    experiment.draw(runs)


def test_divergence_helps_no_claim(experiment, good):
    assert_divergence_helps_no_claim(experiment, analysed(experiment, good))
