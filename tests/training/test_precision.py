"""Float32 where it resolves the weight decay, float64 where it does not."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import jaxinv as ji

from ..helpers import setup


def test_float32_refuses_a_decay_it_cannot_resolve():
    problem, network, descent = setup()
    narrow = jax.tree.map(lambda w: w.astype(jnp.float32), network)
    with pytest.raises(ValueError, match="precision must be float64 where step_size \\* weight_decay is below 1e-06"):
        ji.train(problem, narrow, ji.Descent(descent.step_size, 1e-7 / descent.step_size), steps=5)
    run = ji.train(problem, narrow, descent, steps=5)
    assert run.network.weights[0].dtype == jnp.float32


def test_float32_follows_float64():
    problem, network, descent = setup()
    wide = ji.train(problem, network, descent, steps=300)
    narrow = ji.train(problem, jax.tree.map(lambda w: w.astype(jnp.float32), network), descent, steps=300)
    for name, curve in wide.metrics.items():
        np.testing.assert_allclose(narrow.metrics[name], curve, atol=1e-4 * np.abs(curve).max(), err_msg=name)
