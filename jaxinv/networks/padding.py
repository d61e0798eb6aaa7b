"""Zero padding of hidden layers, which training leaves at zero: networks of many widths share one batch."""

from typing import TypeVar

from ..arrays import namespace
from .layers import Layers, with_weights

Network = TypeVar("Network", bound=Layers)


def pad_width(network: Network, width: int) -> Network:
    """The network with zero rows and columns up to hidden `width`, invariant under gradient descent (fact 6)."""

    def padded(layer, weight):
        rows = 0 if layer == network.depth - 1 else width - weight.shape[0]
        columns = 0 if layer == 0 else width - weight.shape[1]
        return namespace(weight).pad(weight, ((0, rows), (0, columns)))

    return with_weights(network, [padded(layer, weight) for layer, weight in enumerate(network.weights)])


def cut_width(network: Network, like: Layers) -> Network:
    """The network without its padding: every weight cut to the shape it has in `like`."""
    pairs = zip(network.weights, like.weights, strict=True)
    return with_weights(network, [weight[: one.shape[0], : one.shape[1]] for weight, one in pairs])
