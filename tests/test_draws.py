"""Random numbers do not depend on precision."""

from functools import reduce

import jax
import numpy as np
import pytest

import jaxinv as ji
from jaxinv.draws import normal, orthonormal, several

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


@pytest.mark.parametrize("shape", [(1,), (7, 3), (512,), (513,), (70, 60), (200, 170), (520, 510)])
def test_generated_in_common_lengths_they_are_the_same_bits(shape):
    plain = jax.random.normal(KEY, shape, np.float32)
    assert np.array_equal(normal(KEY, shape), plain)
    assert np.array_equal(jax.jit(lambda key: normal(key, shape))(KEY), plain)


def test_keys_whose_numbers_depend_on_the_length_are_generated_in_their_shape():
    key = jax.random.key(3, impl="rbg")
    assert np.array_equal(normal(key, (7, 3)), jax.random.normal(key, (7, 3), np.float32))
    with jax.threefry_partitionable(False):
        assert np.array_equal(normal(KEY, (7, 3)), jax.random.normal(KEY, (7, 3), np.float32))


def test_tags_are_folded_into_the_key_one_after_the_other():
    for tags in [(5,), (5, 0), (1, 2, 3, 4), (1, 2, 3, 4, 5)]:
        folded = reduce(jax.random.fold_in, tags, KEY)
        assert np.array_equal(normal(KEY, (70, 60), *tags), jax.random.normal(folded, (70, 60), np.float32)), tags
    root = jax.random.fold_in(KEY, 5)
    made = several(KEY, 5, 6)
    assert [jax.random.key_data(one).tolist() for one in made] == [
        jax.random.key_data(jax.random.fold_in(root, i)).tolist() for i in range(6)
    ]


@pytest.mark.parametrize("wide", [False, True])
def test_orthonormal_columns_are_the_same_bits_compiled_or_not(wide):
    with jax.enable_x64(wide):
        compiled = jax.jit(lambda key: orthonormal(key, 30, 4, 1))(KEY)
        assert np.array_equal(orthonormal(KEY, 30, 4, 1), compiled)
