"""Where weights start: variances, orthogonality, balance."""

import jax
import numpy as np
import pytest

import jaxinv as ji

from ..helpers import SMALL

KEY = jax.random.key(1)
PROBLEM = ji.subspace_problem(KEY, **SMALL)


def test_fan_in_entries_have_variance_one_over_fan_in():
    wide = ji.layer_product(KEY, PROBLEM, width=400, depth=3)
    assert np.var(wide.weights[1]) == pytest.approx(1 / 400, rel=0.02)


@pytest.mark.parametrize(("width", "depth"), [(20, 3), (5, 3), (8, 1)])
def test_orthogonal_layers_are_semi_orthogonal_with_fan_in_variance(width, depth):
    for weight in ji.layer_product(KEY, PROBLEM, width=width, depth=depth, init="orthogonal").weights:
        out, inn = weight.shape
        gram = weight.T @ weight if out >= inn else weight @ weight.T
        np.testing.assert_allclose(gram, max(1, out / inn) * np.eye(min(out, inn)), atol=1e-12)


@pytest.mark.parametrize("width", [20, 5])
def test_balanced_layers_are_balanced_with_the_fan_in_product(width):
    balanced, plain = (ji.layer_product(KEY, PROBLEM, width=width, depth=4, init=i) for i in ("balanced", "fan_in"))
    np.testing.assert_allclose(balanced.end_to_end(), plain.end_to_end(), atol=1e-10)
    assert float(ji.measure(PROBLEM, balanced)["balancedness"]) < 1e-12
