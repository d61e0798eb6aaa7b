"""Exact facts about the runs, and predictions to hold them against. Numbers in, numbers out.

The setting (Laus et al., arXiv 2502.15522): signals X = R Z on a subspace, measurements Y = A X + noise, gradient
descent on (1/2)||W_{L:1} Y - X||_F^2 + (lambda/2) sum_l ||W_l||_F^2 with step size eta. Facts that other modules
rest on, derived by us and held by tests, numbered for reference:

1.  Gradients of W_1 have rows in range(Y), so W_1(t) P_perp = (1 - eta lambda)^t W_1(0) P_perp.
2.  The off-subspace error falls like (1 - eta lambda)^{L t} at first, like (1 - eta lambda)^t late.
3.  With decay the fit settles at a plateau proportional to lambda.
4.  With V the right singular vectors of Y (r of them), (X V, Y V) give the same gradients as (X, Y).
5.  With Y = U S V^T, W_1 U evolves by itself on (X V, S); fact 1 gives the rest of W_1. Not so for Adam.
6.  Zero rows of W_l and zero columns of W_{l+1} stay zero: widths can share one padded batch.
7.  Linearised at the start, the error of the fit contracts by 1 - eta K, K = sum_l (P_{l-1}^T P_{l-1}) kron (B_l B_l^T)
    with P_l = W_{l:1} Y and B_l = W_{L:l+1}; for wide networks K is near ((L-1) d_w/m + 1) Y^T Y kron I.
8.  Among factorisations of W, min sum_l ||W_l||_F^2 is L ||W||_{S_{2/L}}^{2/L}. So where X V and Y V have orthogonal
    columns, each singular value of the regularised optimum solves a scalar l_{2/L} problem: soft-thresholding at L = 2.
9.  ||W_{L:1} P_perp||_F is about sqrt((d/m)(m - s)) at a fan-in start; the oracle's norm sqrt(s m/(m - s - 1)).
10. In float32 a weight stops decaying where eta lambda comes near its rounding: 4% off at 1e-7, all off at 1e-8.
11. Rotations of signal and measurement space change no metric.

Marks: [exact] derived and checked numerically; [ours] leading order, with the accuracy we measured.
"""

import warnings
from collections.abc import Sequence
from typing import Any, NamedTuple

import jax
import numpy as np
from jaxtyping import Float

from .checks import fail
from .problem import Problem


def off_range_decay(steps: Any, step_size: float, weight_decay: float) -> Any:
    """(1 - step_size weight_decay)^steps: what the part of W_1 off range(Y) is multiplied by. [exact]

    Its gradient has no such part, so gradient descent with weight decay only shrinks it. Broadcasts over `steps`.
    """
    return np.exp(np.asarray(steps, float) * np.log1p(-step_size * weight_decay))


def off_subspace_early(steps: Any, initial: Any, depth: int, step_size: float, weight_decay: float) -> Any:
    """`initial` (1 - step_size weight_decay)^(depth steps): the off-subspace error at first, all layers shrinking.

    [ours] within 1% after 30 steps at the size of Fig. 1a; no longer once the data hold W_L ... W_2 in place.
    """
    return initial * off_range_decay(depth * np.asarray(steps), step_size, weight_decay)


def off_subspace_late(steps: Any, constant: Any, step_size: float, weight_decay: float) -> Any:
    """`constant` (1 - step_size weight_decay)^steps: the off-subspace error late in a run.

    `constant` is ||W_{L:2} W_1(0) P_perp||_2 late in that run. [exact] up to the drift of W_{L:2}.
    """
    return constant * off_range_decay(steps, step_size, weight_decay)


def steps_to_off_subspace(error: float, constant: float, step_size: float, weight_decay: float) -> float:
    """Steps after which the late off-subspace error is `error`; infinite without weight decay. Inverts the above."""
    if error >= constant:
        return 0.0
    if weight_decay == 0:
        return np.inf
    return float(np.log(error / constant) / np.log1p(-step_size * weight_decay))


def off_subspace_constant(steps: Any, error: Any, step_size: float, weight_decay: float) -> float:
    """c of `off_subspace_late` fitted to records: the median of error / (1 - eta lambda)^t over their later half."""
    steps, error = np.asarray(steps, float), np.asarray(error, float)
    late = steps >= steps[-1] / 2
    return float(np.median(error[late] / off_range_decay(steps[late], step_size, weight_decay)))


def plateau(problem: Problem, depth: int, weight_decay: Any) -> float:
    """The regression_error at which training with weight decay settles, for small decay. Fact 3. [ours]

    lambda ||U S^{2/L-1} V^T (Y^T)^+||_F / ||X||_F, where U S V^T is the oracle: first order in lambda; .0728 against
    .0764 run at the size of Fig. 1a with gamma = 0.1.
    """
    problem = jax.tree.map(np.asarray, problem)  # at its own precision, whatever JAX is set to
    left, values, right = np.linalg.svd(problem.oracle, full_matrices=False)
    kept = values > 1e-10 * values[0]
    pull = (left[:, kept] * values[kept] ** (2 / depth - 1)) @ right[kept]
    inverse = np.linalg.pinv(np.asarray(problem.measurements, np.float64), rcond=1e-10)
    return float(weight_decay * np.linalg.norm(pull @ inverse) / np.linalg.norm(problem.signals))


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
        """The smallest and the largest eigenvalue of K."""
        return self.smallest(), self.largest()

    def largest(self) -> float:
        """The largest eigenvalue of K, by Lanczos iteration; NaN where its residual is above 0.1% of it."""
        from scipy.sparse.linalg import ArpackNoConvergence, eigsh

        apply = self._operator(self.apply)
        try:
            # ARPACK would draw the start: so the same network gives the same bits
            values, vectors = eigsh(apply, 1, which="LA", v0=self._start(self._column())[:, 0])
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


def contraction(step_size: Any, extremes: tuple[float, float]) -> float:
    """max |1 - step_size mu| over eigenvalues mu of K between `extremes`: the factor of the late linear phase.

    At least 1 where step_size times the largest exceeds 2: linearised, the descent diverges. Fact 7. [ours] 0.98 to
    1.03 of the measured log-rate for wide networks.
    """
    return max(abs(1 - step_size * mu) for mu in extremes)


def wide_factor(width: Any, depth: Any, measurement_dim: int) -> Any:
    """(L-1) d_w/m + 1: what K is over Y^T Y as the width goes to infinity, at a fan-in start. Broadcasts."""
    return (depth - 1) * width / measurement_dim + 1


def wide_extremes(problem: Problem, width: int, depth: int) -> tuple[float, float]:
    """The extreme eigenvalues of K as the width goes to infinity, at a fan-in start: of ((L-1) d_w/m + 1) Y^T Y."""
    values = np.linalg.svd(np.asarray(problem.measurements, np.float64), compute_uv=False)
    factor = wide_factor(width, depth, problem.measurement_dim)
    return float(factor * values[problem.measurement_rank - 1] ** 2), float(factor * values[0] ** 2)


def initial_off_subspace_gain(signal_dim: int, measurement_dim: int, subspace_dim: int) -> float:
    """sqrt((d/m) (m - s)), the root mean square of ||W_{L:1} P_perp||_F at a fan-in initialization. [exact in mean]

    E W^T W = (d/m) I for independent N(0, 1/fan_in) layers; 13.8 at the size of Fig. 1a.
    """
    return float(np.sqrt(signal_dim / measurement_dim * (measurement_dim - subspace_dim)))


def oracle_noise_gain(measurement_dim: int, subspace_dim: int) -> float:
    """sqrt(s m / (m - s - 1)), the root mean square of ||R (A R)^+||_F for a Gaussian operator. [exact in mean]

    The trace of an inverse Wishart matrix; 2.3 at the size of Fig. 1a. Needs measurement_dim > subspace_dim + 1.
    """
    m, s = measurement_dim, subspace_dim
    return float(np.sqrt(s * m / (m - s - 1)))


class ParallelPairs(NamedTuple):
    """What fact 8 needs of a problem: singular values of X and Y in one basis V of sample space, each (rank,)."""

    signal_norms: Float[np.ndarray, " rank"]
    measured_norms: Float[np.ndarray, " rank"]


def parallel_pairs(problem: Problem) -> ParallelPairs:
    """The lengths x_i, y_i of the columns of X V and Y V, V the right singular vectors of Y. Fact 8. [exact]

    Raises ArgumentError where the columns of X V are not orthogonal; they are for condition number 1 without noise.
    """
    signals, measurements = (np.asarray(a, np.float64) for a in (problem.signals, problem.measurements))
    left, values, _ = np.linalg.svd(measurements, full_matrices=False)
    rank = problem.measurement_rank
    gram = signals.T @ left[:, :rank]
    gram = gram.T @ gram
    lengths = np.sqrt(np.diagonal(gram))
    if np.abs(gram - np.diag(np.diagonal(gram))).max() > 1e-8 * gram.max():
        raise fail("problem", "one whose X V has orthogonal columns, V the right singular vectors of Y", "another",
                   "use condition number 1 and no noise")  # fmt: skip
    return ParallelPairs(lengths, values[:rank])


def penalty(pairs: ParallelPairs, depth: int, weight_decay: float) -> Float[np.ndarray, " rank"]:
    """c_i = (lambda L / 2) x_i^(p-2) y_i^-p, p = 2/L: what decides how far the i-th singular value shrinks. Fact 8.

    With the singular value written as r x_i/y_i, the objective is x_i^2 (1/2 (r - 1)^2 + c_i r^p). [exact]
    """
    p = 2 / depth
    return 0.5 * weight_decay * depth * pairs.signal_norms ** (p - 2) * pairs.measured_norms**-p


def largest_penalty(depth: int) -> float:
    """The penalty up to which the minimiser of 1/2 (r - 1)^2 + c r^(2/L) is not 0: 1 at L = 2, infinite at L = 1."""
    if depth == 1:
        return np.inf
    p = 2 / depth
    # 0^0 = 1 at p = 1, where the formula is soft-thresholding's
    return float((2 - p) ** (p - 2) * (2 * (1 - p)) ** (1 - p))


def last_penalty(depth: int) -> float:
    """The penalty up to which 1/2 (r - 1)^2 + c r^(2/L) has a local minimum at some r > 0. [exact]

    From `largest_penalty` on it is not the global one, and gradient descent can stay there. Equal at L = 1 and 2.
    """
    if depth == 1:
        return np.inf
    p = 2 / depth
    return float((1 - p) ** (1 - p) / (p * (2 - p) ** (2 - p)))


def shrinkage(penalty: Any, depth: int) -> Float[np.ndarray, "..."]:
    """The global minimiser of 1/2 (r - 1)^2 + c r^(2/L) over r >= 0 for each `penalty` c. Fact 8. [exact]

    Above `largest_penalty` it is 0. Below, Newton's method from r = 1 falls monotonically to the larger stationary
    point, the derivative r - 1 + c p r^(p-1) being convex for p <= 1.
    """
    c, p = np.asarray(penalty, float), 2 / depth
    kept = c < largest_penalty(depth)
    r = np.ones_like(c)
    for _ in range(30):
        slope = r - 1 + c * p * r ** (p - 1)
        r = np.where(kept, r - slope / (1 + c * p * (p - 1) * r ** (p - 2)), 1.0)
    return np.where(kept, r, 0.0)


def regularized_values(pairs: ParallelPairs, depth: int, weight_decay: float) -> Float[np.ndarray, " rank"]:
    """Singular values of the end-to-end map at the global optimum of the training objective, by fact 8. [exact]

    In the order of `pairs`, from the largest y_i, so not sorted: (x_i y_i - lambda)_+ / y_i^2 at depth 2.
    """
    return pairs.signal_norms / pairs.measured_norms * shrinkage(penalty(pairs, depth, weight_decay), depth)
