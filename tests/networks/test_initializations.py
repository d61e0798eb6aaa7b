"""Where weights start: variances, orthogonality, balance, identities, those of one's own; step sizes that suit them."""

from itertools import pairwise

import jax
import numpy as np
import pytest

import jaxinv as ji
from jaxinv.networks.initializations import INITIALIZERS

from ..helpers import SMALL, numpy_descent

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


def test_fan_out_entries_have_variance_one_over_fan_out():
    wide = ji.layer_product(KEY, PROBLEM, width=400, depth=3, init="fan_out")
    plain = ji.layer_product(KEY, PROBLEM, width=400, depth=3)
    for one, other in zip(wide.weights, plain.weights, strict=True):
        out, inn = one.shape
        np.testing.assert_allclose(one, other * (inn / out) ** 0.5, rtol=1e-12)


@pytest.mark.parametrize("depth", [1, 4])
def test_a_small_start_has_a_hundredth_of_the_product_in_equal_shares(depth):
    small, plain = (ji.layer_product(KEY, PROBLEM, width=9, depth=depth, init=i) for i in ("small", "fan_in"))
    np.testing.assert_allclose(small.end_to_end(), plain.end_to_end() / 100, rtol=1e-10)
    np.testing.assert_allclose(small.weights[-1], plain.weights[-1] * 100 ** (-1 / depth), rtol=1e-12)


@pytest.mark.parametrize("width", [5, 9, 20])
def test_identities_are_ones_on_the_diagonal_and_the_last_layer_may_be_zero(width):
    same, asymmetric = (
        ji.layer_product(KEY, PROBLEM, width=width, depth=3, init=init, scale=2.0)
        for init in ("identity", "zero_asymmetric")
    )
    shapes = [(width, 7), (width, width), (13, width)]
    for weight, other, shape in zip(same.weights, asymmetric.weights, shapes, strict=True):
        np.testing.assert_array_equal(weight, 2 * np.eye(*shape))
        np.testing.assert_array_equal(other, weight if other is not asymmetric.weights[-1] else 0 * weight)


def _ones(keys, sizes):
    return [np.full((out, inn), 1 / inn) for inn, out in pairwise(sizes)]


def _normal(keys, sizes):
    return [jax.random.normal(key, (out, inn)) for key, inn, out in zip(keys, sizes[:-1], sizes[1:], strict=True)]


def test_a_function_of_ones_own_gets_a_key_and_two_sizes_for_each_layer():
    for weight in ji.layer_product(KEY, PROBLEM, width=9, depth=3, init=_ones, scale=3.0).weights:
        np.testing.assert_allclose(weight, 3 / weight.shape[1])
    first, second, third = ji.layer_product(KEY, PROBLEM, width=9, depth=3, init=_normal).weights
    assert len({float(weight[0, 0]) for weight in (first, second, third)}) == 3


@pytest.mark.parametrize(
    ("given", "words"),
    [
        (lambda keys, sizes: _ones(keys, sizes)[:-1], r"init must be a function that gives arrays of shapes"),
        (lambda keys, sizes: [weight.T for weight in _ones(keys, sizes)], r"got \[\(7, 9\), \(9, 13\)\]"),
        (lambda keys, sizes: None, r"got \[None\]; give"),
        (lambda keys, sizes: [0.0, 1.0], r"got \[None, None\]; give \(out, in\) arrays"),
        (3, "init must be a name or a function of"),
        ("xavier", "unknown init 'xavier'; known: balanced, fan_in, fan_out, identity"),
    ],
)
def test_what_is_no_initialization_is_refused_in_one_line(given, words):
    with pytest.raises(ji.ArgumentError, match=words) as error:
        ji.layer_product(KEY, PROBLEM, width=9, depth=2, init=given)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("depth", [2, 6])
def test_the_default_step_size_is_stable_at_identities(depth):
    """[exact] There K has the eigenvalue L sigma_max(Y)^2: of 2 / that it is (d_w / m) (sigma_X / sigma_Y)^2 / 2."""
    measured, signals = (np.linalg.norm(rows, 2) for rows in (PROBLEM.measurements, PROBLEM.signals))
    for init, layers in (("identity", depth), ("zero_asymmetric", 1)):
        network = ji.layer_product(KEY, PROBLEM, width=20, depth=depth, init=init)
        largest = ji.linearisation_of(PROBLEM, network).largest()
        assert largest == pytest.approx(layers * measured**2, rel=1e-6)
        step_size = ji.gradient_descent(PROBLEM, network).step_size
        assert step_size * depth * measured**2 == pytest.approx(7 / 20 * (measured / signals) ** 2)


@pytest.mark.parametrize(("width", "is_zero"), [(7, True), (9, True), (6, False)])
def test_a_zero_asymmetric_start_never_has_a_part_off_the_range_of_the_data(width, is_zero):
    network = ji.layer_product(KEY, PROBLEM, width=width, depth=4, init="zero_asymmetric")
    measured = np.asarray(PROBLEM.measurements).T
    off = np.eye(7) - measured @ np.linalg.pinv(measured, 1e-9)
    for decay in (0.0, 0.3):
        descent = ji.gradient_descent(PROBLEM, network, weight_decay=decay)
        for _, weights in numpy_descent(PROBLEM, network, descent, [1, 20, 200]):
            product = np.linalg.multi_dot(weights[::-1])
            assert np.linalg.norm(product) > 0.1
            assert (np.linalg.norm(product @ off) < 1e-12) == is_zero


def test_each_by_name_trains_where_nothing_else_is_said():
    sizes = {"signal_dim": 12, "measurement_dim": 6, "subspace_dim": 2, "samples": 9, "width": 20, "depth": 3}
    sweep = ji.Sweep(
        {"init": [*INITIALIZERS.ours], "seed": range(2)}, sizes, steps=400, records=2, metrics=["regression_error"]
    )
    results = ji.run_sweep(sweep)
    assert not results.diverged.any()
    assert np.isfinite(results.loss).all()
    assert (results.regression_error.isel(record=1) < 0.1 * results.regression_error.isel(record=0)).all()
