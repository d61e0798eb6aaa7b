"""Linear maps to compare with, each (signal_dim, measurement_dim): oracle, minimum norm, ridge, truncated SVD."""

from .problems.baselines import minimum_norm as minimum_norm
from .problems.baselines import oracle as oracle
from .problems.baselines import ridge as ridge
from .problems.baselines import truncated_svd as truncated_svd
