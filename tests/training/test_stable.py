"""The step size "stable": 0.8 * 2/mu_max(K), for problems of your own arrays and by name."""

from itertools import pairwise
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

import jaxinv as ji
from jaxinv import theory
from jaxinv.command.settings import adjusted

from ..helpers import relu_setup, setup, small_sweep

KEY = jax.random.key(1)
RNG = np.random.default_rng(0)
SIGNALS = RNG.standard_normal((15, 3)) @ RNG.standard_normal((3, 16))
OPERATOR = RNG.standard_normal((8, 16)) / 8**0.5


def own(scale=1.0) -> Any:
    return ji.Problem(scale * OPERATOR, SIGNALS)


def jacobian_step(problem, network):
    """0.8 * 2/mu_max(J J^T) by JAX's own Jacobian."""
    outputs = jax.jacrev(lambda net: net(problem.measurements).ravel())(network)
    jacobian = np.concatenate([np.asarray(w).reshape(len(w), -1) for w in jax.tree.leaves(outputs)], axis=1)
    return 1.6 / np.linalg.norm(jacobian, 2) ** 2


def balanced_end(problem, depth):
    """A network of balanced layers whose product is X Y^+."""
    gain = np.linalg.pinv(np.asarray(problem.measurements), rcond=1e-10) @ np.asarray(problem.signals)
    left, values, right = np.linalg.svd(gain.T, full_matrices=False)
    root = np.where(values > 1e-10 * values[0], values, 0) ** (1 / depth)
    layers = [root[:, None] * right, *[np.diag(root)] * (depth - 2), left * root] if depth > 1 else [gain.T]
    return ji.LayerProduct(tuple(map(jnp.asarray, layers)))


def numpy_step(problem, weights):
    """0.8 * 2/mu_max(K) from the plain Kronecker products."""
    inputs, total = np.asarray(problem.measurements).T, 0
    for layer in range(len(weights)):
        after = np.linalg.multi_dot([np.eye(16), *weights[:layer:-1], np.eye(len(weights[layer]))])
        total = total + np.kron(inputs.T @ inputs, after @ after.T)
        inputs = weights[layer] @ inputs
    return 1.6 / np.linalg.norm(total, 2)


@pytest.mark.parametrize("hidden", [(), (20,), (80, 10), (9, 9, 9, 9)])
@pytest.mark.parametrize("scale", [1.0, 5.0, 0.02])
def test_the_default_on_your_own_problem_is_stable_at_any_scale_of_the_operator(hidden, scale):
    problem, sizes = own(scale), [8, *hidden, 16]
    weights = [RNG.standard_normal((b, a)) / a**0.5 for a, b in pairwise(sizes)]
    network = ji.LayerProduct(tuple(map(jnp.asarray, weights)))
    descent = ji.gradient_descent(problem, network)
    assert descent.stable
    end = balanced_end(problem, network.depth)
    plain = min(numpy_step(problem, weights), numpy_step(problem, [np.asarray(weight) for weight in end.weights]))
    assert descent.step_size == pytest.approx(plain, rel=1e-3)
    assert descent.step_size == pytest.approx(min(jacobian_step(problem, each) for each in (network, end)), rel=1e-3)
    run = ji.train(problem, network, descent, steps=200, metrics=["regression_error"])
    assert not run.diverged
    assert run.metrics["regression_error"][-1] < 0.7 * run.metrics["regression_error"][0]


def test_that_of_a_relu_network_is_of_its_own_jacobian():
    made, network, _ = relu_setup()
    few = slice(0, 5)  # few rows have a gradient of their own, which is not differentiated forwards
    for rows in (slice(None), few):
        problem = ji.Problem(5 * made.operator, made.signals[rows], latent=made.latent)
        descent = ji.gradient_descent(problem, network)
        end = balanced_end(problem, network.depth)
        steps = jacobian_step(problem, network), jacobian_step(problem, end)
        assert descent.step_size == pytest.approx(min(steps), rel=2e-3)


def test_a_generators_problem_keeps_its_default_and_takes_the_name():
    problem, network, _ = setup()
    default = ji.gradient_descent(problem, network)
    assert not default.stable
    assert default.step_size == 7 / (3 * 9 * problem.signal_extremes[0] ** 2)
    by_name = ji.gradient_descent(problem, network, step_size="stable", gamma=0.1)
    ends = network.weights, theory.balanced_fit(problem, 3)
    expected = min(theory.linearise(problem, weights).stable_step_size(0.8) for weights in ends)
    assert (by_name.stable, by_name.step_size) == (True, pytest.approx(expected, rel=1e-12))
    assert by_name.weight_decay > 0
    assert ji.gradient_descent(own(), network, step_size=0.1).step_size == 0.1


def test_a_descent_takes_the_name_and_is_trained_at_it():
    problem = own()
    network = ji.layer_product(KEY, problem, width=20, depth=3)
    by_name, number = ji.Descent("stable", 0.1), ji.gradient_descent(problem, network, weight_decay=0.1)
    options: Any = {"steps": 20, "records": [0, 20], "metrics": ["regression_error"]}
    run, same = (ji.train(problem, network, descent, **options) for descent in (by_name, number))
    assert run.metrics["regression_error"][1] == same.metrics["regression_error"][1]
    more = ji.train(problem, network, by_name, **(options | {"steps": 40, "records": [0, 40]}), after=run)
    assert more.step.tolist() == [20, 40]
    decayed = ji.Descent("stable", 0.1, transform=lambda eta, decay: optax.adamw(eta, weight_decay=decay))
    assert decayed.resolved(problem, network).step_size == number.step_size


@pytest.mark.parametrize("precision", ["auto", "float32", "float64"])
def test_a_sweep_resolves_the_name_in_each_cell_and_records_it(tmp_path, precision):
    axes = {"depth": [1, 3], "gamma": [0, 0.1], "seed": range(2)}
    sizes = {"signal_dim": 12, "measurement_dim": 6, "subspace_dim": 2, "samples": 9}

    def sweep(fixed, builder: Any):
        return ji.Sweep(axes, {"width": 30, **fixed}, 20, 5, ["loss"], precision, problem=builder)

    named, default = (sweep(fixed, lambda: own(5)) for fixed in ({"step_size": "stable"}, {}))
    generated = sweep(sizes, ji.subspace_problem)
    results = ji.run_sweep(named, tmp_path)
    assert results.stable_step_size.all()
    assert not results.diverged.any()
    for cell in named.cells():
        problem, network, descent = ji.build(cell)
        assert float(results.step_size.sel(cell.point)) == descent.step_size
        ends = network.weights, theory.balanced_fit(problem, network.depth)
        largest = max(theory.linearise(problem, weights).largest() for weights in ends)
        assert descent.step_size == pytest.approx(1.6 / largest, rel=1e-4)
    np.testing.assert_array_equal(ji.run_sweep(default).step_size, results.step_size)
    assert not ji.run_sweep(generated).stable_step_size.any()
    assert ji.run_sweep(named, tmp_path).identical(results)


def test_it_stands_for_networks_whose_weights_nobody_can_generate():
    problem = own()
    network = ji.layer_product(KEY, problem, width=10**6, depth=3, engine="width_free")
    descent = ji.gradient_descent(problem, network)
    largest = ji.linearisation_of(problem, network).largest()
    end = theory.linearise(problem, theory.balanced_fit(problem, 3)).largest()
    assert (descent.stable, descent.step_size) == (True, 1.6 / max(largest, end))
    run = ji.train(
        problem, network, descent, steps=50, records=[0, 50], metrics=["regression_error"], engine="width_free"
    )
    assert run.metrics["regression_error"][-1] < 0.7 * run.metrics["regression_error"][0]
    grid = small_sweep(axes={"seed": range(2)}, fixed={"step_size": "stable", "width": 10**6}, records=2,
                       metrics=["regression_error"], engine="width_free")  # fmt: skip
    results = ji.run_sweep(grid)
    assert results.stable_step_size.all()
    assert not results.diverged.any()


def test_the_name_is_part_of_a_cells_name():
    plain, named = (small_sweep(fixed=more).cells()[0] for more in ({}, {"step_size": "stable"}))
    assert plain.digest("float64") != named.digest("float64")


def test_the_command_line_takes_the_name():
    grid: Any
    (grid,) = adjusted({"a": small_sweep(axes={"seed": [0]})}, None, ["step_size=stable"]).values()
    assert ji.run_sweep(grid).stable_step_size.all()


def test_an_unknown_name_is_named():
    problem, network, _ = setup()
    words = "step_size must be a finite number above 0 or \"stable\", got 'stabel'; pass one of them"
    for make in (lambda: ji.Descent("stabel", 0.0), lambda: ji.gradient_descent(problem, network, step_size="stabel")):
        with pytest.raises(ji.ArgumentError, match=words):
            make()
    with pytest.raises(ji.ArgumentError, match="'stabel'"):
        ji.run_sweep(small_sweep(fixed={"step_size": "stabel"}))


@pytest.mark.parametrize("made", [ji.layer_product, ji.relu_network])
def test_weights_of_zero_have_no_stable_step(made):
    network = jax.tree.map(jnp.zeros_like, made(KEY, own(), width=9, depth=2))
    with pytest.raises(ji.ArgumentError, match=r"step_size must be a number, .* got mu_max\(K\) = 0; pass a number"):
        ji.gradient_descent(own(), network)


def test_a_problem_of_one_number_has_one():
    problem = ji.Problem([[2.0]], [[3.0]])
    network = ji.LayerProduct((jnp.ones((1, 1)),))
    assert ji.gradient_descent(problem, network).step_size == pytest.approx(1.6 / 36)
    relu = ji.ReluNetwork((jnp.ones((1, 1)),))
    assert ji.gradient_descent(problem, relu).step_size == pytest.approx(1.6 / 36)
