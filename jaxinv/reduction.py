"""A replica in the coordinates it is trained in, and back: changes of coordinates that alter no iterate.

Which change is exact is declared where the knowledge is: `network.is_linear` (compression of the data, theory.py
fact 4), `descent.rotates` (rotation of the measurements, facts 1 and 5).
"""

from typing import Any, TypeVar

import equinox as eqx
from jaxtyping import Float

from .checks import AnyArray, namespace
from .descent import Descent
from .frame import Frame, compressed_frame, plain_frame, rotated_frame
from .network import Layers
from .problem import Problem

Net = TypeVar("Net", bound=Layers)


class Replica(eqx.Module):
    """One run before it starts: where it is measured, what is trained, what decays by itself, and how.

    `network` acts on the first `frame.trained` columns of the inputs; `free` is the rest of W_1 at the start.
    """

    frame: Frame
    network: Any
    free: Float[AnyArray, "width free_dim"]
    descent: Descent


def reduce_replica(problem: Problem, network: Any, descent: Descent, reduce: bool = True) -> Replica:
    """The replica in the smallest coordinates that are exact for its network and optimizer (`reduce` False: plain)."""
    if not (reduce and network.is_linear):
        frame = plain_frame(problem)
    elif descent.rotates and problem.measurement_rank < problem.measurement_dim:
        frame = rotated_frame(problem)
    else:
        frame = compressed_frame(problem)
    first = network.weights[0]
    if frame.rotation is not None:
        first = first @ frame.rotation
    return Replica(frame, _with_first(network, first[:, : frame.trained]), first[:, frame.trained :], descent)


def pad_width(network: Net, width: int) -> Net:
    """The network with zero rows and columns up to hidden `width`, invariant under gradient descent (fact 6)."""

    def padded(layer, weight):
        rows = 0 if layer == network.depth - 1 else width - weight.shape[0]
        columns = 0 if layer == 0 else width - weight.shape[1]
        return namespace(weight).pad(weight, ((0, rows), (0, columns)))

    return type(network)(tuple(padded(layer, weight) for layer, weight in enumerate(network.weights)))


def cut_width(network: Net, like: Layers) -> Net:
    """The network without its padding: every weight cut to the shape it has in `like`."""
    pairs = zip(network.weights, like.weights, strict=True)
    return type(network)(tuple(weight[: one.shape[0], : one.shape[1]] for weight, one in pairs))


def whole(replica: Replica, network: Any, factor: Any) -> Any:
    """The network on all columns of the frame, once the free ones have shrunk by `factor`."""
    return _with_first(network, _join(network.weights[0], factor * replica.free))


def lift(replica: Replica, network: Any, factor: Any) -> Any:
    """The trained network in the problem's own coordinates."""
    full = whole(replica, network, factor)
    rotation = replica.frame.rotation
    return full if rotation is None else _with_first(full, full.weights[0] @ rotation.T)


def _join(left, right):
    return namespace(left).concatenate([left, right], axis=1)


def _with_first(network: Layers, first: Any) -> Layers:
    return eqx.tree_at(lambda net: net.weights[0], network, first)
