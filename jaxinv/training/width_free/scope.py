"""Where the width-free engine holds: for what it does not, one line says why, and what to use."""

import math
from typing import Any

from ...checks import ArgumentError, fail
from ...measures.records import Chosen
from ...networks.layers import LayerProduct
from ...networks.own import as_given
from ...networks.unsampled import UnsampledProduct
from ...problems.problem import Problem
from ..descent import Descent
from ..setup import Setup

CAPACITIES = (48, 96, 144, 192, 256, 384, 512)
"""Numbers of coordinates of a run, which goes on with the next where it finds no room."""

FINEST = 1e-10
"""Below this tolerance rounding would decide what is revealed."""

UNKNOWN = ("balancedness",)
"""Metrics that need whole hidden layers: NaN, and refused where they are asked for by name."""


def check_tolerance(tolerance: Any) -> None:
    """ArgumentError unless it is a number from FINEST to 1."""
    number = tolerance if isinstance(tolerance, float | int) and not isinstance(tolerance, bool) else math.nan
    if not FINEST <= number <= 1:
        raise fail("tolerance", f"a number from {FINEST:g} to 1", repr(tolerance),
                   "pass the relative error of a signal that you accept, such as 1e-6")  # fmt: skip


def check_scope(setup: Setup, asked: Chosen, reduce: bool, engine: str = "width_free") -> None:
    """ArgumentError where the reduction does not hold for the setup, or cannot tell a metric that was `asked` for."""
    if why := outside(setup, asked, reduce):
        raise ArgumentError(f'engine "{engine}" {why}; use engine="dense"')


def check_flow(descent: Descent, decay_per_step: float | None) -> None:
    """ArgumentError where the gradient flow stands in for no steps of the descent; None is not known yet."""
    if descent.momentum:
        raise fail("momentum", 'exactly 0 for engine "gradient_flow", which plain gradient descent follows',
                   f"{descent.momentum:g}", 'pass 0, or engine="width_free"')  # fmt: skip
    if decay_per_step is not None and not decay_per_step > 0:
        raise fail("weight_decay", 'above 0 for engine "gradient_flow": without it there is no slow phase', "0",
                   'pass gamma or weight_decay, or engine="width_free"')  # fmt: skip


def outside(setup: Setup, asked: Chosen, reduce: bool = True) -> str:
    """Why the engine cannot take the setup, "" where it can. Arrays may be traced."""
    problem, network, descent = setup
    rank = problem.measurement_rank
    if type(network) not in (LayerProduct, UnsampledProduct):
        return (
            f"trains layer products, got {type(as_given(network)).__name__}: its signals do not stay in few directions"
        )
    if network.depth < 2:
        return "reduces hidden layers, got a network of depth 1, which has none"
    if not descent.is_plain:
        return "holds for gradient descent and momentum (heavy ball) with weight decay and squared misfit, got another"
    if not reduce:
        return "is a reduction, got reduce=False"
    for metric in asked:
        name = metric if isinstance(metric, str) else metric.name
        if name in UNKNOWN if isinstance(metric, str) else metric.needs_weights:
            return f"does not hold the weights that metric {name!r} needs"
    width = network.width if isinstance(network, UnsampledProduct) else min(w.shape[0] for w in network.weights[:-1])
    if 2 * rank >= width:
        return f"gains nothing where the data have rank {rank} and a layer is {width} wide: it needs more than twice"
    if 2 * rank > CAPACITIES[-1]:
        return f"has at most {CAPACITIES[-1]} coordinates, got data of rank {rank}: it needs more than twice as many"
    if (signals := signal_coordinates(problem)) > CAPACITIES[-1]:
        return f"has at most {CAPACITIES[-1]} coordinates, got targets and signals to test on that take {signals}"
    return ""


def signal_coordinates(problem: Problem) -> int:
    """How many directions of signal space are held, at most: of targets, test signals, subspace, pairs held out."""
    held = 0 if problem.held_out is None else problem.held_out[0].shape[0]
    twice = held if problem.tests_on_pairs else 0  # themselves, and as the root of their covariance
    return min(problem.signal_dim, problem.measurement_rank + problem.subspace_dim + held + twice)
