"""The facts of the paper's setting, each against an independent computation."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import jaxinv as ji
from jaxinv import metrics, theory
from jaxinv.descent import start, step

from .helpers import numpy_descent, numpy_metrics, trio

RECORDS = 25


def assert_same_curves(run, problem, network, descent, tolerance=1e-10):
    """Every metric within `tolerance` of its largest value over the run."""
    rows = [numpy_metrics(problem, weights, float(descent.weight_decay))
            for _, weights in numpy_descent(problem, network, descent, set(run.step.tolist()))]  # fmt: skip
    for name in metrics.NAMES:
        plain = np.array([row[name] for row in rows])
        assert np.max(np.abs(run.metrics[name] - plain)) <= tolerance * max(np.max(np.abs(plain)), 1e-300), name


@pytest.mark.parametrize("reduce", [True, False])
@pytest.mark.parametrize("noise", [0.0, 0.1])
@pytest.mark.parametrize("depth", [1, 2, 3, 4, 5])
def test_every_metric_is_that_of_plain_numpy_descent_on_the_full_data(depth, noise, reduce):
    problem, network, descent = trio(depth=depth, noise=noise, samples=23)
    run = ji.train(problem, network, descent, steps=300, records=RECORDS, reduce=reduce)
    assert_same_curves(run, problem, network, descent)
    assert not run.diverged


@pytest.mark.parametrize("noise", [0.0, 0.1])
def test_fewer_samples_than_measurements(noise):
    problem, network, descent = trio(noise=noise, samples=4)
    assert_same_curves(ji.train(problem, network, descent, steps=300, records=RECORDS), problem, network, descent)


@pytest.mark.parametrize("init", ["orthogonal", "balanced"])
def test_other_initializations_reduce_alike(init):
    problem, network, descent = trio(init=init)
    assert_same_curves(ji.train(problem, network, descent, steps=300, records=RECORDS), problem, network, descent)


@pytest.mark.parametrize("noise", [0.0, 0.1])
def test_momentum_reduces_alike(noise):
    problem, network, descent = trio(momentum=0.7, noise=noise)
    run = ji.train(problem, network, descent, steps=500, records=RECORDS)
    assert_same_curves(run, problem, network, descent)


def test_trained_weights_are_those_of_numpy():
    problem, network, descent = trio()
    run = ji.train(problem, network, descent, steps=300)
    ((_, weights),) = list(numpy_descent(problem, network, descent, {300}))
    for ours, plain in zip(run.network.weights, weights, strict=True):
        np.testing.assert_allclose(ours, plain, atol=1e-12)


def test_gradient_against_finite_differences():
    problem, network, _ = trio(depth=3)
    decay, rate, h = 0.3, 1e-3, 1e-5
    descent = ji.Descent(rate, decay)
    moved = step(descent, problem.measurements, problem.signals, start(descent, network)).network

    def loss(weights):
        return float(ji.measure(problem, ji.LayerProduct(weights), decay)["loss"])

    rng = np.random.default_rng(0)
    for layer, weight in enumerate(network.weights):
        direction = jnp.asarray(rng.standard_normal(weight.shape))
        shifted = [
            tuple(w + s * h * direction if k == layer else w for k, w in enumerate(network.weights)) for s in (1, -1)
        ]
        numeric = (loss(shifted[0]) - loss(shifted[1])) / (2 * h)
        analytic = float(jnp.sum((weight - moved.weights[layer]) / rate * direction))
        assert numeric == pytest.approx(analytic, rel=1e-6)


def test_fact_1_off_range_part_of_first_layer_only_decays():
    problem, network, descent = trio(gamma=0.1, depth=4)
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
    problem, network, descent = trio(gamma=0.0, depth=4)
    off_range = np.linalg.qr(np.asarray(problem.operator @ problem.latent.basis), mode="complete")[0][:, 3:]
    run = ji.train(problem, network, descent, steps=2000, records=3, reduce=False)
    before, after = (np.asarray(net.weights[0]) @ off_range for net in (network, run.network))
    assert np.linalg.norm(after - before) <= 1e-12 * np.linalg.norm(before)
    assert run.metrics["off_subspace_error"][-1] != run.metrics["off_subspace_error"][0]


def test_closed_form_goes_below_rounding():
    problem, network, descent = trio(gamma=0.5, depth=3)
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


def test_fact_11_rotations_change_no_metric():
    problem, network, _ = trio()
    rng = np.random.default_rng(1)
    left, right = (np.linalg.qr(rng.standard_normal((k, k)))[0] for k in (13, 7))
    turned = ji.Problem(right @ problem.operator @ left.T, problem.signals @ left.T, problem.measurements @ right.T)
    first, *middle, last = network.weights
    moved = ji.LayerProduct((first @ jnp.asarray(right.T), *middle, jnp.asarray(left) @ last))
    ours, theirs = ji.measure(problem, network, 0.1), ji.measure(turned, moved, 0.1)
    for name in metrics.NAMES:
        assert float(theirs[name]) == pytest.approx(float(ours[name]), rel=1e-10), name


@pytest.mark.parametrize("noise", [0.0, 0.3])
def test_test_error_in_closed_form_is_that_of_monte_carlo(noise):
    problem, network, _ = trio()
    measured = ji.measure(problem, network)
    closed = ji.noisy_test_error(float(measured["test_error"]), float(measured["noise_sensitivity"]), noise)
    signals, measurements = problem.test_data(jax.random.key(5), 200_000, noise=noise)
    drawn = jnp.linalg.norm(network(measurements) - signals) / jnp.linalg.norm(signals)
    assert float(drawn) == pytest.approx(float(closed), rel=5e-3)
    noise_drawn = jnp.linalg.norm(measurements - signals @ problem.operator.T) / jnp.linalg.norm(
        signals @ problem.operator.T
    )
    assert float(noise_drawn) == pytest.approx(noise, abs=5e-3)
