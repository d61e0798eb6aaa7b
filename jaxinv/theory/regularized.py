"""Where training with weight decay ends: the regularised optimum, fact 8."""

from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Float

from ..arrays import rounding
from ..checks import fail
from ..problems.problem import Problem


class ParallelPairs(NamedTuple):
    """What fact 8 needs of a problem: singular values of X and Y in one basis V of sample space, each (rank,).

    Or arrays of more axes, for several problems; with names of their axes (xarray) for what broadcasts by name.
    """

    signal_norms: Any
    measured_norms: Any


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
    tolerance = max(1e-8, rounding(problem.signals))
    if np.abs(gram - np.diag(np.diagonal(gram))).max() > tolerance * gram.max():
        raise fail("problem", "one whose X V has orthogonal columns, V the right singular vectors of Y", "another",
                   "use condition number 1 and no noise")  # fmt: skip
    return ParallelPairs(lengths, values[:rank])


def penalty(pairs: ParallelPairs, depth: Any, weight_decay: Any) -> Any:
    """c_i = (lambda L / 2) x_i^(p-2) y_i^-p, p = 2/L: what decides how far the i-th singular value shrinks. Fact 8.

    With the singular value written as r x_i/y_i, the objective is x_i^2 (1/2 (r - 1)^2 + c_i r^p). [exact] Broadcasts,
    labelled arrays (xarray) by name.
    """
    p = 2 / depth
    return 0.5 * weight_decay * depth * pairs.signal_norms ** (p - 2) * pairs.measured_norms**-p


def largest_penalty(depth: Any) -> Any:
    """The penalty up to which the minimiser of 1/2 (r - 1)^2 + c r^(2/L) is not 0: 1 at L = 2, infinite at L = 1.

    Broadcasts.
    """
    p = 2 / np.asarray(depth, float)
    # 0^0 = 1 at p = 1, where the formula is soft-thresholding's
    return np.where(p == 2, np.inf, (2 - p) ** (p - 2) * (2 * (1 - p)) ** (1 - p))[()]


def last_penalty(depth: Any) -> Any:
    """The penalty up to which 1/2 (r - 1)^2 + c r^(2/L) has a local minimum at some r > 0. Broadcasts. [exact]

    From `largest_penalty` on it is not the global one, and gradient descent can stay there. Equal at L = 1 and 2.
    """
    p = 2 / np.asarray(depth, float)
    return np.where(p == 2, np.inf, (1 - p) ** (1 - p) / (p * (2 - p) ** (2 - p)))[()]


def local_minima(depth: int, points: int = 50) -> tuple[np.ndarray, np.ndarray]:
    """(c, r) along the local minima r > 0 of 1/2 (r - 1)^2 + c r^(2/L) that are not global, depth 2 or more. [exact]

    From `last_penalty` to `largest_penalty`: c is that at which the slope at r is 0.
    """
    p = 2 / depth
    r = np.linspace((1 - p) / (2 - p), 2 * (1 - p) / (2 - p), points)
    return (1 - r) * r ** (1 - p) / p, r


def shrinkage(penalty: Any, depth: Any) -> Float[np.ndarray, "..."]:
    """The global minimiser of 1/2 (r - 1)^2 + c r^(2/L) over r >= 0 for each `penalty` c. Broadcasts. Fact 8. [exact]

    Above `largest_penalty` it is 0, for NaN it is NaN. Below, Newton's method from r = 1 falls monotonically to the
    larger stationary point, the derivative r - 1 + c p r^(p-1) being convex for p <= 1.
    """
    c, p = np.asarray(penalty, float), 2 / np.asarray(depth, float)
    kept = c < largest_penalty(depth)
    rest, c = np.where(np.isnan(c), np.nan, 0.0), np.where(kept, c, 0.0)
    r = np.ones_like(c)
    for _ in range(30):
        slope = r - 1 + c * p * r ** (p - 1)
        r = r - slope / (1 + c * p * (p - 1) * r ** (p - 2))
    return np.where(kept, r, rest)


def regularized_values(pairs: ParallelPairs, depth: int, weight_decay: float) -> Float[np.ndarray, " rank"]:
    """Singular values of the end-to-end map at the global optimum of the training objective, by fact 8. [exact]

    In the order of `pairs`, from the largest y_i, so not sorted: (x_i y_i - lambda)_+ / y_i^2 at depth 2.
    """
    return pairs.signal_norms / pairs.measured_norms * shrinkage(penalty(pairs, depth, weight_decay), depth)


def optimal_fit(problem: Problem, depth: int, weight_decay: float) -> float:
    """The regression_error where the training objective is least, by fact 8. [exact]

    That of a regularizer of the map W in place of the decay of its layers, too: weight_decay (1/2)||W||_F^2 is depth 1,
    weight_decay ||W||_* is depth 2. Raises ArgumentError where `parallel_pairs` does.
    """
    pairs = parallel_pairs(problem)
    return float(errors_of_shares(pairs, shrinkage(penalty(pairs, depth, weight_decay), depth))[0])


def errors_of_shares(pairs: ParallelPairs, shares: Any, axis: Any = -1) -> tuple[Any, Any]:
    """(regression_error, noise_gain over the oracle's) of the map whose i-th singular value is shares_i x_i/y_i.

    The pairs are along `axis`: a number, or its name where arrays are labelled (xarray). [exact]
    """
    x, y = pairs
    error, signals, gain, oracle = ((a**2).sum(axis) ** 0.5 for a in ((1 - shares) * x, x, shares * x / y, x / y))
    return error / signals, gain / oracle
