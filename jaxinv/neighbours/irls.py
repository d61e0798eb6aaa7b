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

from typing import NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int

Signal = Float[Array, " signal_dim"]
Square = Float[Array, "signal_dim signal_dim"]


class Filters(NamedTuple):
    """What is learned: `kernels`, a row of taps for each filter, and the logarithms of their weights w_f."""

    kernels: Float[Array, "filters taps"]
    log_weights: Float[Array, " filters"]


class Energy(eqx.Module):
    """J for one operator: what is minimised for measurements y.

    `gram` is A^T A, once and for all; `table` has the pixels that a filter meets around each pixel, in the order of its
    taps; `noise` is s, the standard deviation of the noise, `smoothing` gamma and `power` p.
    """

    operator: Float[Array, "measurement_dim signal_dim"]
    gram: Square
    table: Int[Array, "signal_dim taps"]
    filters: Filters
    power: Float[Array, ""] | float
    smoothing: Float[Array, ""] | float
    noise: Float[Array, ""] | float

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
        data = self.gram / self.noise**2
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
