"""Phantoms, projections and filtered back-projection against what is known of discs, and against np.interp."""

import re

import jax
import numpy as np
import pytest

import jaxinv as ji
from jaxinv.problems import imaging

SIZE = 32


def disc(radius, x=0.0, y=0.0, fine=8):
    """A disc of value 1, pixels averaged over fine x fine points, as a row."""
    at = (np.arange(SIZE * fine) + 0.5) / fine - SIZE / 2
    inside = (at[None, :] - x) ** 2 + (at[:, None] - y) ** 2 <= radius**2
    return inside.reshape(SIZE, fine, SIZE, fine).mean((1, 3)).ravel()


@pytest.fixture(scope="module")
def projections():
    return imaging.radon(SIZE, 9)


def test_every_projection_has_the_mass_of_the_image(projections):
    np.testing.assert_allclose(projections.reshape(9, -1, SIZE**2).sum(1), 1, rtol=1e-13)


def test_a_disc_has_the_projections_of_a_disc(projections):
    seen = (projections @ disc(10, 3, -2)).reshape(9, -1)
    theta = np.pi * np.arange(9) / 9
    at = np.arange(imaging.detectors(SIZE)) - imaging.detectors(SIZE) // 2
    known = 2 * np.sqrt(np.maximum(0, 100 - (at - (3 * np.cos(theta) - 2 * np.sin(theta))[:, None]) ** 2))
    assert np.linalg.norm(seen - known) < 0.04 * np.linalg.norm(known)


def test_the_adjoint_interpolates_the_projections_linearly(projections):
    data = np.random.default_rng(0).standard_normal((9, imaging.detectors(SIZE)))
    middle = np.arange(SIZE) - (SIZE - 1) / 2
    at = np.arange(data.shape[1]) - data.shape[1] // 2
    known = sum(
        np.interp(np.cos(theta) * middle[None, :] + np.sin(theta) * middle[:, None], at, row)
        for theta, row in zip(np.pi * np.arange(9) / 9, data, strict=True)
    )
    np.testing.assert_allclose(projections.T @ data.ravel(), np.ravel(known), atol=1e-12)


def test_filtered_back_projection_nears_the_image_with_the_angles():
    image = disc(8, 3, -2)
    errors = []
    for angles in (3, 5, 9, 17):
        found = imaging.filtered_back_projection(SIZE, angles) @ (imaging.radon(SIZE, angles) @ image)
        errors.append(np.linalg.norm(found - image) / np.linalg.norm(image))
    assert np.all(np.diff(errors) < 0)
    assert errors[-1] < 0.15 < 0.5 < errors[0]


def test_phantoms_are_ellipses_or_rectangles_of_the_same_area():
    key = jax.random.key(0)
    round_ones, square_ones = (np.asarray(imaging.phantoms(key, 6, 64, shape, parts=1)) for shape in imaging.SHAPES)
    for images in (round_ones, square_ones):
        assert images.shape == (6, 64, 64)
        assert np.all((images >= 0) & (images <= 1))
    np.testing.assert_allclose(round_ones.sum((1, 2)), square_ones.sum((1, 2)), rtol=0.03)
    assert np.all(np.linalg.norm(round_ones - square_ones, axis=(1, 2)) > 0.1 * np.linalg.norm(round_ones, axis=(1, 2)))
    # moments of a flat ellipse: its area is 4 pi sqrt(det covariance), that of a rectangle 12 sqrt(det)
    at = np.arange(64) - 31.5
    for images, ratio in ((round_ones, 4 * np.pi), (square_ones, 12)):
        for image in images:
            share, area = image / image.sum(), image.sum() / image.max()
            x, y = share.sum(0), share.sum(1)
            cross = at @ share @ at - (at @ x) * (at @ y)
            variances = (at**2 @ x - (at @ x) ** 2) * (at**2 @ y - (at @ y) ** 2)
            assert area == pytest.approx(ratio * (variances - cross**2) ** 0.5, rel=0.04)
    assert np.array_equal(imaging.phantoms(key, 6, 64, parts=1), round_ones)


@pytest.mark.usefixtures("unchecked")
@pytest.mark.parametrize(
    ("call", "words"),
    [
        (
            lambda: imaging.phantoms(jax.random.key(0), 1, 8, "squares"),
            "unknown shape 'squares'; known: ellipses, rectangles",
        ),
        (lambda: imaging.phantoms(jax.random.key(0), 0, 8), "count must be a positive whole number, got 0"),
        (lambda: imaging.radon(8, 0), "angles must be a positive whole number, got 0"),
        (lambda: imaging.filtered_back_projection(0, 8), "size must be a positive whole number, got 0"),
    ],
)
def test_what_cannot_be_is_refused(call, words):
    with pytest.raises(ji.ArgumentError, match=re.escape(words)):
        call()
