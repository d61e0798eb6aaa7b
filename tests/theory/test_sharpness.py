"""The sharpness of balanced networks against the linearisation at their weights."""

import jax
import numpy as np
import pytest

import jaxinv as ji
from jaxinv import theory


@pytest.mark.parametrize("depth", [1, 2, 5])
@pytest.mark.parametrize("weight_decay", [0.0, 0.3])
def test_the_sharpness_of_balanced_layers_is_that_of_their_linearisation(depth, weight_decay):
    problem = ji.subspace_problem(jax.random.key(0), signal_dim=13, measurement_dim=7, subspace_dim=3, samples=9)
    pairs = theory.parallel_pairs(problem)
    values = theory.regularized_values(pairs, depth, weight_decay)
    # the signals that the regularised map makes of the measurements: a balanced fit of them is the optimum
    signals, measured = (np.asarray(rows) for rows in (problem.signals, problem.measurements))
    samples = np.linalg.svd(measured, full_matrices=False)[0][:, :3]
    shares = values * pairs.measured_norms / pairs.signal_norms
    shrunk = ji.Problem(problem.operator, samples * shares @ samples.T @ signals, problem.measurements)
    layers = theory.balanced_fit(shrunk, depth)
    np.testing.assert_allclose(np.linalg.svd(layers[-1])[1][:3] ** depth, np.sort(values)[::-1], rtol=1e-9)
    found = theory.balanced_sharpness(values, pairs.measured_norms, depth)
    assert found == pytest.approx(theory.linearise(problem, layers).largest(), rel=1e-9)
    assert theory.optimum_sharpness(problem, depth, weight_decay) == found
