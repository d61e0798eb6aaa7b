"""Signals on a union of subspaces, and the ReLU network: against their definitions and a plain numpy loop."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import jaxinv as ji
from jaxinv import theory
from jaxinv.frame import plain_frame
from jaxinv.metrics import error_halves
from jaxinv.signals import UnionOfSubspaces
from jaxinv.sweep import Layout

SIZES = {"signal_dim": 14, "measurement_dim": 9, "subspace_dim": 2, "subspaces": 3, "samples": 12, "held_out": 7}
NETWORK: dict[str, Any] = {"width": 20, "depth": 3}


def union(seed=0, **changes):
    return ji.union_problem(jax.random.key(seed), **{**SIZES, **changes})


def relu_trio(seed=0, gamma=0.1):
    problem = union(seed)
    network = ji.relu_network(jax.random.key(seed), problem, **NETWORK)
    return problem, network, ji.gradient_descent(problem, network, gamma=gamma)


def members(problem):
    assert isinstance(problem.latent, UnionOfSubspaces)
    return problem.latent.members


def distances(signals, basis):
    """How far each row is from the span of the basis."""
    return np.linalg.norm(signals - signals @ basis @ basis.T, axis=1)


def test_each_signal_lies_on_its_member():
    problem: Any = union(samples=11)
    for rows in (problem.signals, problem.held_out[0]):
        member = problem.latent.membership(len(rows))
        assert np.ptp(np.bincount(member)) <= 1
        apart = np.array([distances(rows, each.basis) for each in members(problem)])
        assert apart[member, np.arange(len(rows))].max() < 1e-12
        assert apart.min(axis=0).max() < 1e-12
        assert np.sort(apart, axis=0)[1].min() > 1e-3  # and on no other


def test_its_second_moments_are_those_of_the_members():
    problem = union(condition_number=3.0)
    latent = problem.latent
    mean = sum(np.asarray(each.covariance_root @ each.covariance_root.T) for each in members(problem)) / 3
    np.testing.assert_allclose(latent.covariance_root @ latent.covariance_root.T, mean, atol=1e-14)
    np.testing.assert_allclose(latent.basis.T @ latent.basis, np.eye(6), atol=1e-14)
    assert (np.diff(latent.spectrum) <= 0).all()


def test_training_signals_have_exactly_these_moments():
    problem = union(condition_number=2.0, samples=30)
    covariance = problem.latent.covariance_root @ problem.latent.covariance_root.T
    np.testing.assert_allclose(problem.signals.T @ problem.signals / 30, covariance, atol=1e-13)
    largest, smallest = problem.signal_extremes
    values = np.linalg.svd(problem.signals, compute_uv=False)
    np.testing.assert_allclose([values[0], values[5]], [largest, smallest], rtol=1e-12)


def test_fresh_signals_come_near_them_and_so_does_the_closed_form_error_of_a_linear_map():
    problem = union()
    signals, measurements = (np.asarray(array) for array in problem.test_data(jax.random.key(5), 20_000))
    covariance = problem.latent.covariance_root @ problem.latent.covariance_root.T
    np.testing.assert_allclose(signals.T @ signals / 20_000, covariance, atol=0.02)
    network = ji.layer_product(jax.random.key(1), problem, width=20, depth=2)
    error = np.linalg.norm(measurements @ np.asarray(network.end_to_end()).T - signals) / np.linalg.norm(signals)
    assert abs(error / float(error_halves(plain_frame(problem), network.end_to_end())[0]) - 1) < 0.02


def test_held_out_pairs_are_fresh_and_without_noise():
    problem: Any = union(noise=0.5)
    signals, measurements = problem.held_out
    assert signals.shape == (7, 14)
    np.testing.assert_allclose(measurements, signals @ problem.operator.T, atol=1e-13)
    assert np.linalg.norm(signals[:1] - problem.signals, axis=1).min() > 1e-3
    noise = problem.measurements - problem.signals @ problem.operator.T
    assert abs(np.sum(np.asarray(noise) ** 2) / 12 / (9 * float(problem.noise_variance(0.5))) - 1) < 0.5


def test_the_same_key_gives_the_same_problem_at_another_count_of_held_out_pairs():
    assert np.array_equal(union().signals, union(held_out=50).signals)
    assert not np.allclose(union(1).signals, union().signals)


@pytest.mark.parametrize(
    ("changes", "word"),
    [
        ({"subspaces": 0}, "subspaces"),
        ({"samples": 2}, "samples"),
        ({"held_out": 2}, "held_out"),
        ({"subspace_dim": 10}, "subspace_dim"),
        ({"measurement_dim": 15}, "measurement_dim"),
        ({"noise": -1.0}, "noise"),
        ({"operator": "gauss"}, "gaussian"),
    ],
)
def test_bad_arguments_are_named(changes, word):
    with pytest.raises(ji.ArgumentError, match=word):
        union(**changes)


def test_a_union_that_spans_more_than_the_measurements_has_no_linear_oracle():
    with pytest.warns(UserWarning, match="span 10 dimensions, measurements 9"):
        problem = union(subspaces=5, held_out=10)
    assert np.isnan(problem.oracle).all()


def test_the_network_is_what_it_says():
    _, network, _ = relu_trio()
    y = np.random.default_rng(0).standard_normal((4, 9))
    first, second, last = (np.asarray(weight) for weight in network.weights)
    expected = np.maximum(np.maximum(y @ first.T, 0) @ second.T, 0) @ last.T
    np.testing.assert_allclose(network(jnp.asarray(y)), expected, atol=1e-13)
    np.testing.assert_allclose(network(jnp.asarray(3 * y)), 3 * expected, atol=1e-12)
    assert not np.allclose(network(jnp.asarray(-y)), -expected)
    assert (network.depth, network.width, network.is_linear) == (3, 20, False)


def test_its_start_keeps_the_power_of_the_linear_one():
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


def numpy_relu_descent(problem, network, descent, steps):
    """Weights after `steps` of gradient descent with decay, by backpropagation written out; numpy f64."""
    X, Y = np.asarray(problem.signals), np.asarray(problem.measurements)
    weights = [np.array(w) for w in network.weights]
    eta, decay = float(descent.step_size), float(descent.weight_decay)
    for _ in range(steps):
        rows, masks = [Y], []
        for weight in weights[:-1]:
            before = rows[-1] @ weight.T
            masks.append(before > 0)
            rows.append(np.where(before > 0, before, 0))
        slope = rows[-1] @ weights[-1].T - X
        for layer in reversed(range(len(weights))):
            gradient = slope.T @ rows[layer] + decay * weights[layer]
            if layer:
                slope = (slope @ weights[layer]) * masks[layer - 1]
            weights[layer] = weights[layer] - eta * gradient
    return weights


def test_training_is_gradient_descent_on_the_full_data():
    problem, network, descent = relu_trio()
    run = ji.train(problem, network, descent, steps=200, records=5)
    assert set(run.metrics) == {"loss", "regression_error"}
    for ours, plain in zip(run.network.weights, numpy_relu_descent(*relu_trio(), 200), strict=True):
        np.testing.assert_allclose(ours, plain, atol=1e-10)
    error = np.linalg.norm(run.network(problem.measurements) - problem.signals) / np.linalg.norm(problem.signals)
    np.testing.assert_allclose(run.metrics["regression_error"][-1], error, rtol=1e-12)
    assert error < run.metrics["regression_error"][0] / 2


def test_the_first_layer_off_the_measurements_decays_by_a_known_factor():
    problem, network, descent = relu_trio()
    run = ji.train(problem, network, descent, steps=300, records=2)
    left, _ = np.linalg.qr(np.asarray(problem.operator @ problem.latent.basis), mode="complete")
    start, end = (np.asarray(net.weights[0]) @ left[:, 6:] for net in (network, run.network))
    factor = theory.off_range_decay(300, float(descent.step_size), float(descent.weight_decay))
    assert factor < 0.9
    np.testing.assert_allclose(end, factor * start, atol=1e-13)


def held_out_error(frame, network):
    signals, measurements = frame.held_out
    return jnp.stack([jnp.linalg.norm(network(c * measurements) - c * signals) for c in (1.0, 2.0)])


def relu_sweep(**changes):
    return ji.Sweep(
        **{
            "axes": {"gamma": [0.0, 0.1], "seed": range(3)},
            "fixed": {**SIZES, **NETWORK},
            "steps": 30,
            "records": 4,
            "metrics": ["regression_error", ji.Metric("held_out_error", held_out_error, ("scale",))],
            "precision": "float32",
            "problem": ji.union_problem,
            "network": ji.relu_network,
            **changes,
        }
    )


def test_a_sweep_of_it_stores_resumes_and_does_not_depend_on_the_batch(tmp_path):
    results = ji.run_sweep(relu_sweep(), tmp_path)
    assert results.held_out_error.dims == ("gamma", "seed", "record", "scale")
    np.testing.assert_allclose(results.held_out_error[..., 1], 2 * results.held_out_error[..., 0], rtol=1e-5)
    seen = []
    again = ji.run_sweep(relu_sweep(), tmp_path, progress=lambda done, total, what: seen.append(done))
    assert seen == [6]
    assert np.array_equal(again.loss, results.loss)
    cell = relu_sweep().cells()[4]
    run = ji.train(*ji.build(cell), steps=30, records=4, metrics=relu_sweep().metrics)
    assert np.array_equal(run.metrics["held_out_error"], results.held_out_error.sel(cell.point))
    assert results.precision_bits.values.max() == 32


def test_blocks_of_an_accelerator_give_the_same_numbers():
    plain = ji.run_sweep(relu_sweep(precision="float64"))
    wide = ji.run_sweep(relu_sweep(precision="float64"), layout=Layout(most=4, memory=1e9, buckets=True))
    np.testing.assert_allclose(wide.held_out_error, plain.held_out_error, rtol=1e-10)


def test_metrics_of_linear_maps_are_refused():
    with pytest.raises(ji.ArgumentError, match="noise_gain"):
        ji.run_sweep(relu_sweep(metrics=["noise_gain"]))


def test_a_network_for_another_problem_is_refused():
    problem, network, descent = relu_trio()
    other = ji.ReluNetwork((*network.weights[:-1], network.weights[-1][:-1]))
    with pytest.raises(ji.ArgumentError, match="chain of layers"):
        ji.train(problem, other, descent, steps=2)
