"""Networks of one's own: any equinox module that maps rows to rows, seen as the suite sees its networks."""

from math import prod
from typing import Any, ClassVar

import equinox as eqx
import jax

from ..checks import fail
from .layers import Layers
from .unsampled import TrainedMap


class OwnNetwork(Layers):
    """A module of a user's: its float arrays are the `weights`, in the order of its leaves, the `frame` is the rest.

    Nothing is exact for it but training it as it is.
    """

    frame: Any = eqx.field(static=True)
    is_chain: ClassVar[bool] = False

    @property
    def depth(self) -> int:
        """How many of its arrays have more than one axis: its layers, where each has one matrix."""
        return max(1, sum(weight.ndim > 1 for weight in self.weights))

    @property
    def width(self) -> int:
        """The largest axis of its arrays."""
        return max(max(weight.shape, default=1) for weight in self.weights)

    @property
    def module(self) -> Any:
        """The module with these weights."""
        structure, static = self.frame
        return eqx.combine(jax.tree.unflatten(structure, self.weights), static)

    def __call__(self, measurements: Any) -> Any:
        """Reconstructions of `measurements`; samples are rows."""
        return self.module(measurements)


def as_network(given: Any) -> Any:
    """A network of ours as it is, a module of one's own as an OwnNetwork. Raises ArgumentError for anything else."""
    if isinstance(given, Layers | TrainedMap):
        return given
    if not (isinstance(given, eqx.Module) and callable(given)):
        raise fail("network", "an equinox module that maps rows to rows", type(given).__name__,
                   "pass ji.layer_product(...), or an eqx.Module with __call__(rows)")  # fmt: skip
    arrays, static = eqx.partition(given, eqx.is_inexact_array)
    weights, structure = jax.tree.flatten(arrays)
    if not sum(prod(weight.shape) for weight in weights):
        raise fail("network", "a module with arrays of floats to train", "one without", "give it some")
    try:
        hash(static)
    except TypeError as error:
        raise fail("network", "a module whose other values than arrays of floats can be hashed", str(error),
                   "mark those as static fields, or keep them as tuples") from None  # fmt: skip
    return OwnNetwork(tuple(weights), (structure, static))


def as_given(network: Any) -> Any:
    """What `as_network` was given, with the weights as they are now."""
    return network.module if isinstance(network, OwnNetwork) else network
