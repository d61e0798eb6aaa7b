"""Random numbers that do not depend on precision: a tag for each purpose, float32 draws cast up."""

import enum

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Key


class Tag(enum.IntEnum):
    """What a constructor draws. It folds the tag into its key, so one key may be handed to all of them."""

    OPERATOR = 0
    SUBSPACE = 1
    COEFFICIENTS = 2
    TRAINING_NOISE = 3
    TEST_NOISE = 4
    WEIGHTS = 5
    TEST_SIGNALS = 6


def normal(key: Key[Array, ""], shape: tuple[int, ...]) -> Float[Array, "..."]:
    """Standard normal numbers of `shape`, drawn in float32 and cast to the default float type.

    The numbers are the same at any precision and any x64 flag.
    """
    return jax.random.normal(key, shape, jnp.float32).astype(jnp.result_type(float))


def orthonormal(key: Key[Array, ""], rows: int, columns: int) -> Float[Array, "{rows} {columns}"]:
    """A uniformly random (rows, columns) matrix with orthonormal columns; needs rows >= columns.

    The Q of a Gaussian matrix, signs fixed so that R has a positive diagonal (which makes it Haar).
    """
    q, r = jnp.linalg.qr(normal(key, (rows, columns)))
    return q * jnp.where(jnp.diagonal(r) < 0, -1, 1)[None, :].astype(q.dtype)
