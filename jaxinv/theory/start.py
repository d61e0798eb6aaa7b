"""Noise gains of the network at its start and of the oracle: fact 9."""

from typing import Any

import numpy as np


def initial_off_subspace_gain(signal_dim: Any, measurement_dim: Any, subspace_dim: Any) -> Any:
    """sqrt((d/m) (m - s)), the root mean square of ||W_{L:1} P_perp||_F at a fan-in initialization. [exact in mean]

    E W^T W = (d/m) I for independent N(0, 1/fan_in) layers; 13.8 at the size of Fig. 1a. Broadcasts.
    """
    return np.sqrt(signal_dim / measurement_dim * (measurement_dim - subspace_dim))


def oracle_noise_gain(measurement_dim: Any, subspace_dim: Any) -> Any:
    """sqrt(s m / (m - s - 1)), the root mean square of ||R (A R)^+||_F for a Gaussian operator. [exact in mean]

    The trace of an inverse Wishart matrix; 2.3 at the size of Fig. 1a. Needs measurement_dim > subspace_dim + 1.
    Broadcasts.
    """
    m, s = measurement_dim, subspace_dim
    return np.sqrt(s * m / (m - s - 1))
