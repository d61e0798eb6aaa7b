"""The judge of experiments/depth.py, on made-up results and on a small sweep."""

import dataclasses
import json
from pathlib import Path

import numpy as np
import pytest
import xarray as xr

import jaxinv as ji
from jaxinv.experiment import find

ROOT = Path(__file__).parent.parent
DEPTHS, RULES, GAMMAS = [1, 2, 5, 10], ["default", "shared"], [0.0, 0.1]
AXES = ("depth", "step_rule", "gamma", "seed")
STEP = np.unique(np.rint(np.geomspace(1, 2000, 120))) - 1


@pytest.fixture(scope="module")
def experiment():
    return find(["depth"], ROOT / "experiments")[0]


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
    curves = {
        "regression_error": by_depth(lambda depth: fit_curve(100 / depth, 400 + 400 / depth)),
        "off_subspace_error": by_depth(lambda depth: off_subspace_curve(200 / depth, 500 + 500 / depth)),
        "test_error": 0.01,
        "noise_sensitivity": np.where(gamma > 0, 0.3, 1.0),
    }
    names = (*AXES, "record")
    results = xr.Dataset(
        {name: (names, np.broadcast_to(rows, shape).copy()) for name, rows in curves.items()}
        | {"diverged": (AXES, np.zeros(shape[:-1], bool)), "step_size": (AXES, np.full(shape[:-1], 0.01))}
        | {"weight_decay": (AXES, np.broadcast_to(gamma, shape)[..., 0].copy())}
        | {"measured_extremes": ((*names, "extreme"), np.broadcast_to([1.2, 0.8], (*shape, 2)))},
        {"depth": DEPTHS, "step_rule": RULES, "gamma": GAMMAS, "seed": range(3), "step": ("record", STEP)},
    )
    results.attrs["arguments"] = json.dumps({"problem": {"measurement_dim": 16}, "network": {"width": 32}})
    return results


def lose_a_seed(results):
    results.diverged.loc[{"depth": 5, "step_rule": "default", "seed": 0}] = True


def fit_like(rule, start, arrival):
    def change(results):
        row = xr.DataArray(fit_curve(start, arrival), dims="record")
        results.regression_error.loc[{"depth": 10, "step_rule": rule, "gamma": 0.0}] = row

    return change


def decay_like(rule, half, arrival):
    def change(results):
        row = xr.DataArray(off_subspace_curve(half, arrival), dims="record")
        results.off_subspace_error.loc[{"depth": 10, "step_rule": rule}] = row

    return change


def decay_in_vain(results):
    results.noise_sensitivity.loc[{"depth": 5, "step_rule": "default", "gamma": 0.1, "seed": 1}] = 5.0


def test_the_judge_holds_on_results_that_show_the_claims(experiment, good):
    verdicts = experiment.judge(good)
    assert all(verdict.holds for verdict in verdicts), [verdict.line() for verdict in verdicts]
    measured = [verdict.measured for verdict in verdicts[1:5]]
    # depth 10 over depth 2, not over depth 1
    assert measured == pytest.approx([0.2, 440 / 600, 0.2, 550 / 750], rel=0.05)


@pytest.mark.parametrize(
    ("index", "violate"),
    [
        (0, lose_a_seed),
        (1, fit_like("shared", 50, 440)),
        (2, fit_like("shared", 10, 600)),
        (3, decay_like("shared", 100, 550)),
        (4, decay_like("shared", 20, 750)),
        (5, fit_like("default", 50, 440)),
        (6, fit_like("default", 10, 600)),
        (7, decay_like("default", 100, 550)),
        (8, decay_like("default", 20, 750)),
        (9, decay_in_vain),
    ],
)
def test_the_judge_fails_the_claim_that_is_violated(experiment, good, index, violate):
    violate(good)
    assert [verdict.holds for verdict in experiment.judge(good)] == [i != index for i in range(10)]


def test_diverged_runs_are_counted_and_never_arrive(experiment, good):
    for name in ("regression_error", "off_subspace_error", "test_error", "noise_sensitivity"):
        good[name].loc[{"depth": 10, "step_rule": "default", "seed": [0, 1]}] = np.nan
    good.diverged.loc[{"depth": 10, "step_rule": "default", "seed": [0, 1]}] = True
    verdicts = experiment.judge(good)
    assert verdicts[0].measured == pytest.approx(4 / 48)
    assert [verdict.measured for verdict in verdicts[5:9]] == [np.inf] * 4
    assert verdicts[9].holds


def test_a_small_sweep_is_judged_and_drawn(experiment, tmp_path):
    sweep = dataclasses.replace(
        experiment.grids["quick"],
        axes={"depth": [2, 3], "step_rule": RULES, "gamma": GAMMAS, "seed": range(2)},
        fixed={"signal_dim": 32, "measurement_dim": 16, "subspace_dim": 2, "samples": 20, "width": 64,
               "shared_step": 0.05},
        steps=500,
    )  # fmt: skip
    results = ji.run_sweep(sweep)
    largest = np.linalg.norm(ji.build(sweep.cells()[0])[0].signals, 2)
    eta = results.step_size.isel(gamma=0, seed=0) * largest**2
    np.testing.assert_allclose(eta.sel(step_rule="shared"), 0.05, rtol=1e-6)
    np.testing.assert_allclose(eta.sel(step_rule="default"), [16 / (2 * 64), 16 / (3 * 64)], rtol=1e-6)
    verdicts = experiment.judge(results)
    assert [verdicts[i].holds for i in (0, 3, 8, 9)] == [True, True, False, True], [v.line() for v in verdicts]
    experiment.draw(results).savefig(tmp_path / "figure.png")
