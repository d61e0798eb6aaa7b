"""Networks built for a problem."""

import jax
import numpy as np
import pytest

import jaxinv as ji

from ..helpers import SMALL, union

KEY = jax.random.key(1)
PROBLEM = ji.subspace_problem(KEY, **SMALL)


def test_scale_multiplies_every_layer():
    one, three = (ji.layer_product(KEY, PROBLEM, width=8, depth=3, scale=s) for s in (1.0, 3.0))
    for a, b in zip(one.weights, three.weights, strict=True):
        np.testing.assert_allclose(3 * a, b, rtol=1e-12)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"width": 0}, "width must be a positive whole number, got 0; pass"),
        ({"depth": 0}, "depth must be a positive whole number, got 0"),
        ({"init": "fanin"}, "unknown init 'fanin'; did you mean 'fan_in'"),
        ({"scale": 0.0}, "scale must be a finite number above 0"),
    ],
)
def test_a_bad_argument_of_a_network_is_named(arguments, words):
    with pytest.raises(ValueError, match=words):
        ji.layer_product(KEY, PROBLEM, **arguments)


def test_the_start_of_a_relu_network_keeps_the_power_of_the_linear_one():
    problem = union()
    powers = []
    for seed in range(4):
        key = jax.random.key(seed)
        linear, relu = (make(key, problem, width=400, depth=3) for make in (ji.layer_product, ji.relu_network))
        for a, b in zip(linear.weights[:-1], relu.weights[:-1], strict=True):
            np.testing.assert_allclose(b, 2**0.5 * a, rtol=1e-12)
        np.testing.assert_array_equal(relu.weights[-1], linear.weights[-1])
        powers.append(np.sum(np.asarray(relu(problem.measurements)) ** 2) / np.sum(problem.measurements**2))
    assert 0.7 < np.mean(powers) / (14 / 9) < 1.4  # E||W y||^2 = (d/m) ||y||^2; a factor 4 less without the sqrt(2)


@pytest.mark.usefixtures("unchecked")
@pytest.mark.parametrize("build", [ji.layer_product, ji.relu_network])
@pytest.mark.parametrize(
    ("argument", "words"),
    [
        ({"init": 1}, r"init must be a name or a function of \(keys, sizes\), got 1; pass one of them"),
        ({"scale": 1e308}, r"scale must be at most 1e\+15 at depth 2, or the loss is no number, got 1e\+308"),
        ({"scale": 1e10, "depth": 20}, r"scale must be at most 3.16e\+07 at depth 20"),
    ],
)
def test_a_start_that_is_none_is_refused_in_one_line(build, argument, words):
    with pytest.raises(ji.ArgumentError, match=words):
        build(KEY, PROBLEM, **{"width": 8, "depth": 2, **argument})
