"""Exact facts about the runs, and predictions to hold them against. Numbers in, numbers out.

The setting (Laus et al., arXiv 2502.15522): signals X = R Z on a subspace, measurements Y = A X + noise, gradient
descent on (1/2)||W_{L:1} Y - X||_F^2 + (lambda/2) sum_l ||W_l||_F^2 with step size eta. Facts that other modules
rest on, derived by us and held by tests, numbered for reference:

1.  Gradients of W_1 have rows in range(Y), so W_1(t) P_perp = (1 - eta lambda)^t W_1(0) P_perp.
2.  The off-subspace error falls like (1 - eta lambda)^{L t} at first, like (1 - eta lambda)^t late.
4.  With V the right singular vectors of Y (r of them), (X V, Y V) give the same gradients as (X, Y).
5.  With Y = U S V^T, W_1 U evolves by itself on (X V, S); fact 1 gives the rest of W_1. Not so for Adam.
6.  Zero rows of W_l and zero columns of W_{l+1} stay zero: widths can share one padded batch.
9.  ||W_{L:1} P_perp||_F is about sqrt((d/m)(m - s)) at a fan-in start; the oracle's norm sqrt(s m/(m - s - 1)).
10. In float32 a weight stops decaying where eta lambda comes near its rounding: 4% off at 1e-7, all off at 1e-8.
11. Rotations of signal and measurement space change no metric.

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
