"""Networks for a problem, by width, depth and initialization."""

from itertools import pairwise
from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array, Key

from ..arrays import is_traced
from ..checks import check_count, check_number, fail
from ..draws import Tag, several
from ..problems.problem import Problem
from .activations import ACTIVATIONS
from .initializations import INITIALIZERS
from .layers import ActivatedNetwork, ReluNetwork
from .structured import ARCHITECTURES
from .unsampled import UnsampledProduct

MOST_WEIGHTS = 2**31
"""16 GiB in float64: more are not generated."""


def layer_product(
    key: Key[Array, ""],
    problem: Problem,
    *,
    width: int = 400,
    depth: int = 5,
    init: Any = "fan_in",
    scale: float = 1.0,
    activation: Any = "linear",
    nonlinear_layers: int | None = None,
    architecture: Any = "product",
    engine: str = "dense",
) -> Any:
    """A network for `problem` with `depth` layers, hidden width `width`, every layer times `scale`.

    `init` is one of INITIALIZERS, `activation` one of ACTIVATIONS, between layers (the weights before it times its
    gain): all hidden ones have it, or the last `nonlinear_layers` of them. `architecture` is one of ARCHITECTURES. Each
    may also be a function, see `ji.register`. By default it is a LayerProduct. Depth 1 is a single (signal_dim,
    measurement_dim) matrix, which has no width. The same key and depth give the same random numbers whatever the
    problem. For `engine` "width_free" and "gradient_flow" no weights of a `fan_in` layer product are generated, nor
    where there would be more than MOST_WEIGHTS: what is returned is their law. Raises ArgumentError for a bad argument.
    """
    how = ACTIVATIONS.find(activation)
    build = ARCHITECTURES.find(architecture)
    sizes = _sizes(problem, width, depth, init, scale)
    hidden = len(sizes) - 2
    if nonlinear_layers is not None and check_count("nonlinear_layers", nonlinear_layers) > hidden:
        raise fail("nonlinear_layers", f"at most the {hidden} hidden layers", nonlinear_layers, "pass None for all")
    plain = (init, activation, architecture) == ("fan_in", "linear", "product")
    count = sum(out * inn for inn, out in pairwise(sizes))
    if plain and hidden and (engine in ("width_free", "gradient_flow") or count > MOST_WEIGHTS):
        return UnsampledProduct(jax.random.fold_in(key, Tag.WEIGHTS), tuple(sizes), float(scale))
    if count > MOST_WEIGHTS:
        raise fail("width", f"one with at most {MOST_WEIGHTS:,} weights", f"{width} with {count:,}",
                   "pass less; those of plain fan_in products need not exist")  # fmt: skip
    made = INITIALIZERS.find(init)(several(key, Tag.WEIGHTS, hidden + 1), sizes)
    weights = [scale * weight for weight in made]
    if how.gain != 1:
        activates = ActivatedNetwork(tuple(weights), how, nonlinear_layers).activates()
        weights = [how.gain * one if follows else one for one, follows in zip(weights, activates, strict=True)]
    return build(tuple(map(jnp.asarray, weights)), how, nonlinear_layers)


def relu_network(
    key: Key[Array, ""],
    problem: Problem,
    *,
    width: int = 400,
    depth: int = 5,
    init: Any = "fan_in",
    scale: float = 1.0,
) -> ReluNetwork:
    """`layer_product` with activation "relu": a layer that a ReLU follows has its weights times sqrt(2).

    A ReLU halves the power of a centred signal; the factor makes up for it. With `fan_in` this is the initialization
    of He et al. (arXiv 1502.01852) in the hidden layers, N(0, 2/fan_in), and N(0, 1/fan_in) in the last. Raises
    ArgumentError for a bad argument.
    """
    network = layer_product(key, problem, width=width, depth=depth, init=init, scale=scale, activation="relu")
    return ReluNetwork(network.weights)


def _sizes(problem, width, depth, init, scale):
    """The dimensions of measurement, hidden and signal space; checks all arguments."""
    width, depth = check_count("width", width), check_count("depth", depth)
    _ = INITIALIZERS.find(init)
    check_number("scale", scale, strict=True)
    most = 10.0 ** min(15, 300 / (2 * depth))  # the loss has its power 2 * depth
    if not is_traced(scale) and scale > most:
        raise fail("scale", f"at most {most:.3g} at depth {depth}, or the loss is no number", f"{scale:g}", "pass less")
    return [problem.measurement_dim, *[width] * (depth - 1), problem.signal_dim]
