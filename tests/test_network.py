"""Layer products, their initializations, and the arguments of gradient descent."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

import jaxinv as ji
from jaxinv.descent import record_steps

from .helpers import SMALL, trio

KEY = jax.random.key(1)
PROBLEM = ji.subspace_problem(KEY, **SMALL)


def adam(step_size, weight_decay):
    return optax.adamw(step_size, weight_decay=weight_decay)


def test_network_is_its_end_to_end_map_on_rows():
    network = ji.layer_product(KEY, PROBLEM, width=8, depth=4)
    assert [w.shape for w in network.weights] == [(8, 7), (8, 8), (8, 8), (13, 8)]
    np.testing.assert_allclose(network(PROBLEM.measurements), PROBLEM.measurements @ network.end_to_end().T, atol=1e-12)
    single = ji.layer_product(KEY, PROBLEM, width=8, depth=1)
    assert (single.width, single.depth, single.end_to_end().shape) == (7, 1, (13, 7))


def test_scale_multiplies_every_layer():
    one, three = (ji.layer_product(KEY, PROBLEM, width=8, depth=3, scale=s) for s in (1.0, 3.0))
    for a, b in zip(one.weights, three.weights, strict=True):
        np.testing.assert_allclose(3 * a, b, rtol=1e-12)


def test_fan_in_variance():
    wide = ji.layer_product(KEY, PROBLEM, width=400, depth=3)
    assert np.var(wide.weights[1]) == pytest.approx(1 / 400, rel=0.02)


@pytest.mark.parametrize(("width", "depth"), [(20, 3), (5, 3), (8, 1)])
def test_orthogonal_layers_are_semi_orthogonal_with_fan_in_variance(width, depth):
    for weight in ji.layer_product(KEY, PROBLEM, width=width, depth=depth, init="orthogonal").weights:
        out, inn = weight.shape
        gram = weight.T @ weight if out >= inn else weight @ weight.T
        np.testing.assert_allclose(gram, max(1, out / inn) * np.eye(min(out, inn)), atol=1e-12)


@pytest.mark.parametrize("width", [20, 5])
def test_balanced_layers_are_balanced_with_the_fan_in_product(width):
    balanced, plain = (ji.layer_product(KEY, PROBLEM, width=width, depth=4, init=i) for i in ("balanced", "fan_in"))
    np.testing.assert_allclose(balanced.end_to_end(), plain.end_to_end(), atol=1e-10)
    assert float(ji.measure(PROBLEM, balanced)["balancedness"]) < 1e-12


def test_default_step_size_and_weight_decay():
    network = ji.layer_product(KEY, PROBLEM, width=8, depth=3)
    values = np.linalg.svd(PROBLEM.signals, compute_uv=False)[:3]
    descent = ji.gradient_descent(PROBLEM, network, gamma=0.2)
    assert descent.step_size == pytest.approx(7 / (3 * 8 * values[0] ** 2))
    assert descent.weight_decay == pytest.approx(0.2 * values[2] ** 2 * (7 / 13) ** 0.5)
    given = ji.gradient_descent(PROBLEM, network, gamma=0.2, step_size=0.5)
    assert (given.step_size, given.weight_decay) == (0.5, descent.weight_decay)
    assert ji.gradient_descent(PROBLEM, network, weight_decay=0.3).weight_decay == 0.3
    assert ji.gradient_descent(PROBLEM, network).weight_decay == 0
    single = ji.layer_product(KEY, PROBLEM, width=99, depth=1)
    assert ji.gradient_descent(PROBLEM, single).step_size == pytest.approx(1 / values[0] ** 2)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"width": 0}, "width must be a positive whole number, got 0; pass"),
        ({"depth": 0}, "depth must be a positive whole number, got 0"),
        ({"init": "fanin"}, "unknown init 'fanin'; did you mean 'fan_in'"),
        ({"scale": 0.0}, "scale must be a finite number above 0"),
    ],
)
def test_bad_network(arguments, words):
    with pytest.raises(ValueError, match=words):
        ji.layer_product(KEY, PROBLEM, **arguments)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"gamma": -0.1}, "gamma must be a finite number of at least 0, got -0.1"),
        ({"gamma": 0.1, "weight_decay": 0.1}, "gamma and weight_decay exclude each other"),
        ({"gamma": 0.0, "weight_decay": 0.0}, "gamma and weight_decay exclude each other"),
        ({"step_size": 0.0}, "step_size must be a finite number above 0"),
        ({"momentum": 1.0}, "momentum must be below 1"),
    ],
)
def test_bad_descent(arguments, words):
    with pytest.raises(ValueError, match=words):
        ji.gradient_descent(PROBLEM, ji.layer_product(KEY, PROBLEM, width=8, depth=2), **arguments)


def test_a_network_for_another_problem_is_refused():
    problem, network, descent = trio()
    other = ji.subspace_problem(KEY, **{**SMALL, "measurement_dim": 6})
    with pytest.raises(ValueError, match="network must be a chain of layers from 6 measurements to 13 unknowns"):
        ji.train(other, network, descent, steps=5)
    half = jax.tree.map(lambda w: w.astype(jnp.bfloat16), network)
    with pytest.raises(ValueError, match="network must be of float32 or float64 weights"):
        ji.train(problem, half, descent, steps=5)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"step_size": -1.0, "weight_decay": 0.0}, "step_size must be"),
        ({"step_size": 1.0, "weight_decay": -1.0}, "weight_decay must be"),
        ({"step_size": 1.0, "weight_decay": 0.0, "momentum": 0.5, "transform": adam}, "exclude each other"),
    ],
)
def test_bad_optimizer(arguments, words):
    with pytest.raises(ValueError, match=words):
        ji.Descent(**arguments)


def test_record_steps():
    assert record_steps(1000, 5).tolist() == [0, 1, 10, 100, 1000]
    assert record_steps(5, 60).tolist() == [0, 1, 2, 3, 4, 5]
    assert record_steps(7, 2).tolist() == [0, 7]
    for steps, records in ((0, 5), (5, 1), (5, 0)):
        with pytest.raises(ValueError, match="must be"):
            record_steps(steps, records)


def test_divergence_is_a_value():
    problem, network, descent = trio()
    wild = ji.Descent(descent.step_size * 1e3, 0.0)
    seen = []
    run = ji.train(problem, network, wild, steps=500, progress=seen.append)
    assert run.diverged
    assert np.isfinite(run.metrics["loss"][0])
    assert np.isnan(run.metrics["loss"][-1])
    assert seen[-1] < 500  # stopped early
    assert len(run.step) == len(run.metrics["loss"])


def test_any_optax_transformation_trains_on_compressed_data():
    problem, network, _ = trio(noise=0.1, samples=40)
    descent = ji.Descent(1e-2, 1e-2, transform=adam)
    fast, plain = (ji.train(problem, network, descent, steps=200, reduce=r) for r in (True, False))
    for name, curve in plain.metrics.items():
        np.testing.assert_allclose(fast.metrics[name], curve, atol=1e-9 * np.abs(curve).max(), err_msg=name)


def test_float32_refuses_a_decay_it_cannot_resolve():
    problem, network, descent = trio()
    narrow = jax.tree.map(lambda w: w.astype(jnp.float32), network)
    with pytest.raises(ValueError, match="precision must be float64 where step_size \\* weight_decay is below 1e-06"):
        ji.train(problem, narrow, ji.Descent(descent.step_size, 1e-7 / descent.step_size), steps=5)
    run = ji.train(problem, narrow, descent, steps=5)
    assert run.network.weights[0].dtype == jnp.float32


def test_float32_follows_float64():
    problem, network, descent = trio()
    wide = ji.train(problem, network, descent, steps=300)
    narrow = ji.train(problem, jax.tree.map(lambda w: w.astype(jnp.float32), network), descent, steps=300)
    for name, curve in wide.metrics.items():
        np.testing.assert_allclose(narrow.metrics[name], curve, atol=1e-4 * np.abs(curve).max(), err_msg=name)
