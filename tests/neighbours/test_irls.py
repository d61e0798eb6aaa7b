"""Iteratively reweighted least squares, against dense matrices in numpy and finite differences."""

from dataclasses import replace

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxinv.neighbours import irls

SHAPE, RADIUS = (4, 5), 1
KEY = jax.random.key(0)


@pytest.fixture(scope="module")
def energy():
    """A blurred image of 4 x 5 pixels, filters of 3 x 3."""
    kernels = np.concatenate([irls.difference_filters(2, RADIUS), irls.cosine_filters(2, RADIUS, 2)])
    filters = irls.Filters(jnp.asarray(kernels), jnp.log(jnp.array([2.0, 1.5, 0.5, 1.0])))
    operator = jnp.asarray(irls.blur(SHAPE, 0.8))
    return irls.Energy(operator, jnp.asarray(irls.neighbourhoods(SHAPE, RADIUS)), filters, 0.8, 0.05, 0.2)


@pytest.fixture(scope="module")
def pairs(energy):
    return irls.measured(KEY, energy, irls.phantoms(KEY, SHAPE, 3))


def dense_filters(energy):
    """G_f as matrices: the sum over taps of the kernel times shifts of the image."""
    made = []
    for kernel in np.array(energy.filters.kernels).reshape(-1, 3, 3):
        pixels = np.eye(20).reshape(20, *SHAPE)
        shifted = [kernel[a, b] * np.roll(pixels, (1 - a, 1 - b), (1, 2)) for a in range(3) for b in range(3)]
        made.append(sum(shifted).reshape(20, 20).T)
    return np.array(made)


def plain_parts(energy, x):
    """A, G_f, G_f x, w_f in numpy."""
    matrices = dense_filters(energy)
    return np.array(energy.operator), matrices, matrices @ x, np.exp(np.array(energy.filters.log_weights))


def test_value_and_matrices_are_those_of_dense_filters(energy, pairs):
    x, y = np.array(pairs.signals[0]), np.array(pairs.measurements[0])
    operator, matrices, responses, weights = plain_parts(energy, x)
    p, gamma, s = energy.power, energy.smoothing, energy.noise
    square = responses**2 + gamma
    value = np.sum((operator @ x - y) ** 2) / (2 * s**2) + weights @ np.sum(square ** (p / 2), axis=1)
    np.testing.assert_allclose(energy.value(x, y), value, rtol=1e-13)
    first = weights[:, None] * p * square ** (p / 2 - 1)
    second = first + weights[:, None] * p * (p - 2) * square ** (p / 2 - 2) * responses**2
    for made, diagonals in ((energy.majorizer(x), first), (energy.hessian(x), second)):
        penalty = sum(g.T @ np.diag(d) @ g for g, d in zip(matrices, diagonals, strict=True))
        np.testing.assert_allclose(made, operator.T @ operator / s**2 + penalty, atol=1e-11)
    np.testing.assert_allclose(energy.hessian(x), jax.hessian(energy.value)(x, y), atol=1e-10)


def test_an_iteration_is_the_weighted_least_squares_problem(energy, pairs):
    x, y = np.array(pairs.signals[0]), np.array(pairs.measurements[0])
    operator, matrices, responses, weights = plain_parts(energy, x)
    scale = weights[:, None] * energy.power * (responses**2 + energy.smoothing) ** (energy.power / 2 - 1)
    rows = np.concatenate(
        [operator / energy.noise, *(np.sqrt(d)[:, None] * g for d, g in zip(scale, matrices, strict=True))]
    )
    target = np.concatenate([y / energy.noise, np.zeros(len(rows) - len(y))])
    np.testing.assert_allclose(irls.step(energy, x, y), np.linalg.lstsq(rows, target)[0], atol=1e-11)


def test_the_value_falls_and_errors_by_the_local_factor(energy, pairs):
    y = pairs.measurements[0]
    run = jax.jit(irls.iterate, static_argnames="count")(energy, y, energy.operator.T @ y, 120)
    assert (np.diff(run.value) <= 1e-12 * np.abs(run.value[:-1])).all()
    np.testing.assert_allclose(jax.grad(energy.value)(run.signal, y), 0, atol=1e-8)
    slope = np.array(jax.jacfwd(irls.step, 1)(energy, run.signal, y))
    rho = max(abs(np.linalg.eigvals(slope)))
    assert irls.local_factor(energy, run.signal) == pytest.approx(rho, rel=1e-6)
    assert irls.measured_factor(np.array(run.length)) == pytest.approx(rho, rel=0.01)


def test_the_measured_factor_is_of_what_is_above_rounding():
    length = np.maximum(0.5 ** np.arange(60), 1e-10)
    assert irls.measured_factor(length) == pytest.approx(0.5, rel=1e-12)
    assert np.isnan(irls.measured_factor(length[:5]))
    assert np.isnan(irls.measured_factor(np.full(9, np.nan)))


def test_the_implicit_gradient_is_the_unrolled_one_and_that_of_differences(energy, pairs):
    x, y = pairs.signals[0], pairs.measurements[0]
    start = energy.operator.T @ y

    def loss(filters, solve):
        return jnp.sum((solve(replace(energy, filters=filters)) - x) ** 2)

    def implicit(energy):
        return irls.reconstruct(energy, y, start, 400)

    def unrolled(energy):
        return irls.iterate(energy, y, start, 150).signal

    gradient = jax.jit(jax.grad(loss), static_argnums=1)
    one, other = gradient(energy.filters, implicit), gradient(energy.filters, unrolled)
    for a, b in zip(one, other, strict=True):
        np.testing.assert_allclose(a, b, atol=1e-7 * np.max(np.abs(b)))
    value = jax.jit(loss, static_argnums=1)
    moved = [value(energy.filters._replace(log_weights=energy.filters.log_weights.at[1].add(h)), implicit)
             for h in (-1e-4, 1e-4)]  # fmt: skip
    assert one.log_weights[1] == pytest.approx((moved[1] - moved[0]) / 2e-4, rel=1e-5)


def test_the_blur_is_a_periodic_convolution():
    kernel = irls.blur((8,), 1.1)[0]
    x = np.arange(8.0) ** 2
    direct = np.real(np.fft.ifft(np.fft.fft(kernel) * np.fft.fft(x)))
    np.testing.assert_allclose(irls.blur((8,), 1.1) @ x, direct, atol=1e-12)
    assert kernel[0] / kernel[1] == pytest.approx(np.exp(0.5 / 1.1**2))
    image = np.random.default_rng(0).standard_normal((8, 8))
    apart = irls.blur((8,), 1.1) @ image @ irls.blur((8,), 1.1).T
    np.testing.assert_allclose(irls.blur((8, 8), 1.1) @ image.ravel(), apart.ravel(), atol=1e-12)


def test_total_variation_takes_forward_differences(energy, pairs):
    image = np.array(pairs.signals[0]).reshape(SHAPE)
    down, right = np.array(energy.responses(pairs.signals[0]))[:2]
    np.testing.assert_allclose(down, (np.roll(image, -1, 0) - image).ravel(), atol=1e-15)
    np.testing.assert_allclose(right, (np.roll(image, -1, 1) - image).ravel(), atol=1e-15)


def test_cosine_filters_are_orthonormal_and_blind_to_constants():
    filters = irls.cosine_filters(2, 1, 8)
    np.testing.assert_allclose(filters @ filters.T, np.eye(8), atol=1e-14)
    np.testing.assert_allclose(filters.sum(1), 0, atol=1e-14)
    assert (
        np.ptp(filters[0].reshape(3, 3), axis=0).max() < 1e-15 or np.ptp(filters[0].reshape(3, 3), axis=1).max() < 1e-15
    )


def test_phantoms_are_objects_on_nothing():
    images = np.array(irls.phantoms(KEY, (40, 40), 5, objects=1))
    share = (images != 0).mean(1)
    assert (share > np.pi * 0.1**2 * 0.7).all()
    assert (share < np.pi * 0.3**2).all()
    assert images.max() <= 1.8
    lines = np.array(irls.phantoms(KEY, (100,), 5, objects=1))
    second = np.diff(lines, 2, axis=1)
    assert (np.count_nonzero(np.abs(second) > 1e-9, axis=1) <= 4).all()  # a ramp, and its two ends


def test_measurements_have_the_noise_of_the_energy(energy):
    signals = jnp.zeros((500, 20))
    assert np.std(irls.measured(KEY, energy, signals).measurements) == pytest.approx(0.2, rel=0.03)


def test_the_weight_is_tuned_and_filters_learn(energy, pairs):
    kernels, choices = energy.filters.kernels[:2], np.log([0.01, 0.3, 30.0])
    filters = irls.tuned(energy, kernels, choices, pairs, 60)

    def error(filters):
        return float(jnp.mean(irls.errors(replace(energy, filters=filters), pairs, 60)))

    every = [error(irls.Filters(kernels, jnp.full(2, choice))) for choice in choices]
    assert error(filters) == pytest.approx(min(every), rel=1e-9)
    better = jax.jit(irls.learned, static_argnums=(3, 4))(energy, filters, pairs, 60, 10, 0.05)
    assert error(better) < 0.98 * error(filters)
