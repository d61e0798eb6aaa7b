"""Closed forms and recursions of trajectories against numerical integration and plain gradient descent in numpy."""

import warnings
from typing import Any

import jax
import numpy as np
import pytest
from scipy.integrate import solve_ivp

import jaxinv as ji
from jaxinv import theory
from jaxinv.checks import ArgumentError

from ..helpers import numpy_descent


def balanced(sizes, modes=None):
    """Whitened data that fill measurement space, C of norm 1, and small balanced layers; `modes` of C may be given."""
    (outputs, inputs, width), rng = sizes, np.random.default_rng(0)
    correlation, small = rng.normal(size=(2, outputs, inputs))
    left, values, right = np.linalg.svd(correlation, full_matrices=False)
    correlation = left * (values / values[0] if modes is None else modes) @ right
    samples = np.linalg.qr(rng.normal(size=(inputs + 2, inputs)))[0]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # more signal dimensions than measurements, where there are fewer outputs
        problem = ji.Problem(rng.normal(size=(inputs, outputs)), samples @ correlation.T, samples)
    left, values, right = np.linalg.svd(0.05 * small, full_matrices=False)
    rank = min(outputs, inputs, width)
    between, root = np.linalg.qr(rng.normal(size=(width, rank)))[0], np.sqrt(values[:rank])
    return problem, correlation, (between * root @ right[:rank], left[:, :rank] * root @ between.T)


@pytest.mark.parametrize("fills", [False, True])
def test_whitened_data_have_one_singular_value_and_the_correlation_those_of_the_signals(fills):
    made = ji.subspace_problem(
        jax.random.key(0), signal_dim=9, measurement_dim=6, subspace_dim=2, samples=7, condition_number=4.0
    )
    problem = theory.whitened(made, fills=fills)
    signals, rows, operator = (np.asarray(a) for a in (problem.signals, problem.measurements, problem.operator))
    np.testing.assert_allclose(np.linalg.svd(rows, compute_uv=False), [1, 1, *[fills] * 4], atol=1e-12)
    np.testing.assert_allclose(np.linalg.svd(signals.T @ rows, compute_uv=False)[:3], [1, 0.25, 0], atol=1e-12)
    # the same signals behind another operator of the same measurements, and what no signal explains
    np.testing.assert_allclose(signals * np.linalg.norm(made.signals, 2), made.signals, atol=1e-12)
    np.testing.assert_allclose(np.linalg.matrix_rank(np.vstack([operator, made.operator])), 6)
    np.testing.assert_allclose(signals.T @ (rows - signals @ operator.T), 0, atol=1e-12)
    with pytest.raises(ArgumentError, match="samples must be at least 6, the measurements, got 5"):
        theory.whitened(ji.Problem(made.operator, made.signals[:5]), fills=True)


@pytest.mark.parametrize(("sizes", "modes"), [((7, 4, 6), [1, 0.5, 0.3, 0]), ((5, 4, 3), None), ((4, 6, 8), None)])
def test_the_flow_of_balanced_layers_is_what_integration_finds(sizes, modes):
    problem, correlation, (first, second) = balanced(sizes, modes)

    def slope(_, flat):
        one, two = flat[: first.size].reshape(first.shape), flat[first.size :].reshape(second.shape)
        error = correlation - two @ one
        return np.concatenate([(two.T @ error).ravel(), (error @ one.T).ravel()])

    times = [0.0, 0.5, 2.0, 7.0, 30.0]
    start = np.concatenate([first.ravel(), second.ravel()])
    found = solve_ivp(slope, (0, 30), start, method="DOP853", t_eval=times, rtol=1e-11, atol=1e-13).y.T
    expected = [flat[first.size :].reshape(second.shape) @ flat[: first.size].reshape(first.shape) for flat in found]
    np.testing.assert_allclose(theory.balanced_flow(problem, (first, second), times), expected, atol=1e-9)
    # a time far ahead is the same at once
    np.testing.assert_allclose(theory.balanced_flow(problem, (first, second), [30.0])[0], expected[-1], atol=1e-9)


def test_from_aligned_layers_each_mode_is_a_sigmoid():
    modes = np.array([1, 0.5, 0.3, 0])  # the last, without a signal, falls like 1/t
    problem, correlation, layers = balanced((7, 4, 6), modes)
    turned = theory.aligned_layers(problem, layers)
    left, start, right = np.linalg.svd(turned[1] @ turned[0], full_matrices=False)
    np.testing.assert_allclose(left.T @ correlation @ right.T, np.diag(modes), atol=1e-14)
    times = np.linspace(0, 40, 9)
    maps, found = theory.balanced_flow(problem, turned, times), theory.mode_flow(times[:, None], modes, start)
    np.testing.assert_allclose(maps, (left * found[:, None]) @ right, atol=1e-11)
    np.testing.assert_allclose(found[0], start, rtol=1e-14)
    np.testing.assert_allclose(found[-1, :2], modes[:2], rtol=1e-6)
    assert found[-1, -1] == pytest.approx(start[-1] / (1 + 2 * 40 * start[-1]))


def test_turned_layers_keep_their_values_and_take_the_vectors_of_the_correlation():
    problem, correlation, (first, second) = balanced((7, 4, 6))
    layers = [first, np.random.default_rng(1).normal(size=(6, 6)), second]
    turned = theory.aligned_layers(problem, layers)
    for old, new in zip(layers, turned, strict=True):
        before, after = (np.linalg.svd(w, compute_uv=False) for w in (old, new))
        np.testing.assert_allclose(before, after, atol=1e-14)
    left, _, right = np.linalg.svd(correlation)
    seen = left.T @ np.linalg.multi_dot(turned[::-1]) @ right.T
    values = np.linalg.svd(np.linalg.multi_dot(layers[::-1]), compute_uv=False)
    np.testing.assert_allclose(seen, np.eye(7, 4) * values, atol=1e-14)


def test_other_layers_and_data_have_no_closed_form():
    problem, _, (first, second) = balanced((7, 4, 6))
    with pytest.raises(ArgumentError, match=r"weights must be balanced, W_2\^T W_2 = W_1 W_1\^T, got layers"):
        theory.balanced_flow(problem, (1.1 * first, second), [1.0])
    other = ji.Problem(problem.operator, problem.signals, 2 * problem.measurements)
    with pytest.raises(ArgumentError, match=r"problem must be whitened, Y\^T Y = I"):
        theory.balanced_flow(other, (first, second), [1.0])


def data(fills=False, extra: Any = 0.0):
    """A problem with 2 signals of power 9 and 1 among 6 measurements, whitened where they fill measurement space."""
    rng = np.random.default_rng(2)
    samples, signals, right = (np.linalg.qr(rng.normal(size=size))[0] for size in ((12, 6), (9, 2), (6, 6)))
    kept = 6 if fills else 2
    rows = samples[:, :kept] @ right[:kept]
    return ji.Problem(rng.normal(size=(6, 9)), samples[:, :2] * [3, 1] @ signals.T, rows + extra * samples @ right)


def orthogonal(depth=3):
    network = ji.layer_product(jax.random.key(0), data(), width=6, depth=depth, init="orthogonal", scale=0.6)
    return [np.asarray(weight) for weight in network.weights]


STEPS = [0, 1, 40, 150]
RATES: Any = {"step_size": 0.02, "weight_decay": 0.3}


def layer_values(problem, weights):
    """The singular values of each layer after STEPS of plain gradient descent, (records, depth, 6)."""
    followed = numpy_descent(problem, ji.LayerProduct(tuple(weights)), ji.Descent(**RATES), STEPS)
    return np.array([[np.linalg.svd(w, compute_uv=False)[:6] for w in layers] for _, layers in followed])


@pytest.mark.parametrize("fills", [False, True])
def test_from_orthogonal_layers_few_directions_move(fills):
    problem, weights = data(fills), orthogonal()
    few = theory.parsimony(problem, weights)
    assert (few.others, few.modes, [layer.shape for layer in few.layers]) == (2, None, [(4, 4), (4, 4), (6, 4)])
    found, common = layer_values(problem, weights), few.common(STEPS, **RATES)
    np.testing.assert_allclose(few.values(STEPS, **RATES), found, rtol=1e-11)
    decay = few.rest * (1 - 0.02 * 0.3) ** np.array(STEPS)[:, None]
    assert np.allclose(common, decay, rtol=1e-12) == (not fills)
    left = ~np.isclose(found, common[..., None], rtol=1e-9)
    assert left.sum(axis=-1).max() == 4


@pytest.mark.parametrize("fills", [False, True])
def test_from_aligned_orthogonal_layers_each_value_moves_by_itself(fills):
    problem = data(fills)
    weights = theory.aligned_layers(problem, orthogonal())
    few = theory.parsimony(problem, weights)
    assert few.others == 4
    assert few.modes == pytest.approx([3, 1], rel=1e-12)
    found = layer_values(problem, weights)
    np.testing.assert_allclose(few.values(STEPS, **RATES), found, rtol=1e-11)
    np.testing.assert_allclose(few._replace(modes=None).values(STEPS, **RATES), found, rtol=1e-11)
    opposite = [*weights[:-1], -weights[-1]]
    assert theory.parsimony(problem, opposite).modes is None


def test_off_the_range_of_the_data_whitening_does_not_matter():
    plain = ji.subspace_problem(
        jax.random.key(0), signal_dim=9, measurement_dim=6, subspace_dim=2, samples=5, condition_number=3.0
    )
    few = theory.parsimony(plain, orthogonal())
    assert (few.others, few.power) == (2, 0.0)
    np.testing.assert_allclose(few.values(STEPS, **RATES), layer_values(plain, orthogonal()), rtol=1e-11)


def test_other_weights_and_data_have_no_such_rule():
    weights = orthogonal()
    weights[1] = 1.0 * weights[1]
    weights[1][0, 0] += 0.1
    with pytest.raises(
        ArgumentError, match=r"weights must be of 6 hidden units, W_l\^T W_l a multiple of I, got another W_2"
    ):
        theory.parsimony(data(), weights)
    with pytest.raises(ArgumentError, match=r"problem must be one whose measurements are whitened"):
        theory.parsimony(data(fills=True, extra=0.3 * np.linspace(0, 1, 6)), orthogonal())
