"""Iteratively reweighted least squares with learned filters: the iteration, its exact rate, how filters are learned.

Koshelev and Lefkimmiatis (arXiv 2308.05745, 2304.10536), abstracts: an image is reconstructed from y = A x + noise as a
minimiser of

    J(x) = 1/(2 s^2) ||A x - y||^2 + sum_f w_f sum_i (|(G_f x)_i|^2 + gamma)^(p/2),   0 < p <= 1,

the weighted l_p^p penalty of learned filters G_f, smoothed. Their network unrolls no iteration: it is trained through
the stationary point by implicit differentiation. Derived by us, and held by tests:

    x <- S(x)^-1 A^T y/s^2,  S(x) = A^T A/s^2 + sum_f G_f^T diag(p w_f (|G_f x|^2 + gamma)^(p/2 - 1)) G_f

minimises a quadratic that lies above J and touches it at x, since u -> (u + gamma)^(p/2) is concave: J never rises. It
is x - S(x)^-1 grad J(x), so near a minimiser the error falls by the factor rho = 1 - lambda_min(S^-1/2 Hess J S^-1/2) a
step, in the end. (Their closed bound on the rate we could not read.)
"""

from collections.abc import Sequence
from dataclasses import replace
from typing import NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import optax
from jaxtyping import Array, Float, Int, Key

from ..arrays import AnyArray
from ..draws import Tag, normal

Signal = Float[Array, " signal_dim"]
Square = Float[Array, "signal_dim signal_dim"]


CLIPPED = 1.0
"""The largest norm of a gradient in learning: where two minimisers of J meet, p < 1, it has no bound."""


class Filters(NamedTuple):
    """What is learned: `kernels`, a row of taps for each filter, and the logarithms of their weights w_f."""

    kernels: Float[AnyArray, "filters taps"]
    log_weights: Float[AnyArray, " filters"]


class Energy(eqx.Module):
    """J for one operator: what is minimised for measurements y.

    `table` has the pixels that a filter meets around each pixel, see `neighbourhoods`; `noise` is s, the standard
    deviation of the noise.
    """

    operator: Float[AnyArray, "measurement_dim signal_dim"]
    table: Int[AnyArray, "signal_dim taps"]
    filters: Filters
    power: Float[AnyArray, ""] | float
    smoothing: Float[AnyArray, ""] | float
    noise: Float[AnyArray, ""] | float

    def responses(self, signal: Signal) -> Float[Array, "filters signal_dim"]:
        """G_f x for each filter f."""
        return self.filters.kernels @ signal[self.table].T

    def value(self, signal: Signal, measurements: Float[Array, " measurement_dim"]) -> Float[Array, ""]:
        """J(x)."""
        misfit = jnp.sum((self.operator @ signal - measurements) ** 2) / (2 * self.noise**2)
        penalties = jnp.sum((self.responses(signal) ** 2 + self.smoothing) ** (self.power / 2), axis=1)
        return misfit + jnp.exp(self.filters.log_weights) @ penalties

    def majorizer(self, signal: Signal) -> Square:
        """S(x), the matrix of the quadratic that lies above J."""
        return self._with_curvature(self._weights(signal, self.power / 2 - 1))

    def hessian(self, signal: Signal) -> Square:
        """The matrix of second derivatives of J."""
        squares = self.responses(signal) ** 2
        shrink = self.smoothing + (self.power - 1) * squares
        return self._with_curvature(self._weights(signal, self.power / 2 - 2) * shrink)

    def back_projection(self, measurements: Float[Array, " measurement_dim"]) -> Signal:
        """A^T y/s^2."""
        return self.operator.T @ measurements / self.noise**2

    def _weights(self, signal, exponent):
        """p w_f (|G_f x|^2 + gamma)^exponent."""
        scale = self.power * jnp.exp(self.filters.log_weights)
        return scale[:, None] * (self.responses(signal) ** 2 + self.smoothing) ** exponent

    def _with_curvature(self, curvature):
        """A^T A/s^2 + sum_f G_f^T diag(curvature_f) G_f, pixel by pixel: a filter meets few."""
        kernels, table = self.filters.kernels, self.table
        blocks = jnp.einsum("fa,fb,fi->iab", kernels, kernels, curvature)
        data = self.operator.T @ self.operator / self.noise**2
        return data.at[table[:, :, None], table[:, None, :]].add(blocks)


def step(energy: Energy, signal: Signal, measurements: Float[Array, " measurement_dim"]) -> Signal:
    """One iteration, with an exact solve."""
    factor = jax.scipy.linalg.cho_factor(energy.majorizer(signal))
    return jax.scipy.linalg.cho_solve(factor, energy.back_projection(measurements))


class Iterations(NamedTuple):
    """Where the iterations ended, J before each and at the end, and the length of each in the norm of S."""

    signal: Signal
    value: Float[Array, " iterations+1"]
    length: Float[Array, " iterations"]


def iterate(energy: Energy, measurements: Float[Array, " measurement_dim"], start: Signal, count: int) -> Iterations:
    """`count` iterations from `start`, each recorded. Derivatives go through all of them: the unrolled network."""

    def once(signal, _):
        following = step(energy, signal, measurements)
        change = following - signal
        length = jnp.sqrt(change @ (energy.majorizer(signal) @ change))
        return following, (energy.value(signal, measurements), length)

    last, (values, lengths) = jax.lax.scan(once, start, length=count)
    return Iterations(last, jnp.append(values, energy.value(last, measurements)), lengths)


def local_factor(energy: Energy, signal: Signal) -> Float[Array, ""]:
    """rho at a minimiser: 1 - lambda_min(S^-1/2 Hess J S^-1/2), above 1 where `signal` is none."""
    root = jnp.linalg.cholesky(energy.majorizer(signal))
    half = jax.scipy.linalg.solve_triangular(root, energy.hessian(signal), lower=True)
    return 1 - jnp.linalg.eigvalsh(jax.scipy.linalg.solve_triangular(root, half.T, lower=True))[0]


def measured_factor(length: Float[np.ndarray, " iterations"], over: int = 5, floor: float = 1e-11) -> float:
    """The factor by which iterations shrink in the end: over the last few that are above `floor` times the first.

    NaN where fewer than `over` + 1 are; below them `length` is rounding.
    """
    last = np.flatnonzero(length > floor * length[0])[-1:]
    if not len(last) or last[0] < over:
        return np.nan
    return float((length[last[0]] / length[last[0] - over]) ** (1 / over))


def reconstruct(
    energy: Energy, measurements: Float[Array, " measurement_dim"], start: Signal, most: int, tolerance: float = 1e-10
) -> Signal:
    """The stationary point that the iterations reach from `start`: until one moves by `tolerance`, or `most` of them.

    Its derivative is that of the stationary point, by the implicit function theorem: one linear solve with the Hessian
    of J, whatever the number of iterations, none of which is kept.
    """

    def stationarity(signal):
        return jax.grad(energy.value)(signal, measurements)

    def solve(_, start):
        def again(state):
            i, before, now = state
            return (i < most) & (jnp.linalg.norm(now - before) > tolerance * jnp.linalg.norm(now))

        def once(state):
            i, _, now = state
            return i + 1, now, step(energy, now, measurements)

        return jax.lax.while_loop(again, once, (1, start, step(energy, start, measurements)))[2]

    def solve_tangent(linear, right):
        return jnp.linalg.solve(jax.jacfwd(linear)(jnp.zeros_like(right)), right)

    return jax.lax.custom_root(stationarity, start, solve, solve_tangent)


def neighbourhoods(shape: Sequence[int], radius: int) -> Int[np.ndarray, "signal_dim taps"]:
    """The pixels within `radius` of each pixel along each dimension, as positions in the flat signal; periodic."""
    pixels = np.indices(shape).reshape(len(shape), -1)
    offsets = np.indices((2 * radius + 1,) * len(shape)).reshape(len(shape), -1) - radius
    around = (pixels[:, :, None] + offsets[:, None, :]) % np.reshape(shape, (-1, 1, 1))
    return np.ravel_multi_index(tuple(around), tuple(shape))


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

    one = dct(np.eye(2 * radius + 1), axis=0, norm="ortho")
    every, degree = np.ones((1, 1)), np.zeros(1)
    for _ in range(dimensions):
        every = np.kron(every, one)
        degree = np.add.outer(degree, np.arange(2 * radius + 1)).ravel()
    return every[np.argsort(degree, kind="stable")[1 : count + 1]]


def phantoms(key: Key[Array, ""], shape: Sequence[int], count: int, objects: int = 4) -> Float[Array, "count _"]:
    """Flat signals: `objects` ellipsoids (intervals in one dimension, ellipses in two) with a linear ramp on each.

    Radii are between 0.1 and 0.3 of the side, heights between 0.3 and 1, and a ramp changes the height by up to 80% to
    either side [ours].
    """
    dimensions = len(shape)
    keys = jax.random.split(jax.random.fold_in(key, Tag.TEST_SIGNALS), 5)

    def uniform(key, *last):
        return jax.scipy.special.ndtr(jnp.asarray(normal(key, (count, objects, *last))))

    axes = jnp.linalg.qr(jnp.asarray(normal(keys[0], (count, objects, dimensions, dimensions))))[0]
    pixels = np.indices(shape).reshape(dimensions, -1) / np.reshape(shape, (-1, 1))
    apart = pixels[None, None] - uniform(keys[1], dimensions)[..., None]
    inside = axes @ apart / (0.1 + 0.2 * uniform(keys[2], dimensions))[..., None]
    height = (0.3 + 0.7 * uniform(keys[3]))[..., None]
    return jnp.sum(height * jnp.sqrt(jnp.maximum(1 - jnp.sum(inside**2, axis=-2), 0.0)), axis=1)


class Pairs(NamedTuple):
    """Signals and their measurements, as rows."""

    signals: Float[Array, "samples signal_dim"]
    measurements: Float[Array, "samples measurement_dim"]


def measured(key: Key[Array, ""], energy: Energy, signals: Float[Array, "samples signal_dim"]) -> Pairs:
    """The signals with A x + s times standard normal noise."""
    clean = signals @ energy.operator.T
    return Pairs(signals, clean + energy.noise * normal(jax.random.fold_in(key, Tag.TRAINING_NOISE), clean.shape))


def errors(energy: Energy, pairs: Pairs, most: int) -> Float[Array, " samples"]:
    """The mean squared error of each reconstruction, from at most so many iterations that start at A^T y."""

    def error(signal, measurements):
        start = energy.operator.T @ measurements
        return jnp.mean((reconstruct(energy, measurements, start, most, 1e-6) - signal) ** 2)

    return jax.vmap(error)(*pairs)


def tuned(energy: Energy, kernels: Float[AnyArray, "filters taps"], log_weights: Float[AnyArray, " choices"],
          pairs: Pairs, most: int) -> Filters:  # fmt: skip
    """Filters with these `kernels` and the one weight, of those offered, with the least error on the `pairs`."""

    def with_weight(log_weight):
        return Filters(jnp.asarray(kernels), jnp.full(len(kernels), log_weight))

    def total(log_weight):
        return jnp.mean(errors(replace(energy, filters=with_weight(log_weight)), pairs, most))

    choices = jnp.asarray(log_weights)
    return with_weight(choices[jnp.argmin(jax.lax.map(total, choices))])


def learned(energy: Energy, filters: Filters, pairs: Pairs, most: int, steps: int, rate: float) -> Filters:
    """The filters of least mean squared error over all `pairs` that `steps` of Adam from `filters` meet."""
    optimizer = optax.chain(optax.clip_by_global_norm(CLIPPED), optax.adam(optax.cosine_decay_schedule(rate, steps)))

    def total(filters):
        return jnp.mean(jnp.log(errors(replace(energy, filters=filters), pairs, most)))

    def once(state, _):
        filters, memory, best, least = state
        error, slope = jax.value_and_grad(total)(filters)
        best = jax.tree.map(lambda new, old: jnp.where(error < least, new, old), filters, best)
        updates, memory = optimizer.update(slope, memory)
        return (optax.apply_updates(filters, updates), memory, best, jnp.minimum(error, least)), error

    start = filters, optimizer.init(filters), filters, jnp.inf
    return jax.lax.scan(once, start, length=steps)[0][2]
