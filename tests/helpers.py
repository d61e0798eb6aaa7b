"""Setups and sweeps to test on, and the plain numpy computation that runs are held against.

A setup is (problem, network, descent).
"""

from itertools import pairwise
from typing import Any

import jax
import numpy as np

import jaxinv as ji
from jaxinv.measures import metrics
from jaxinv.training.setup import Setup

SMALL = {"signal_dim": 13, "measurement_dim": 7, "subspace_dim": 3, "samples": 11, "condition_number": 3.0}


UNION: dict[str, Any] = {
    "signal_dim": 14,
    "measurement_dim": 9,
    "subspace_dim": 2,
    "subspaces": 3,
    "samples": 12,
    "held_out": 7,
}

GRID = {"signal_dim": 12, "measurement_dim": 6, "subspace_dim": 2, "samples": 9, "width": 40, "depth": 2}


def setup(seed=0, width=9, depth=3, gamma=0.05, momentum=0.0, init="fan_in", **problem) -> Setup:
    """A setup of odd sizes, from one seed."""
    key = jax.random.key(seed)
    made = ji.subspace_problem(key, **{**SMALL, **problem})
    network = ji.layer_product(key, made, width=width, depth=depth, init=init)
    # a third of the default step: narrow networks of depth 5 leave no margin at the default
    step_size = float(ji.gradient_descent(made, network).step_size) / 3
    descent = ji.gradient_descent(made, network, gamma=gamma, step_size=step_size, momentum=momentum)
    return Setup(made, network, descent)


def union(seed=0, **changes) -> ji.Problem:
    """Signals on a union of three subspaces, with held-out pairs."""
    return ji.union_problem(jax.random.key(seed), **{**UNION, **changes})


def relu_setup(seed=0, gamma=0.1, width=20, depth=3) -> Setup:
    """A ReLU network on a union of subspaces."""
    problem = union(seed)
    network = ji.relu_network(jax.random.key(seed), problem, width=width, depth=depth)
    return Setup(problem, network, ji.gradient_descent(problem, network, gamma=gamma))


def small_sweep(**changes) -> ji.Sweep:
    """A grid of small cells; `changes` replace its axes, fixed arguments and options."""
    axes = changes.pop("axes", {"gamma": [0, 0.1], "seed": range(3)})
    fixed = {name: value for name, value in {**GRID, **changes.pop("fixed", {})}.items() if name not in axes}
    return ji.Sweep(**{"axes": axes, "fixed": fixed, "steps": 40, "records": 8, "precision": "float64", **changes})


def found(sweep: ji.Sweep, folder, **options) -> tuple[Any, int]:
    """The results of a sweep, and how many of its cells the store had."""
    seen = []
    results = ji.run_sweep(sweep, folder, progress=lambda done, total, what: seen.append(done), **options)
    return results, seen[0]


def assert_close(ours, plain, tolerance):
    """Every metric within `tolerance` of its largest plain value."""
    for name in metrics.NAMES:
        a, b = np.asarray(ours[name]), np.asarray(plain[name])
        assert np.max(np.abs(a - b)) <= tolerance * np.max(np.abs(b)), name


def numpy_descent(problem, network, descent, steps):
    """Weights at each of `steps` by gradient descent in the paper's own notation (samples are columns), numpy f64."""
    X, Y = np.asarray(problem.signals).T, np.asarray(problem.measurements).T
    weights = [np.array(w) for w in network.weights]
    velocity = [np.zeros_like(w) for w in weights]
    eta, decay = float(descent.step_size), float(descent.weight_decay)
    for t in range(max(steps) + 1):
        if t in steps:
            yield t, [w.copy() for w in weights]
        signals = [Y]
        for w in weights:
            signals.append(w @ signals[-1])
        error = signals[-1] - X
        for layer in reversed(range(len(weights))):
            gradient = error @ signals[layer].T + decay * weights[layer]
            error = weights[layer].T @ error
            velocity[layer] = descent.momentum * velocity[layer] + gradient
            weights[layer] = weights[layer] - eta * velocity[layer]


def numpy_metrics(problem, weights, decay):
    """Every metric from its definition, by numpy's own linear algebra on the full data."""
    X, Y, A = (np.asarray(a) for a in (problem.signals.T, problem.measurements.T, problem.operator))
    R, spectrum = np.asarray(problem.latent.basis), np.asarray(problem.latent.spectrum)
    W = np.linalg.multi_dot(weights[::-1]) if len(weights) > 1 else weights[0]
    AR = A @ R
    oracle = R @ np.linalg.pinv(AR)
    P_perp = np.eye(len(A)) - AR @ np.linalg.pinv(AR)
    values = np.linalg.svd(W, compute_uv=False)
    share = values / values.sum()
    root = R * spectrum
    power = np.sum(spectrum**2)
    gaps = [np.linalg.norm(b.T @ b - a @ a.T) for a, b in pairwise(weights)]
    return {
        "loss": 0.5 * np.sum((W @ Y - X) ** 2) + 0.5 * decay * sum(np.sum(w**2) for w in weights),
        "regression_error": np.linalg.norm(W @ Y - X) / np.linalg.norm(X),
        "off_subspace_error": np.linalg.norm(W @ P_perp, 2),
        "off_subspace_gain": np.linalg.norm(W @ P_perp),
        "noise_gain": np.linalg.norm(W),
        "oracle_distance": np.linalg.norm(W - oracle, 2) / np.linalg.norm(oracle, 2),
        "effective_rank": np.exp(-np.sum(share * np.log(np.maximum(share, 1e-300)))),
        "balancedness": max(gaps, default=0.0),
        "test_error": np.sqrt(np.sum((W @ A @ root - root) ** 2) / power),
        "noise_sensitivity": np.sqrt(np.sum((A @ root) ** 2) / len(A) * np.sum(W**2) / power),
    }
