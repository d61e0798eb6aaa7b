"""The subspace that given signals span, or lie near."""

import jax
import numpy as np
import pytest

import jaxinv as ji

KEY = jax.random.key(3)


@pytest.mark.parametrize("x64", [True, False])
def test_float32_signals_on_a_subspace_have_its_dimension(x64):
    rng = np.random.default_rng(0)
    signals = (rng.standard_normal((100, 3)) @ rng.standard_normal((3, 20))).astype(np.float32)
    operator = rng.standard_normal((10, 20)) / 10**0.5
    with jax.enable_x64(x64):
        problem = ji.Problem(operator, signals)
        assert problem.subspace_dim == 3
        assert np.isfinite(problem.oracle).all()
        assert ji.Problem(operator, signals, 1.01 * signals.astype(float) @ operator.T).measurement_rank == 3
        assert ji.Problem(operator.astype(np.float32), signals, signals @ operator.T.astype("f4")).measurement_rank == 3


def test_signals_near_a_subspace_train_alike_reduced_and_plain():
    rng = np.random.default_rng(0)
    signals = rng.standard_normal((100, 3)) @ rng.standard_normal((3, 20)) + 1e-3 * rng.standard_normal((100, 20))
    problem = ji.Problem(rng.standard_normal((10, 20)) / 10**0.5, signals, subspace_dim=3)
    assert (problem.subspace_dim, problem.measurement_rank) == (3, 10)
    network = ji.layer_product(KEY, problem, width=60, depth=2)
    descent = ji.gradient_descent(problem, network, gamma=0.1)
    with pytest.warns(UserWarning, match="in_sample_test_error"):
        reduced, plain = (ji.train(problem, network, descent, steps=100, reduce=flag) for flag in (True, False))
    for name, curve in plain.metrics.items():
        np.testing.assert_allclose(reduced.metrics[name], curve, atol=1e-10 * np.abs(curve).max(), err_msg=name)
    with pytest.raises(ValueError, match="subspace_dim must be at most 20"):
        ji.Problem(problem.operator, signals, subspace_dim=21)
