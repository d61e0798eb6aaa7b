"""The judge of experiments/conditioning.py, on made-up results and on a small sweep."""

import dataclasses
import json
from pathlib import Path

import jax
import numpy as np
import pytest
import xarray as xr

import jaxinv as ji
from jaxinv import theory
from jaxinv.experiment import find

ROOT = Path(__file__).parent.parent
AXES = ("condition_number", "gamma", "seed")
KAPPAS, GAMMAS = np.array([1.0, 2.0, 4.0]), [0.0, 0.1]
STEP = np.unique(np.rint(np.geomspace(1, 6000, 160))) - 1


@pytest.fixture(scope="module")
def experiment():
    return find(["conditioning"], ROOT / "experiments")[0]


@pytest.fixture
def good():
    """Results that show every claim: rates of half the wide limit's, in proportion to 1/kappa^2."""
    kappa, gamma, seed, t = np.ix_(KAPPAS, np.array(GAMMAS), np.arange(3), STEP)
    shape = (3, 2, 3, len(STEP))
    rate = 0.3 / kappa**2
    curves = {
        "regression_error": np.where(gamma > 0, 0.05 / kappa, np.maximum(np.exp(-rate * t), 1e-12)) * (1 + 0.1 * seed),
        "off_subspace_error": 2 * np.exp(-0.1 * gamma / kappa**2 * t),
        "test_error": 0.01,
        "noise_sensitivity": np.where(gamma > 0, 0.3, 1.0),
        # step size 1 and twice the width of the measurements: the limit's log-rate is -log(1 - 2 least_measured^2)
        "least_measured": np.sqrt((1 - np.exp(-2 * rate)) / 2),
        "plateau": 0.5 / kappa * (1 + 0.1 * seed),
    }
    results = xr.Dataset(
        {name: ((*AXES, "record"), np.broadcast_to(rows, shape).copy()) for name, rows in curves.items()}
        | {"diverged": (AXES, np.zeros(shape[:-1], bool)), "step_size": (AXES, np.ones(shape[:-1]))}
        | {"weight_decay": (AXES, np.broadcast_to(gamma, shape)[..., 0].copy())},
        {"condition_number": KAPPAS, "gamma": GAMMAS, "seed": range(3), "step": ("record", STEP)},
    )
    arguments = {"problem": {"measurement_dim": 16}, "network": {"depth": 2, "width": 16}}
    results.attrs["arguments"] = json.dumps(arguments)
    return results


def lose_a_seed(results):
    results.diverged.loc[{"condition_number": 4, "seed": 0}] = True


def contract_like_kappa(results):
    rates = 0.3 / results.condition_number
    results.regression_error.loc[{"gamma": 0.0}] = np.maximum(np.exp(-rates * results.step), 1e-12)


def contract_at_two_rates(results):
    curve = np.maximum(np.exp(-0.3 / 16 * results.step**0.5), 1e-12)
    results.regression_error.loc[{"gamma": 0.0, "condition_number": 4, "seed": [0, 1]}] = curve


def decay_like_kappa(results):
    results.off_subspace_error.loc[{"gamma": 0.1}] = 2 * np.exp(-0.01 / results.condition_number * results.step)


def settle_elsewhere(results):
    results.regression_error.loc[{"gamma": 0.1, "condition_number": 2, "seed": 1}] *= 1.02


def decay_in_vain(results):
    results.noise_sensitivity.loc[{"gamma": 0.1, "condition_number": 2, "seed": 1}] = 5.0


def test_the_judge_holds_on_results_that_show_the_claims(experiment, good):
    verdicts = experiment.judge(good)
    assert all(verdict.holds for verdict in verdicts), [verdict.line() for verdict in verdicts]
    assert [verdict.measured for verdict in verdicts[1:3]] == pytest.approx([1, 2], rel=1e-6)


@pytest.mark.parametrize(
    ("index", "violate"),
    [
        (0, lose_a_seed),
        (1, contract_like_kappa),
        (1, contract_at_two_rates),
        (2, decay_like_kappa),
        (3, settle_elsewhere),
        (4, decay_in_vain),
    ],
)
def test_the_judge_fails_the_claim_that_is_violated(experiment, good, index, violate):
    violate(good)
    assert [verdict.holds for verdict in experiment.judge(good)] == [i != index for i in range(5)]


def test_a_deeper_network_is_held_to_the_first_order_within_ten_percent(experiment, good):
    arguments = json.loads(good.attrs["arguments"])
    arguments["network"]["depth"] = 3
    good.attrs["arguments"] = json.dumps(arguments)
    settle_elsewhere(good)
    assert experiment.judge(good)[3].holds
    good.regression_error.loc[{"gamma": 0.1}] *= 1.2
    assert not experiment.judge(good)[3].holds


def test_nothing_holds_where_every_run_diverged(experiment, good):
    good.diverged[:] = True
    for name in ("regression_error", "off_subspace_error", "test_error", "noise_sensitivity"):
        good[name][..., 1:] = np.nan
    assert not any(verdict.holds for verdict in experiment.judge(good))
    experiment.draw(good)


@pytest.mark.parametrize("depth", [1, 3])
def test_metrics_are_the_smallest_measured_value_and_the_plateau_of_theory(experiment, depth):
    metrics = experiment.grids["quick"].metrics
    problem = ji.subspace_problem(
        jax.random.key(3), signal_dim=12, measurement_dim=8, subspace_dim=3, samples=20, condition_number=4.0
    )
    network = ji.layer_product(jax.random.key(3), problem, width=9, depth=depth)
    descent = ji.gradient_descent(problem, network, gamma=0.1)
    run = ji.train(problem, network, descent, steps=1, records=2, metrics=metrics)
    expected = theory.plateau(problem, depth, 1.0)
    np.testing.assert_allclose(run.metrics["plateau"], expected, rtol=1e-10)
    np.testing.assert_allclose(run.metrics["least_measured"], np.linalg.svd(problem.measurements)[1][2], rtol=1e-10)


def test_a_small_sweep_is_judged_and_drawn(experiment, tmp_path):
    sweep = dataclasses.replace(
        experiment.grids["quick"],
        axes={"condition_number": [1, 2, 3], "gamma": GAMMAS, "seed": range(2)},
        fixed={"signal_dim": 32, "measurement_dim": 16, "subspace_dim": 2, "samples": 20, "width": 32, "depth": 2},
        steps=1500,
    )
    results = ji.run_sweep(sweep)
    verdicts = experiment.judge(results)
    assert [verdicts[i].holds for i in (0, 2, 3, 4)] == [True] * 4, [verdict.line() for verdict in verdicts]
    experiment.draw(results).savefig(tmp_path / "figure.png")
