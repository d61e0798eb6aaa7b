"""A run in the coordinates it is trained in, and back: changes of coordinates that alter no iterate.

Which change is exact is declared where the knowledge is, and asked here: `network.is_linear` and `descent.compresses`
(compression of the data, fact 4 of `jaxinv.theory`), `descent.rotates` (rotation of the measurements, facts 1 and 5).
"""

from typing import Any

import equinox as eqx
from jaxtyping import Float

from ..arrays import AnyArray, namespace
from ..networks.layers import Layers
from ..problems.coordinates import Coordinates, compressed_coordinates, plain_coordinates, rotated_coordinates
from .descent import Descent
from .setup import Setup


class Reduced(eqx.Module):
    """A setup in the coordinates it is trained in.

    `network` acts on the first `coordinates.trained` columns of the inputs. The other columns of W_1, `off_range` at
    the start, see no gradient: they only shrink (fact 1).
    """

    coordinates: Coordinates
    network: Any
    off_range: Float[AnyArray, "width off_range_dim"]
    descent: Descent


def reduce_setup(setup: Setup, reduce: bool = True) -> Reduced:
    """The setup in the smallest coordinates that are exact for its network and optimizer (`reduce` False: plain)."""
    problem, network, descent = setup
    if not (reduce and network.is_linear and descent.compresses):
        coordinates = plain_coordinates(problem)
    elif descent.rotates and problem.measurement_rank < problem.measurement_dim:
        coordinates = rotated_coordinates(problem)
    else:
        coordinates = compressed_coordinates(problem)
    if coordinates.rotation is None:
        targets = coordinates.targets
        return Reduced(coordinates, network, namespace(targets).zeros((0, 0), targets.dtype), descent)
    first, trained = network.weights[0] @ coordinates.rotation, coordinates.trained
    return Reduced(coordinates, _with_first(network, first[:, :trained]), first[:, trained:], descent)


def with_off_range(reduced: Reduced, network: Any, factor: Any) -> Any:
    """The network on all columns of the coordinates, once those off the range of the data have shrunk by `factor`."""
    if not reduced.off_range.size:
        return network
    first = network.weights[0]
    return _with_first(network, namespace(first).concatenate([first, factor * reduced.off_range], axis=1))


def in_problem_coordinates(reduced: Reduced, network: Any, factor: Any) -> Any:
    """The trained network on the problem's own measurements, its part off the range of the data shrunk by `factor`."""
    full = with_off_range(reduced, network, factor)
    rotation = reduced.coordinates.rotation
    return full if rotation is None else _with_first(full, full.weights[0] @ rotation.T)


def _with_first(network: Layers, first: Any) -> Layers:
    return eqx.tree_at(lambda net: net.weights[0], network, first)
