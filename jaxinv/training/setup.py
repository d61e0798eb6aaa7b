"""What a run is made of: a problem, a network and an optimizer."""

from typing import Any, NamedTuple

import equinox as eqx
import jax

from ..checks import ArgumentError, fail
from ..networks.layers import Layers
from ..networks.unsampled import UnsampledProduct
from ..problems.problem import Problem
from .descent import Descent, State


class Setup(NamedTuple):
    """A problem, the network to be trained on it, and how."""

    problem: Problem
    network: Any
    descent: Descent


class Standing(NamedTuple):
    """Where a run stands: its setup before the first step, and its state `steps` later.

    `state` holds the trained network and the optimizer's own, as numpy arrays in the coordinates the run is trained in,
    which `reduce` decided.
    """

    setup: Setup
    reduce: bool
    state: State
    steps: int


def check_same(standing: Standing, setup: Setup, reduce: bool) -> None:
    """ArgumentError unless the run that stands there began with this setup."""
    if standing.reduce != reduce:
        raise fail("reduce", f"{standing.reduce} as in the run that `after` is", f"{reduce}", "leave it so")
    for name, theirs, ours in zip(Setup._fields, standing.setup, setup, strict=True):
        if ours is not theirs and not eqx.tree_equal(ours, theirs):
            raise fail("after", f"a run that began with this {name}", f"one that began with another {name}",
                       f"pass the {name} that it began with")  # fmt: skip


def check_generated(network: Any) -> None:
    """ArgumentError for a network of which only the law is known."""
    if isinstance(network, UnsampledProduct):
        _ = network.weights[0]


def check_fit(setup: Setup) -> None:
    """ArgumentError unless the network maps measurements of the problem to its signals, in float32 or float64."""
    problem, network, _ = setup
    check_generated(network)
    dtypes = {str(weight.dtype) for weight in network.weights}
    if dtypes not in ({"float32"}, {"float64"}):
        raise fail("network", "of float32 or float64 weights", " and ".join(sorted(dtypes)), "cast its weights")
    if isinstance(network, Layers) and network.is_chain:
        sizes = [network.weights[0].shape[1], *(weight.shape[0] for weight in network.weights)]
        chain = all(weight.shape[1] == size for weight, size in zip(network.weights, sizes, strict=False))
        ends = problem.measurement_dim, problem.signal_dim
        if not chain or (sizes[0], sizes[-1]) != ends:
            shapes = ", ".join(str(weight.shape) for weight in network.weights)
            raise fail("network", f"a chain of layers from {ends[0]} measurements to {ends[1]} unknowns",
                       f"weights of shapes {shapes}", "build it for this problem")  # fmt: skip
    else:
        _check_maps(problem, network)


def _check_maps(problem: Problem, network: Any) -> None:
    """ArgumentError unless the network takes rows of measurements and gives rows of signals."""
    wanted, got = (2, problem.signal_dim), None
    try:
        made = jax.eval_shape(network, jax.ShapeDtypeStruct((2, problem.measurement_dim), network.weights[0].dtype))
        got = f"what gives shape {getattr(made, 'shape', type(made).__name__)}"
        if made.shape == wanted:
            return
    except ArgumentError:
        raise
    except Exception as error:
        got = f"{type(error).__name__}: {str(error).partition(chr(10))[0]}"
    rows = f"2 rows of {problem.measurement_dim} measurements to 2 rows of {problem.signal_dim} unknowns"
    raise fail("network", f"a map of {rows}", got, "build it for this problem; jax.vmap makes rows of vectors")
