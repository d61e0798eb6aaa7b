"""regularization_path: each claim is seen to hold and to fail, its figure to have what it must."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

import jaxinv as ji
from jaxinv import theory
from jaxinv.studies.experiment import load
from tests.experiments.divergence import assert_divergence_helps_no_claim

FILE = Path(__file__).parents[2] / "experiments" / "regularization_path.py"
SIZES = {"signal_dim": 16, "measurement_dim": 8, "subspace_dim": 2, "samples": 10, "width": 20}


@pytest.fixture(scope="module")
def experiment():
    return load(FILE)


@pytest.fixture(scope="module")
def grid(experiment):
    axes = {"depth": [2, 3], "gamma": [0.0, 0.03, 0.1, 4.0], "seed": range(2)}
    return replace(experiment.grids("quick"), axes=axes, fixed=SIZES, steps=3000)


@pytest.fixture(scope="module")
def results(grid):
    return ji.run_sweep(grid)


@pytest.fixture(scope="module")
def analysed(experiment, grid):
    """A function of recorded data: the Runs with what is derived from them."""
    return lambda data: ji.Runs(grid, data, experiment.analyse(ji.Runs(grid, data)))


def failing(experiment, runs):
    """Indices of the verdicts that fail."""
    return [index for index, verdict in enumerate(experiment.claims(runs)) if not verdict.holds]


def test_every_claim_holds(experiment, analysed, results):
    verdicts = experiment.claims(analysed(results))
    assert len(verdicts) == 6
    assert all(verdict.holds for verdict in verdicts), [verdict.line() for verdict in verdicts]


def test_strong_decay_drops_every_value(results):
    assert float(results.singular_values.sel(gamma=4.0).isel(record=-1).max()) == 0


@pytest.mark.parametrize("depth", [2, 3])
def test_what_is_derived_is_what_theory_says_of_the_problem(analysed, results, depth):
    runs = analysed(results)
    problem, _, descent = runs.build(depth=depth, gamma=0.1, seed=1)
    x, y = pairs = theory.parallel_pairs(problem)
    shares = theory.regularized_values(pairs, depth, float(descent.weight_decay)) * y / x
    one = {"depth": depth, "gamma": 0.1, "seed": 1}
    np.testing.assert_allclose(runs.select("optimum_share", **one), shares, rtol=1e-8)
    np.testing.assert_allclose(runs.select("share", **one), shares, rtol=1e-4)
    gain = runs.end("noise_gain", **one).item() / np.linalg.norm(problem.oracle)
    assert runs.select("relative_gain", **one).item() == pytest.approx(gain, rel=1e-10)
    # along the path as at the end of the run
    for path, end in (("path_error", runs.end("regression_error", **one)), ("path_gain", gain)):
        along = runs[path].interp(path_gamma=0.1).sel(depth=depth, seed=1)
        assert along.item() == pytest.approx(float(end), rel=1e-3), path


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
def test_a_claim_fails_where_the_results_violate_it(experiment, analysed, results, index, metric, where, factor):
    broken = results.copy(deep=True)
    broken[metric].loc[where] *= factor
    assert failing(experiment, analysed(broken)) == [index]


@pytest.mark.parametrize(("depth", "index"), [(2, 4), (3, 5)])
def test_a_value_that_should_have_been_dropped_fails(experiment, analysed, results, depth, index):
    broken = results.copy(deep=True)
    broken.singular_values.loc[{"depth": depth, "gamma": 4.0, "seed": 1, "pair": 0}] = 0.01
    assert failing(experiment, analysed(broken)) == [index]


def test_values_go_with_their_pairs_in_whatever_order_those_are(experiment, analysed, results):
    turned = results.copy(deep=True)
    for metric in ("signal_norms", "measured_norms", "pair_gains"):
        turned[metric][:] = results[metric].values[..., ::-1]
    assert failing(experiment, analysed(turned)) == []
    turned["pair_gains"][:] = results.pair_gains.values
    assert failing(experiment, analysed(turned)) == [4, 5]


def test_diverged_runs_are_counted_and_fail_what_they_enter(experiment, analysed, results):
    broken = results.copy(deep=True)
    broken.diverged.loc[{"depth": 3, "seed": 1}] = True
    for metric in ("singular_values", "pair_gains", "regression_error", "noise_gain"):
        broken[metric].loc[{"depth": 3, "seed": 1, "record": 1}] = np.nan
    runs = analysed(broken)
    assert failing(experiment, runs) == [0, 2, 3, 5]
    assert experiment.claims(runs)[0].measured == 4
    assert dots(experiment.draw(runs)) == [6, 3]
    broken.diverged.loc[{"depth": 3}] = True
    assert failing(experiment, analysed(broken)) == [0, 2, 3, 5]
    assert dots(experiment.draw(analysed(broken))) == [6, 0]


def test_a_grid_without_decay_fails_but_is_drawn(experiment, grid, results):
    alone = replace(grid, axes={**grid.axes, "gamma": [0.0]})
    data = results.sel(gamma=[0.0])
    runs = ji.Runs(alone, data, experiment.analyse(ji.Runs(alone, data)))
    assert failing(experiment, runs) == [2, 3, 4, 5]
    assert experiment.draw(runs).axes


def dots(figure):
    """How many runs of each depth the first panel shows."""
    lines = [line for line in figure.axes[0].lines if line.get_linestyle() == "None"]
    return [len(line.get_xdata()) for line in lines]


def test_the_figure_shows_every_run(experiment, analysed, results):
    figure = experiment.draw(analysed(results))
    assert dots(figure) == [6, 6]
    assert all(axes.get_xlabel() and axes.get_ylabel() for axes in figure.axes)
    labels = [text.get_text() for text in figure.legends[0].get_texts()]
    assert len(labels) == len(set(labels)) == 7


def test_divergence_helps_no_claim(experiment, analysed, results):
    assert_divergence_helps_no_claim(experiment, analysed(results), standing=[1])
