"""Exact facts about the runs, and predictions to hold them against. Numbers in, numbers out.

The setting (Laus et al., arXiv 2502.15522): signals X = R Z on a subspace, measurements Y = A X + noise, gradient
descent on (1/2)||W_{L:1} Y - X||_F^2 + (lambda/2) sum_l ||W_l||_F^2 with step size eta. Facts that other modules
rest on, derived by us and held by tests, numbered for reference:

1.  Gradients of W_1 have rows in range(Y), so W_1(t) P_perp = (1 - eta lambda)^t W_1(0) P_perp.
2.  The off-subspace error falls like (1 - eta lambda)^{L t} at first, like (1 - eta lambda)^t late.
3.  With decay the fit settles at a plateau, for small lambda proportional to it; how small, a ratio says.
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

from .linearisation import Linearisation as Linearisation
from .linearisation import balanced_fit as balanced_fit
from .linearisation import contraction as contraction
from .linearisation import linearise as linearise
from .linearisation import steps_at_log_rate as steps_at_log_rate
from .linearisation import wide_extremes as wide_extremes
from .linearisation import wide_factor as wide_factor
from .linearisation import wide_linearisation as wide_linearisation
from .linearisation import wide_log_rate as wide_log_rate
from .off_subspace import default_decay_per_step as default_decay_per_step
from .off_subspace import off_range_decay as off_range_decay
from .off_subspace import off_subspace_constant as off_subspace_constant
from .off_subspace import off_subspace_early as off_subspace_early
from .off_subspace import off_subspace_late as off_subspace_late
from .off_subspace import steps_to_off_subspace as steps_to_off_subspace
from .references import best_linear_error as best_linear_error
from .references import least_error as least_error
from .references import local_oracle_error as local_oracle_error
from .references import local_oracle_gain as local_oracle_gain
from .references import minimum_norm_error as minimum_norm_error
from .references import union_oracle_error as union_oracle_error
from .regularized import ParallelPairs as ParallelPairs
from .regularized import errors_of_shares as errors_of_shares
from .regularized import largest_penalty as largest_penalty
from .regularized import last_penalty as last_penalty
from .regularized import local_minima as local_minima
from .regularized import optimal_fit as optimal_fit
from .regularized import parallel_pairs as parallel_pairs
from .regularized import penalty as penalty
from .regularized import regularized_values as regularized_values
from .regularized import shrinkage as shrinkage
from .settling import FIRST_ORDER as FIRST_ORDER
from .settling import FirstOrder as FirstOrder
from .settling import first_order as first_order
from .settling import plateau as plateau
from .sharpness import balanced_sharpness as balanced_sharpness
from .sharpness import optimum_sharpness as optimum_sharpness
from .start import initial_off_subspace_gain as initial_off_subspace_gain
from .start import oracle_noise_gain as oracle_noise_gain
from .trajectories import Parsimony as Parsimony
from .trajectories import aligned_layers as aligned_layers
from .trajectories import balanced_flow as balanced_flow
from .trajectories import mode_flow as mode_flow
from .trajectories import mode_recursion as mode_recursion
from .trajectories import parsimony as parsimony
from .trajectories import whitened as whitened
