"""How fast the fit falls as the width goes to infinity, and how many steps that takes."""

import jax
import numpy as np
import pytest
import xarray as xr

import jaxinv as ji
from jaxinv import theory
from jaxinv.arrays import cast


def test_the_wide_rate_is_that_of_the_extremes_of_k():
    problem = ji.subspace_problem(jax.random.key(0), signal_dim=20, measurement_dim=12, subspace_dim=3, samples=9)
    values = np.linalg.svd(problem.measurements, compute_uv=False)[[0, 2]]
    for step_size in (1e-3, 3e-3, 1e-2):
        expected = -np.log(theory.contraction(step_size, theory.wide_extremes(problem, 30, 4)))
        assert theory.wide_log_rate(step_size, values, theory.wide_factor(30, 4, 12)) == pytest.approx(expected)


def test_the_extremes_of_a_float32_problem_are_those_of_its_rank():
    problem = ji.subspace_problem(jax.random.key(0), signal_dim=20, measurement_dim=12, subspace_dim=3, samples=9)
    network = ji.layer_product(jax.random.key(1), problem, width=30, depth=3)
    rounded, weights = cast(problem, np.float32), cast(network.weights, np.float32)
    exact = theory.wide_extremes(problem, 30, 3), theory.linearise(problem, network.weights).extremes()
    found = theory.wide_extremes(rounded, 30, 3), theory.linearise(rounded, weights).extremes()
    np.testing.assert_allclose(found, exact, rtol=1e-4)


def test_the_wide_linearisation_is_the_mean_of_those_of_networks():
    problem = ji.subspace_problem(jax.random.key(0), signal_dim=20, measurement_dim=12, subspace_dim=3, samples=9)
    wide = theory.wide_linearisation(problem, 30, 4)
    eigenvalues = np.diag(wide.inputs[0]) * wide.outputs.item()
    np.testing.assert_allclose(eigenvalues[[-1, 0]], theory.wide_extremes(problem, 30, 4))
    # a single layer has its law at every width
    single, step_size = theory.wide_linearisation(problem, 12, 1), 0.1 / np.linalg.norm(problem.measurements, 2) ** 2
    networks = [ji.layer_product(jax.random.key(k), problem, depth=1) for k in range(1, 300)]
    each = [theory.linearise(problem, network.weights) for network in networks]
    squares = np.mean([np.sum(one.error**2, axis=1) for one in each], axis=0)
    np.testing.assert_allclose(np.sum(single.error**2, axis=1), squares, rtol=0.05)
    curves = np.array([one.curve(step_size, 40) for one in each])
    np.testing.assert_allclose(single.curve(step_size, 40), np.sqrt(np.mean(curves**2, axis=0)), rtol=0.03)


def test_the_wide_linearisation_knows_what_no_linear_map_reaches():
    problem = ji.subspace_problem(
        jax.random.key(0), signal_dim=20, measurement_dim=12, subspace_dim=3, samples=40, noise=0.3
    )
    network = ji.layer_product(jax.random.key(1), problem, width=30, depth=2)
    wide = theory.wide_linearisation(problem, 30, 2)
    assert wide.beyond == pytest.approx(theory.linearise(problem, network.weights).beyond)
    assert wide.beyond > 0.01


def test_of_one_singular_value_the_wide_rate_is_that_of_its_part():
    assert theory.wide_log_rate(0.1, [2.0], 2.0) == pytest.approx(-np.log(1 - 0.1 * 2 * 4))
    assert theory.wide_log_rate(1.0, [1.0], 1.0) == np.inf  # there after one step
    assert theory.wide_log_rate(1.0, [2.0], 1.0) < 0


def test_steps_to_a_level_at_a_rate():
    steps = np.arange(200)
    error = 3 * np.exp(-0.05 * steps)
    found = theory.steps_at_log_rate(1e-2, 3.0, 0.05)
    assert found == pytest.approx(np.interp(-np.log(1e-2), -np.log(error), steps))
    assert theory.steps_at_log_rate(1.0, 0.5, 0.05) == theory.steps_at_log_rate(1.0, 1.0, 0.0) == 0
    assert theory.steps_at_log_rate(0.1, 1.0, 0.0) == theory.steps_at_log_rate(0.1, 1.0, -0.3) == np.inf
    assert np.isnan(theory.steps_at_log_rate(0.1, 1.0, np.nan))


def test_labelled_arrays_keep_their_axes():
    widths = xr.DataArray([10, 20], {"width": [10, 20]}, ("width",))
    step_size = xr.DataArray([[0.1, 0.2, 0.3]] * 2, {"width": [10, 20]}, ("width", "seed"))
    rate = theory.wide_log_rate(step_size, [xr.ones_like(step_size), 0.5], theory.wide_factor(widths, 3, 10))
    assert rate.dims == ("width", "seed")
    assert rate[1, 2] == pytest.approx(-np.log(max(abs(1 - 0.3 * 5), abs(1 - 0.3 * 5 / 4))))
    assert theory.steps_at_log_rate(0.1, 1.0, rate).dims == ("width", "seed")
    assert theory.steps_to_off_subspace(0.1, 1.0, step_size, 0.0).values.tolist() == [[np.inf] * 3] * 2
