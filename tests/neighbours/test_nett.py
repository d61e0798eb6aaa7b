"""Network Tikhonov: the network, its training and the minimisation, against scipy, closed forms and what was asked."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.signal import correlate2d

from jaxinv.neighbours import nett
from jaxinv.problems import imaging

SIZE, ANGLES = 8, 3
LEVELS = (0.0, 1e-4, 0.01, 0.1)


@pytest.fixture(scope="module")
def given():
    return nett.scan(SIZE, ANGLES)


@pytest.fixture(scope="module")
def images():
    return np.asarray(imaging.phantoms(jax.random.key(1), 40, SIZE)).reshape(40, -1)


@pytest.fixture(scope="module")
def studied():
    call = partial(nett.study, size=SIZE, angles=ANGLES, channels=4, blocks=1, training=40, steps=60, iterations=20,
                   tests=1, levels=LEVELS)  # fmt: skip
    return {name: np.asarray(value) for name, value in jax.jit(call)(jax.random.key(0)).items()}


def test_the_network_is_convolutions_and_residual_blocks():
    rng = np.random.default_rng(0)
    shapes = [(9, 3), (27, 3), (27, 3), (27, 3), (27, 3), (27, 1)]
    kernels = [rng.standard_normal(shape).astype(np.float32) for shape in shapes]
    image = rng.standard_normal((5, 5))

    def convolved(channels, kernel):
        taps = kernel.reshape(3, 3, len(channels), -1)
        return [sum(correlate2d(c, taps[:, :, i, o], "same") for i, c in enumerate(channels))
                for o in range(taps.shape[3])]  # fmt: skip

    def celu(channels):
        return [np.where(c > 0, c, np.expm1(np.minimum(c, 0))) for c in channels]

    hidden = convolved([image], kernels[0])
    for inner, outer in ((kernels[1], kernels[2]), (kernels[3], kernels[4])):
        hidden = [h + r for h, r in zip(hidden, convolved(celu(convolved(celu(hidden), inner)), outer), strict=True)]
    known = np.ravel(convolved(celu(hidden), kernels[-1])[0])
    network = nett.Encoder(tuple(map(jnp.asarray, kernels)))
    found = network(jnp.asarray(image.reshape(1, -1)))
    assert found.dtype == jnp.float64
    np.testing.assert_allclose(found[0], known, atol=2e-6 * abs(known).max())
    assert nett.artifacts(network, jnp.asarray(image.reshape(1, -1))) == pytest.approx(np.sum(known**2), rel=1e-5)


def test_a_new_network_has_kernels_of_variance_one_over_fan_in():
    network = nett.encoder(jax.random.key(0), channels=16, blocks=2)
    assert [kernel.shape for kernel in network.kernels] == [(9, 16), *[(144, 16)] * 4, (144, 1)]
    for i in (0, 1, 3, 5):
        assert np.std(network.kernels[i]) * network.kernels[i].shape[0] ** 0.5 == pytest.approx(1, rel=0.2)
    assert not np.any(network.kernels[2])
    assert not np.any(network.kernels[4])


def test_the_scan_is_of_norm_one_with_its_singular_vectors(given):
    scale = np.linalg.norm(imaging.radon(SIZE, ANGLES), 2)
    np.testing.assert_allclose(given.operator * scale, imaging.radon(SIZE, ANGLES), atol=1e-14)
    both = imaging.filtered_back_projection(SIZE, ANGLES) @ imaging.radon(SIZE, ANGLES)
    np.testing.assert_allclose(given.back_projection @ given.operator, both, atol=1e-12)
    np.testing.assert_allclose(given.left * given.values @ given.right.T, given.operator, atol=2e-6)


def test_measurements_have_noise_of_the_norm_that_is_asked_for(given, images):
    levels = np.linspace(0, 0.3, len(images))[:, None]
    directions = np.random.default_rng(0).standard_normal((len(images), len(given.operator)))
    noise = nett.measured(directions, given.operator, images, levels) - images @ given.operator.T
    wanted = levels[:, 0] * np.linalg.norm(images @ given.operator.T, axis=1)
    np.testing.assert_allclose(np.linalg.norm(noise, axis=1), wanted, atol=1e-13)
    np.testing.assert_allclose(noise[-1] / wanted[-1], directions[-1] / np.linalg.norm(directions[-1]), rtol=1e-9)


@pytest.mark.parametrize("alpha", [0.0, 0.02, 3.0])
@pytest.mark.parametrize("momentum", [False, True])
def test_a_quadratic_penalty_is_minimised_to_its_closed_form(given, images, alpha, momentum):
    middle, a = images[0], given.operator
    y = images[1:4] @ a.T + 0.1
    iterations = 250 if momentum else 60
    call = partial(nett.minimised, lambda x: jnp.sum((x - middle[None]) ** 2) / 2, given, jnp.asarray(y), alpha)
    found = call(step=0.5, iterations=iterations, momentum=momentum)
    if alpha:
        known = np.linalg.solve(a.T @ a + alpha * np.eye(SIZE**2), (y @ a + alpha * middle).T).T
    else:
        known = middle + (y - middle @ a.T) @ np.linalg.pinv(a, 1e-6).T
    np.testing.assert_allclose(found, known, atol=1e-9 * abs(known).max())


def test_variation_and_its_minimisers(given, images):
    x = images[0].reshape(SIZE, SIZE)
    known = 0.0
    for i in range(SIZE):
        for j in range(SIZE):
            down = x[i + 1, j] - x[i, j] if i + 1 < SIZE else 0.0
            right = x[i, j + 1] - x[i, j] if j + 1 < SIZE else 0.0
            known += (down**2 + right**2 + 0.1**2) ** 0.5
    variation = partial(imaging.variation, smoothing=0.1)
    assert variation(jnp.asarray(images[:1])) == pytest.approx(known, rel=1e-12)
    y = jnp.asarray(images[:2] @ given.operator.T)
    found = nett.minimised(variation, given, y, 0.03, step=0.1 / 8, iterations=1500, momentum=True)
    gradient = (found @ given.operator.T - y) @ given.operator + 0.03 * jax.grad(variation)(found)
    assert np.linalg.norm(gradient) < 1e-6 * np.linalg.norm(y)


def test_training_teaches_artifacts(given, images):
    key = jax.random.key(0)
    start = nett.encoder(key, channels=4, blocks=1)
    network, losses = jax.jit(partial(nett.trained, steps=150))(key, start, given, jnp.asarray(images))
    assert losses.shape == (150,)
    assert losses[-20:].mean() < 0.35 * losses[:3].mean()
    fresh = np.asarray(imaging.phantoms(jax.random.key(2), 40, SIZE)).reshape(40, -1)
    back = jnp.asarray(fresh @ given.operator.T @ given.back_projection.T)
    once = back + network(back)
    assert np.linalg.norm(once - fresh) < 0.9 * np.linalg.norm(back - fresh)
    clean, spoilt = (nett.artifacts(network, jnp.asarray(rows)) for rows in (fresh, back))
    assert clean < 0.85 * spoilt


def test_the_factor_of_least_error_is_chosen(given, images):
    def solve(given, y, alpha):
        return images * (1 + abs(jnp.log(alpha / 0.02)) + 0.1)

    levels = jnp.array([0.01, 0.1])
    args = np.ones((len(images), len(given.operator))), given, images, levels
    # the middle of log(0.02/0.01) and log(0.02/0.1) is where the sum of both distances is least, and the nearer one
    assert nett.tuned(solve, *args, (0.01, 0.6, 30.0)) == 0.6


def test_a_study_tells_of_its_pictures(studied):
    assert studied["picture"].shape == (5, SIZE, SIZE)
    true, *pictures = studied["picture"]
    at = LEVELS.index(nett.PICTURED)
    for i, picture in enumerate(pictures):
        error = np.linalg.norm(picture - true)
        assert studied["error"][0, i, at] == pytest.approx(error / np.linalg.norm(true), rel=1e-6)
        psnr = -10 * np.log10(np.mean((picture - true) ** 2) / true.max() ** 2)
        assert studied["psnr"][0, i, at] == pytest.approx(psnr, rel=1e-6)


def test_a_study_without_noise_explains_the_data_with_a_penalty_alone(studied):
    misfit = dict(zip(nett.SOLVERS, studied["misfit"][0, :, 0], strict=True))
    assert max(misfit["nett"], misfit["tv"]) < 1e-6
    assert min(misfit["post"], misfit["fbp"]) > 0.01
    assert studied["distance"][0] == 0
    assert np.all(studied["distance"][1:] > 0)
    assert set(studied["factor"]) <= {*nett.FACTORS["tv"], *nett.FACTORS["nett"]}
    assert all(np.isfinite(value).all() for value in studied.values())
