"""The sharpness of balanced networks: the largest eigenvalue of K where the pairs of fact 8 part them into modes."""

from typing import Any

import numpy as np

from ..problems.problem import Problem
from .regularized import parallel_pairs, regularized_values


def balanced_sharpness(values: Any, measured_norms: Any, depth: int) -> float:
    """mu_max(K) of a balanced layer product whose map has the singular `values` s_i on the pairs of fact 8. [exact]

    The eigenvalues of K are y_i^2 sum_l s_i^{2(l-1)/L} s_j^{2(L-l)/L} for each pair of modes i, j, and those with 0 in
    place of s_j: `measured_norms` are the y_i.
    """
    powers = 2 * np.arange(depth) / depth
    inner, outer = (np.asarray(values, float)[:, None] ** each for each in (powers, powers[::-1]))
    return float(np.max(np.asarray(measured_norms, float)[:, None] ** 2 * (inner @ outer.T)))


def optimum_sharpness(problem: Problem, depth: int, weight_decay: float) -> float:
    """mu_max(K) where training with weight decay ends: at the balanced regularised optimum of fact 8. [exact]

    Layers become balanced like exp(-2 lambda t). Raises ArgumentError where `parallel_pairs` does.
    """
    pairs = parallel_pairs(problem)
    return balanced_sharpness(regularized_values(pairs, depth, weight_decay), pairs.measured_norms, depth)
