"""The judge of experiments/overparameterization.py, on made-up results and on a small sweep."""

import dataclasses
import json
from pathlib import Path

import numpy as np
import pytest
import xarray as xr

import jaxinv as ji
from jaxinv.experiment import find

ROOT = Path(__file__).parent.parent
WIDTHS, GAMMAS = [8, 16, 32, 64], [0.0, 0.1]
AXES = ("width", "gamma", "seed")


@pytest.fixture(scope="module")
def experiment():
    return find(["overparameterization"], ROOT / "experiments")[0]


@pytest.fixture
def good():
    """Results that show every claim: all seeds diverge at the least width, then all gets better with the width."""
    step = np.unique(np.rint(np.geomspace(1, 2000, 80))) - 1
    width, gamma, seed, t = np.ix_(np.array(WIDTHS) / 16, np.array(GAMMAS), np.arange(3), step)
    ones = np.ones((4, 2, 3, len(step)))
    step_size = 0.02 * width * ones
    fit = np.maximum(np.exp(-0.1 * width * t), np.where(gamma > 0, 0.05, 1e-9)) * (1 + 0.1 * seed)
    curves = {
        "regression_error": fit,
        "off_subspace_error": 2 * np.exp(-step_size * gamma * t),
        "test_error": 0.01 * ones,
        "noise_sensitivity": np.where(gamma > 0, 0.3, 1.0) / np.sqrt(width) * ones,
    }
    names = (*AXES, "record")
    results = xr.Dataset(
        {name: (names, np.where(width < 1, np.nan, rows)) for name, rows in curves.items()}
        | {"diverged": (AXES, (width < 1)[..., 0] & (ones[..., 0] > 0)), "step_size": (AXES, step_size[..., 0])}
        | {"weight_decay": (AXES, (gamma * ones)[..., 0])}
        | {"measured_extremes": ((*names, "extreme"), ones[..., None] * [1.2, 0.8])},
        {"width": WIDTHS, "gamma": GAMMAS, "seed": range(3), "step": ("record", step)},
    )
    results.attrs["arguments"] = json.dumps({"problem": {"measurement_dim": 16}, "network": {"depth": 3}})
    return results


def lose_a_seed(results):
    results.diverged.loc[{"width": 64, "seed": 0}] = True


def fit_alike(results):
    results.regression_error.loc[{"gamma": 0.0}] = results.regression_error.sel(gamma=0.0, width=16)


def decay_slower(results):
    results.step_size.loc[{"width": 64}] = 0.016
    results.off_subspace_error.loc[{"width": 64, "gamma": 0.1}] = 2 * np.exp(-0.0016 * results.step)


def decay_out_of_law(results):
    results.off_subspace_error.loc[{"width": 64}] = results.off_subspace_error.sel(width=64) ** 3


def generalize_alike(gamma):
    def change(results):
        results.noise_sensitivity.loc[{"gamma": gamma}] = results.noise_sensitivity.sel(gamma=gamma, width=16)

    return change


def decay_in_vain(results):
    results.noise_sensitivity.loc[{"gamma": 0.1, "width": 32, "seed": 1}] = 5.0


def settle_elsewhere(results):
    results.regression_error.loc[{"gamma": 0.1, "width": 32, "seed": 1}] *= 1.02


def test_the_judge_holds_on_results_that_show_the_claims(experiment, good):
    verdicts = experiment.judge(good)
    assert all(verdict.holds for verdict in verdicts), [verdict.line() for verdict in verdicts]
    assert verdicts[1].measured == pytest.approx(0.25, rel=0.05)  # 16 diverges nowhere: 64 over 16
    assert verdicts[3].measured == pytest.approx(1, rel=1e-3)


@pytest.mark.parametrize(
    ("index", "violate"),
    [
        (0, lose_a_seed),
        (1, fit_alike),
        (2, decay_slower),
        (3, decay_out_of_law),
        (4, generalize_alike(0.1)),
        (5, generalize_alike(0.0)),
        (6, decay_in_vain),
        (7, settle_elsewhere),
    ],
)
def test_the_judge_fails_the_claim_that_is_violated(experiment, good, index, violate):
    violate(good)
    assert [verdict.holds for verdict in experiment.judge(good)] == [i != index for i in range(8)]


def test_a_run_that_never_arrives_counts_as_infinitely_slow(experiment, good):
    good.regression_error.loc[{"gamma": 0.0, "width": 64, "seed": [0, 1]}] = 1.0
    assert experiment.judge(good)[1].measured == np.inf


def test_nothing_holds_where_every_run_diverged(experiment, good):
    good.diverged[:] = True
    for name in ("regression_error", "off_subspace_error", "test_error", "noise_sensitivity"):
        good[name][..., 1:] = np.nan
    assert not any(verdict.holds for verdict in experiment.judge(good))
    experiment.draw(good)


def test_a_small_sweep_is_judged_and_drawn(experiment, tmp_path):
    sweep = dataclasses.replace(
        experiment.grids["quick"],
        axes={"width": [32, 64], "gamma": GAMMAS, "seed": range(2)},
        fixed={"signal_dim": 32, "measurement_dim": 16, "subspace_dim": 2, "samples": 20, "depth": 2},
        steps=1000,
    )
    results = ji.run_sweep(sweep)
    problem = ji.build(sweep.cells()[0])[0]
    values = np.linalg.svd(problem.measurements, compute_uv=False)
    extremes = results.measured_extremes.isel(width=0, gamma=0, seed=0, record=-1)
    np.testing.assert_allclose(extremes, values[[0, 1]], rtol=1e-5)
    verdicts = experiment.judge(results)
    assert [verdicts[i].holds for i in (0, 3, 6, 7)] == [True] * 4, [verdict.line() for verdict in verdicts]
    experiment.draw(results).savefig(tmp_path / "figure.png")
