"""Networks of one's own: any equinox module that maps rows to rows, seen as the suite sees its networks."""

from dataclasses import dataclass
from typing import Any, ClassVar, cast

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np

from ..arrays import is_traced
from ..checks import ArgumentError, UnknownNumbers, fail
from ..problems.problem import Problem
from .layers import Layers
from .unsampled import TrainedMap


@dataclass(frozen=True, eq=False)
class Frame:
    """A module without its arrays of floats: its `structure`, and the `rest` of its values, arrays as numpy's.

    Equal where all of that is, so that one compilation serves modules that differ in their floats alone.
    """

    structure: Any
    rest: Any

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Frame) or self.structure != other.structure:
            return False
        mine, theirs = jax.tree.flatten(self.rest), jax.tree.flatten(other.rest)
        return mine[1] == theirs[1] and all(map(_same, mine[0], theirs[0]))

    def __hash__(self) -> int:  # coarse: what a module holds need not have a hash
        return hash((Frame, self.structure.num_leaves))

    def with_floats(self, arrays: Any) -> Any:
        """The module with these arrays of floats."""
        rest = jax.tree.map(lambda leaf: jnp.asarray(leaf) if isinstance(leaf, np.ndarray) else leaf, self.rest)
        return eqx.combine(jax.tree.unflatten(self.structure, arrays), rest)


class OwnNetwork(Layers):
    """A module of a user's: `weights` are its arrays of floats, in the order of its leaves, `frame` is all the rest.

    Nothing is exact for it but training it as it is.
    """

    frame: Frame = eqx.field(static=True)
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
        return self.frame.with_floats(self.weights)

    def __call__(self, measurements: Any) -> Any:
        """Reconstructions of `measurements`; samples are rows."""
        return self.module(measurements)


def as_network(given: Any) -> Any:
    """A network of ours as it is, a module of one's own as an OwnNetwork. Raises ArgumentError for anything else."""
    if isinstance(given, Layers | TrainedMap):
        return given
    if not (isinstance(given, eqx.Module) and callable(given)):
        raise fail("network", "an equinox module that maps rows to rows", type(given).__name__,
                   "pass ji.layer_product(...), an eqx.Module with __call__(rows), or eqx.filter_vmap of one that maps "
                   "vectors")  # fmt: skip
    floats, rest = eqx.partition(given, eqx.is_inexact_array)
    weights, structure = jax.tree.flatten(floats)
    if not sum(weight.size for weight in weights):
        raise fail("network", "a module with arrays of floats to train", "one without", "give it some")
    if odd := {str(weight.dtype) for weight in weights if not jnp.issubdtype(weight.dtype, jnp.floating)}:
        raise fail("network", "a module of real numbers", f"arrays of {min(odd)}", "keep real and imaginary parts")
    return OwnNetwork(tuple(weights), Frame(structure, jax.tree.map(_known, rest)))


def as_given(network: Any) -> Any:
    """What `as_network` was given, with the weights as they are now."""
    return network.module if isinstance(network, OwnNetwork) else network


def check_maps(problem: Problem, network: Any) -> None:
    """ArgumentError unless the network takes rows of the problem's measurements and gives rows of signals."""
    ends = problem.measurement_dim, problem.signal_dim
    if isinstance(network, Layers) and network.is_chain:
        sizes = [network.weights[0].shape[1], *(weight.shape[0] for weight in network.weights)]
        chain = all(weight.shape[1] == size for weight, size in zip(network.weights, sizes, strict=False))
        if not chain or (sizes[0], sizes[-1]) != ends:
            shapes = ", ".join(str(weight.shape) for weight in network.weights)
            raise fail("network", f"a chain of layers from {ends[0]} measurements to {ends[1]} unknowns",
                       f"weights of shapes {shapes}", "build it for this problem")  # fmt: skip
        return
    rows = jax.ShapeDtypeStruct((2, ends[0]), network.weights[0].dtype)
    try:
        made: Any = jax.eval_shape(cast("Any", network), rows)
        got = f"what gives shape {made.shape}" if hasattr(made, "shape") else f"what gives a {type(made).__name__}"
    except ArgumentError:
        raise
    except Exception as error:
        made, got = None, f"{type(error).__name__}: {str(error).partition(chr(10))[0].strip().rstrip('.')}"
    if getattr(made, "shape", None) != (2, ends[1]):
        raise fail("network", f"a map of 2 rows of {ends[0]} measurements to 2 rows of {ends[1]} unknowns", got,
                   "build it for this problem; eqx.filter_vmap makes rows of vectors")  # fmt: skip


def _known(leaf: Any) -> Any:
    """A value of a module that is not trained, to be compared with others."""
    if not eqx.is_array(leaf):
        return leaf
    if is_traced(leaf):
        raise UnknownNumbers("network must have known integers, got traced ones; build it outside of jit")
    if jnp.issubdtype(leaf.dtype, jax.dtypes.prng_key):
        raise fail("network", "a module without random keys", "one that holds a key", "keep the numbers made of it")
    return np.asarray(leaf)


def _same(mine: Any, theirs: Any) -> bool:
    if isinstance(mine, np.ndarray) or isinstance(theirs, np.ndarray):
        return np.array_equal(mine, theirs) and np.result_type(mine) == np.result_type(theirs)
    return type(mine) is type(theirs) and bool(mine == theirs)
