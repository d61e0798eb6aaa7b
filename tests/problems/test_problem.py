"""A problem of your own arrays."""

import jax
import numpy as np
import pytest

import jaxinv as ji

KEY = jax.random.key(3)


def test_your_own_arrays_are_a_problem():
    rng = np.random.default_rng(0)
    signals = rng.standard_normal((30, 4)) @ rng.standard_normal((4, 12))
    operator = rng.standard_normal((6, 12)) / 6**0.5
    problem = ji.Problem(operator=operator, signals=signals, measurements=signals @ operator.T)
    assert problem.subspace_dim == 4
    assert problem.measurement_rank == 4
    np.testing.assert_allclose(problem.measurements @ problem.oracle.T, signals, atol=1e-10)
    network = ji.layer_product(KEY, problem, width=60, depth=2)
    run = ji.train(problem, network, ji.gradient_descent(problem, network, gamma=0.1), steps=50)
    assert np.isfinite(run.metrics["off_subspace_error"]).all()


@pytest.mark.parametrize(
    ("name", "value", "words"),
    [
        ("signals", np.full((4, 6), np.nan), "signals must be finite everywhere, got 24 NaN"),
        ("signals", np.ones((4, 5)), "signals must be of shape .* signal_dim = 6, got shape"),
        ("signals", np.zeros((4, 6)), "signals must be non-zero"),
        ("signals", np.ones(6), "signals must be a non-empty matrix"),
        ("operator", np.array([["a"]]), "operator must be an array of real numbers"),
        ("measurements", np.ones((3, 2)), "measurements must be 4 rows"),
        ("measurements", np.full((4, 2), np.inf), "measurements must be finite"),
    ],
)
def test_bad_arrays_are_named(name, value, words):
    arrays = {"operator": np.eye(2, 6), "signals": np.ones((4, 6)), "measurements": np.ones((4, 2))}
    with pytest.raises(ValueError, match=words):
        ji.Problem(**{**arrays, name: value})
