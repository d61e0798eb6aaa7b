"""Images to reconstruct from few projections: phantoms, the parallel-beam Radon transform and filtered back-projection.

Images are (size, size) with pixels of side 1, measured as rows of size^2 numbers; the origin is the middle. Everything
here is [ours] in its numbers, textbook in its formulas (Kak and Slaney, 1988, chapter 3).
"""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Key

from ..checks import check_count, check_known

SHAPES = ("ellipses", "rectangles")
"""What phantoms are made of, by name."""


@partial(jax.jit, static_argnames=("count", "size", "shape", "parts"))
def phantoms(
    key: Key[Array, ""], count: int, size: int, shape: str = "ellipses", parts: int = 5
) -> Float[Array, "count size size"]:
    """`count` random images, in the default float type: each the sum of `parts` flat ellipses, or rectangles.

    Uniform [ours]: midpoints in the disc of radius 0.24 size, half axes in [0.06, 0.22] size, angles, values in
    [0.2, 1]. Rectangles have area, place and values of the ellipses of the same key. A pixel is the mean of 2 x 2.
    Raises ArgumentError for another shape, and for counts that are not positive.
    """
    check_known("shape", shape, SHAPES)
    for name, value in (("count", count), ("size", size), ("parts", parts)):
        check_count(name, value)
    generated = jax.random.uniform(key, (count, 6, parts, 1, 1), jnp.float32).astype(float)
    radius, around, half_u, half_v, angle, value = (generated[:, i] for i in range(6))
    points = (jnp.arange(2 * size) + 0.5) / (2 * size) - 0.5  # the side of the image as the unit of length
    x = points[None, None, None, :] - 0.24 * jnp.sqrt(radius) * jnp.cos(2 * jnp.pi * around)
    y = points[None, None, :, None] - 0.24 * jnp.sqrt(radius) * jnp.sin(2 * jnp.pi * around)
    cos, sin = jnp.cos(jnp.pi * angle), jnp.sin(jnp.pi * angle)
    u, v = (cos * x + sin * y) / (0.06 + 0.16 * half_u), (cos * y - sin * x) / (0.06 + 0.16 * half_v)
    same_area = (jnp.pi / 4) ** 0.5
    inside = u**2 + v**2 <= 1 if shape == "ellipses" else jnp.maximum(abs(u), abs(v)) <= same_area
    fine = jnp.sum(jnp.where(inside, 0.2 + 0.8 * value, 0.0), axis=1)
    return fine.reshape(count, size, 2, size, 2).mean((2, 4))


def variation(images: Float[Array, "samples signal_dim"], smoothing: float) -> Float[Array, ""]:
    """The total variation sum sqrt(|D x|^2 + smoothing^2), D the differences to the next pixels, over all images.

    Its gradient has Lipschitz constant 8/smoothing.
    """
    size = round(images.shape[1] ** 0.5)
    x = images.reshape(-1, size, size)
    down, right = jnp.diff(x, axis=1, append=x[:, -1:]), jnp.diff(x, axis=2, append=x[:, :, -1:])
    return jnp.sum(jnp.sqrt(down**2 + right**2 + smoothing**2))


def detectors(size: int) -> int:
    """How many bins of width 1 a projection has: odd, and as many as see the corners of the image."""
    return 2 * int(np.ceil(size / 2**0.5)) + 1


def radon(size: int, angles: int) -> Float[np.ndarray, "measurement_dim signal_dim"]:
    """The parallel-beam projections at `angles` equally spaced angles in [0, pi), as a matrix.

    Row a * detectors(size) + b is the integral over bin b at angle a: each pixel gives its mass to the two bins nearest
    to its midpoint, in proportion (linear interpolation), so that every projection has the mass of the image. Raises
    ArgumentError for counts that are not positive.
    """
    bins = detectors(check_count("size", size))
    middle = np.arange(size) - (size - 1) / 2
    y, x = (each.ravel() for each in np.meshgrid(middle, middle, indexing="ij"))
    theta = np.pi * np.arange(check_count("angles", angles))[:, None] / angles
    at = np.cos(theta) * x + np.sin(theta) * y + (bins - 1) / 2
    # the share of pixel j in bin b: a hat of width 1 around its midpoint
    return np.maximum(0, 1 - abs(np.arange(bins)[None, :, None] - at[:, None, :])).reshape(angles * bins, size**2)


def filtered_back_projection(size: int, angles: int) -> Float[np.ndarray, "signal_dim measurement_dim"]:
    """The matrix that reconstructs an image from `radon(size, angles)` of it, as angles and pixels become many.

    pi/angles times the adjoint of the projections after the ramp filter, band-limited to the bins (Ramachandran and
    Lakshminarayanan): 1/4 at 0, -1/(pi n)^2 at odd n, 0 at even n.
    """
    bins = detectors(check_count("size", size))
    apart = np.arange(bins)[:, None] - np.arange(bins)
    ramp = np.where(apart % 2 == 1, -1 / (np.pi * np.where(apart, apart, 1)) ** 2, np.where(apart == 0, 0.25, 0.0))
    adjoint = radon(size, angles).T.reshape(size**2, angles, bins)
    return np.pi / angles * (adjoint @ ramp).reshape(size**2, angles * bins)
