"""Operators against numpy."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxinv.draws import Tag, normal
from jaxinv.problems import operators

KEY = jax.random.key(3)


def test_gaussian_entries_have_variance_one_over_measurements():
    matrix = np.asarray(operators.gaussian(KEY, 300, 500))
    assert matrix.var() == pytest.approx(1 / 300, rel=0.02)
    assert abs(matrix.mean()) < 1e-3


def test_orthogonal_rows_are_orthogonal_and_of_one_length():
    matrix = operators.orthogonal_rows(KEY, 7, 13)
    np.testing.assert_allclose(matrix @ matrix.T, 13 / 7 * np.eye(7), atol=1e-12)


def test_norm_and_pseudo_inverse_are_those_of_numpy():
    matrix = operators.given(np.random.default_rng(0).standard_normal((4, 6)))
    assert float(operators.norm(matrix)) == pytest.approx(np.linalg.svd(matrix, compute_uv=False)[0])
    np.testing.assert_allclose(matrix @ operators.pseudo_inverse(matrix), np.eye(4), atol=1e-12)


def test_entries_are_divided_as_jax_divides():
    with jax.enable_x64(True):
        key = jax.random.key(0)
        plain = jnp.asarray(normal(jax.random.fold_in(key, Tag.OPERATOR), (13, 21))) / 13**0.5
        assert np.array_equal(operators.gaussian(key, 13, 21), plain)
