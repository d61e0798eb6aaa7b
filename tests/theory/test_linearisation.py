"""The linearisation of training against the Jacobian of the network, and its limit of infinite width."""

import jax
import numpy as np
import pytest

import jaxinv as ji
from jaxinv import theory
from jaxinv.problems.coordinates import compressed_coordinates

from ..helpers import setup


@pytest.mark.parametrize(("depth", "noise", "samples"), [(1, 0.0, 11), (2, 0.0, 11), (3, 0.2, 11), (4, 0.0, 2)])
def test_the_linearisation_is_that_of_the_network(depth, noise, samples):
    problem, network, _ = setup(depth=depth, noise=noise, samples=samples)
    made = theory.linearise(problem, network.weights)
    coordinates = compressed_coordinates(jax.tree.map(np.asarray, problem))
    inputs = coordinates.inputs
    jacobian = jax.jacrev(lambda net: net(inputs))(network)
    rows = np.concatenate([np.asarray(j).reshape(inputs.shape[0] * 13, -1) for j in jacobian.weights], axis=1)
    dense = rows @ rows.T
    error = np.random.default_rng(0).normal(size=made.error.shape)
    # rows are samples first in both
    np.testing.assert_allclose(made.apply(error).ravel(), dense @ error.ravel(), rtol=1e-10)
    values = np.linalg.eigvalsh(dense)
    np.testing.assert_allclose(made.extremes(), (values[0], values[-1]), rtol=1e-8)
    np.testing.assert_allclose((made.smallest(), made.largest()), (values[0], values[-1]), rtol=1e-8)
    fit = float(ji.measure(problem, network)["regression_error"])
    assert made.curve(0.0, 1) == pytest.approx([fit, fit], rel=1e-12)


def test_the_linearised_curve_is_that_of_the_dense_matrix():
    problem, network, descent = setup(depth=2, width=60)
    made = theory.linearise(problem, network.weights)
    dense = sum(np.kron(a, b) for a, b in zip(made.inputs, made.outputs.swapaxes(0, 1), strict=True))
    values, vectors = np.linalg.eigh(dense)
    start = vectors.T @ made.error.ravel()
    curve = made.curve(descent.step_size, 500)
    for step in (0, 1, 10, 100, 500):
        assert curve[step] == pytest.approx(np.linalg.norm((1 - descent.step_size * values) ** step * start), rel=1e-9)
    stopped = made.curve(descent.step_size, 500, until=1e-3)
    assert stopped[-2] > 1e-3 >= stopped[-1]
    np.testing.assert_array_equal(stopped, curve[: len(stopped)])
    wild = made.curve(3 / made.extremes()[1], 5000)
    assert wild[-1] > 1e100
    assert len(wild) < 5000


def test_wide_networks_approach_their_limit():
    problem = ji.subspace_problem(jax.random.key(0), signal_dim=20, measurement_dim=12, subspace_dim=3, samples=9)
    gaps = []
    for width in (100, 6400):
        network = ji.layer_product(jax.random.key(1), problem, width=width, depth=2)
        limit = theory.wide_extremes(problem, width, 2)
        gaps.append(np.max(np.abs(np.divide(theory.linearise(problem, network.weights).extremes(), limit) - 1)))
    assert gaps[1] < gaps[0] / 4
    assert gaps[1] < 0.15


def test_the_contraction_is_that_of_the_worst_eigenvalue():
    assert theory.contraction(0.1, (1.0, 4.0)) == pytest.approx(0.9)
    assert theory.contraction(0.5, (1.0, 5.0)) == pytest.approx(1.5)
