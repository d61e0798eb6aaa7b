"""Training without decay, linearised at a network, and its limit of infinite width: fact 7."""

import warnings
from collections.abc import Iterable, Sequence
from functools import reduce
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Float

from ..problems.problem import Problem

WHOLE = 512
"""Up to so many rows K is made as a matrix: its eigenvalues take 10 ms at 400 rows, iterations take 70."""

LOST = 1e-12
"""Eigenvalues below this share of the largest are not known to 0.1%."""


class Linearisation(NamedTuple):
    """Gradient descent without decay, linearised at a network: E <- E - step_size K(E). Fact 7. [exact] at the start

    E, (rank, signal_dim), is the error of the fit on compressed data, K(E) = sum_l inputs[l] E outputs[:, l] with
    `inputs` (depth, rank, rank) = P_{l-1}^T P_{l-1} and `outputs` (signal_dim, depth, signal_dim) = B_l B_l^T. `error`
    is E at the network, in units in which `beyond`, the part of X that no linear map reaches, and it have norm
    regression_error together.
    """

    inputs: Float[np.ndarray, "depth rank rank"]
    outputs: Float[np.ndarray, "signal_dim depth signal_dim"]
    error: Float[np.ndarray, "rank signal_dim"]
    beyond: float

    def apply(self, error: Float[np.ndarray, "rank signal_dim"]) -> Float[np.ndarray, "rank signal_dim"]:
        """K(error), without the matrix K of rank x signal_dim rows."""
        rank, size = error.shape
        # two matrix products: all layers beside each other
        through = (error @ self.outputs.reshape(size, -1)).reshape(rank, -1, size)
        return self.inputs.swapaxes(0, 1).reshape(rank, -1) @ through.swapaxes(0, 1).reshape(-1, size)

    def extremes(self) -> tuple[float, float]:
        """The smallest and the largest eigenvalue of K: of the whole matrix where it is small, by iteration else.

        NaN for a smallest one that is lost in rounding.
        """
        size = self.error.size
        if size > WHOLE:
            return self.smallest(), self.largest()
        whole = np.tensordot(self.inputs, self.outputs, axes=(0, 1)).swapaxes(1, 2).reshape(size, size)
        values = np.linalg.eigvalsh(whole)
        return float(values[0]) if values[0] > LOST * values[-1] else np.nan, float(values[-1])

    def stable_step_size(self, share: float = 1.0) -> float:
        """`share` of 2 / the largest eigenvalue of K: beyond all of it the linearised descent diverges."""
        return share * 2 / self.largest()

    def largest(self) -> float:
        """The largest eigenvalue of K, by Lanczos iteration; NaN where its residual is above 0.1% of it."""
        from scipy.sparse.linalg import ArpackNoConvergence, eigsh

        apply, start = self._operator(self.apply), self._start(self._column())[:, 0]
        if self.error.size == 1:
            return float(self.apply(np.ones((1, 1)))[0, 0])
        if not np.any(apply.matvec(start)):
            return 0.0
        try:
            # ARPACK would start at random: this way the same network gives the same bits
            values, vectors = eigsh(apply, 1, which="LA", v0=start)
        except ArpackNoConvergence:
            return np.nan
        return _checked(apply, values[0], vectors[:, 0])

    def smallest(self) -> float:
        """The smallest eigenvalue of K, by LOBPCG; NaN where its residual is above 0.1% of it.

        Outputs are near multiples of the identity, inputs may be ill-conditioned: these precondition.
        """
        from scipy.sparse.linalg import lobpcg

        apply, column = self._operator(self.apply), self._column()
        inverse = np.linalg.inv(column)
        tolerance = 1e-9 * np.linalg.norm(column, 2)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", UserWarning)  # that not all of the block converged: `_checked` decides
            made = lobpcg(apply, self._start(column), M=self._operator(lambda e: inverse @ e), largest=False,
                          tol=tolerance, maxiter=500)  # fmt: skip
        return _checked(apply, made[0].min(), made[1][:, made[0].argmin()])

    def _column(self) -> Float[np.ndarray, "rank rank"]:
        """The mean of K over signal space."""
        trace = np.trace(self.outputs, axis1=0, axis2=2)
        return (self.inputs * trace[:, None, None]).sum(axis=0) / len(self.outputs)

    def _start(self, column) -> Float[np.ndarray, "size block"]:
        """Where iterations start: the lowest direction of the inputs times the lowest of the outputs."""
        rows, columns = (np.linalg.eigh(part)[1] for part in (column, self.outputs.sum(axis=1)))
        block = min(4, len(columns))
        start = np.stack([np.outer(rows[:, 0], columns[:, i]).ravel() for i in range(block)], axis=1)
        # what the start is exactly orthogonal to would never be found
        return start + 1e-3 / len(start) ** 0.5 * np.random.default_rng(0).normal(size=start.shape)

    def _operator(self, function) -> Any:
        from scipy.sparse.linalg import LinearOperator

        shape, size = self.error.shape, self.error.size
        return LinearOperator((size, size), matvec=lambda v: function(v.reshape(shape)).ravel(), dtype=np.float64)  # pyright: ignore[reportCallIssue]

    def curve(self, step_size: Any, steps: int, until: float = 0.0) -> Float[np.ndarray, " steps_and_0"]:
        """The regression_error after 0, 1, ..., `steps` linearised steps; it ends early at `until`, or above 1e100."""
        error, curve = self.error, []
        for _ in range(steps + 1):
            curve.append(np.hypot(np.linalg.norm(error), self.beyond))
            if not until < curve[-1] <= 1e100:
                break
            error = error - step_size * self.apply(error)
        return np.array(curve)


def _checked(operator, value, vector) -> float:
    """`value`, or NaN unless its residual proves an eigenvalue within 0.1% of it."""
    residual = np.linalg.norm(operator.matvec(vector) - value * vector) / np.linalg.norm(vector)
    return float(value) if residual <= 1e-3 * value else np.nan


def linearise(problem: Problem, weights: Sequence[Any]) -> Linearisation:
    """The linearisation of training a layer product of `weights` (out, in), W_1 first, on `problem`."""
    layers = [np.asarray(weight, np.float64) for weight in weights]
    signals = np.asarray(problem.signals, np.float64)
    left, values, right = np.linalg.svd(np.asarray(problem.measurements, np.float64), full_matrices=False)
    rank = problem.measurement_rank
    targets = left[:, :rank].T @ signals
    forward = [values[:rank, None] * right[:rank]]
    for weight in layers:
        forward.append(forward[-1] @ weight.T)
    backward = [np.eye(signals.shape[1])]
    for weight in layers[:0:-1]:
        backward.append(backward[-1] @ weight)
    scale = np.linalg.norm(signals)
    return Linearisation(
        inputs=np.stack([rows @ rows.T for rows in forward[:-1]]),
        outputs=np.stack([rows @ rows.T for rows in backward[::-1]], axis=1),
        error=(forward[-1] - targets) / scale,
        beyond=float(np.linalg.norm(signals - left[:, :rank] @ targets) / scale),
    )


def balanced_fit(problem: Problem, depth: int) -> list[Float[np.ndarray, "_ _"]]:
    """Balanced layers, W_1 first, whose product is X Y^+: where training without decay from a small start ends."""
    signals, measurements = (np.asarray(rows, np.float64) for rows in (problem.signals, problem.measurements))
    samples, values, right = np.linalg.svd(measurements, full_matrices=False)
    rank = problem.measurement_rank
    left, gains, inner = np.linalg.svd((signals.T @ samples[:, :rank]) / values[:rank], full_matrices=False)
    if depth == 1:
        return [left * gains @ inner @ right[:rank]]
    root = gains ** (1 / depth)
    return [root[:, None] * inner @ right[:rank], *[np.diag(root)] * (depth - 2), left * root]


def contraction(step_size: Any, extremes: Iterable[Any]) -> Any:
    """max |1 - step_size mu| over eigenvalues mu of K between `extremes`: the factor of the late linear phase.

    At least 1 where step_size times the largest exceeds 2: linearised, the descent diverges. Fact 7. Broadcasts. [ours]
    0.98 to 1.03 of the measured log-rate for wide networks.
    """
    return reduce(np.maximum, [abs(1 - step_size * mu) for mu in extremes])


def wide_factor(width: Any, depth: Any, measurement_dim: int) -> Any:
    """(L-1) d_w/m + 1: what K is over Y^T Y as the width goes to infinity, at a fan-in start. Broadcasts."""
    return (depth - 1) * width / measurement_dim + 1


def wide_log_rate(step_size: Any, values: Iterable[Any], factor: Any) -> Any:
    """-log of `contraction` as the width goes to infinity: how fast the fit falls; below 0 where it grows.

    `values` are the extreme singular values of Y, or one alone: then of the part of the fit that goes with it. `factor`
    is `wide_factor`. Broadcasts.
    """
    with np.errstate(divide="ignore"):
        return -np.log(contraction(step_size, [factor * value**2 for value in values]))


def steps_at_log_rate(level: Any, start: Any, log_rate: Any) -> Any:
    """Steps in which an error falls from `start` to `level`, multiplied by exp(-log_rate) in each. Broadcasts.

    0 where it is there at the start, infinite where it is not and does not fall.
    """
    least = np.nextafter(0.0, 1.0)  # so that 0 is divided by no 0
    with np.errstate(divide="ignore", over="ignore"):
        return np.maximum(np.log(start / level), 0) / np.maximum(log_rate, least)


def wide_linearisation(problem: Problem, width: int, depth: int) -> Linearisation:
    """The linearisation at a fan-in start as the width goes to infinity, where K = ((L-1) d_w/m + 1) Y^T Y kron I.

    K treats all directions of signal space alike, so there is one: the entries of `error` are lengths of its rows. In
    the limit W_{L:1} has independent N(0, 1/m) entries: their squares are ||x_i||^2 + (d/m) y_i^2 in the mean, x_i and
    y_i the columns of X V and of Y V (fact 4). [exact] in the limit, but for that mean.
    """
    signals = np.asarray(problem.signals, np.float64)
    left, values, _ = np.linalg.svd(np.asarray(problem.measurements, np.float64), full_matrices=False)
    rank, scale = problem.measurement_rank, np.linalg.norm(signals)
    targets, squares = left[:, :rank].T @ signals, values[:rank] ** 2
    lengths = np.sqrt(np.sum(targets**2, axis=1) + problem.signal_dim / problem.measurement_dim * squares)
    return Linearisation(
        inputs=wide_factor(width, depth, problem.measurement_dim) * np.diag(squares)[None],
        outputs=np.ones((1, 1, 1)),
        error=lengths[:, None] / scale,
        beyond=float(np.linalg.norm(signals - left[:, :rank] @ targets) / scale),
    )


def wide_extremes(problem: Problem, width: int, depth: int) -> tuple[float, float]:
    """The extreme eigenvalues of K as the width goes to infinity, at a fan-in start: of ((L-1) d_w/m + 1) Y^T Y."""
    values = np.linalg.svd(np.asarray(problem.measurements, np.float64), compute_uv=False)
    factor = wide_factor(width, depth, problem.measurement_dim)
    return float(factor * values[problem.measurement_rank - 1] ** 2), float(factor * values[0] ** 2)
