"""Random numbers that do not depend on precision: generated in float32 and cast up, under a tag for each purpose."""

import enum

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Key


class Tag(enum.IntEnum):
    """What random numbers are for. Constructors fold their tag into their key, so one key may be handed to all."""

    OPERATOR = 0
    SUBSPACE = 1
    COEFFICIENTS = 2
    TRAINING_NOISE = 3
    TEST_NOISE = 4
    WEIGHTS = 5
    TEST_SIGNALS = 6


def normal(key: Key[Array, ""], shape: tuple[int, ...]) -> Float[Array, "..."]:
    """Standard normal numbers of `shape`, generated in float32 and cast to the default float type.

    The numbers are the same at any precision and any x64 flag.
    """
    return jax.random.normal(key, shape, jnp.float32).astype(jnp.result_type(float))


def orthonormal(key: Key[Array, ""], rows: int, columns: int) -> Float[Array, "{rows} {columns}"]:
    """A uniformly random (rows, columns) matrix with orthonormal columns; needs rows >= columns.

    The Q of a Gaussian matrix, signs fixed so that R has a positive diagonal (which makes it Haar).
    """
    q, r = jnp.linalg.qr(normal(key, (rows, columns)))
    return q * jnp.where(jnp.diagonal(r) < 0, -1, 1)[None, :].astype(q.dtype)
