"""Gaussian layers sampled where they are looked at: chi lengths and triangular factors in law."""

from typing import Any

import numpy as np
import pytest
from scipy import stats

from jaxinv.training.width_free.sampled import FOR_CHI, chi, for_triangle, triangle

SAMPLES = 4000
LEAST = 1e-3
"""Seeds are fixed: a test of a right law passes for ever."""


@pytest.mark.parametrize("freedom", [1, 2, 3, 10, 1000])
def test_chi_lengths_in_law(freedom):
    lengths = chi(np.random.default_rng(freedom).normal(size=(SAMPLES, FOR_CHI)), freedom)
    assert stats.kstest(lengths, stats.chi(freedom).cdf).pvalue > LEAST


def test_chi_lengths_of_very_many_degrees_of_freedom_spread_by_a_half():
    """sqrt(n) + N(0, 1/2), to 1 / sqrt(n)."""
    lengths = chi(np.random.default_rng(1).normal(size=(SAMPLES, FOR_CHI)), 1e12)
    assert stats.kstest(lengths - 1e6, stats.norm(0, 0.5**0.5).cdf).pvalue > LEAST


def test_lengths_of_nothing_are_finite():
    assert np.isfinite(chi(np.random.default_rng(1).normal(size=(50, FOR_CHI)), -3)).all()


def factors(freedom, columns=4):
    normals = np.random.default_rng(freedom).normal(size=(SAMPLES, for_triangle(columns)))
    return np.array([triangle(row, columns, freedom) for row in normals])


@pytest.mark.parametrize("freedom", [1, 2, 3, 4, 10, 10**12])
def test_the_gram_matrix_of_a_triangular_factor_is_of_wishart_law(freedom):
    """Mean n I, variances 2 n on and n beside the diagonal; along a unit vector chi squared."""
    upper = factors(freedom)
    np.testing.assert_array_equal(upper, np.triu(upper))
    assert not np.any(upper[:, freedom:])  # a matrix of so few rows
    gram = upper.swapaxes(1, 2) @ upper
    off = ~np.eye(4, dtype=bool)
    spread = freedom * np.where(off, 1, 2)
    assert np.max(np.abs(gram.mean(0) - freedom * np.eye(4)) / np.sqrt(spread / SAMPLES)) < 4
    assert np.max(np.abs(gram.var(0) / spread - 1)) < (0.3 if freedom > 2 else 0.6)
    vector = np.array([0.5, -0.5, 0.5, 0.5])
    lengths = np.linalg.norm(upper @ vector, axis=1)
    law = stats.chi(freedom) if freedom < 10**6 else stats.norm(freedom**0.5, 0.5**0.5)
    assert stats.kstest(lengths, law.cdf).pvalue > LEAST
    determinants = np.linalg.slogdet(upper[:, : min(4, freedom), : min(4, freedom)])[1]
    reference = np.random.default_rng(5).chisquare(
        freedom - np.arange(min(4, freedom)), size=(SAMPLES, min(4, freedom))
    )  # det of a Wishart matrix is a product of chi squares
    found: Any = stats.ks_2samp(2 * determinants, np.log(reference).sum(1))
    assert found.pvalue > LEAST
