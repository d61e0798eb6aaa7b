"""How the off-subspace error decays, facts 1 and 2, against runs."""

import jax
import numpy as np
import pytest
import xarray

import jaxinv as ji
from jaxinv import theory

from ..helpers import relu_setup, setup


def test_fact_1_off_range_part_of_first_layer_only_decays():
    problem, network, descent = setup(gamma=0.1, depth=4)
    off_range = np.linalg.qr(np.asarray(problem.operator @ problem.latent.basis), mode="complete")[0][:, 3:]
    start_part = np.asarray(network.weights[0]) @ off_range
    for steps in (10, 300, 3000):
        run = ji.train(problem, network, descent, steps=steps, records=3, reduce=False)
        factor = theory.off_range_decay(steps, float(descent.step_size), float(descent.weight_decay))
        np.testing.assert_allclose(
            np.asarray(run.network.weights[0]) @ off_range,
            factor * start_part,
            atol=1e-9 * factor * np.abs(start_part).max(),
        )


def test_fact_1_without_decay_the_off_range_part_stays():
    problem, network, descent = setup(gamma=0.0, depth=4)
    off_range = np.linalg.qr(np.asarray(problem.operator @ problem.latent.basis), mode="complete")[0][:, 3:]
    run = ji.train(problem, network, descent, steps=2000, records=3, reduce=False)
    before, after = (np.asarray(net.weights[0]) @ off_range for net in (network, run.network))
    assert np.linalg.norm(after - before) <= 1e-12 * np.linalg.norm(before)
    assert run.metrics["off_subspace_error"][-1] != run.metrics["off_subspace_error"][0]


def test_closed_form_goes_below_rounding():
    problem, network, descent = setup(gamma=0.5, depth=3)
    run = ji.train(problem, network, descent, steps=60_000, records=40)
    late = run.metrics["off_subspace_error"][-5:]
    assert late[-1] < 1e-30
    constant = late[0] / theory.off_subspace_late(
        run.step[-5], 1.0, float(descent.step_size), float(descent.weight_decay)
    )
    predicted = theory.off_subspace_late(run.step[-5:], constant, float(descent.step_size), float(descent.weight_decay))
    np.testing.assert_allclose(late, predicted, rtol=1e-6)


def test_fact_2_two_rates():
    key = jax.random.key(0)
    problem = ji.subspace_problem(key, signal_dim=60, measurement_dim=30, subspace_dim=3, samples=50)
    network = ji.layer_product(key, problem, width=240, depth=4)
    descent = ji.gradient_descent(problem, network, gamma=0.1)
    run = ji.train(problem, network, descent, steps=6000, records=80)
    rates = float(descent.step_size), float(descent.weight_decay)
    error = run.metrics["off_subspace_error"]
    early = theory.off_subspace_early(run.step, error[0], 4, *rates)
    assert np.max(np.abs(error / early - 1)[run.step <= 10]) < 0.05
    slope = np.diff(np.log(error[-2:])) / np.diff(run.step[-2:])
    assert slope[0] == pytest.approx(np.log1p(-rates[0] * rates[1]), rel=1e-3)
    constant = error[-1] / theory.off_range_decay(run.step[-1], *rates)
    below = theory.steps_to_off_subspace(1e-5, constant, *rates)
    assert below == pytest.approx(np.interp(-np.log(1e-5), -np.log(error), run.step), rel=0.02)
    assert theory.steps_to_off_subspace(1e-5, constant, rates[0], 0.0) == np.inf


def test_fact_1_holds_for_a_relu_network():
    problem, network, descent = relu_setup()
    run = ji.train(problem, network, descent, steps=300, records=2)
    left, _ = np.linalg.qr(np.asarray(problem.operator @ problem.latent.basis), mode="complete")
    start, end = (np.asarray(net.weights[0]) @ left[:, 6:] for net in (network, run.network))
    factor = theory.off_range_decay(300, float(descent.step_size), float(descent.weight_decay))
    assert factor < 0.9
    np.testing.assert_allclose(end, factor * start, atol=1e-13)


def test_the_late_constant_is_found_in_the_records():
    steps = np.arange(0, 4001, 50)
    error = 0.7 * theory.off_range_decay(steps, 0.1, 0.02) * (1 + 3 * np.exp(-steps / 200))
    assert theory.off_subspace_constant(steps, error, 0.1, 0.02) == pytest.approx(0.7, rel=1e-3)


def test_the_decay_broadcasts_by_name():
    steps, rates = xarray.DataArray([0, 10], dims="record"), xarray.DataArray([0.1, 0.2, 0.0], dims="gamma")
    decay = theory.off_range_decay(steps, rates, 0.5)
    assert decay.dims == ("record", "gamma")
    np.testing.assert_allclose(decay, [[1, 1, 1], [0.95**10, 0.9**10, 1]])
