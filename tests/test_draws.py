"""Random numbers do not depend on precision."""

import jax
import numpy as np

import jaxinv as ji
from jaxinv.draws import normal

from .helpers import SMALL

KEY = jax.random.key(3)


def test_random_numbers_do_not_depend_on_precision_or_flag():
    def generated():
        bits = normal(KEY, (50,))
        assert np.array_equal(np.float32(bits), bits)
        problem = ji.subspace_problem(KEY, **SMALL, noise=0.2)
        network = ji.layer_product(KEY, problem, width=6, depth=2)
        return [np.asarray(leaf, np.float64) for leaf in jax.tree.leaves((bits, problem, network))]

    wide = generated()
    with jax.enable_x64(False):
        narrow = generated()
    assert np.array_equal(wide[0], narrow[0])
    for a, b in zip(wide, narrow, strict=True):
        np.testing.assert_allclose(a, b, atol=2e-5 * np.abs(a).max())
