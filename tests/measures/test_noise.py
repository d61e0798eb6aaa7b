"""The noisy error of the network, the oracle and ridge regression, against plain numpy."""

from typing import Any

import jax
import numpy as np
import pytest

import jaxinv as ji
from jaxinv import baselines
from jaxinv.measures.noise import PENALTIES
from jaxinv.measures.view import view_of_weights
from jaxinv.problems.coordinates import compressed_coordinates, plain_coordinates

from ..helpers import relu_setup, setup, union

NOISE = (0.0, 0.01, 0.3, 1.0)
MAPS = ("network", "oracle", "ridge")


def expected_error(problem, matrix):
    """sqrt(E||W(Ax + e) - x||^2 / E||x||^2) at each level of NOISE, from its definition."""
    A, R = np.asarray(problem.operator), np.asarray(problem.latent.basis)
    root = R * np.asarray(problem.latent.spectrum)
    signal, measured = np.sum(root**2), np.sum((A @ root) ** 2)
    bias = np.sum((matrix @ A @ root - root) ** 2)
    # each of the m entries of e has variance noise^2 E||A x||^2 / m
    return np.array([np.sqrt((bias + n**2 * measured / len(A) * np.sum(matrix**2)) / signal) for n in NOISE])


@pytest.fixture(scope="module")
def noisy():
    """A setup whose ridge map does best at another penalty for each level."""
    return setup(signal_dim=24, measurement_dim=12, subspace_dim=2, samples=20, noise=0.2)


@pytest.mark.parametrize("reduce", [True, False])
def test_each_row_is_the_error_of_its_map(noisy, reduce):
    problem, network, descent = noisy
    metric = ji.NoisyError(NOISE, MAPS)
    run = ji.train(problem, network, descent, steps=50, records=[0, 50], metrics=[metric], reduce=reduce)
    X, Y = np.asarray(problem.signals), np.asarray(problem.measurements)
    largest = np.linalg.norm(Y, 2) ** 2
    ridge = [X.T @ Y @ np.linalg.inv(Y.T @ Y + penalty * largest * np.eye(12)) for penalty in PENALTIES]
    of_ridge = np.array([expected_error(problem, matrix) for matrix in ridge])
    assert len(set(of_ridge.argmin(axis=0))) > 1
    oracle = np.asarray(problem.latent.basis) @ np.linalg.pinv(np.asarray(problem.operator @ problem.latent.basis))
    for record, net in ((0, network), (1, run.network)):
        rows = run.metrics["noisy_error"][record]
        assert rows.shape == (3, 4)
        np.testing.assert_allclose(rows[0], expected_error(problem, np.asarray(net.end_to_end())), rtol=1e-8)
        np.testing.assert_allclose(rows[1], expected_error(problem, oracle), rtol=1e-8, atol=1e-12)
        np.testing.assert_allclose(rows[2], of_ridge.min(axis=0), rtol=1e-6)


def test_ridge_is_that_of_the_baselines(noisy):
    problem, network, _ = noisy
    largest = np.linalg.norm(problem.measurements, 2) ** 2
    maps = [np.asarray(baselines.ridge(problem, float(penalty * largest))) for penalty in PENALTIES]
    best = np.min([expected_error(problem, each) for each in maps], axis=0)
    for coordinates in (plain_coordinates(problem), compressed_coordinates(problem)):
        (rows,) = ji.NoisyError(NOISE, ["ridge"]).record(view_of_weights(coordinates, network))
        np.testing.assert_allclose(rows, best, rtol=1e-6)


def test_maps_come_in_the_order_asked_for(noisy):
    problem, network, _ = noisy
    view = view_of_weights(plain_coordinates(problem), network)
    turned, straight = (np.asarray(ji.NoisyError(NOISE, maps).record(view)) for maps in (MAPS[::-1], MAPS))
    assert np.array_equal(turned, straight[::-1])
    metric = ji.NoisyError(np.array(NOISE), MAPS)
    assert metric.labels == {"map": MAPS, "noise": NOISE}
    assert metric == ji.NoisyError(NOISE, MAPS) != ji.NoisyError(NOISE)
    assert hash(metric) == hash(ji.NoisyError(NOISE, MAPS))


def test_it_goes_with_the_recorded_halves(noisy):
    problem, network, _ = noisy
    measured = {name: float(value) for name, value in ji.measure(problem, network).items()}
    (rows,) = ji.NoisyError(NOISE).record(view_of_weights(plain_coordinates(problem), network))
    halves = ji.noisy_test_error(measured["test_error"], measured["noise_sensitivity"], np.array(NOISE))
    np.testing.assert_allclose(rows, halves, rtol=1e-12)


def test_where_no_linear_map_recovers_the_signals_the_oracle_alone_is_nan():
    rng = np.random.default_rng(0)
    with pytest.warns(UserWarning, match="signals span 12 dimensions, measurements 5"):
        problem = ji.Problem(rng.standard_normal((5, 12)), rng.standard_normal((30, 12)))
    network = ji.layer_product(jax.random.key(0), problem, width=8, depth=2)
    rows = np.asarray(ji.NoisyError(NOISE, MAPS).record(view_of_weights(plain_coordinates(problem), network)))
    assert np.isnan(rows[1]).all()
    assert np.isfinite(rows[[0, 2]]).all()


def test_the_monte_carlo_of_a_linear_map_comes_near_its_closed_form():
    problem: Any = union(held_out=3000)
    matrix = ji.layer_product(jax.random.key(0), problem, width=40, depth=2).end_to_end()
    sampled, closed = (
        ji.NoisyError(NOISE).record(view_of_weights(plain_coordinates(problem), kind((matrix,))))
        for kind in (ji.ReluNetwork, ji.LayerProduct)  # a ReLU network of one layer has no ReLU
    )
    np.testing.assert_allclose(sampled, closed, rtol=0.05)
    assert not np.allclose(sampled, closed, rtol=1e-6)


def test_the_recorded_error_of_a_relu_network_is_that_of_the_noisy_held_out_pairs():
    _, network, descent = relu_setup()
    problem: Any = union(held_out=3000)
    run = ji.train(problem, network, descent, steps=20, records=[0, 20], metrics=[ji.NoisyError(NOISE)])
    signals, clean = (np.asarray(array) for array in problem.held_out)
    sigma = float(problem.noise_variance(1.0)) ** 0.5
    unit = np.random.default_rng(0).standard_normal(clean.shape)
    for record, net in ((0, network), (1, run.network)):
        (rows,) = run.metrics["noisy_error"][record]
        errors = [np.linalg.norm(np.asarray(net(clean + n * sigma * unit)) - signals) for n in NOISE]
        np.testing.assert_allclose(rows, np.array(errors) / np.linalg.norm(signals), rtol=0.05)
        np.testing.assert_allclose(rows[0], errors[0] / np.linalg.norm(signals), rtol=1e-12)


def test_a_relu_network_without_held_out_pairs_is_refused():
    made = union()
    problem = ji.Problem(made.operator, made.signals, latent=made.latent)
    network = ji.relu_network(jax.random.key(0), problem, width=20, depth=3)
    descent = ji.gradient_descent(problem, network)
    with pytest.raises(ji.ArgumentError, match="noisy_error of a network that is not linear needs held_out pairs"):
        ji.train(problem, network, descent, steps=2, metrics=[ji.NoisyError(NOISE)])


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"noise": [0.1, -0.1]}, "noise must be a finite number of at least 0, got -0.1"),
        ({"noise": [float("nan")]}, "noise must be a finite number"),
        ({"noise": [float("inf")]}, "noise must be a finite number"),
        ({"noise": []}, "noise must be a non-empty sequence"),
        ({"noise": [0.1], "maps": []}, "maps must be a non-empty sequence"),
        ({"noise": [0.1], "maps": ["orcale"]}, "unknown map 'orcale'; did you mean 'oracle'"),
    ],
)
def test_bad_levels_and_maps_are_named(arguments, words):
    with pytest.raises(ji.ArgumentError, match=words):
        ji.NoisyError(**arguments)
