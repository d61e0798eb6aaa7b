"""Signals on a curved manifold: their law, their tangent spaces, the flat limit, what is refused."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.optimize import least_squares

import jaxinv as ji
from jaxinv import theory
from jaxinv.problems.manifolds import Manifold, fresh_latent

SIZES: Any = {"signal_dim": 20, "measurement_dim": 12, "latent_dim": 2, "features": 6, "samples": 15, "held_out": 9}
KEY = jax.random.key(3)


def pairs_of(problem: Any) -> Any:
    return problem.held_out


@pytest.fixture(scope="module")
def problem():
    return ji.manifold_problem(KEY, **SIZES)


@pytest.fixture(scope="module")
def latent(problem):
    assert isinstance(problem.latent, Manifold)
    return problem.latent


def test_signals_are_the_map_of_their_coordinates_and_pairs_are_measured(problem, latent):
    F, waves, z = (np.asarray(each) for each in (latent.frame, latent.waves, latent.tested))
    held, measured = pairs_of(problem)
    np.testing.assert_allclose(held, np.sin(z @ waves.T) @ F.T, atol=1e-13)
    np.testing.assert_allclose(measured, np.asarray(held) @ np.asarray(problem.operator).T, atol=1e-13)
    np.testing.assert_array_equal(z, fresh_latent(KEY, 9, 2))
    np.testing.assert_allclose(problem.measurements, problem.signals @ problem.operator.T, atol=1e-13)
    assert problem.generated
    assert not any(np.allclose(row, other) for row in np.asarray(held) for other in np.asarray(problem.signals))
    # of its two frames one has orthonormal columns, the other those of phases of the order of the curvature
    stretch = (6 / 2) ** 0.5
    np.testing.assert_allclose(F.T @ F * stretch**2, np.eye(6), atol=1e-12)
    np.testing.assert_allclose(waves.T @ waves / stretch**2, np.eye(2), atol=1e-12)


@pytest.mark.parametrize("curvature", [0.5, 2.0])
def test_the_second_moments_are_those_of_many_signals(curvature):
    latent: Any = ji.manifold_problem(KEY, **SIZES, curvature=curvature).latent
    z = np.random.default_rng(0).standard_normal((200_000, 2))
    rows = np.sin(z @ np.asarray(latent.waves).T) @ np.asarray(latent.frame).T
    root = np.asarray(latent.covariance_root)
    np.testing.assert_allclose(root @ root.T, rows.T @ rows / len(rows), atol=0.01 * np.sum(root**2) / 6)
    np.testing.assert_allclose(latent.basis.T @ latent.basis, np.eye(6), atol=1e-12)
    assert np.all(np.diff(latent.spectrum) <= 0)
    assert np.linalg.norm(rows - rows @ np.asarray(latent.basis) @ np.asarray(latent.basis).T) < 1e-9  # it is the span


def test_tangents_are_the_slopes_of_the_map(latent):
    z, step = np.asarray(latent.tested), 1e-6
    found = np.asarray(latent.tangents(z))
    for k in range(2):
        shift = step * np.eye(2)[k]
        slope = (np.asarray(latent.signals(z + shift)) - np.asarray(latent.signals(z - shift))) / (2 * step)
        np.testing.assert_allclose(found[:, :, k], slope, atol=1e-8)


def test_where_it_is_nearly_flat_it_is_a_subspace_and_has_its_oracle():
    problem = ji.manifold_problem(KEY, **SIZES, curvature=1e-4)
    latent: Any = problem.latent
    z, slopes = latent.tested, np.asarray(latent.tangents(latent.tested))
    np.testing.assert_allclose(slopes, np.broadcast_to(slopes[:1], slopes.shape), atol=1e-6)
    basis = slopes[0]
    np.testing.assert_allclose(basis.T @ basis, np.eye(2), atol=1e-6)
    np.testing.assert_allclose(pairs_of(problem)[0], np.asarray(z) @ basis.T, atol=1e-6)
    np.testing.assert_allclose(problem.latent.spectrum[:2], 1, atol=1e-6)
    flat = np.linalg.norm(basis @ np.linalg.pinv(np.asarray(problem.operator) @ basis))
    assert theory.local_oracle_gain(problem) == pytest.approx(flat, rel=1e-6)


def test_the_oracle_is_the_nearest_point_of_the_manifold_to_first_order(problem, latent):
    operator, noise = np.asarray(problem.operator), 1e-5
    options: Any = {"xtol": 1e-15, "ftol": 1e-15, "gtol": 1e-15}
    frame, waves = np.asarray(latent.frame), np.asarray(latent.waves)
    squares = []
    for z in np.asarray(latent.tested):
        signal = frame @ np.sin(waves @ z)
        for unit in np.eye(12):  # over all of them, E||.||^2 for unit variance
            measured = operator @ signal + noise * unit
            nearest = least_squares(lambda at, y=measured: operator @ frame @ np.sin(waves @ at) - y, z, **options).x
            squares.append(np.sum((frame @ np.sin(waves @ nearest) - signal) ** 2) / noise**2)
    assert (12 * np.mean(squares)) ** 0.5 == pytest.approx(theory.local_oracle_gain(problem), rel=1e-3)
    power, measured = np.sum(latent.spectrum**2), np.sum((operator @ np.asarray(latent.covariance_root)) ** 2)
    expected = 0.3 * (measured / 12 / power) ** 0.5 * theory.local_oracle_gain(problem)
    np.testing.assert_allclose(theory.local_oracle_error(problem, np.array([0.3])), [expected], rtol=1e-12)


def test_training_noise_falls_on_the_training_pairs_alone(problem):
    noisy = ji.manifold_problem(KEY, **SIZES, noise=0.1)
    np.testing.assert_array_equal(noisy.signals, problem.signals)
    np.testing.assert_array_equal(pairs_of(noisy)[1], pairs_of(problem)[1])
    assert 0.05 < np.linalg.norm(noisy.measurements - problem.measurements) / np.linalg.norm(problem.measurements) < 0.2


def test_it_can_be_traced_for_its_shapes():
    shapes = jax.eval_shape(lambda key: ji.manifold_problem(key, **SIZES).latent.spectrum, KEY)
    assert shapes.shape == (6,)
    assert jnp.issubdtype(shapes.dtype, jnp.floating)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"latent_dim": 7}, "latent_dim must be at most features = 6, got 7; each latent coordinate takes one"),
        ({"features": 13}, "features must be at most measurement_dim = 12, got 13; fewer measurements"),
        ({"measurement_dim": 21}, "measurement_dim must be at most signal_dim = 20, got 21"),
        ({"curvature": 0.0}, "curvature must be a finite number above 0"),
        ({"noise": -1.0}, "noise must be a finite number of at least 0"),
        ({"samples": 0}, "samples must be a positive whole number, got 0"),
    ],
)
def test_a_bad_argument_is_named(arguments, words):
    with pytest.raises(ji.ArgumentError, match=words):
        ji.manifold_problem(KEY, **{**SIZES, **arguments})


def test_the_oracle_is_that_of_unions_and_manifolds_alone():
    with pytest.raises(ji.ArgumentError, match="problem must be one on a union of subspaces or a manifold, got Subspa"):
        theory.local_oracle_gain(ji.subspace_problem(KEY, signal_dim=6, measurement_dim=4, subspace_dim=2, samples=5))
