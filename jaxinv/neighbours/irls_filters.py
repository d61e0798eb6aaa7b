"""What filters of reweighted least squares are learned on: blurred phantoms; and how, beside total variation.

Every choice here is ours. Signals are flat arrays of one or two dimensions, all of one side, periodic.
"""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jaxtyping import Array, Float, Int, Key

from ..arrays import AnyArray
from ..draws import Tag, normal
from .irls import Energy, Filters, iterate, local_factor, reconstruct

CLIPPED = 1.0
"""The largest norm of a gradient in learning: where two minimisers of J meet, p < 1, it has no bound."""

WEIGHTS = 10 ** np.linspace(-1, 2.5, 8)
"""Weights from which that of total variation is chosen."""


def neighbourhoods(shape: Sequence[int], radius: int) -> Int[np.ndarray, "signal_dim taps"]:
    """The pixels within `radius` of each pixel along each dimension, as positions in the flat signal; periodic."""
    pixels = np.indices(shape).reshape(len(shape), -1)
    offsets = np.indices((2 * radius + 1,) * len(shape)).reshape(len(shape), -1) - radius
    around = (pixels[:, :, None] + offsets[:, None, :]) % np.reshape(shape, (-1, 1, 1))
    return np.asarray(np.ravel_multi_index(tuple(around), tuple(shape)))


def blur(shape: Sequence[int], width: float) -> Float[np.ndarray, "signal_dim signal_dim"]:
    """The periodic convolution with a Gaussian of standard deviation `width` pixels and sum 1, as a matrix."""
    matrix = np.ones((1, 1))
    for size in shape:
        apart = np.abs(np.subtract.outer(np.arange(size), np.arange(size)))
        rows = np.exp(-0.5 * (np.minimum(apart, size - apart) / width) ** 2)
        matrix = np.kron(matrix, rows / rows.sum(1, keepdims=True))
    return matrix


def difference_filters(dimensions: int, radius: int) -> Float[np.ndarray, "filters taps"]:
    """The forward difference along each dimension: the filters of (anisotropic) total variation."""
    kernels = np.zeros((dimensions, *(2 * radius + 1,) * dimensions))
    centre = (radius,) * dimensions
    for i in range(dimensions):
        kernels[(i, *centre)] = -1.0
        kernels[(i, *(radius + (j == i) for j in range(dimensions)))] = 1.0
    return kernels.reshape(dimensions, -1)


def cosine_filters(dimensions: int, radius: int, count: int) -> Float[np.ndarray, "filters taps"]:
    """The `count` smoothest filters of the discrete cosine transform but for the constant one, of norm 1."""
    from scipy.fft import dct

    one = np.asarray(dct(np.eye(2 * radius + 1), axis=0, norm="ortho"))
    every, degree = np.ones((1, 1)), np.zeros(1)
    for _ in range(dimensions):
        every = np.kron(every, one)
        degree = np.add.outer(degree, np.arange(2 * radius + 1)).ravel()
    return every[np.argsort(degree, kind="stable")[1 : count + 1]]


def phantoms(key: Key[Array, ""], shape: Sequence[int], count: int, objects: int = 4) -> Float[Array, "count _"]:
    """Flat signals: the shadows of `objects` intervals or ellipses, height times sqrt(1 - r^2) inside each.

    Smooth but for a steep edge. Semi-axes are between 0.1 and 0.3 of the side, heights between 0.3 and 1.
    """
    dimensions = len(shape)
    numbers = normal(jax.random.fold_in(key, Tag.TEST_SIGNALS), (2 * dimensions + 2, count, objects, 1))
    *place, height, angle = jax.scipy.special.ndtr(jnp.asarray(numbers))
    apart = [jnp.asarray(pixel.ravel() / side)[None, None] - centre
             for pixel, side, centre in zip(np.indices(shape), shape, place[:dimensions], strict=True)]  # fmt: skip
    if dimensions == 2:
        cosine, sine = jnp.cos(np.pi * angle), jnp.sin(np.pi * angle)
        apart = [cosine * apart[0] + sine * apart[1], cosine * apart[1] - sine * apart[0]]
    squares = sum((along / (0.1 + 0.2 * size)) ** 2 for along, size in zip(apart, place[dimensions:], strict=True))
    return jnp.sum((0.3 + 0.7 * height) * jnp.sqrt(jnp.maximum(1 - squares, 0.0)), axis=1)


class Pairs(NamedTuple):
    """Signals and their measurements, as rows."""

    signals: Float[Array, "samples signal_dim"]
    measurements: Float[Array, "samples measurement_dim"]


def measured(key: Key[Array, ""], energy: Energy, signals: Float[Array, "samples signal_dim"]) -> Pairs:
    """The signals with A x + s times standard normal noise."""
    clean = signals @ energy.operator.T
    return Pairs(signals, clean + energy.noise * normal(jax.random.fold_in(key, Tag.TRAINING_NOISE), clean.shape))


def errors(energy: Energy, pairs: Pairs, most: int) -> Float[Array, " samples"]:
    """The mean squared error of each reconstruction, from at most so many iterations that start at A^T y.

    One signal after the other: LAPACK's kernels for batches wait for each other for ever where two devices of one CPU
    call them at once (jaxlib 0.10).
    """

    def error(pair):
        start = energy.operator.T @ pair.measurements
        return jnp.mean((reconstruct(energy, pair.measurements, start, most, 1e-6) - pair.signals) ** 2)

    return jax.lax.map(error, pairs)


def log_error(energy: Energy, pairs: Pairs, most: int) -> Float[Array, ""]:
    """The mean logarithm of the `errors`: -0.1 log(10) times the mean PSNR, in which no signal outweighs the others."""
    return jnp.mean(jnp.log(errors(energy, pairs, most)))


def tuned(energy: Energy, kernels: Float[AnyArray, "filters taps"], pairs: Pairs, most: int) -> Filters:
    """Filters with these `kernels` and the one weight, of WEIGHTS, with the least mean log error on the `pairs`."""

    def with_weight(log_weight):
        return Filters(jnp.asarray(kernels), jnp.full(len(kernels), log_weight))

    def total(log_weight):
        return log_error(replace(energy, filters=with_weight(log_weight)), pairs, most)

    choices = jnp.log(WEIGHTS)
    return with_weight(choices[jnp.argmin(jax.lax.map(total, choices))])


def learned(energy: Energy, filters: Filters, pairs: Pairs, most: int, steps: int, rate: float) -> Filters:
    """The filters of least mean log error over all `pairs`, which is their mean PSNR, that `steps` of Adam meet."""
    optimizer = optax.chain(optax.clip_by_global_norm(CLIPPED), optax.adam(optax.cosine_decay_schedule(rate, steps)))

    def total(filters):
        return log_error(replace(energy, filters=filters), pairs, most)

    def once(state, _):
        filters, memory, best, least = state
        error, slope = jax.value_and_grad(total)(filters)
        best = jax.tree.map(lambda new, old: jnp.where(error < least, new, old), filters, best)
        updates, memory = optimizer.update(slope, memory)
        return (optax.apply_updates(filters, updates), memory, best, jnp.minimum(error, least)), error

    start = filters, optimizer.init(filters), filters, jnp.inf
    return jax.lax.scan(once, start, length=steps)[0][2]


def blurred(
    side: int, dimensions: int, radius: int, cosines: int, power: Any, smoothing: Any, noise: Any, width: float
) -> Energy:
    """That of a Gaussian blur of `width` pixels, with filters of weight 10: differences, then `cosines` others."""
    shape = (side,) * dimensions
    kernels = np.concatenate([difference_filters(dimensions, radius), cosine_filters(dimensions, radius, cosines)])
    filters = Filters(jnp.asarray(kernels), jnp.full(len(kernels), jnp.log(10.0)))
    operator, table = blur(shape, width), neighbourhoods(shape, radius)
    gram = operator.T @ operator
    return Energy(jnp.asarray(operator), jnp.asarray(gram), jnp.asarray(table), filters, power, smoothing, noise)


def irls_rate(
    key: Key[Array, ""], *, side: int, dimensions: int, radius: int, cosines: int, power: Any, smoothing: Any,
    noise: Any, width: float, iterations: int,
) -> dict[str, Array]:  # fmt: skip
    """J before each iteration on one phantom, how long each is, and the exact factor where they end."""
    energy = blurred(side, dimensions, radius, cosines, power, smoothing, noise, width)
    _, (measurements,) = measured(key, energy, phantoms(key, (side,) * dimensions, 1))
    run = iterate(energy, measurements, energy.operator.T @ measurements, iterations)
    return {"objective": run.value[:-1], "length": run.length, "factor": local_factor(energy, run.signal)}


def irls_gradient(
    key: Key[Array, ""], *, gradient: str, side: int, dimensions: int, radius: int, cosines: int, power: float,
    smoothing: float, noise: float, width: float, iterations: int,
) -> dict[str, Any]:  # fmt: skip
    """The derivative of a squared error in the filters, "implicit" or "unrolled", and the bytes that it takes.

    `memory` is what the compiled program needs beside what is given to it and what it gives.
    """
    energy = blurred(side, dimensions, radius, cosines, power, smoothing, noise, width)
    (signal,), (measurements,) = measured(key, energy, phantoms(key, (side,) * dimensions, 1))
    start = energy.operator.T @ measurements

    def error(filters):
        model = replace(energy, filters=filters)
        if gradient == "implicit":
            found = reconstruct(model, measurements, start, iterations)
        else:
            found = iterate(model, measurements, start, iterations).signal
        return jnp.sum((found - signal) ** 2)

    program = jax.jit(jax.grad(error)).lower(energy.filters).compile()
    slope = np.concatenate([np.ravel(part) for part in program(energy.filters)])
    known = program.memory_analysis()  # None on a device that does not say
    return {"slope": slope, "memory": np.nan if known is None else float(known.temp_size_in_bytes)}


def irls_learning(
    key: Key[Array, ""], *, side: int, dimensions: int, radius: int, cosines: int, power: Any, smoothing: Any,
    noise: Any, width: float, samples: int, iterations: int, steps: int, rate: float,
) -> dict[str, Any]:  # fmt: skip
    """Mean PSNR in dB, peak 1, on fresh phantoms: of tuned total variation, and of filters learned from there.

    Both see the same `samples` phantoms; the weight of total variation is tuned on them. The learned filters start as
    its differences, beside `cosines` others of a tenth of the weight.
    """
    energy = blurred(side, dimensions, radius, cosines, power, smoothing, noise, width)
    given, fresh = (measured(each, energy, phantoms(each, (side,) * dimensions, samples))
                    for each in jax.random.split(key))  # fmt: skip
    variation = tuned(energy, energy.filters.kernels[:dimensions], given, iterations)
    weak = jnp.full(cosines, variation.log_weights[0] - jnp.log(10.0))
    start = Filters(energy.filters.kernels, jnp.concatenate([variation.log_weights, weak]))
    found = learned(energy, start, given, iterations, steps, rate)
    same_shape = Filters(start.kernels, jnp.append(variation.log_weights, jnp.full(cosines, -jnp.inf)))  # weights 0

    def score(filters):
        return -10 / jnp.log(10.0) * log_error(replace(energy, filters=filters), fresh, iterations)

    scores = jax.lax.map(score, jax.tree.map(lambda *both: jnp.stack(both), same_shape, found))
    return {"psnr": scores, "kernels": found.kernels, "weight": variation.log_weights[0]}
