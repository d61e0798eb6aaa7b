"""Networks for a problem, by width, depth and initialization."""

from itertools import pairwise

import jax
from jaxtyping import Array, Key

from ..arrays import is_traced
from ..checks import check_count, check_known, check_number, fail
from ..draws import Tag
from ..problems.problem import Problem
from .initializations import INITIALIZERS
from .layers import LayerProduct, ReluNetwork
from .unsampled import UnsampledProduct

MOST_WEIGHTS = 2**31
"""16 GiB in float64: more are not generated."""


def layer_product(
    key: Key[Array, ""],
    problem: Problem,
    *,
    width: int = 400,
    depth: int = 5,
    init: str = "fan_in",
    scale: float = 1.0,
    engine: str = "dense",
) -> LayerProduct:
    """A layer product for `problem` with `depth` layers, hidden width `width`, every layer times `scale`.

    `init` is one of INITIALIZERS. Depth 1 is a single (signal_dim, measurement_dim) matrix, which has no width.
    The same key and depth give the same random numbers whatever the problem. For `engine` "width_free" and
    "gradient_flow" no weights of `fan_in` are generated, nor where there would be more than MOST_WEIGHTS: what is
    returned is their law. Raises ArgumentError for a bad argument.
    """
    sizes = _sizes(problem, width, depth, init, scale)
    weights = sum(out * inn for inn, out in pairwise(sizes))
    if init == "fan_in" and depth > 1 and (engine in ("width_free", "gradient_flow") or weights > MOST_WEIGHTS):
        return UnsampledProduct(jax.random.fold_in(key, Tag.WEIGHTS), tuple(sizes), float(scale))
    return LayerProduct(tuple(map(jax.device_put, _initial(key, problem, width, depth, init, scale))))


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
    return ReluNetwork(tuple(map(jax.device_put, (*(2**0.5 * weight for weight in hidden), last))))


def _initial(key, problem, width, depth, init, scale):
    """The weights of an initialization by name, every layer times `scale`. Checks the arguments."""
    sizes = _sizes(problem, width, depth, init, scale)
    return [scale * weight for weight in INITIALIZERS[init](_layer_keys(key, depth), sizes)]


def _sizes(problem, width, depth, init, scale):
    """The dimensions of measurement, hidden and signal space; checks all arguments."""
    width, depth = check_count("width", width), check_count("depth", depth)
    check_known("init", init, INITIALIZERS)
    check_number("scale", scale, strict=True)
    most = 10.0 ** min(15, 300 / (2 * depth))  # the loss has its power 2 * depth
    if not is_traced(scale) and scale > most:
        raise fail("scale", f"at most {most:.3g} at depth {depth}, or the loss is no number", f"{scale:g}", "pass less")
    return [problem.measurement_dim, *[width] * (depth - 1), problem.signal_dim]


def _layer_keys(key, depth):
    weights_key = jax.random.fold_in(key, Tag.WEIGHTS)
    return [jax.random.fold_in(weights_key, layer) for layer in range(depth)]
