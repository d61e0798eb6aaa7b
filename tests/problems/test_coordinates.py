"""The coordinates a problem is trained in, against the problem as given."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import jaxinv as ji
from jaxinv.problems.coordinates import compressed_coordinates, plain_coordinates, rotated_coordinates

from ..helpers import SMALL

KEY = jax.random.key(3)


@pytest.mark.parametrize("coordinates", [compressed_coordinates, rotated_coordinates])
@pytest.mark.parametrize("noise", [0.0, 0.1])
def test_coordinates_are_the_same_for_numpy_and_jax(coordinates, noise):
    problem = ji.subspace_problem(KEY, **{**SMALL, "samples": 5}, noise=noise)
    host = jax.tree.map(np.asarray, problem)
    for ours, theirs in zip(
        jax.tree.leaves(jax.jit(coordinates)(problem)), jax.tree.leaves(coordinates(host)), strict=True
    ):
        assert ours.shape == theirs.shape
    inputs = coordinates(host).inputs
    np.testing.assert_allclose(inputs @ inputs.T, np.diag(np.diag(inputs @ inputs.T)), atol=1e-10)
    assert len(inputs) == problem.measurement_rank
    assert np.linalg.norm(inputs) == pytest.approx(np.linalg.norm(plain_coordinates(host).inputs))


def test_held_out_pairs_follow_the_rotation():
    held = np.ones((3, SMALL["signal_dim"])), np.arange(3.0 * SMALL["measurement_dim"]).reshape(3, -1)
    made = ji.subspace_problem(KEY, **SMALL)
    problem = ji.Problem(made.operator, made.signals, held_out=held)
    assert plain_coordinates(problem).held_out is problem.held_out
    network = ji.layer_product(KEY, problem, width=8, depth=2)
    descent = ji.gradient_descent(problem, network)
    error = ji.Metric(
        "held_out_error",
        lambda coordinates, net: jnp.sum((net(coordinates.held_out[1]) - coordinates.held_out[0]) ** 2),
    )
    run = ji.train(problem, network, descent, steps=50, metrics=[error])
    np.testing.assert_allclose(run.metrics["held_out_error"][-1], np.sum((run.network(held[1]) - held[0]) ** 2))
