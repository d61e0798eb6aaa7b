"""How the off-subspace error decays: facts 1 and 2."""

from typing import Any

import numpy as np

from ..checks import fail
from .linearisation import steps_at_log_rate


def off_range_decay(steps: Any, step_size: Any, weight_decay: Any) -> Any:
    """(1 - step_size weight_decay)^steps: what the part of W_1 off range(Y) is multiplied by. [exact]

    Its gradient has no such part, so gradient descent with weight decay only shrinks it. Numbers or arrays, which
    broadcast, labelled ones (xarray) by name.
    """
    return np.exp(steps * np.log1p(-step_size * weight_decay))


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


def steps_to_off_subspace(error: Any, constant: Any, step_size: Any, weight_decay: Any) -> Any:
    """Steps after which the late off-subspace error is `error`; infinite without weight decay. Inverts the above.

    0 where `constant` is no larger than `error`. Broadcasts.
    """
    return steps_at_log_rate(error, constant, -np.log1p(-step_size * weight_decay))


def off_subspace_constant(steps: Any, error: Any, step_size: float, weight_decay: float, until: float = 1.0) -> float:
    """c of `off_subspace_late` fitted to records: the median of error / (1 - eta lambda)^t over their later half.

    Of records up to a share `until` of all steps, so that the rest can be held against it.
    """
    steps, error = np.asarray(steps, float), np.asarray(error, float)
    last = steps[steps <= until * steps[-1]][-1]
    late = (steps >= last / 2) & (steps <= last)
    return float(np.median(error[late] / off_range_decay(steps[late], step_size, weight_decay)))


def default_decay_per_step(
    gamma: Any, depth: Any, width: Any, signal_dim: int, measurement_dim: int, condition_number: float
) -> Any:
    """step_size * weight_decay of the defaults of `gradient_descent`, from the sizes of the problem alone. Broadcasts.

    gamma m sqrt(m/d) / (L d_w kappa^2) for signals on one subspace, with m in place of d_w at L = 1. [exact]
    Raises ArgumentError for a size or a condition number that is not above 0.
    """
    sizes = {"depth": depth, "width": width, "signal_dim": signal_dim, "condition_number": condition_number}
    for name, value in sizes.items():
        if not np.all(np.asarray(value) > 0):
            raise fail(name, "above 0", repr(value), "pass a number above 0")
    m, d = measurement_dim, signal_dim
    columns = width * (depth > 1) + m * (depth == 1)
    return gamma * (m * (m / d) ** 0.5 / (depth * columns * condition_number**2))
