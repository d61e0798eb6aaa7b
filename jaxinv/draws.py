"""Random numbers that do not depend on precision: generated in float32 and cast up, under a tag for each purpose."""

import enum
import math
from functools import partial, reduce
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Key
from scipy.linalg import qr

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


LENGTHS = (2**9, 2**10, 2**11, 2**12, 2**15, 2**18)
"""Lengths that random numbers are generated in; beyond them powers of 2."""

MOST_TAGS = 4
"""So many tags, or fewer, are folded into a key in the call that generates its numbers: one program serves them all."""

KEYS = 4
"""So many keys are made by one call: one program serves networks of any depth."""


def normal(key: Key[Array, ""], shape: tuple[int, ...], *tags: int) -> Float[AnyArray, "..."]:
    """Standard normal numbers of `shape`, generated in float32 and cast to the default float type.

    They are those of `key` with the `tags` folded into it, one after the other.

    The numbers are the same at any precision and any x64 flag. A numpy array where the key is known: what is computed
    entry by entry in numpy is the same to the last bit, and compiles nothing for each shape.
    """
    dtype, size = jnp.result_type(float), math.prod(shape)
    if is_traced(key) or not _by_index(key) or len(tags) > MOST_TAGS:
        return jax.random.normal(reduce(jax.random.fold_in, tags, key), shape, jnp.float32).astype(dtype)
    # a number depends on its index alone: a few lengths serve all shapes, each of which would take a compilation
    length = next((length for length in LENGTHS if size <= length), 1 << (size - 1).bit_length())
    folded = np.zeros(MOST_TAGS, np.uint32)
    folded[: len(tags)] = tags
    return np.asarray(_numbers(key, folded, len(tags), length))[:size].reshape(shape).astype(dtype)


@partial(jax.jit, static_argnames="length")
def _numbers(key, tags, count, length):
    """The first `length` numbers of `key` with the first `count` of `tags` folded into it."""
    key = jax.lax.fori_loop(0, count, lambda i, key: jax.random.fold_in(key, tags[i]), key)
    return jax.random.normal(key, (length,), jnp.float32)


def several(key: Key[Array, ""], tag: int, count: int) -> list[Key[Array, ""]]:
    """`count` keys from one: `tag` is folded into it, then 0, 1, and so on into that."""
    made = [one for first in range(0, count, KEYS) for one in _keys(key, tag, first)]
    return made[:count]


@jax.jit
def _keys(key, tag, first):
    root = jax.random.fold_in(key, tag)
    return [jax.random.fold_in(root, first + i) for i in range(KEYS)]


def _by_index(key) -> bool:
    """Whether the k-th random number of a key is the same in an array of any length."""
    return str(jax.random.key_impl(key)) == "threefry2x32" and bool(jax.config.jax_threefry_partitionable)  # pyright: ignore[reportAttributeAccessIssue]


def orthonormal(key: Key[Array, ""], rows: int, columns: int, *tags: int) -> Float[AnyArray, "{rows} {columns}"]:
    """A uniformly random (rows, columns) matrix with orthonormal columns; needs rows >= columns.

    The Q of a Gaussian matrix, signs fixed so that R has a positive diagonal (which makes it Haar). Its numbers are
    those of `normal`.
    """
    entries = normal(key, (rows, columns), *tags)
    # SciPy's LAPACK, which JAX calls on a CPU too: the same bits, and nothing is compiled for each shape
    made: Any = qr(entries, mode="economic") if isinstance(entries, np.ndarray) else jnp.linalg.qr(entries)
    q, r = made
    xp = namespace(q)
    return q * xp.where(xp.diagonal(r) < 0, -1, 1)[None, :].astype(q.dtype)
