"""The judge of regularization_path: each claim is seen to hold and to fail."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

import jaxinv as ji
from jaxinv.experiment import find

ROOT = Path(__file__).parent.parent
SIZES = {"signal_dim": 16, "measurement_dim": 8, "subspace_dim": 2, "samples": 10, "width": 20}


@pytest.fixture(scope="module")
def experiment():
    return find(["regularization_path"], ROOT / "experiments")[0]


@pytest.fixture(scope="module")
def results(experiment):
    axes = {"depth": [2, 3], "gamma": [0.0, 0.03, 0.1, 4.0], "seed": range(2)}
    return ji.run_sweep(replace(experiment.grid("quick"), axes=axes, fixed=SIZES, steps=3000))


def failing(experiment, results):
    """Indices of the verdicts that fail."""
    return [index for index, verdict in enumerate(experiment.judge(results)) if not verdict.holds]


def test_every_claim_holds(experiment, results):
    verdicts = experiment.judge(results)
    assert len(verdicts) == 6
    assert all(verdict.holds for verdict in verdicts), [verdict.line() for verdict in verdicts]


def test_strong_decay_drops_every_value(results):
    assert float(results.singular_values.sel(gamma=4.0).isel(record=-1).max()) == 0


@pytest.mark.parametrize(
    ("index", "metric", "where", "factor"),
    [
        (1, "cosine", {"gamma": 0.1}, 1e10),
        (2, "regression_error", {"gamma": 0.03}, 1.2),
        (3, "noise_gain", {"gamma": 0.1}, 1.2),
        (4, "singular_values", {"depth": 2, "gamma": 0.03}, 1.001),
        (5, "singular_values", {"depth": 3, "gamma": 0.1}, 0.999),
    ],
)
def test_a_claim_fails_where_the_results_violate_it(experiment, results, index, metric, where, factor):
    broken = results.copy(deep=True)
    broken[metric].loc[where] *= factor
    assert failing(experiment, broken) == [index]


@pytest.mark.parametrize(("depth", "index"), [(2, 4), (3, 5)])
def test_a_value_that_should_have_been_dropped_fails(experiment, results, depth, index):
    broken = results.copy(deep=True)
    broken.singular_values.loc[{"depth": depth, "gamma": 4.0, "seed": 1, "pair": 0}] = 0.01
    assert failing(experiment, broken) == [index]


def test_values_go_with_their_pairs_in_whatever_order_those_are(experiment, results):
    turned = results.copy(deep=True)
    for metric in ("signal_norms", "measured_norms", "pair_gains"):
        turned[metric][:] = results[metric].values[..., ::-1]
    assert failing(experiment, turned) == []
    turned["pair_gains"][:] = results.pair_gains.values
    assert failing(experiment, turned) == [4, 5]


def test_diverged_runs_are_counted_and_left_out(experiment, results):
    broken = results.copy(deep=True)
    broken.diverged.loc[{"depth": 3, "seed": 1}] = True
    for metric in ("singular_values", "pair_gains", "regression_error", "noise_gain"):
        broken[metric].loc[{"depth": 3, "seed": 1, "record": -1}] = np.nan
    verdicts = experiment.judge(broken)
    assert failing(experiment, broken) == [0]
    assert verdicts[0].measured == 4
    broken.diverged.loc[{"depth": 3}] = True
    assert failing(experiment, broken) == [0, 5]


def test_the_figure_shows_every_run(experiment, results):
    figure = experiment.draw(results)
    panel = figure.axes[0]
    dots = [line for line in panel.lines if line.get_linestyle() == "None"]
    assert [len(line.get_xdata()) for line in dots] == [6, 6]
    assert all(axes.get_xlabel() and axes.get_ylabel() for axes in figure.axes)
