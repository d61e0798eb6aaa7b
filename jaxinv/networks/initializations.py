"""Where weights start: fan-in Gaussian, orthogonal or balanced layers."""

from itertools import pairwise

import jax
import jax.numpy as jnp

from ..draws import normal, orthonormal
from .layers import LayerProduct


def fan_in(keys, sizes):
    """Independent N(0, 1/fan_in) entries. Ours: the usual practical initialization."""
    return [
        normal(key, (out, inn)) * (1 / inn**0.5) for key, inn, out in zip(keys, sizes[:-1], sizes[1:], strict=True)
    ]  # fmt: skip


def orthogonal(keys, sizes):
    """Semi-orthogonal matrices times sqrt(max(1, out/in)), which matches the variances of fan_in."""
    weights = []
    for key, inn, out in zip(keys, sizes[:-1], sizes[1:], strict=True):
        columns = orthonormal(key, max(out, inn), min(out, inn))
        weights.append((columns if out >= inn else columns.T) * max(1.0, out / inn) ** 0.5)
    return weights


def balanced(keys, sizes):
    """Layers with W_{l+1}^T W_{l+1} = W_l W_l^T whose product is that of fan_in with the same keys.

    The singular values of the product, to the power 1/depth, stand between random orthonormal bases.
    """
    product = LayerProduct(tuple(map(jax.device_put, fan_in(keys, sizes)))).end_to_end()
    rank, depth = min(sizes), len(keys)
    left, values, right = jnp.linalg.svd(product, full_matrices=False)
    hidden = [orthonormal(jax.random.fold_in(key, 1), size, rank) for key, size in zip(keys, sizes[1:-1], strict=False)]
    bases = [right[:rank].T, *hidden, left[:, :rank]]
    roots = values[:rank] ** (1 / depth)
    return [(out * roots[None, :]) @ inn.T for inn, out in pairwise(bases)]


INITIALIZERS = {"fan_in": fan_in, "orthogonal": orthogonal, "balanced": balanced}
"""Initializations by name: functions of a key for each layer and of (measurement_dim, width, ..., signal_dim)."""
