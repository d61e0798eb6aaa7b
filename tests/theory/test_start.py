"""Noise gains at the start and of the oracle, fact 9, against the mean over seeds."""

import jax
import numpy as np
import pytest

import jaxinv as ji
from jaxinv import theory


def test_fact_9_noise_gains_at_the_start_and_of_the_oracle():
    starts, oracles = [], []
    for seed in range(8):
        key = jax.random.key(seed)
        problem = ji.subspace_problem(key, samples=20)
        network = ji.layer_product(key, problem)
        starts.append(float(ji.measure(problem, network)["off_subspace_gain"]))
        oracles.append(float(np.linalg.norm(problem.oracle)))
    expected = theory.initial_off_subspace_gain(200, 100, 5)
    assert expected == pytest.approx(13.8, abs=0.05)
    assert np.mean(starts) == pytest.approx(expected, rel=0.05)
    assert np.sqrt(np.mean(np.square(oracles))) == pytest.approx(theory.oracle_noise_gain(100, 5), rel=0.1)


def test_the_laws_broadcast():
    dims = np.array([2, 5])
    starts, oracles = theory.initial_off_subspace_gain(200, 100, dims), theory.oracle_noise_gain(100, dims)
    np.testing.assert_allclose(starts, [(2 * 98) ** 0.5, (2 * 95) ** 0.5])
    np.testing.assert_allclose(oracles, [(200 / 97) ** 0.5, (500 / 94) ** 0.5])
