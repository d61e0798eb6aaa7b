"""Metrics of networks that are not linear: mean and worst over their Jacobians at points of the problem's law."""

from contextlib import nullcontext
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import jaxinv as ji
from jaxinv.measures.metrics import LOCAL, WORST, entropy_rank, singular_values, spectral_norm
from jaxinv.measures.view import POINTS, local_points
from jaxinv.networks.layers import ActivatedNetwork
from jaxinv.problems.coordinates import plain_coordinates

from ..helpers import SMALL, numpy_metrics, relu_setup, union

KEY = jax.random.key(1)
LINE = ji.Activation(lambda rows: rows)
"""A network that has it is linear, but does not say so."""


def pairs_of(problem: Any) -> Any:
    return problem.held_out


def own_arrays(**pairs):
    problem = ji.subspace_problem(KEY, **SMALL)
    return ji.Problem(operator=problem.operator, signals=problem.signals, **pairs)


def held_out(count=5):
    problem = ji.subspace_problem(KEY, **SMALL)
    return problem.test_data(KEY, count)


@pytest.mark.parametrize(
    "make", [lambda: ji.subspace_problem(KEY, **SMALL), union, own_arrays, lambda: own_arrays(held_out=held_out())]
)
def test_those_of_a_linear_network_are_those_of_its_map(make):
    problem = make()
    plain = ji.layer_product(KEY, problem, width=6, depth=3)
    with pytest.warns(UserWarning, match="in_sample") if problem.in_sample else nullcontext():
        of_map, found = (ji.measure(problem, each) for each in (plain, ActivatedNetwork(plain.weights, LINE)))
    names = [name for name in of_map if name.removeprefix("in_sample_") in LOCAL]
    assert len(names) == len(LOCAL)
    for name in names:
        np.testing.assert_allclose(found[name], of_map[name], rtol=1e-12, err_msg=name)
        np.testing.assert_allclose(found[f"{name}_worst"], of_map[name], rtol=1e-12, err_msg=name)
    assert "balancedness" not in found
    assert ("test_error" in found) == (problem.held_out is not None)


def numpy_jacobians(network, rows):
    """W_3 D_2 W_2 D_1 W_1 at each of the rows, D_l the units that are on."""
    first, second, last = (np.asarray(weight) for weight in network.weights)
    made = []
    for y in np.asarray(rows):
        one = first @ y > 0
        two = second @ (one * (first @ y)) > 0
        made.append(last @ (two[:, None] * second) @ (one[:, None] * first))
    return made


def test_those_of_a_relu_network_are_mean_and_worst_over_its_jacobians():
    problem, network, _ = relu_setup(width=6)
    found, signals, measured = ji.measure(problem, network), *pairs_of(problem)
    each = [numpy_metrics(problem, [jacobian], 0.0) for jacobian in numpy_jacobians(network, measured)]
    assert len(each) == 7
    for name in LOCAL:
        values = [metrics[name] for metrics in each]
        assert max(values) > 1.01 * min(values), name
        np.testing.assert_allclose(found[name], np.mean(values), rtol=1e-10, err_msg=name)
        np.testing.assert_allclose(found[f"{name}_worst"], np.max(values), rtol=1e-10, err_msg=name)
    error = np.linalg.norm(network(measured) - signals) / np.linalg.norm(signals)
    np.testing.assert_allclose(found["test_error"], error, rtol=1e-12)


def test_the_points_are_held_out_ones_of_every_member_of_a_union():
    problem = union(held_out=100)
    points = local_points(plain_coordinates(problem))
    assert points.shape == (POINTS, 9)
    where = [int(np.flatnonzero((pairs_of(problem)[1] == point[None]).all(axis=1))[0]) for point in points]
    latent: Any = problem.latent
    members = latent.membership(100)[where]
    assert sorted(np.bincount(members)) == [5, 5, 6]
    few = local_points(plain_coordinates(union()))
    np.testing.assert_array_equal(few, pairs_of(union())[1])


def test_without_pairs_they_are_always_the_same_fresh_ones_of_the_law():
    problem = ji.subspace_problem(KEY, **SMALL)
    points = np.asarray(local_points(plain_coordinates(problem)))
    np.testing.assert_array_equal(points, local_points(plain_coordinates(problem)))
    assert points.shape == (POINTS, 7)
    measured = np.asarray(problem.operator @ problem.latent.covariance_root)
    coefficients, residuals = np.linalg.lstsq(measured, points.T, rcond=None)[:2]
    assert np.all(residuals < 1e-20)
    assert 0.7 < np.mean(coefficients**2) < 1.4  # standard normal numbers
    assert not any(np.allclose(point, row) for point in points for row in np.asarray(problem.measurements))
    with jax.enable_x64(False):
        narrow = ji.subspace_problem(KEY, **SMALL)
        assert narrow.signals.dtype == np.float32
        np.testing.assert_allclose(local_points(plain_coordinates(narrow)), points, rtol=1e-4, atol=1e-5)


def test_they_are_recorded_by_name_and_for_a_linear_network_the_worst_is_the_same():
    problem, network, descent = relu_setup(width=6)
    names = ["noise_gain", "noise_gain_worst", "off_subspace_gain_worst"]
    run = ji.train(problem, network, descent, steps=3, records=2, metrics=names)
    after = ji.measure(problem, run.network)
    assert set(run.metrics) == {"loss", *names}
    for name in names:
        np.testing.assert_allclose(run.metrics[name][-1], after[name], rtol=1e-12)
    linear = ji.layer_product(KEY, problem, width=6, depth=3)
    run = ji.train(problem, linear, descent, steps=3, records=2, metrics=names)
    np.testing.assert_array_equal(run.metrics["noise_gain"], run.metrics["noise_gain_worst"])
    assert not any(name in ji.measure(problem, linear) for name in WORST)


def test_a_network_whose_jacobian_is_no_number_fails_its_metrics():
    problem = union()
    network = ActivatedNetwork((jnp.zeros((6, 9)), jnp.ones((14, 6))), ji.Activation(lambda z: jnp.sqrt(jnp.abs(z))))
    found = ji.measure(problem, network)
    assert all(np.isnan(found[name]) for name in (*LOCAL, *WORST))
    assert np.isfinite(found["regression_error"])


@pytest.mark.parametrize("value", [spectral_norm, lambda matrix: entropy_rank(singular_values(matrix))])
def test_many_matrices_are_decomposed_one_after_the_other_on_a_cpu(value):
    """Together, two devices that do so at a time wait for each other for ever."""
    many = jax.random.normal(KEY, (4, 3, 5))
    compiled = jax.jit(jax.vmap(value))
    text = compiled.lower(many).as_text()
    assert 'num_batch_dims = "0"' in text
    assert 'num_batch_dims = "1"' not in text
    np.testing.assert_allclose(compiled(many), [value(one) for one in many], rtol=1e-12)
