"""Networks are what their formulas say."""

import jax
import jax.numpy as jnp
import numpy as np

import jaxinv as ji

from ..helpers import SMALL, relu_setup

KEY = jax.random.key(1)
PROBLEM = ji.subspace_problem(KEY, **SMALL)


def test_a_layer_product_is_its_end_to_end_map_on_rows():
    network = ji.layer_product(KEY, PROBLEM, width=8, depth=4)
    assert [w.shape for w in network.weights] == [(8, 7), (8, 8), (8, 8), (13, 8)]
    np.testing.assert_allclose(network(PROBLEM.measurements), PROBLEM.measurements @ network.end_to_end().T, atol=1e-12)
    single = ji.layer_product(KEY, PROBLEM, width=8, depth=1)
    assert (single.width, single.depth, single.end_to_end().shape) == (7, 1, (13, 7))


def test_a_relu_network_is_what_it_says():
    _, network, _ = relu_setup()
    y = np.random.default_rng(0).standard_normal((4, 9))
    first, second, last = (np.asarray(weight) for weight in network.weights)
    expected = np.maximum(np.maximum(y @ first.T, 0) @ second.T, 0) @ last.T
    np.testing.assert_allclose(network(jnp.asarray(y)), expected, atol=1e-13)
    np.testing.assert_allclose(network(jnp.asarray(3 * y)), 3 * expected, atol=1e-12)
    assert not np.allclose(network(jnp.asarray(-y)), -expected)
    assert (network.depth, network.width, network.is_linear) == (3, 20, False)
