"""Iteratively reweighted least squares, against dense matrices in numpy and finite differences."""

from dataclasses import replace

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxinv.neighbours import irls, irls_filters

SHAPE, RADIUS = (4, 5), 1
KEY = jax.random.key(0)


@pytest.fixture(scope="module")
def energy():
    """A blurred image of 4 x 5 pixels, filters of 3 x 3."""
    kernels = np.concatenate([irls_filters.difference_filters(2, RADIUS), irls_filters.cosine_filters(2, RADIUS, 2)])
    filters = irls.Filters(jnp.asarray(kernels), jnp.log(jnp.array([2.0, 1.5, 0.5, 1.0])))
    operator, table = irls_filters.blur(SHAPE, 0.8), irls_filters.neighbourhoods(SHAPE, RADIUS)
    gram = operator.T @ operator
    return irls.Energy(jnp.asarray(operator), jnp.asarray(gram), jnp.asarray(table), filters, 0.8, 0.05, 0.2)


@pytest.fixture(scope="module")
def pairs(energy):
    rng = np.random.default_rng(0)
    signals = np.cumsum(rng.standard_normal((3, 20)), axis=1)
    clean = signals @ np.array(energy.operator).T
    return irls_filters.Pairs(jnp.asarray(signals), jnp.asarray(clean + 0.2 * rng.standard_normal(clean.shape)))


def dense_filters(energy):
    """G_f as matrices: the sum over taps of the kernel times shifts of the image."""
    made = []
    for kernel in np.array(energy.filters.kernels).reshape(-1, 3, 3):
        pixels = np.eye(20).reshape(20, *SHAPE)
        shifted = [kernel[a, b] * np.roll(pixels, (1 - a, 1 - b), (1, 2)) for a in range(3) for b in range(3)]
        made.append(np.sum(shifted, axis=0).reshape(20, 20).T)
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
    first = weights[:, None] * p * square ** (p / 2 - 1)
    second = first + weights[:, None] * p * (p - 2) * square ** (p / 2 - 2) * responses**2
    above, curved = (
        operator.T @ operator / s**2 + sum(g.T @ np.diag(d) @ g for g, d in zip(matrices, diagonals, strict=True))
        for diagonals in (first, second)
    )
    made = jax.jit(lambda x: (energy.value(x, y), energy.majorizer(x), energy.hessian(x)))(x)
    for ours, plain in zip(made, (value, above, curved), strict=True):
        np.testing.assert_allclose(ours, plain, rtol=1e-12, atol=1e-11)
    slope = (operator.T @ (operator @ x - y)) / s**2 + sum(
        g.T @ (d * (g @ x)) for g, d in zip(matrices, first, strict=True)
    )
    np.testing.assert_allclose(jax.jit(jax.grad(energy.value))(x, y), slope, atol=1e-11)


def test_an_iteration_is_the_weighted_least_squares_problem(energy, pairs):
    x, y = np.array(pairs.signals[0]), np.array(pairs.measurements[0])
    operator, matrices, responses, weights = plain_parts(energy, x)
    scale = weights[:, None] * energy.power * (responses**2 + energy.smoothing) ** (energy.power / 2 - 1)
    rows = np.concatenate(
        [operator / energy.noise, *(np.sqrt(d)[:, None] * g for d, g in zip(scale, matrices, strict=True))]
    )
    target = np.concatenate([y / energy.noise, np.zeros(len(rows) - len(y))])
    np.testing.assert_allclose(jax.jit(irls.step)(energy, x, y), np.linalg.lstsq(rows, target)[0], atol=1e-11)


def test_the_value_falls_and_errors_by_the_local_factor(energy, pairs):
    y = pairs.measurements[0]

    def follow(y):
        run = irls.iterate(energy, y, energy.operator.T @ y, 150)
        slope = jax.jacfwd(irls.step, 1)(energy, run.signal, y)
        return run, irls.local_factor(energy, run.signal), slope, jax.grad(energy.value)(run.signal, y)

    run, factor, slope, gradient = jax.tree.map(np.array, jax.jit(follow)(y))
    assert run.value.shape == (151,)
    assert (np.diff(run.value) <= 1e-12 * np.abs(run.value[:-1])).all()
    np.testing.assert_allclose(gradient, 0, atol=1e-6)
    rho = max(abs(np.linalg.eigvals(slope)))
    assert factor == pytest.approx(rho, rel=1e-6)
    assert irls.measured_factor(run.length) == pytest.approx(rho, rel=0.01)


def test_the_measured_factor_is_of_what_is_above_rounding():
    length = np.maximum(0.5 ** np.arange(60), 1e-12)
    assert irls.measured_factor(length) == pytest.approx(0.5, rel=1e-12)
    assert np.isnan(irls.measured_factor(length[:5]))
    assert np.isnan(irls.measured_factor(np.full(9, np.nan)))


def test_the_implicit_gradient_is_the_unrolled_one_in_memory_that_does_not_grow():
    setting = {"side": 12, "dimensions": 1, "radius": 1, "cosines": 1, "power": 1.0, "smoothing": 0.05, "noise": 0.2}

    def of(gradient, iterations):
        return irls_filters.irls_gradient(KEY, gradient=gradient, iterations=iterations, width=0.8, **setting)

    implicit, unrolled = of("implicit", 200), of("unrolled", 200)
    assert implicit["slope"].shape == (2 * 3 + 2,)
    np.testing.assert_allclose(implicit["slope"], unrolled["slope"], atol=1e-6 * np.max(np.abs(unrolled["slope"])))
    assert implicit["memory"] < 200 * 12 * 8 < unrolled["memory"]  # that of all signals


def test_the_blur_is_a_periodic_convolution():
    kernel = irls_filters.blur((8,), 1.1)[0]
    x = np.arange(8.0) ** 2
    direct = np.real(np.fft.ifft(np.fft.fft(kernel) * np.fft.fft(x)))
    np.testing.assert_allclose(irls_filters.blur((8,), 1.1) @ x, direct, atol=1e-12)
    assert kernel[0] / kernel[1] == pytest.approx(np.exp(0.5 / 1.1**2))
    image = np.random.default_rng(0).standard_normal((8, 8))
    apart = irls_filters.blur((8,), 1.1) @ image @ irls_filters.blur((8,), 1.1).T
    np.testing.assert_allclose(irls_filters.blur((8, 8), 1.1) @ image.ravel(), apart.ravel(), atol=1e-12)


def test_total_variation_takes_forward_differences(energy, pairs):
    image = np.array(pairs.signals[0]).reshape(SHAPE)
    down, right = np.array(energy.responses(image.ravel()))[:2]
    np.testing.assert_allclose(down, (np.roll(image, -1, 0) - image).ravel(), atol=1e-15)
    np.testing.assert_allclose(right, (np.roll(image, -1, 1) - image).ravel(), atol=1e-15)


def test_cosine_filters_are_orthonormal_and_blind_to_constants():
    filters = irls_filters.cosine_filters(2, 1, 8)
    np.testing.assert_allclose(filters @ filters.T, np.eye(8), atol=1e-14)
    np.testing.assert_allclose(filters.sum(1), 0, atol=1e-14)
    assert (
        np.ptp(filters[0].reshape(3, 3), axis=0).max() < 1e-15 or np.ptp(filters[0].reshape(3, 3), axis=1).max() < 1e-15
    )


def test_phantoms_are_shadows_of_ellipsoids():
    images = np.array(jax.jit(lambda key: irls_filters.phantoms(key, (40, 40), 5, objects=1))(KEY))
    row, column = np.indices((40, 40)).reshape(2, -1)
    powers = np.stack([row**2, row * column, column**2, row, column, np.ones(1600)], 1)
    for image in images:
        inside = image > 0
        assert np.pi * 0.1**2 * 0.2 < inside.mean() < np.pi * 0.3**2  # some reach over the edge
        assert 0.29 < image.max() <= 1
        square = powers[inside] @ np.linalg.lstsq(powers[inside], image[inside] ** 2)[0]
        np.testing.assert_allclose(square, image[inside] ** 2, atol=1e-9)


def test_measurements_have_the_noise_of_the_energy(energy):
    measured = jax.jit(irls_filters.measured)(KEY, energy, jnp.ones((500, 20))).measurements
    assert np.std(np.array(measured) - 1) == pytest.approx(0.2, rel=0.03)


@pytest.fixture(scope="module")
def errors(energy, pairs):
    """The errors on the pairs by filters."""
    return jax.jit(lambda filters: irls_filters.errors(replace(energy, filters=filters), pairs, 30))


def test_the_weight_is_tuned_and_filters_learn(energy, pairs, errors):
    kernels = energy.filters.kernels[:2]

    def learn(pairs):
        filters = irls_filters.tuned(energy, kernels, pairs, 30)
        return filters, irls_filters.learned(energy, energy.filters, pairs, 30, 8, 0.05)

    filters, better = jax.jit(learn)(pairs)
    # a third filter without effect: one shape, one compilation
    wide = [irls.Filters(jnp.concatenate([kernels, kernels * 0]), jnp.full(4, log_weight))
            for log_weight in (*np.log(irls_filters.WEIGHTS), filters.log_weights[0])]  # fmt: skip
    *every, ours = (np.mean(np.log(errors(each))) for each in wide)
    assert np.ptp(every) > 0.1
    np.testing.assert_allclose(ours, min(every), rtol=1e-9)
    assert np.mean(np.log(errors(better))) < np.mean(np.log(errors(energy.filters))) - 0.05


def test_errors_are_those_of_the_reconstructions(energy, pairs, errors):
    found = errors(energy.filters)
    for i, (x, y) in enumerate(zip(*map(np.array, pairs), strict=True)):
        at = np.array(energy.operator).T @ y
        for _ in range(30):
            operator, matrices, responses, weights = plain_parts(energy, at)
            scale = weights[:, None] * energy.power * (responses**2 + energy.smoothing) ** (energy.power / 2 - 1)
            penalty = sum(g.T @ (d[:, None] * g) for g, d in zip(matrices, scale, strict=True))
            at = np.linalg.solve(operator.T @ operator / 0.04 + penalty, operator.T @ y / 0.04)
        np.testing.assert_allclose(found[i], np.mean((at - x) ** 2), rtol=1e-4)
