"""Singular values and spaces of data, map and layers, against numpy."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import jaxinv as ji
from jaxinv import theory
from jaxinv.measures import structure
from jaxinv.problems.coordinates import compressed_coordinates, plain_coordinates

from ..helpers import setup

SIZES = {"signal_dim": 24, "measurement_dim": 12, "subspace_dim": 2, "samples": 6, "condition_number": 1.0}
OF_LAYERS = [
    ji.Metric("map_values", structure.map_values, ("pair",)),
    ji.Metric("layer_values", structure.layer_values, ("layer", "index")),
    ji.Metric("layer_rank", structure.layer_rank, ("layer",)),
    ji.Metric("misalignment", structure.misalignment, ("joint",)),
    ji.Metric("first_layer", structure.first_layer_off_subspace),
    ji.Metric("map", structure.end_to_end, ("row", "column")),
]
OF_PAIRS = [
    ji.Metric("extremes", structure.measured_extremes, ("end",)),
    ji.Metric("oracle_gain", structure.oracle_gain),
    ji.Metric("signal_norms", structure.signal_norms, ("pair",)),
    ji.Metric("measured_norms", structure.measured_norms, ("pair",)),
    ji.Metric("pair_gains", structure.pair_gains, ("pair",)),
    ji.Metric("cosine", structure.pair_cosine),
]


def angle(one, other):
    """Sine of the largest principal angle between the ranges of two matrices, through their projectors."""
    first, second = (np.linalg.qr(basis)[0] for basis in (one, other))
    return np.linalg.norm(first @ first.T - second @ second.T, 2)


@pytest.mark.parametrize("steps", [1, 1500])
def test_values_and_spaces_of_layers_are_what_numpy_finds(steps):
    problem, network, descent = setup(width=32, **SIZES)
    run = ji.train(problem, network, descent, steps=steps, records=2, metrics=OF_LAYERS)
    plain = ji.train(problem, network, descent, steps=steps, records=2, metrics=["loss"], reduce=False)
    weights = [np.asarray(weight) for weight in plain.network.weights]
    last = {name: rows[-1] for name, rows in run.metrics.items()}
    decompositions = [np.linalg.svd(weight) for weight in weights]
    values = [each for _, each, _ in decompositions]
    np.testing.assert_allclose(last["layer_values"], [each[:12] for each in values], rtol=1e-6, atol=1e-12)
    np.testing.assert_allclose(last["map"], np.linalg.multi_dot(weights[::-1]), rtol=1e-8, atol=1e-12)
    np.testing.assert_allclose(last["map_values"], np.linalg.svd(np.linalg.multi_dot(weights[::-1]))[1][:2], rtol=1e-10)
    shares = [each / each.sum() for each in values]
    np.testing.assert_allclose(last["layer_rank"], [np.exp(-np.sum(p * np.log(p))) for p in shares], rtol=1e-8)
    basis = np.asarray(problem.latent.basis)
    spaces = [np.asarray(problem.operator) @ basis]
    for left, _, right in decompositions:
        spaces += [right[:2].T, left[:, :2]]
    spaces.append(basis)
    expected = [angle(*pair) for pair in zip(spaces[::2], spaces[1::2], strict=True)]
    np.testing.assert_allclose(last["misalignment"], expected, rtol=1e-5, atol=1e-12)
    measured = spaces[0]
    off_subspace = np.eye(12) - measured @ np.linalg.pinv(measured)
    np.testing.assert_allclose(last["first_layer"], np.linalg.norm(weights[0] @ off_subspace), rtol=1e-8)


@pytest.mark.parametrize("condition_number", [1.0, 4.0])
def test_values_and_norms_of_the_data_are_what_numpy_finds(condition_number):
    problem, network, descent = setup(**{**SIZES, "condition_number": condition_number, "subspace_dim": 3})
    run = ji.train(problem, network, descent, steps=40, records=2, metrics=OF_PAIRS)
    last = {name: rows[-1] for name, rows in run.metrics.items()}
    X, Y = np.asarray(problem.signals).T, np.asarray(problem.measurements).T
    V = np.linalg.svd(Y, full_matrices=False)[2][:3].T
    signals, measured = X @ V, Y @ V
    x, y = (np.linalg.norm(columns, axis=0) for columns in (signals, measured))
    np.testing.assert_allclose(last["signal_norms"], x, rtol=1e-10)
    np.testing.assert_allclose(last["measured_norms"], y, rtol=1e-10)
    values = np.linalg.svd(Y, compute_uv=False)
    np.testing.assert_allclose(last["extremes"], [values[0], values[2]], rtol=1e-10)
    gains = np.diag(signals.T @ np.asarray(run.network.end_to_end()) @ measured) / (x * y)
    np.testing.assert_allclose(last["pair_gains"], gains, rtol=1e-8)
    cosines = np.abs((signals / x).T @ (signals / x) - np.eye(3))
    np.testing.assert_allclose(last["cosine"], cosines.max(), atol=1e-12)
    assert (last["cosine"] < 1e-10) == (condition_number == 1.0)
    np.testing.assert_allclose(last["oracle_gain"], np.linalg.norm(problem.oracle), rtol=1e-10)


def test_norms_of_pairs_are_those_of_theory():
    problem, network, descent = setup(**SIZES)
    run = ji.train(problem, network, descent, steps=1, records=2, metrics=OF_PAIRS)
    pairs = theory.parallel_pairs(problem)
    np.testing.assert_allclose(run.metrics["signal_norms"][0], pairs.signal_norms, rtol=1e-10)
    np.testing.assert_allclose(run.metrics["measured_norms"][0], pairs.measured_norms, rtol=1e-10)


def test_a_diverged_network_is_recorded_without_a_complaint(capfd):
    problem, _, _ = setup()
    coordinates = plain_coordinates(problem)
    network = ji.LayerProduct((jnp.full((4, 7), jnp.nan), jnp.ones((13, 4))))
    assert structure.layer_values(coordinates, network).shape == (2, 4)
    for metric in OF_LAYERS:
        jax.block_until_ready(metric.function(coordinates, network))
    assert capfd.readouterr().err == ""


def test_values_go_where_the_gains_are_largest():
    values = np.array([[3.0, 2.0, 1.0], [6.0, 5.0, 4.0]])
    gains = np.array([[0.1, 0.3, 0.2], [0.3, 0.3, 0.9]])
    np.testing.assert_array_equal(structure.values_by_pair(values, gains), [[1, 3, 2], [5, 4, 6]])


@pytest.mark.parametrize(("depth", "coordinates_of"), [(1, plain_coordinates), (3, compressed_coordinates)])
def test_the_sharpness_is_the_largest_eigenvalue_of_k(depth, coordinates_of):
    problem, network, _ = setup(width=15, depth=depth, **{**SIZES, "subspace_dim": 3, "condition_number": 3.0})
    coordinates = coordinates_of(problem)
    found = structure.sharpness(coordinates, network)
    assert float(found) == pytest.approx(theory.linearise(problem, network.weights).largest(), rel=1e-10)
    lost = ji.LayerProduct(tuple(jnp.full_like(weight, jnp.inf) for weight in network.weights))
    assert depth == 1 or np.isnan(structure.sharpness(coordinates, lost))
