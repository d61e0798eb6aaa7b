"""The layer product W_L ... W_1, the same layers with ReLUs between them, and where their weights start."""

from functools import reduce
from itertools import pairwise
from typing import ClassVar

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Key

from .checks import AnyArray, check_count, check_known, check_number
from .draws import Tag, normal, orthonormal
from .problem import Problem

FEW_ROWS = 16
"""Up to so many rows (compressed data have few) a layer's gradient is a fused sum of outer products."""


class Layers(eqx.Module):
    """A chain of layers without biases. `weights` holds (out, in) arrays, W_1 first."""

    weights: tuple[Float[AnyArray, "_ _"], ...]
    is_linear: ClassVar[bool]

    @property
    def depth(self) -> int:
        """Number of layers, L."""
        return len(self.weights)

    @property
    def width(self) -> int:
        """The widest hidden layer, d_w; the number of measurements for a single layer."""
        return max((w.shape[0] for w in self.weights[:-1]), default=self.weights[0].shape[1])


class LayerProduct(Layers):
    """The linear network x_hat = W_L ... W_1 y."""

    is_linear: ClassVar[bool] = True

    def __call__(
        self, measurements: Float[AnyArray, "samples measurement_dim"]
    ) -> Float[AnyArray, "samples signal_dim"]:
        """Reconstructions of `measurements`; samples are rows."""
        return reduce(_layer, self.weights, measurements)

    def end_to_end(self) -> Float[AnyArray, "signal_dim measurement_dim"]:
        """W_{L:1}, the matrix of the whole map."""
        # from the left: signal_dim rows stay few where the hidden layers are wide
        return reduce(lambda product, weight: product @ weight, self.weights[::-1])


class ReluNetwork(Layers):
    """The network x_hat = W_L relu(W_{L-1} ... relu(W_1 y)): positively homogeneous, not linear."""

    is_linear: ClassVar[bool] = False

    def __call__(
        self, measurements: Float[AnyArray, "samples measurement_dim"]
    ) -> Float[AnyArray, "samples signal_dim"]:
        """Reconstructions of `measurements`; samples are rows."""
        rows = measurements
        for weight in self.weights[:-1]:
            rows = jax.nn.relu(_layer(rows, weight))
        return _layer(rows, self.weights[-1])


def layer_product(
    key: Key[Array, ""],
    problem: Problem,
    *,
    width: int = 400,
    depth: int = 5,
    init: str = "fan_in",
    scale: float = 1.0,
) -> LayerProduct:
    """A layer product for `problem` with `depth` layers, hidden width `width`, every layer times `scale`.

    `init` is one of INITIALIZERS. Depth 1 is a single (signal_dim, measurement_dim) matrix, which has no width.
    The same key and depth give the same draws whatever the problem. Raises ArgumentError for a bad argument.
    """
    return LayerProduct(tuple(_initial(key, problem, width, depth, init, scale)))


def relu_network(
    key: Key[Array, ""],
    problem: Problem,
    *,
    width: int = 400,
    depth: int = 5,
    init: str = "fan_in",
    scale: float = 1.0,
) -> ReluNetwork:
    """A ReLU network for `problem`, its weights those of `layer_product` times sqrt(2) wherever a ReLU follows.

    A ReLU halves the power of a centred signal; the factor makes up for it. With `fan_in` this is the initialization
    of He et al. (arXiv 1502.01852) in the hidden layers, N(0, 2/fan_in), and N(0, 1/fan_in) in the last. Raises
    ArgumentError for a bad argument.
    """
    *hidden, last = _initial(key, problem, width, depth, init, scale)
    return ReluNetwork((*(2**0.5 * weight for weight in hidden), last))


def fan_in(keys, sizes):
    """Independent N(0, 1/fan_in) entries. Ours: the usual practical initialization."""
    return [
        normal(key, (out, inn)) / inn**0.5 for key, inn, out in zip(keys, sizes[:-1], sizes[1:], strict=True)
    ]  # fmt: skip


def orthogonal(keys, sizes):
    """Semi-orthogonal matrices times sqrt(max(1, out/in)), which matches the variances of fan_in."""
    weights = []
    for key, inn, out in zip(keys, sizes[:-1], sizes[1:], strict=True):
        frame = orthonormal(key, max(out, inn), min(out, inn))
        weights.append((frame if out >= inn else frame.T) * max(1.0, out / inn) ** 0.5)
    return weights


def balanced(keys, sizes):
    """Layers with W_{l+1}^T W_{l+1} = W_l W_l^T whose product is that of fan_in with the same keys.

    The singular values of the product, to the power 1/depth, stand in random orthonormal frames.
    """
    product = LayerProduct(tuple(fan_in(keys, sizes))).end_to_end()
    rank, depth = min(sizes), len(keys)
    left, values, right = jnp.linalg.svd(product, full_matrices=False)
    hidden = [orthonormal(jax.random.fold_in(key, 1), size, rank) for key, size in zip(keys, sizes[1:-1], strict=False)]
    frames = [right[:rank].T, *hidden, left[:, :rank]]
    roots = values[:rank] ** (1 / depth)
    return [(out * roots[None, :]) @ inn.T for inn, out in pairwise(frames)]


INITIALIZERS = {"fan_in": fan_in, "orthogonal": orthogonal, "balanced": balanced}
"""Initializations by name: functions of one key a layer and the sizes (measurement_dim, width, ..., signal_dim)."""


def _layer(rows, weight):
    """rows @ weight.T."""
    return _few_rows(rows, weight) if len(rows) <= FEW_ROWS else rows @ weight.T


@jax.custom_vjp
def _few_rows(rows, weight):
    return rows @ weight.T


def _few_rows_backward(saved, slope):
    """The gradient of the weight as a sum of outer products that XLA fuses into the update.

    As a matrix product it would be written to memory and read again, which is a third of the traffic of a step.
    """
    rows, weight = saved
    gradient = sum(slope[k][:, None] * rows[k][None, :] for k in range(len(rows)))
    return slope @ weight, gradient


_few_rows.defvjp(lambda rows, weight: (rows @ weight.T, (rows, weight)), _few_rows_backward)


def _initial(key, problem, width, depth, init, scale):
    """The weights of an initialization by name, every layer times `scale`. Checks the arguments."""
    width, depth = check_count("width", width), check_count("depth", depth)
    check_known("init", init, INITIALIZERS)
    check_number("scale", scale, strict=True)
    sizes = [problem.measurement_dim, *[width] * (depth - 1), problem.signal_dim]
    return [scale * weight for weight in INITIALIZERS[init](_layer_keys(key, depth), sizes)]


def _layer_keys(key, depth):
    weights_key = jax.random.fold_in(key, Tag.WEIGHTS)
    return [jax.random.fold_in(weights_key, layer) for layer in range(depth)]
