"""Where training with weight decay ends, facts 3 and 8, against independent mathematics."""

from typing import Any

import jax
import numpy as np
import pytest
import xarray

import jaxinv as ji
from jaxinv import theory

SIZES: dict[str, Any] = {"signal_dim": 12, "measurement_dim": 8, "subspace_dim": 3, "samples": 10}


@pytest.fixture(scope="module")
def problem():
    return ji.subspace_problem(jax.random.key(0), **SIZES)


@pytest.mark.parametrize("depth", [1, 2, 3, 5])
def test_shrinkage_is_the_global_minimiser_on_a_fine_grid(depth):
    penalties = np.geomspace(1e-4, 5, 60)
    r = np.linspace(0, 1, 200_001)
    objective = 0.5 * (r - 1) ** 2 + penalties[:, None] * r ** (2 / depth)
    best = r[np.argmin(objective, axis=1)]
    np.testing.assert_allclose(theory.shrinkage(penalties, depth), best, rtol=0, atol=1e-5)


@pytest.mark.parametrize("depth", [1, 2, 3])
def test_the_shrinkage_of_no_number_is_no_number(depth):
    found = theory.shrinkage([np.nan, 0.1, np.inf], depth)
    np.testing.assert_array_equal(np.isnan(found), [True, False, False])
    assert np.isnan(theory.shrinkage(np.nan, depth))


def test_thresholds_of_unit_measurements():
    # y = 1, lambda = .05: the least target x that keeps its value
    for depth, least in ((3, 0.2115), (5, 0.4074)):
        for target, kept in ((least - 1e-4, False), (least + 1e-4, True)):
            pairs = theory.ParallelPairs(np.array([target]), np.array([1.0]))
            assert bool(theory.regularized_values(pairs, depth, 0.05)[0] > 0) == kept
    assert theory.largest_penalty(1) == theory.last_penalty(1) == np.inf
    assert theory.largest_penalty(2) == theory.last_penalty(2) == 1


@pytest.mark.parametrize("depth", [3, 5])
def test_a_local_minimum_stays_up_to_the_last_penalty(depth):
    r = np.linspace(1e-3, 1, 100_001)
    last = theory.last_penalty(depth)
    assert last > theory.largest_penalty(depth)
    for penalty, expected in ((0.999 * last, True), (1.001 * last, False)):
        slope = r - 1 + penalty * 2 / depth * r ** (2 / depth - 1)
        assert bool((slope < 0).any()) == expected


def test_depth_two_is_soft_thresholding(problem):
    x, y = pairs = theory.parallel_pairs(problem)
    for decay in (0.1, 3.0, 9.0, 50.0):
        expected = np.maximum(x * y - decay, 0) / y**2
        np.testing.assert_allclose(theory.regularized_values(pairs, 2, decay), expected, rtol=1e-12, atol=1e-12)


def test_depth_one_is_ridge_regression(problem):
    decay = 2.0
    x, y = np.asarray(problem.signals).T, np.asarray(problem.measurements).T
    ridge = x @ y.T @ np.linalg.inv(y @ y.T + decay * np.eye(len(y)))
    values = np.sort(theory.regularized_values(theory.parallel_pairs(problem), 1, decay))[::-1]
    np.testing.assert_allclose(values, np.linalg.svd(ridge, compute_uv=False)[:3], rtol=1e-10)


def test_the_nuclear_norm_problem_has_these_singular_values(problem):
    x, y = np.asarray(problem.signals).T, np.asarray(problem.measurements).T
    decay, rate = 3.0, 1 / np.linalg.norm(y, 2) ** 2
    W = np.zeros((len(x), len(y)))
    for _ in range(2000):  # proximal gradient descent on 1/2 ||W Y - X||_F^2 + decay ||W||_*
        left, values, right = np.linalg.svd(W - rate * (W @ y - x) @ y.T, full_matrices=False)
        W = left * np.maximum(values - rate * decay, 0) @ right
    expected = np.sort(theory.regularized_values(theory.parallel_pairs(problem), 2, decay))[::-1]
    np.testing.assert_allclose(np.linalg.svd(W, compute_uv=False)[:3], expected, rtol=1e-10)


@pytest.mark.parametrize("depth", [2, 4])
def test_gradient_descent_ends_at_the_optimum(problem, depth):
    network = ji.layer_product(jax.random.key(1), problem, width=12, depth=depth)
    step_size = float(ji.gradient_descent(problem, network).step_size) / 2
    descent = ji.gradient_descent(problem, network, gamma=0.2, step_size=step_size)
    run = ji.train(problem, network, descent, steps=4000, records=2, metrics=["regression_error"])
    expected = theory.regularized_values(theory.parallel_pairs(problem), depth, float(descent.weight_decay))
    found = np.linalg.svd(np.asarray(run.network.end_to_end()), compute_uv=False)
    np.testing.assert_allclose(found[:3], np.sort(expected)[::-1], rtol=1e-6)
    assert found[3] < 1e-6


@pytest.mark.parametrize("change", [{"condition_number": 3.0}, {"noise": 0.3}])
def test_other_problems_are_refused(change):
    problem = ji.subspace_problem(jax.random.key(0), **SIZES | change)
    with pytest.raises(ji.ArgumentError, match="condition number 1 and no noise"):
        theory.parallel_pairs(problem)


@pytest.mark.parametrize("change", [{}, {"condition_number": 3.0}])
def test_a_float32_problem_is_judged_by_its_own_rounding(change):
    problem = ji.subspace_problem(jax.random.key(0), **SIZES | change)
    with jax.enable_x64(False):
        rounded = ji.subspace_problem(jax.random.key(0), **SIZES | change)
    assert rounded.signals.dtype == np.float32
    if change:
        with pytest.raises(ji.ArgumentError, match="condition number 1 and no noise"):
            theory.parallel_pairs(rounded)
    else:
        for given, exact in zip(theory.parallel_pairs(rounded), theory.parallel_pairs(problem), strict=True):
            assert given.dtype == np.float64
            np.testing.assert_allclose(given, exact, rtol=1e-5)


def test_identity_measurements_need_no_condition_number_one():
    signals = np.random.default_rng(0).normal(size=(6, 5)) @ np.diag([3.0, 2.0, 1.0, 0.5, 0.1])
    pairs = theory.parallel_pairs(ji.Problem(np.eye(5), signals))
    squares = np.linalg.svd(signals, compute_uv=False) ** 2
    np.testing.assert_allclose(theory.regularized_values(pairs, 2, 0.3), np.maximum(1 - 0.3 / squares, 0), atol=1e-12)


def test_laws_of_a_pair_broadcast_over_depths():
    depths, penalties = np.array([[1], [2], [3], [5]]), np.array([0.01, 0.3, 0.9, 2.0])
    each = [int(depth) for depth in depths.ravel()]
    for law in (theory.largest_penalty, theory.last_penalty):
        np.testing.assert_allclose(law(depths).ravel(), [law(depth) for depth in each], rtol=1e-14)
    rows = [theory.shrinkage(penalties, depth) for depth in each]
    np.testing.assert_allclose(theory.shrinkage(penalties, depths), rows, rtol=1e-14)


def test_penalties_broadcast_by_name(problem):
    x, y = pairs = theory.parallel_pairs(problem)
    labelled = theory.ParallelPairs(*(xarray.DataArray(lengths, dims="pair") for lengths in (x, y)))
    depths, decays = xarray.DataArray([2, 4], dims="depth"), xarray.DataArray([0.1, 0.2, 0.3], dims="gamma")
    found = theory.penalty(labelled, depths, decays).transpose("depth", "gamma", "pair")
    for i, depth in enumerate((2, 4)):
        for j, decay in enumerate((0.1, 0.2, 0.3)):
            np.testing.assert_allclose(found[i, j], theory.penalty(pairs, depth, decay), rtol=1e-14)


@pytest.mark.parametrize("depth", [3, 5])
def test_local_minima_are_minima_between_the_two_penalties(depth):
    penalties, r = theory.local_minima(depth)
    assert penalties[0] == pytest.approx(theory.last_penalty(depth), rel=1e-12)
    assert penalties[-1] == pytest.approx(theory.largest_penalty(depth), rel=1e-12)
    # at the last of them the two minima, at r and at 0, are equal
    np.testing.assert_allclose(r[-1], theory.shrinkage(penalties[-1] * (1 - 1e-9), depth), rtol=1e-6)
    inner, c = r[1:-1], penalties[1:-1]
    around = inner, 0.99 * inner, 1.01 * inner, 0.0
    here, below, above, at_zero = (0.5 * (s - 1) ** 2 + c * s ** (2 / depth) for s in around)
    assert (here < np.minimum(below, above)).all()
    assert (here > at_zero).all()


@pytest.mark.parametrize("shares", [np.array([0.9, 0.5, 0.0]), np.ones(3)])
def test_errors_of_shares_are_those_of_the_map(problem, shares):
    x, y = np.asarray(problem.signals).T, np.asarray(problem.measurements).T
    right = np.linalg.svd(y, full_matrices=False)[2][:3].T
    lengths = theory.parallel_pairs(problem)
    inverse = (right / lengths.measured_norms**2).T @ y.T  # of Y V, whose columns are orthogonal
    W = x @ right * shares @ inverse
    error, gain = theory.errors_of_shares(lengths, shares)
    assert error == pytest.approx(np.linalg.norm(W @ y - x) / np.linalg.norm(x), rel=1e-10, abs=1e-14)
    assert gain == pytest.approx(np.linalg.norm(W) / np.linalg.norm(problem.oracle), rel=1e-10)
    values = np.sort(shares * lengths.signal_norms / lengths.measured_norms)[::-1]
    np.testing.assert_allclose(np.linalg.svd(W, compute_uv=False)[:3], values, atol=1e-12)
    named = theory.ParallelPairs(*(xarray.DataArray(each, dims="pair") for each in lengths))
    both = xarray.DataArray([shares, 0 * shares], dims=("run", "pair"))
    np.testing.assert_allclose(theory.errors_of_shares(named, both, "pair"), [[error, 1], [gain, 0]], atol=1e-14)


def test_the_optimal_fit_is_that_of_ridge_regression_and_of_a_softly_thresholded_map(problem):
    x, y, strength = np.asarray(problem.signals).T, np.asarray(problem.measurements).T, 0.3
    ridge = x @ y.T @ np.linalg.inv(y @ y.T + strength * np.eye(len(y)))
    pairs = theory.parallel_pairs(problem)
    right = np.linalg.svd(y, full_matrices=False)[2][:3].T
    least = np.maximum(pairs.signal_norms * pairs.measured_norms - strength, 0) / pairs.measured_norms**2
    nuclear = x @ right * (least / pairs.signal_norms) @ (y @ right / pairs.measured_norms).T
    for depth, made in ((1, ridge), (2, nuclear)):
        error = np.linalg.norm(made @ y - x) / np.linalg.norm(x)
        assert theory.optimal_fit(problem, depth, strength) == pytest.approx(error, rel=1e-9)
