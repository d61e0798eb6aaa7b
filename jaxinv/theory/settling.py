"""Where the fit settles under weight decay: fact 3, and the convex problem of fact 8 where first order is too rough."""

from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Float

from ..arrays import numerical_rank, rounding
from ..checks import check_number, fail
from ..problems.problem import Problem

FIRST_ORDER = 0.1
"""Up to this `ratio` the plateau is taken to first order: then about 10% off at most, at any depth."""


class FirstOrder(NamedTuple):
    """The plateau to first order in the weight decay, and the `ratio` that says whether that holds: where it is small.

    `ratio` is the largest relative change of a singular direction of X Y^+: lambda S_i^{2/L-2} ||(Y Y^T)^+ v_i||.
    """

    plateau: Any
    ratio: Any


class _Fit(NamedTuple):
    """1/2 ||M diag(values) - targets||_F^2 has the training problem's minima: M = Q^T W U, U of Y = U diag(values) V^T.

    Q spans the columns of X V. `left`, `gains` and `right` are the singular value decomposition of the least-squares M;
    `residual` is the part of ||X||_F, which is `scale`, that no linear map of Y reaches.
    """

    targets: Float[np.ndarray, "signal_rank rank"]
    values: Float[np.ndarray, " rank"]
    left: Float[np.ndarray, "signal_rank signal_rank"]
    gains: Float[np.ndarray, " signal_rank"]
    right: Float[np.ndarray, "signal_rank rank"]
    residual: float
    scale: float


def plateau(problem: Problem, depth: int, weight_decay: Any) -> float:
    """The regression_error at which training with weight decay settles. Facts 3 and 8.

    Depth 1 is ridge regression. [exact] Deeper, to first order in the weight decay where its ratio is at most
    FIRST_ORDER [ours]; elsewhere at depth 2 that of the convex nuclear-norm problem, by proximal gradient descent, NaN
    where its duality gap leaves more than 0.1% open [exact]. Raises ArgumentError elsewhere at depth 3 and more.
    """
    check_number("weight_decay", weight_decay)
    decay, fit = float(weight_decay), _fit(problem)
    if depth == 1:
        return float(np.hypot(np.linalg.norm(fit.targets * decay / (fit.values**2 + decay)), fit.residual) / fit.scale)
    first = _first_order(fit, depth, decay)
    if first.ratio <= FIRST_ORDER:
        return float(first.plateau)
    if depth > 2:
        raise fail("weight_decay", f"at most {FIRST_ORDER * decay / first.ratio:.3g}, where the plateau at depth "
                   f"{depth} is known to first order", f"{decay:.3g}", "pass less, or depth 1 or 2")  # fmt: skip
    return _nuclear_norm_plateau(fit, decay, first.ratio)


def first_order(problem: Problem, depth: int, weight_decay: Any) -> FirstOrder:
    """The plateau to first order, whether or not that holds, and the ratio that says so. Fact 3. Broadcasts. [ours]

    lambda ||U S^{2/L-1} V^T (Y^T)^+||_F / ||X||_F, where U S V^T is X Y^+, and the residual of least squares beside it;
    .0728 against .0764 run at the size of Fig. 1a with gamma = 0.1.
    """
    return _first_order(_fit(problem), depth, weight_decay)


def _first_order(fit: _Fit, depth: int, weight_decay: Any) -> FirstOrder:
    change = _change(fit, depth)
    rows = np.linalg.norm(change, axis=1) / fit.gains  # the left factor is orthogonal
    moved = np.linalg.norm(change * fit.values)
    return FirstOrder(np.hypot(weight_decay * moved, fit.residual) / fit.scale, weight_decay * rows.max())


def _change(fit: _Fit, depth: int) -> Float[np.ndarray, "signal_rank rank"]:
    """U^T of what first order takes from X Y^+ for each unit of weight decay: S^{2/L-1} V^T (Y Y^T)^+."""
    return fit.gains[:, None] ** (2 / depth - 1) * fit.right / fit.values**2


def _fit(problem: Problem) -> _Fit:
    """The training problem in float64; what is rounding is told by the float type that it is given in."""
    signals, measurements = (np.asarray(rows, np.float64) for rows in (problem.signals, problem.measurements))
    samples, values, _ = np.linalg.svd(measurements, full_matrices=False)
    samples, values = samples[:, : problem.measurement_rank], values[: problem.measurement_rank]
    reached = samples.T @ signals
    rows, lengths, _ = np.linalg.svd(reached.T, full_matrices=False)
    targets = rows[:, : numerical_rank(lengths, rounding(problem.signals))].T @ reached.T
    left, gains, right = np.linalg.svd(targets / values, full_matrices=False)
    residual = float(np.linalg.norm(signals - samples @ reached))
    return _Fit(targets, values, left, gains, right, residual, float(np.linalg.norm(signals)))


def _nuclear_norm_plateau(fit: _Fit, weight_decay: float, ratio: float, rounds: int = 1000) -> float:
    """The error of the minimiser of 1/2 ||M diag(values) - targets||_F^2 + weight_decay ||M||_*.

    Accelerated proximal gradient descent, started anew where it turns back, in rounds of 50 steps; from first order,
    which is exact without noise up to ratio 1, or from 0. A duality gap g bounds the error of the fit by sqrt(2 g).
    """
    exact = fit.left * fit.gains @ fit.right - weight_decay * fit.left @ _change(fit, 2)
    current = exact if ratio <= 1 else np.zeros_like(exact)
    rate, ahead, momentum = 1 / fit.values[0] ** 2, current, 1.0
    error, open_ = np.inf, np.inf
    for _ in range(rounds):
        error, open_ = _error_and_gap(fit, current, weight_decay)
        if open_ <= max(1e-6 * error, 1e-7 * fit.scale):
            break
        for _ in range(50):
            gradient = (ahead * fit.values - fit.targets) * fit.values
            left, values, right = np.linalg.svd(ahead - rate * gradient, full_matrices=False)
            following = left * np.maximum(values - rate * weight_decay, 0) @ right
            if np.sum((ahead - following) * (following - current)) > 0:
                momentum = 1.0
            faster = (1 + (1 + 4 * momentum**2) ** 0.5) / 2
            ahead = following + (momentum - 1) / faster * (following - current)
            current, momentum = following, faster
    return error / fit.scale if open_ <= 1e-3 * error else np.nan


def _error_and_gap(fit: _Fit, current, weight_decay: float) -> tuple[float, float]:
    """The error of a map on the training data, and how far that of the optimum can be from it, by duality."""
    error = fit.targets - current * fit.values
    share = min(1.0, weight_decay / np.linalg.norm(error * fit.values, 2))
    penalty = weight_decay * np.linalg.norm(current, "nuc") - share * np.sum(error * current * fit.values)
    gap = 0.5 * (1 - share) ** 2 * np.sum(error**2) + penalty
    return float(np.hypot(np.linalg.norm(error), fit.residual)), float(np.sqrt(2 * max(gap, 0)))
