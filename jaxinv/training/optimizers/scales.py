"""Step sizes and weight decays that suit each optimizer where none is given."""

from typing import Any

import numpy as np

from ...arrays import is_traced
from ...checks import UnknownNumbers
from ...networks.layers import ActivatedNetwork
from ...problems.problem import Problem
from ...theory.linearisation import balanced_fit
from .batches import Batches
from .named import Optimizer
from .stable import STABLE


def default_step_size(problem: Problem, network: Any, rule: Optimizer, momentum: float, batches: Batches | None) -> Any:
    """The step size of an optimizer where none is given: a number, or "stable", which `Descent` makes one. Ours.

    Of gradient descent m / (L d_w sigma_max(X)^2), where a generator made the problem and the network is a plain chain,
    "stable" elsewhere. Momentum and Nesterov take 1 - momentum times that, which goes as far in the long run: in our
    runs twice that was unstable where gradient descent was at the edge, and 1 - momentum never where it was not (widths
    1 to 16 m, depths 2 to 5). So do mini-batches, see `Batches.pace`. An optimizer whose steps have one size takes its
    `share` of the `size_of_weights`, over the depth, as all layers move together.
    """
    if rule.share is not None:
        return rule.share * size_of_weights(problem, network, rule) / network.depth
    if not problem.generated or not (network.is_product or isinstance(network, ActivatedNetwork)):
        return STABLE
    largest, _ = problem.signal_extremes
    step_size = problem.measurement_dim / (network.depth * network.width * largest**2)
    return step_size * rule.pace(momentum) * (1.0 if batches is None else batches.pace(problem))


def default_decay(
    gamma: float, weight_decay: Any, problem: Problem, network: Any, rule: Optimizer, momentum: float
) -> Any:
    """What stands for a coupled `weight_decay` where the optimizer decays the weights beside its direction. Ours.

    Where the direction is linear in the gradients, as much as leaves the objective as it is: the gradient is multiplied
    by `gain`, so the decay is. An optimizer whose steps have one size descends no such objective: its decay balances a
    whole step at weights of size w with step_size * weight_decay * w = step_size, so that weights stay below
    1 / weight_decay (for Adam and Muon: Xie and Li, arXiv 2404.04454; Chen et al., arXiv 2506.15054). That is put at
    the `size_of_weights` over `gamma`: the default step then takes gamma * share / L of a weight.
    """
    if rule.share is not None:
        return gamma / size_of_weights(problem, network, rule)
    return weight_decay * rule.gain(momentum)


def size_of_weights(problem: Problem, network: Any, rule: Optimizer) -> Any:
    """The size of the weights that fit, in the norm in which the steps of the optimizer have one size.

    Balanced layers whose product is X Y^+ have the largest singular value ||X Y^+||_2^(1/L), 1 for problems of a
    generator, as ||A x|| is about ||x|| there; it is over d_w for entries, of rank-one layers. Neither depends on where
    training starts.
    """
    gain = 1.0
    if not problem.generated:
        if is_traced(problem.measurements):
            raise UnknownNumbers("the step size of this optimizer needs known measurements; pass step_size=")
        gain = float(np.linalg.norm(balanced_fit(problem, 1)[0], 2)) ** (1 / network.depth)
    return gain / network.width if rule.entrywise else gain
