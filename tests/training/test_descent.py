"""Gradient descent: its default parameters, its arguments, one step of it."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

import jaxinv as ji
from jaxinv.measures.objective import Objective
from jaxinv.training.descent import start, step

from ..helpers import GRID, SMALL, setup

KEY = jax.random.key(1)
PROBLEM = ji.subspace_problem(KEY, **SMALL)


def adam(step_size, weight_decay):
    return optax.adamw(step_size, weight_decay=weight_decay)


def test_default_step_size_and_weight_decay_are_the_stated_ones():
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
        ({"gamma": -0.1}, "gamma must be a finite number of at least 0, got -0.1"),
        ({"gamma": 0.1, "weight_decay": 0.1}, "gamma and weight_decay exclude each other"),
        ({"gamma": 0.0, "weight_decay": 0.0}, "gamma and weight_decay exclude each other"),
        ({"step_size": 0.0}, "step_size must be a finite number above 0"),
        ({"momentum": 1.0}, "momentum must be below 1"),
    ],
)
def test_a_bad_argument_of_gradient_descent_is_named(arguments, words):
    with pytest.raises(ValueError, match=words):
        ji.gradient_descent(PROBLEM, ji.layer_product(KEY, PROBLEM, width=8, depth=2), **arguments)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"step_size": -1.0, "weight_decay": 0.0}, "step_size must be"),
        ({"step_size": 1.0, "weight_decay": -1.0}, "weight_decay must be"),
        ({"step_size": 1.0, "weight_decay": 0.0, "momentum": 0.5, "transform": adam}, "exclude each other"),
    ],
)
def test_a_bad_argument_of_an_optimizer_is_named(arguments, words):
    with pytest.raises(ValueError, match=words):
        ji.Descent(**arguments)


def one_step(problem, network, descent):
    begin = start(descent, network, problem.samples)
    return step(descent, problem.measurements, problem.signals, begin).network


def test_a_step_follows_the_gradient_by_finite_differences():
    problem, network, _ = setup(depth=3)
    decay, rate, h = 0.3, 1e-3, 1e-5
    descent = ji.Descent(rate, decay)
    moved = one_step(problem, network, descent)

    def loss(weights):
        return float(ji.measure(problem, ji.LayerProduct(weights), decay)["loss"])

    rng = np.random.default_rng(0)
    for layer, weight in enumerate(network.weights):
        direction = jnp.asarray(rng.standard_normal(weight.shape))
        shifted = [
            tuple(w + s * h * direction if k == layer else w for k, w in enumerate(network.weights)) for s in (1, -1)
        ]
        numeric = (loss(shifted[0]) - loss(shifted[1])) / (2 * h)
        analytic = float(jnp.sum((weight - moved.weights[layer]) / rate * direction))
        assert numeric == pytest.approx(analytic, rel=1e-6)


def test_a_transformation_gets_the_gradient_of_the_misfit_alone():
    problem, network, _ = setup()
    slopes = Objective().gradient(network, problem.measurements, problem.signals)
    own = ji.Descent(1e-3, 0.7, transform=lambda eta, decay: optax.sgd(eta))
    ours = ji.Descent(1e-3, 0.7)
    moved, decayed = (
        step(descent, problem.measurements, problem.signals, start(descent, network, problem.samples)).network
        for descent in (own, ours)
    )
    for weight, slope, one, other in zip(network.weights, slopes.weights, moved.weights, decayed.weights, strict=True):
        np.testing.assert_allclose(weight - one, 1e-3 * slope, rtol=1e-9, atol=1e-14)
        np.testing.assert_allclose(weight - other, 1e-3 * (slope + 0.7 * weight), rtol=1e-9, atol=1e-14)


def test_a_transformation_is_handed_step_size_and_decay():
    problem, network, _ = setup()

    def decoupled(eta, decay):
        return optax.chain(optax.add_decayed_weights(decay), optax.scale(-eta))

    pair = ji.Descent(1e-3, 0.7, transform=decoupled), ji.Descent(1e-3, 0.7)
    own, ours = (
        step(descent, problem.measurements, problem.signals, start(descent, network, problem.samples)).network
        for descent in pair
    )
    for one, other in zip(own.weights, ours.weights, strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-12, atol=1e-14)


@pytest.mark.parametrize("momentum", [0.0, 0.6])
def test_weights_without_gradient_shrink_by_the_off_range_factor(momentum):
    descent = ji.Descent(0.05, 0.7, momentum)
    steps = np.array([0, 1, 2, 10, 100])
    weight, velocity, plain = 1.0, 0.0, []
    for t in range(101):
        if t in steps:
            plain.append(weight)
        velocity = momentum * velocity + 0.7 * weight
        weight -= 0.05 * velocity
    np.testing.assert_allclose(descent.off_range_factor(steps), plain, rtol=1e-12)


def test_the_off_range_factor_of_a_transformation_is_not_known():
    with pytest.raises(ji.ArgumentError, match="train with reduce=False"):
        ji.Descent(0.1, 0.1, transform=adam).off_range_factor(np.array([1]))


@pytest.mark.parametrize("momentum", [0.0, 0.9])
@pytest.mark.parametrize("precision", ["float32", "float64"])
def test_a_step_that_is_far_too_long_diverges_without_a_warning(momentum, precision):
    """Warnings are errors here; the part of W_1 off the range of the data grows beyond every float."""
    fixed = {**GRID, "step_size": 10.0, "gamma": 10.0, "momentum": momentum}
    assert ji.run_sweep(ji.Sweep({"seed": [0]}, fixed, steps=500, precision=precision)).diverged.all()
    far = ji.Descent(10.0, 30.0, momentum).off_range_factor(np.array([0, 1000]))
    assert far[0] == 1
    assert not np.isfinite(far[1])


def test_a_step_size_beyond_the_float_type_diverges_without_a_warning():
    fixed = {**GRID, "step_size": 1e308}
    assert ji.run_sweep(ji.Sweep({"seed": [0]}, fixed, steps=5, precision="float32")).diverged.all()


@pytest.mark.usefixtures("unchecked")
@pytest.mark.parametrize("momentum", ["0.5", "abc", np.ones(2)])
def test_a_momentum_that_is_no_number_is_refused(momentum):
    problem, network, _ = setup()
    with pytest.raises(ji.ArgumentError, match="momentum must be a finite number of at least 0"):
        ji.gradient_descent(problem, network, momentum=momentum)


@pytest.mark.usefixtures("unchecked")
def test_reduce_is_true_or_false():
    with pytest.raises(ji.ArgumentError, match="reduce must be True or False, got 'no'"):
        ji.train(*setup(), steps=2, reduce="no")  # pyright: ignore[reportArgumentType]
