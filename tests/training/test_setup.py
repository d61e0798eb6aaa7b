"""What cannot be trained is refused."""

import jax
import jax.numpy as jnp
import pytest

import jaxinv as ji

from ..helpers import SMALL, relu_setup, setup

KEY = jax.random.key(1)


def test_a_network_for_another_problem_is_refused():
    problem, network, descent = setup()
    other = ji.subspace_problem(KEY, **{**SMALL, "measurement_dim": 6})
    with pytest.raises(ValueError, match="network must be a chain of layers from 6 measurements to 13 unknowns"):
        ji.train(other, network, descent, steps=5)
    half = jax.tree.map(lambda w: w.astype(jnp.bfloat16), network)
    with pytest.raises(ValueError, match="network must be of float32 or float64 weights"):
        ji.train(problem, half, descent, steps=5)


def test_a_relu_network_that_ends_elsewhere_is_refused():
    problem, network, descent = relu_setup()
    other = ji.ReluNetwork((*network.weights[:-1], network.weights[-1][:-1]))
    with pytest.raises(ji.ArgumentError, match="chain of layers"):
        ji.train(problem, other, descent, steps=2)
