"""depth: each claim is seen to hold and to fail, its figure to have what it must."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import xarray as xr

import jaxinv as ji
from jaxinv.studies.experiment import load
from tests.experiments.divergence import assert_divergence_helps_no_claim
from tests.experiments.wide_limits import limits_once as limits_once

FILE = Path(__file__).parents[2] / "experiments" / "depth.py"
PROBLEM = {"signal_dim": 32, "measurement_dim": 16, "subspace_dim": 2, "samples": 20}
FIXED = {
    "narrow": {**PROBLEM, "width": 64, "shared_step": 0.05},
    "wide": {**PROBLEM, "gamma": 0.0, "shared_step": 0.05},
}
DEPTHS, RULES, GAMMAS = [1, 2, 5, 10], ["default", "shared"], [0.0, 0.1]
AXES = ("depth", "step_rule", "gamma", "seed")
WIDE_AXES = {"depth": [2, 5, 10], "width": [64, 1600, 16_000], "step_rule": RULES, "seed": range(3)}
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
def good(limited):
    """Results that show every claim: steps to each goal fall with depth, but for narrow ones at default step sizes."""
    return {"narrow": narrow_runs(), "wide": limited.copy(deep=True)}


def narrow_runs():
    shape = (len(DEPTHS), 2, 2, 3, len(STEP))
    gamma = np.array(GAMMAS)[:, None, None]
    slower = by_depth(lambda depth: fit_curve(20 * depth, 100 + 100 * depth))
    faster = by_depth(lambda depth: fit_curve(100 / depth, 400 + 400 / depth))
    fit = np.concatenate([slower, faster], axis=1)  # RULES
    off = by_depth(lambda depth: off_subspace_curve(200 / depth, 500 + 500 / depth))
    curves = dict(zip(CURVES, (fit, off, 0.01, np.where(gamma > 0, 0.3, 1.0)), strict=True))
    return xr.Dataset(
        {name: ((*AXES, "record"), np.broadcast_to(rows, shape).copy()) for name, rows in curves.items()}
        | {"diverged": (AXES, np.zeros(shape[:-1], bool)), "step_size": (AXES, np.full(shape[:-1], 5e-4))}
        | {"weight_decay": (AXES, np.broadcast_to(gamma, shape)[..., 0].copy())},
        {"depth": DEPTHS, "step_rule": RULES, "gamma": GAMMAS, "seed": range(3), "step": ("record", STEP)},
    )


@pytest.fixture(scope="module")
def limited(experiment):
    """Wide runs that are at their limit of infinite width from 100 m on, and below the slower the deeper they are."""
    dims, sizes = tuple(WIDE_AXES), [len(values) for values in WIDE_AXES.values()]
    depth, width = np.ix_(*(np.array(WIDE_AXES[name], float) for name in ("depth", "width")))
    rules = np.stack([1 / depth + 0 * width, 0.05 + 0 * depth * width], axis=-1)[..., None]
    step_size = np.broadcast_to(rules * 16 / (width[..., None, None] * 20), sizes)
    step = np.arange(601)
    data = xr.Dataset(
        {"regression_error": ((*dims, "record"), np.ones((*sizes, 601))), "step_size": (dims, step_size.copy())}
        | {"diverged": (dims, np.zeros(sizes, bool))},
        {name: list(values) for name, values in WIDE_AXES.items()} | {"step": ("record", step)},
    )
    limit = experiment.analyse(as_runs(experiment, {"narrow": narrow_runs(), "wide": data}))["wide"]["limit"]
    arrival = limit.where(limit.width > 64, 2 * limit.depth**2)
    data["regression_error"] = 1e-4 ** (data.step / arrival.transpose(*dims))
    return data


def as_runs(experiment, data):
    grids = experiment.grids("quick")
    axes = {"narrow": AXES, "wide": WIDE_AXES}
    return {
        name: ji.Runs(replace(grids[name], axes={axis: each[axis].values.tolist() for axis in axes[name]},
                              fixed=FIXED[name]), each)
        for name, each in data.items()
    }  # fmt: skip


def analysed(experiment, data):
    """The results as the experiment reads them, with what it derives from them."""
    runs = as_runs(experiment, data)
    made = experiment.analyse(runs)
    return {name: ji.Runs(run.grid, run.data, made[name]) for name, run in runs.items()}


def verdicts(experiment, data):
    return experiment.claims(analysed(experiment, data))


def wide_like_two_layers(rule):
    def change(data):
        fit = data["wide"].regression_error
        fit.loc[{"depth": 5, "step_rule": rule, "width": 1600}] = fit.sel(depth=2, step_rule=rule, width=1600)

    return change


def lose_a_wide_seed(data):
    data["wide"].diverged.loc[{"depth": 5, "step_rule": "shared", "width": 1600, "seed": 0}] = True


def miss_the_limit(data):
    data["wide"].regression_error.loc[{"depth": 2, "width": 16_000, "seed": 0}] **= 0.8


def as_in_the_limit(data):
    row = xr.DataArray(fit_curve(1, 2), dims="record")
    data["narrow"].regression_error.loc[{"depth": 10, "step_rule": "shared", "gamma": 0.0, "seed": [0, 1]}] = row


def lose_a_seed(data):
    data["narrow"].diverged.loc[{"depth": 5, "step_rule": "default", "seed": 0}] = True


def fit_like(rule, start, arrival):
    def change(data):
        row = xr.DataArray(fit_curve(start, arrival), dims="record")
        data["narrow"].regression_error.loc[{"depth": 10, "step_rule": rule, "gamma": 0.0}] = row

    return change


def decay_like(rule, half, arrival):
    def change(data):
        row = xr.DataArray(off_subspace_curve(half, arrival), dims="record")
        data["narrow"].off_subspace_error.loc[{"depth": 10, "step_rule": rule}] = row

    return change


def decay_in_vain(data):
    data["narrow"].noise_sensitivity.loc[{"depth": 5, "step_rule": "default", "gamma": 0.1, "seed": [0, 1]}] = 5.0


def test_it_holds_on_results_that_show_the_claims(experiment, good):
    found = verdicts(experiment, good)
    assert all(verdict.holds for verdict in found), [verdict.line() for verdict in found]
    # in the limit steps fall like 1/(L-1) at one step size; depth 10 is compared at 16,000 alone
    assert found[0].measured == pytest.approx(1 / 4, rel=0.1)
    assert found[3].measured == pytest.approx(1, rel=0.01)
    # depth 10 over depth 2, not over depth 1
    assert [verdict.measured for verdict in found[5:7]] == pytest.approx([5, 1100 / 300], rel=0.05)
    assert [verdict.measured for verdict in found[8:10]] == pytest.approx([0.2, 550 / 750], rel=0.05)
    assert "depth 10 over 2" in found[8].claim


def test_claims_name_their_regime(experiment, good):
    found = verdicts(experiment, good)
    assert all("d_w >= 100 m" in found[i].claim for i in (0, 1, 2))
    assert all("d_w = 4 m" in verdict.claim for verdict in found[4:])
    assert all("paper" not in found[i].bound for i in (5, 6, 7))


def test_depth_ten_is_asked_from_400_m_on(experiment, good):
    fit = good["wide"].regression_error
    fit.loc[{"depth": 10, "width": 1600}] = 1.0
    assert all(verdict.holds for verdict in verdicts(experiment, good)[:4])
    fit.loc[{"depth": 5, "width": 1600, "seed": [0, 1]}] = 1.0
    assert [verdict.measured for verdict in verdicts(experiment, good)[:2]] == [np.inf] * 2


VIOLATIONS = [
    wide_like_two_layers("shared"),
    wide_like_two_layers("default"),
    lose_a_wide_seed,
    miss_the_limit,
    lose_a_seed,
    fit_like("default", 40, 1100),
    fit_like("default", 200, 300),
    as_in_the_limit,
    decay_like("shared", 100, 550),
    decay_like("shared", 20, 750),
    decay_like("default", 100, 550),
    decay_like("default", 20, 750),
    decay_in_vain,
]


@pytest.mark.parametrize(("index", "violate"), list(enumerate(VIOLATIONS)))
def test_a_violated_claim_fails_alone(experiment, good, index, violate):
    violate(good)
    assert [verdict.holds for verdict in verdicts(experiment, good)] == [i != index for i in range(13)]


def diverge(data, where):
    """Those runs of the narrow grid, and of the wide one where it has them, diverge after the first record."""
    for each in data.values():
        here = {axis: value for axis, value in where.items() if axis in each.dims}
        each.diverged.loc[here] = True
        for name in set(CURVES) & set(each.data_vars):
            each[name].loc[{**here, "record": range(1, each.sizes["record"])}] = np.nan


def test_diverged_runs_are_counted_and_never_arrive(experiment, good):
    diverge(good, {"depth": 10, "step_rule": "default", "seed": [0, 1]})
    found = verdicts(experiment, good)
    assert found[4].measured == pytest.approx(4 / 48)
    assert found[1].measured == np.inf
    assert [verdict.measured for verdict in found[5:7]] == [0.0] * 2
    assert [verdict.measured for verdict in found[10:]] == [np.inf] * 3


@pytest.mark.parametrize("where", [{"depth": 10, "seed": 0}, {"depth": 10}, {"depth": 2, "seed": 0}, {"depth": 2},
                                   {"depth": 2, "gamma": 0.1, "seed": [0, 1]}, {"seed": 0}, {}])  # fmt: skip
@pytest.mark.parametrize("violate", VIOLATIONS)
def test_nothing_that_failed_holds_where_runs_diverge(experiment, good, violate, where):
    violate(good)
    before = verdicts(experiment, good)
    diverge(good, where)
    after = verdicts(experiment, good)
    assert not any(now.holds and not then.holds for then, now in zip(before, after, strict=True))
    assert not after[4].holds
    if "seed" not in where:  # all of them; one claim asks nothing of depth 2
        assert not any(verdict.holds for i, verdict in enumerate(after[:12]) if i != 7)


def test_runs_without_a_number_do_not_count_as_helped(experiment, good):
    good["narrow"].test_error.loc[{"depth": 5, "step_rule": "default", "seed": 1}] = np.nan
    assert verdicts(experiment, good)[12].holds  # in the median over three seeds
    good["narrow"].test_error.loc[{"depth": 5, "step_rule": "default", "seed": 2}] = np.nan
    assert not verdicts(experiment, good)[12].holds


def test_nothing_is_compared_where_no_depth_has_a_hidden_layer(experiment, good):
    found = verdicts(experiment, {**good, "narrow": good["narrow"].sel(depth=[1])})
    assert not any(verdict.holds for verdict in found[5:12])


def test_the_figure_shows_the_crossover_and_what_diverged(experiment, good):
    good["narrow"].diverged.loc[{"depth": 10, "step_rule": "default", "seed": 0}] = True
    figure = experiment.draw(analysed(experiment, good))
    _, wide, _, _, shared, default, _ = figure.axes
    assert [len(panel.lines) for panel in figure.axes] == [7, 9, 4, 4, 6, 6, 2]
    assert wide.lines[6].get_xdata()[0] == 1600  # 100 m
    arrival = [line.get_ydata() for line in wide.lines[:3]]
    assert arrival[0][0] < arrival[2][0]
    assert arrival[0][2] > arrival[2][2]
    assert [label.get_text() for label in default.get_xticklabels()] == ["1", "2", "5", "10\n1/3"]
    assert [label.get_text() for label in shared.get_xticklabels()] == ["1", "2", "5", "10"]
    assert shared.get_ylim() == default.get_ylim()
    assert shared.get_ylim()[0] < 10 < 1000 < shared.get_ylim()[1]
    labels = [text.get_text() for text in figure.legends[0].get_texts()]
    assert labels[:2] == ["regression error 0.1 without decay", "regression error 0.0001 without decay"]
    assert len(labels) == len(set(labels)) == 6
    # the law of the first phase: (1 - eta lambda)^(L t) is 1/2
    half = np.log(0.5) / np.log(1 - 5e-4 * 0.1) / np.array(DEPTHS)
    np.testing.assert_allclose(shared.lines[5].get_ydata(), half)


def test_a_small_sweep_has_the_step_sizes_of_its_rules(experiment):
    seeds, grids = range(2), experiment.grids("quick")
    axes = {"narrow": {"depth": [2, 3], "step_rule": RULES, "gamma": GAMMAS, "seed": seeds},
            "wide": {"depth": [2, 3], "step_rule": RULES, "width": [1600, 2**20], "seed": seeds}}  # fmt: skip
    grids = {name: replace(grids[name], axes=axes[name], fixed=FIXED[name]) for name in axes}
    grids["narrow"] = replace(grids["narrow"], steps=500)
    runs = {name: ji.Runs(grid, ji.run_sweep(grid)) for name, grid in grids.items()}
    assert runs["wide"]["width_free"].all()
    largest = np.linalg.norm(runs["narrow"].build(depth=2, seed=0).problem.signals, 2)
    eta = runs["narrow"]["step_size"].isel(gamma=0, seed=0) * largest**2
    np.testing.assert_allclose(eta.sel(step_rule="shared"), 0.05 / 4, rtol=1e-6)
    np.testing.assert_allclose(eta.sel(step_rule="default"), [16 / (2 * 64), 16 / (3 * 64)], rtol=1e-6)
    eta = runs["wide"]["step_size"].isel(seed=0) * largest**2
    np.testing.assert_allclose(eta.sel(step_rule="shared", width=1600), 0.05 / 100, rtol=1e-6)
    made = experiment.analyse(runs)
    runs = {name: ji.Runs(run.grid, run.data, made[name]) for name, run in runs.items()}
    found = experiment.claims(runs)
    assert [verdict.holds for verdict in found[:5]] == [True] * 5, [v.line() for v in found]
    experiment.draw(runs)


def test_divergence_helps_no_claim(experiment, good):
    as_in_the_limit(good)  # random damage seldom fails that claim
    assert_divergence_helps_no_claim(experiment, analysed(experiment, good))
