"""The judge of hidden_structure: each claim is seen to hold and to fail; what it records, against numpy."""

from dataclasses import replace
from pathlib import Path

import jax.numpy as jnp
import numpy as np
import pytest

import jaxinv as ji
from jaxinv.experiment import find, load_module

ROOT = Path(__file__).parent.parent
SIZES = {"signal_dim": 24, "measurement_dim": 12, "subspace_dim": 2, "samples": 6, "width": 32, "depth": 3}


@pytest.fixture(scope="module")
def experiment():
    return find(["hidden_structure"], ROOT / "experiments")[0]


@pytest.fixture(scope="module")
def sweep(experiment):
    axes = {"gamma": [0.0, 0.1], "seed": range(2)}
    return replace(experiment.grid("quick"), axes=axes, fixed=SIZES, steps=1500, records=4)


@pytest.fixture(scope="module")
def results(sweep):
    return ji.run_sweep(sweep)


def failing(experiment, results):
    """Indices of the verdicts that fail."""
    return [index for index, verdict in enumerate(experiment.judge(results)) if not verdict.holds]


def angle(one, other):
    """Sine of the largest principal angle between the ranges of two matrices, through their projectors."""
    first, second = (np.linalg.qr(basis)[0] for basis in (one, other))
    return np.linalg.norm(first @ first.T - second @ second.T, 2)


def test_what_is_recorded_is_what_numpy_finds(sweep, results):
    cell = sweep.cells()[2]
    problem, network, descent = ji.build(cell)
    run = ji.train(problem, network, descent, steps=1500, records=4, metrics=["loss"], reduce=False)
    weights = [np.asarray(weight) for weight in run.network.weights]
    one = results.sel(gamma=0.1, seed=0).isel(record=-1)
    decompositions = [np.linalg.svd(weight) for weight in weights]
    values = [each for _, each, _ in decompositions]
    np.testing.assert_allclose(one.layer_values, [each[:12] for each in values], rtol=1e-6, atol=1e-12)
    np.testing.assert_allclose(one.map_values, np.linalg.svd(np.linalg.multi_dot(weights[::-1]))[1][:2], rtol=1e-10)
    shares = [each / each.sum() for each in values]
    np.testing.assert_allclose(one.layer_rank, [np.exp(-np.sum(p * np.log(p))) for p in shares], rtol=1e-8)
    basis = np.asarray(problem.latent.basis)
    right, left = ([part[part_of] for part in decompositions] for part_of in (2, 0))
    spaces = [np.asarray(problem.operator) @ basis]
    for outgoing, incoming in zip(left, right, strict=True):
        spaces += [incoming[:2].T, outgoing[:, :2]]
    spaces.append(basis)
    expected = [angle(*pair) for pair in zip(spaces[::2], spaces[1::2], strict=True)]
    np.testing.assert_allclose(one.misalignment, expected, rtol=1e-5, atol=1e-12)


def test_every_claim_holds(experiment, results):
    verdicts = experiment.judge(results)
    assert len(verdicts) == 7
    assert all(verdict.holds for verdict in verdicts), [verdict.line() for verdict in verdicts]


@pytest.mark.parametrize(
    ("index", "metric", "where", "factor"),
    [
        (1, "effective_rank", {"gamma": 0.1}, 1.2),
        (2, "layer_rank", {"gamma": 0.1, "layer": 1}, 1.2),
        (3, "misalignment", {"gamma": 0.1, "joint": 0}, 1e4),
        (4, "layer_values", {"gamma": 0.1, "layer": 2, "index": 0}, 1.02),
        (5, "effective_rank", {"gamma": 0.0}, 0.1),
        (6, "misalignment", {"gamma": 0.0, "joint": 1}, 0.1),
    ],
)
def test_a_claim_fails_where_one_run_violates_it(experiment, results, index, metric, where, factor):
    broken = results.copy(deep=True)
    broken[metric].loc[{"seed": 1, **where}] *= factor
    assert failing(experiment, broken) == [index]


def test_diverged_runs_are_counted_and_left_out(experiment, results):
    broken = results.copy(deep=True)
    where = {"gamma": 0.0, "seed": 1}
    broken.diverged.loc[where] = True
    for metric in ("effective_rank", "layer_values", "layer_rank", "misalignment", "map_values"):
        broken[metric].loc[where] = np.nan
    assert failing(experiment, broken) == [0]
    assert experiment.judge(broken)[0].measured == 1
    broken.diverged.loc[{"gamma": 0.0}] = True
    assert failing(experiment, broken) == [0, 5, 6]
    assert len(experiment.draw(broken).subfigs) == 2


def test_the_figure_has_a_panel_a_layer_and_decay(experiment, results):
    top, bottom = experiment.draw(results).subfigs
    assert len(top.axes) == 2 * 3
    assert [panel.get_ylabel() for panel in bottom.axes] == ["effective rank", "sine of largest angle"]


def test_a_diverged_network_is_recorded_without_a_complaint(capfd):
    module = load_module(ROOT / "experiments" / "hidden_structure.py")
    network = ji.LayerProduct((jnp.full((4, 3), jnp.nan), jnp.ones((5, 4))))
    assert module.layer_values(None, network).shape == (2, 3)
    assert capfd.readouterr().err == ""
