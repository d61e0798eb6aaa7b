"""Every metric: where it is defined, in closed form, and through the view of an engine."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import jaxinv as ji
from jaxinv.measures import metrics
from jaxinv.measures.objective import Objective
from jaxinv.measures.view import View, view_of_weights
from jaxinv.problems.coordinates import compressed_coordinates, plain_coordinates, rotated_coordinates

from ..helpers import numpy_metrics, relu_setup, setup

KEY = jax.random.key(3)


def test_metrics_that_need_an_identifiable_problem_are_nan_where_it_is_not():
    rng = np.random.default_rng(0)
    with pytest.warns(UserWarning, match="signals span 12 dimensions, measurements 5"):
        problem = ji.Problem(operator=rng.standard_normal((5, 12)), signals=rng.standard_normal((30, 12)))
    with pytest.warns(UserWarning, match="in_sample_test_error"):
        measured = ji.measure(problem, ji.layer_product(KEY, problem, width=8, depth=2))
    for name in ("off_subspace_error", "off_subspace_gain", "oracle_distance"):
        assert np.isnan(measured[name])
    assert np.isfinite(measured["regression_error"])
    square = ji.subspace_problem(KEY, signal_dim=9, measurement_dim=3, subspace_dim=3, samples=5)
    measured = ji.measure(square, ji.layer_product(KEY, square, width=8, depth=2))
    assert np.isnan(measured["off_subspace_error"])
    assert np.isfinite(measured["oracle_distance"])


def test_fact_11_rotations_change_no_metric():
    problem, network, _ = setup()
    rng = np.random.default_rng(1)
    left, right = (np.linalg.qr(rng.standard_normal((k, k)))[0] for k in (13, 7))
    turned = ji.Problem(right @ problem.operator @ left.T, problem.signals @ left.T, problem.measurements @ right.T)
    first, *middle, last = network.weights
    moved = ji.LayerProduct((first @ jnp.asarray(right.T), *middle, jnp.asarray(left) @ last))
    with pytest.warns(UserWarning, match="in_sample_test_error"):
        ours, theirs = ji.measure(problem, network, 0.1), ji.measure(turned, moved, 0.1)
    for name in metrics.NAMES:
        assert float(theirs[metrics.IN_SAMPLE.get(name, name)]) == pytest.approx(float(ours[name]), rel=1e-10), name


@pytest.mark.parametrize("noise", [0.0, 0.3])
def test_test_error_in_closed_form_is_that_of_monte_carlo(noise):
    problem, network, _ = setup()
    measured = ji.measure(problem, network)
    closed = ji.noisy_test_error(float(measured["test_error"]), float(measured["noise_sensitivity"]), noise)
    signals, measurements = problem.test_data(jax.random.key(5), 200_000, noise=noise)
    sampled = jnp.linalg.norm(network(measurements) - signals) / jnp.linalg.norm(signals)
    assert float(sampled) == pytest.approx(float(closed), rel=5e-3)
    measured_noise = jnp.linalg.norm(measurements - signals @ problem.operator.T) / jnp.linalg.norm(
        signals @ problem.operator.T
    )
    assert float(measured_noise) == pytest.approx(noise, abs=5e-3)


def moved(network, coordinates):
    """The network in these coordinates."""
    if coordinates.rotation is None:
        return network
    first, *rest = network.weights
    return ji.LayerProduct((first @ coordinates.rotation, *rest))


@pytest.mark.parametrize("coordinates_of", [plain_coordinates, compressed_coordinates, rotated_coordinates])
@pytest.mark.parametrize("noise", [0.0, 0.1])
@pytest.mark.parametrize("depth", [1, 3])
def test_every_metric_through_a_view_is_the_measured_one_in_any_coordinates(coordinates_of, noise, depth):
    problem, network, _ = setup(noise=noise, depth=depth, samples=20)
    coordinates = coordinates_of(problem)
    view = view_of_weights(coordinates, moved(network, coordinates))
    measured = ji.measure(problem, network, 0.3)
    plain = numpy_metrics(problem, [np.asarray(weight) for weight in network.weights], 0.3)
    assert set(measured) == set(metrics.METRICS) == set(plain)
    for name, metric in metrics.METRICS.items():
        assert float(metric(view, Objective(0.3))) == pytest.approx(float(measured[name]), rel=1e-9, abs=1e-12), name
        assert float(measured[name]) == pytest.approx(plain[name], rel=1e-9, abs=1e-12), name


def test_without_weights_balancedness_alone_is_nan():
    problem, network, _ = setup()
    whole = view_of_weights(plain_coordinates(problem), network)
    blind = View(whole.coordinates, whole.outputs, whole.squared_norm, whole.end_to_end, None)
    for name, metric in metrics.METRICS.items():
        if name == "balancedness":
            assert np.isnan(metric(blind, Objective(0.1)))
        else:
            assert float(metric(blind, Objective(0.1))) == float(metric(whole, Objective(0.1))), name


def test_a_relu_network_has_the_loss_the_regression_error_and_the_error_on_held_out_pairs():
    problem, network, _ = relu_setup()
    measured = ji.measure(problem, network, 0.3)
    assert set(measured) == {"loss", "regression_error", "test_error", "test_error_standard_error"}
    apart = np.linalg.norm(network(problem.measurements) - problem.signals)
    assert float(measured["regression_error"]) == pytest.approx(apart / np.linalg.norm(problem.signals), rel=1e-12)
    squares = sum(np.sum(np.asarray(weight) ** 2) for weight in network.weights)
    assert float(measured["loss"]) == pytest.approx(0.5 * apart**2 + 0.15 * squares, rel=1e-12)
