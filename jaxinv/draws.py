"""Random numbers that do not depend on precision: generated in float32 and cast up, under a tag for each purpose."""

import enum
import math

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Key

from .arrays import AnyArray, is_traced, namespace


class Tag(enum.IntEnum):
    """What random numbers are for. Constructors fold their tag into their key, so one key may be handed to all."""

    OPERATOR = 0
    SUBSPACE = 1
    COEFFICIENTS = 2
    TRAINING_NOISE = 3
    TEST_NOISE = 4
    WEIGHTS = 5
    TEST_SIGNALS = 6
    BATCHES = 7


LENGTHS = (2**9, 2**12, 2**15, 2**18)
"""Lengths that random numbers are generated in; beyond them powers of 2."""


def normal(key: Key[Array, ""], shape: tuple[int, ...]) -> Float[AnyArray, "..."]:
    """Standard normal numbers of `shape`, generated in float32 and cast to the default float type.

    The numbers are the same at any precision and any x64 flag. A numpy array where the key is known: what is computed
    entry by entry in numpy is the same to the last bit, and compiles nothing for each shape.
    """
    dtype, size = jnp.result_type(float), math.prod(shape)
    if is_traced(key) or not _by_index(key):
        return jax.random.normal(key, shape, jnp.float32).astype(dtype)
    # a number depends on its index alone: a few lengths serve all shapes, each of which would take a compilation
    length = next((length for length in LENGTHS if size <= length), 1 << (size - 1).bit_length())
    numbers = np.asarray(jax.random.normal(key, (length,), jnp.float32))[:size]
    return numbers.reshape(shape).astype(dtype)


def _by_index(key) -> bool:
    """Whether the k-th random number of a key is the same in an array of any length."""
    return str(jax.random.key_impl(key)) == "threefry2x32" and bool(jax.config.jax_threefry_partitionable)  # pyright: ignore[reportAttributeAccessIssue]


def orthonormal(key: Key[Array, ""], rows: int, columns: int) -> Float[AnyArray, "{rows} {columns}"]:
    """A uniformly random (rows, columns) matrix with orthonormal columns; needs rows >= columns.

    The Q of a Gaussian matrix, signs fixed so that R has a positive diagonal (which makes it Haar).
    """
    q, r = jnp.linalg.qr(normal(key, (rows, columns)))
    if not is_traced(key):
        q, r = np.asarray(q), np.asarray(r)
    xp = namespace(q)
    return q * xp.where(xp.diagonal(r) < 0, -1, 1)[None, :].astype(q.dtype)
