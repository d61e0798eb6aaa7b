"""Where weights start: Gaussian, orthogonal, balanced or identity layers."""

from collections.abc import Callable, Sequence
from itertools import pairwise
from typing import Any

import jax.numpy as jnp
import numpy as np

from ..checks import fail
from ..draws import normal, orthonormal
from ..registry import Registry, check_function
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
    product = LayerProduct(tuple(map(jnp.asarray, fan_in(keys, sizes)))).end_to_end()
    rank, depth = min(sizes), len(keys)
    left, values, right = jnp.linalg.svd(product, full_matrices=False)
    hidden = [orthonormal(key, size, rank, 1) for key, size in zip(keys, sizes[1:-1], strict=False)]
    bases = [right[:rank].T, *hidden, left[:, :rank]]
    roots = values[:rank] ** (1 / depth)
    return [(out * roots[None, :]) @ inn.T for inn, out in pairwise(bases)]


def fan_out(keys, sizes):
    """Independent N(0, 1/fan_out) entries. Ours: the power of gradients, not of signals, is kept."""
    return [
        normal(key, (out, inn)) * (1 / out**0.5) for key, inn, out in zip(keys, sizes[:-1], sizes[1:], strict=True)
    ]  # fmt: skip


def small(keys, sizes):
    """Those of fan_in, each times 100^(-1/depth): their product is a hundredth of that of fan_in. Ours."""
    return [weight * 0.01 ** (1 / len(keys)) for weight in fan_in(keys, sizes)]


def identity(keys, sizes):
    """Rectangular identity matrices: ones on the diagonal, zeros elsewhere. No random numbers."""
    return [np.eye(out, inn, dtype=jnp.result_type(float)) for inn, out in pairwise(sizes)]


def zero_asymmetric(keys, sizes):
    """Identity matrices, and a last layer of zeros (Wu, Wang, Ma, arXiv 1911.00645, there for square layers).

    With a width of at least measurement_dim, W_{L:1}(t) P_perp = 0 after any number t of steps of gradient descent with
    or without weight decay, P_perp being the projector onto range(Y)^perp. With S the image of range(Y) under W_1(0),
    an isometry: by induction rows of W_L stay in S, the layers between are multiples of the identity off S and map S
    to itself, and W_1 maps range(Y) to S and its complement to that of S. [exact]
    """
    *first, last = identity(keys, sizes)
    return [*first, 0 * last]


def _made(name: str | None, given: Any) -> Callable[..., Any]:
    check_function("init", given, "(keys, sizes)", 2)

    def checked(keys, sizes):
        made, wanted = given(keys, sizes), [(out, inn) for inn, out in pairwise(sizes)]
        weights = [*made] if isinstance(made, Sequence) else [made]
        shapes = [getattr(weight, "shape", None) for weight in weights]
        if shapes != wanted:
            raise fail("init", f"a function that gives arrays of shapes {wanted}", f"{shapes}", "give (out, in) arrays")
        return weights

    return checked


INITIALIZERS: Registry[Callable[..., Any]] = Registry("init", _made, {
    "fan_in": fan_in, "fan_out": fan_out, "orthogonal": orthogonal, "balanced": balanced, "identity": identity,
    "zero_asymmetric": zero_asymmetric, "small": small,
})  # fmt: skip
"""Initializations by name: functions of a key for each layer and of (measurement_dim, width, ..., signal_dim)."""
