"""Where the fit settles under weight decay, facts 3 and 8: against runs, a general solver and closed forms."""

import jax
import numpy as np
import pytest
from scipy.optimize import minimize

import jaxinv as ji
from jaxinv import theory
from jaxinv.arrays import cast
from jaxinv.measures import curves

from ..helpers import setup

SIZES = {"signal_dim": 20, "measurement_dim": 12, "subspace_dim": 3, "samples": 40, "condition_number": 1.0}


def problem_of(**changes):
    return ji.subspace_problem(jax.random.key(0), **{**SIZES, **changes})


def decay_of(problem, gamma):
    """The weight decay that the default descent has at gamma."""
    network = ji.layer_product(jax.random.key(0), problem, width=4, depth=2)
    return float(ji.gradient_descent(problem, network, gamma=gamma).weight_decay)


def ratio_to_decay(problem, depth, ratio):
    """The weight decay at which first order has that ratio."""
    return ratio / theory.first_order(problem, depth, 1.0).ratio


def factorised_optimum(problem, weight_decay, width=8):
    """The error of the fit at the least of the training objective at depth 2, by L-BFGS on the two factors."""
    x, y = np.asarray(problem.signals).T, np.asarray(problem.measurements).T
    split = len(x) * width

    def objective(flat):
        out, inner = flat[:split].reshape(-1, width), flat[split:].reshape(width, -1)
        error = out @ inner @ y - x
        slopes = error @ (inner @ y).T + weight_decay * out, out.T @ error @ y.T + weight_decay * inner
        value = 0.5 * np.sum(error**2) + 0.5 * weight_decay * np.sum(flat**2)
        return value, np.concatenate([slope.ravel() for slope in slopes])

    start = 0.3 * np.random.default_rng(0).normal(size=split + width * len(y))
    options = {"maxiter": 50_000, "maxfun": 100_000, "ftol": 0, "gtol": 1e-10, "maxcor": 50}
    found = minimize(objective, start, jac=True, method="L-BFGS-B", options=options).x
    out, inner = found[:split].reshape(-1, width), found[split:].reshape(width, -1)
    return np.linalg.norm(out @ inner @ y - x) / np.linalg.norm(x)


@pytest.mark.parametrize(
    ("depth", "gamma", "change"),
    [
        (2, 0.02, {}),
        (3, 0.02, {}),
        (5, 0.02, {"samples": 1, "subspace_dim": 5, "condition_number": 1.0}),
        (2, 0.05, {"noise": 0.2, "samples": 40}),  # first order is off by a factor of 4
    ],
)
def test_the_fit_settles_at_the_plateau(depth, gamma, change):
    sizes = {"signal_dim": 30, "measurement_dim": 20, "subspace_dim": 2, "condition_number": 1.5, **change}
    problem, network, descent = setup(width=60, depth=depth, gamma=gamma, **sizes)
    run = ji.train(problem, network, descent, steps=60_000, records=120, metrics=["regression_error"])
    measured = curves.settled(run.step, run.metrics["regression_error"])
    assert theory.plateau(problem, depth, descent.weight_decay) == pytest.approx(measured, rel=0.03)


def test_a_first_order_taken_from_the_oracle_would_miss_few_samples():
    problem = problem_of(samples=1, subspace_dim=5)
    decay = decay_of(problem, 0.01)
    # one signal x and its measurement y: X Y^+ = x y^T / |y|^2 has the singular value |x| / |y|
    x, y = np.linalg.norm(problem.signals), np.linalg.norm(problem.measurements)
    expected = decay * (x / y) ** (2 / 5 - 1) / y / x
    assert theory.plateau(problem, 5, decay) == pytest.approx(expected, rel=1e-10)
    assert theory.first_order(problem, 5, decay).ratio == pytest.approx(decay * (x / y) ** (2 / 5 - 2) / y**2)


@pytest.mark.parametrize("noise", [0.05, 0.3])
@pytest.mark.parametrize("gamma", [0.01, 0.1, 1.0])
@pytest.mark.parametrize("samples", [8, 40])
def test_the_plateau_of_depth_two_is_that_of_a_general_solver(noise, gamma, samples):
    problem = problem_of(noise=noise, condition_number=2.0, samples=samples)
    decay = decay_of(problem, gamma)
    assert theory.first_order(problem, 2, decay).ratio > theory.FIRST_ORDER
    assert theory.plateau(problem, 2, decay) == pytest.approx(factorised_optimum(problem, decay), rel=1e-5)


@pytest.mark.parametrize("ratio", [0.05, 0.5, 0.95])
def test_first_order_is_exact_at_depth_two_without_noise(ratio):
    problem = problem_of(condition_number=1.3)
    decay = ratio_to_decay(problem, 2, ratio)
    expected = theory.first_order(problem, 2, decay).plateau
    assert theory.plateau(problem, 2, decay) == pytest.approx(expected, rel=1e-10)
    assert factorised_optimum(problem, decay) == pytest.approx(expected, rel=1e-6)


@pytest.mark.parametrize("ratio", [1.1, 1.5, 20])
def test_what_decay_removes_whole_at_depth_two(ratio):
    problem = problem_of()
    decay, pairs = ratio_to_decay(problem, 2, ratio), theory.parallel_pairs(problem)
    error, _ = theory.errors_of_shares(pairs, theory.shrinkage(theory.penalty(pairs, 2, decay), 2))
    assert theory.plateau(problem, 2, decay) == pytest.approx(error, rel=1e-6)


@pytest.mark.parametrize("noise", [0.0, 0.3])
def test_depth_one_settles_at_ridge_regression(noise):
    problem = problem_of(noise=noise, condition_number=3.0)
    x, y = np.asarray(problem.signals).T, np.asarray(problem.measurements).T
    for decay in (0.1, 30.0):
        ridge = x @ y.T @ np.linalg.inv(y @ y.T + decay * np.eye(len(y)))
        expected = np.linalg.norm(ridge @ y - x) / np.linalg.norm(x)
        assert theory.plateau(problem, 1, decay) == pytest.approx(expected, rel=1e-8)


@pytest.mark.parametrize("depth", [3, 5, 10])
def test_up_to_its_ratio_first_order_is_about_ten_percent_off(depth):
    problem = problem_of()
    pairs = theory.parallel_pairs(problem)
    for ratio in (0.01, theory.FIRST_ORDER):
        decay = ratio_to_decay(problem, depth, ratio)
        assert ratio == pytest.approx(
            np.max(decay * (pairs.signal_norms / pairs.measured_norms) ** (2 / depth - 2) / pairs.measured_norms**2)
        )
        error, _ = theory.errors_of_shares(pairs, theory.shrinkage(theory.penalty(pairs, depth, decay), depth))
        assert theory.plateau(problem, depth, (1 - 1e-9) * decay) == pytest.approx(error, rel=1.2 * ratio)


@pytest.mark.parametrize(("gamma", "change"), [(0.5, {}), (0.01, {"noise": 0.1})])
def test_above_depth_two_the_plateau_is_refused_where_first_order_fails(gamma, change):
    problem = problem_of(**change)
    decay = decay_of(problem, gamma)
    with pytest.raises(ji.ArgumentError, match=r"weight_decay must be at most .* known to first order, got") as told:
        theory.plateau(problem, 3, decay)
    assert "\n" not in str(told.value)
    least = ratio_to_decay(problem, 3, theory.FIRST_ORDER)
    assert theory.plateau(problem, 3, 0.999 * least) > 0


@pytest.mark.parametrize("depth", [1, 2, 3, 5])
@pytest.mark.parametrize("change", [{}, {"condition_number": 5.0}, {"samples": 2}, {"noise": 0.3, "gamma": 1e-4}])
def test_the_plateau_of_a_float32_problem(depth, change):
    change = dict(change)
    gamma = change.pop("gamma", 0.05)
    problem = problem_of(**change)
    decay = decay_of(problem, gamma)
    exact = theory.plateau(problem, depth, decay)
    assert theory.plateau(cast(problem, np.float32), depth, np.float32(decay)) == pytest.approx(exact, rel=1e-4)


def test_first_order_broadcasts_over_weight_decays():
    problem, decays = problem_of(noise=0.3), np.array([[0.0], [1e-3], [2.0]])
    found = theory.first_order(problem, 3, decays)
    for i, decay in enumerate(decays.ravel()):
        each = theory.first_order(problem, 3, decay)
        assert (found.plateau[i, 0], found.ratio[i, 0]) == pytest.approx(each)


def test_a_weight_decay_that_is_none_is_refused():
    with pytest.raises(ji.ArgumentError, match="weight_decay must be a finite number of at least 0, got nan"):
        theory.plateau(problem_of(), 2, np.nan)


def test_without_weight_decay_the_plateau_is_what_least_squares_leaves():
    problem = problem_of(noise=0.5)
    x, y = np.asarray(problem.signals), np.asarray(problem.measurements)
    left = x - y @ np.linalg.lstsq(y, x)[0]
    for depth in (1, 2, 4):
        assert theory.plateau(problem, depth, 0.0) == pytest.approx(np.linalg.norm(left) / np.linalg.norm(x))
