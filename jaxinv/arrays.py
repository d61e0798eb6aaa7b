"""Arrays that may be numpy's or JAX's, traced or known: the helpers that serve all of them."""

from collections.abc import Iterable
from typing import Any, TypeAlias

import jax
import jax.numpy as jnp
import numpy as np
from jax.core import Tracer

AnyArray: TypeAlias = jax.Array | np.ndarray
"""Set-up computes with numpy arrays, which compile nothing; the same functions take JAX arrays."""


def namespace(array: AnyArray) -> Any:
    """numpy for a numpy array, jax.numpy for a JAX array: one function serves set-up and traced code."""
    return array.__array_namespace__()


def is_traced(*values: Any) -> bool:
    """Whether any of `values` is known by its shape only."""
    return any(isinstance(value, Tracer | jax.ShapeDtypeStruct) for value in values)


def known(array: Any) -> Any:
    """`array` as numpy's, in which nothing is compiled for its shape; one that is traced stays as it is."""
    return array if is_traced(array) else np.asarray(array)


def cast(tree: Any, dtype: Any) -> Any:
    """`tree` with every leaf as a numpy array of `dtype`; infinite where that has no such number.

    Unsigned integers, of which random keys are made, stay as they are.
    """

    def one(leaf):
        return np.asarray(leaf, None if getattr(leaf, "dtype", None) == np.uint32 else dtype)

    with np.errstate(over="ignore"):
        return jax.tree.map(one, tree)


def plain_values(values: Iterable[Any]) -> list[Any]:
    """`values` with numpy scalars as plain Python numbers and strings."""
    return [value.item() if isinstance(value, np.generic) else value for value in values]


def rounding(array: Any) -> float:
    """Relative size below which a singular value of `array` may be rounding of its float type.

    That of JAX at the time, for lists and whole numbers, which have none.
    """
    dtype = getattr(array, "dtype", int)
    return 30 * float(jnp.finfo(dtype if jnp.issubdtype(dtype, jnp.floating) else jnp.result_type(float)).eps)


def numerical_rank(values: np.ndarray, tolerance: float) -> int:
    """How many singular `values`, largest first, are above `tolerance` times the largest."""
    return int(np.count_nonzero(values > tolerance * values[0]))


def host_device() -> Any:
    """A CPU device for setting up, so that a problem is the same bits wherever it is then trained."""
    try:
        return jax.local_devices(backend="cpu")[0]
    except RuntimeError:  # no CPU backend was asked for (JAX_PLATFORMS)
        return jax.local_devices()[0]
