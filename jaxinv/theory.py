"""Exact predictions to hold runs against. Numbers in, numbers out; the facts are those the README lists.

Marks: [exact] derived and checked numerically; [ours] leading order, with the accuracy we measured.
"""

from typing import Any

import numpy as np


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
