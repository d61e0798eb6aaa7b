"""What a run is made of: a problem, a network and an optimizer."""

from typing import Any, NamedTuple

import equinox as eqx
import jax

from ..checks import check_gives_number, fail
from ..measures.objective import MISFITS
from ..networks.own import check_maps
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


def check_misfit(setup: Setup) -> None:
    """ArgumentError unless the misfit of the descent makes a number of outputs and targets."""
    problem, network, descent = setup
    if descent.misfit not in MISFITS.ours.values():
        rows = jax.ShapeDtypeStruct((problem.samples, problem.signal_dim), network.weights[0].dtype)
        check_gives_number("misfit", descent.misfit.function, "(outputs, targets)", rows, rows)


def check_fit(setup: Setup) -> None:
    """ArgumentError unless the network maps measurements of the problem to its signals, in float32 or float64."""
    problem, network, _ = setup
    check_generated(network)
    dtypes = {str(weight.dtype) for weight in network.weights}
    if dtypes not in ({"float32"}, {"float64"}):
        raise fail("network", "of float32 or float64 weights", " and ".join(sorted(dtypes)), "cast its weights")
    check_maps(problem, network)
    check_misfit(setup)
