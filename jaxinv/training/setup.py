"""What a run is made of: a problem, a network and an optimizer."""

from typing import Any, NamedTuple

import equinox as eqx
import jax
import numpy as np

from ..arrays import host_device
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
    """ArgumentError unless the misfit of the descent makes a number of outputs and targets, with batches a sum.

    That of a batch is multiplied by samples / batch_size: of a mean this would be too much.
    """
    problem, network, descent = setup
    if descent.misfit in MISFITS.ours.values():
        return
    function = descent.misfit.function
    rows = jax.ShapeDtypeStruct((problem.samples, problem.signal_dim), network.weights[0].dtype)
    check_gives_number("misfit", function, "(outputs, targets)", rows, rows)
    parted = descent.batches is not None and descent.batches.size < problem.samples
    if parted and not _adds_up(function, (4, problem.signal_dim)):
        raise fail("misfit", "a sum over samples where there are mini-batches", "one that is not",
                   "sum over the rows, or leave batch_size out")  # fmt: skip


def _adds_up(function: Any, shape: tuple[int, int]) -> bool:
    """Whether a misfit of four samples is that of one and that of the others."""
    with jax.enable_x64(True), jax.ensure_compile_time_eval(), jax.default_device(host_device()):
        outputs, targets = jax.numpy.asarray(np.random.default_rng(0).standard_normal((2, *shape)))
        whole, first, others = (float(function(outputs[part], targets[part])) for part in _PARTS)
    return bool(np.isclose(first + others, whole, rtol=1e-4))


_PARTS = slice(None), slice(1), slice(1, None)


def check_fit(setup: Setup) -> None:
    """ArgumentError unless the network maps measurements of the problem to its signals, in float32 or float64."""
    problem, network, _ = setup
    check_generated(network)
    dtypes = {str(weight.dtype) for weight in network.weights}
    if dtypes not in ({"float32"}, {"float64"}):
        raise fail("network", "of float32 or float64 weights", " and ".join(sorted(dtypes)), "cast its weights")
    check_maps(problem, network)
    check_misfit(setup)
