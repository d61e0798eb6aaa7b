"""Measurement operators: the matrix A in y = A x, of shape (measurement_dim, signal_dim)."""

from typing import Any

import jax.numpy as jnp
from jaxtyping import Array, Float, Key

from ..checks import check_known, check_matrix, fail, shown
from ..draws import Tag, normal, orthonormal


def gaussian(key: Key[Array, ""], measurement_dim: int, signal_dim: int) -> Float[Array, "measurement_dim signal_dim"]:
    """A with independent N(0, 1/measurement_dim) entries, so that E||A x||^2 = ||x||^2.

    Ours: the paper asks for an operator with a restricted isometry property; this is the usual example.
    """
    entries = normal(key, (measurement_dim, signal_dim), Tag.OPERATOR)
    # times the inverse, as XLA divides by a scalar: the same bits with and without jit
    return jnp.asarray(entries * (1 / measurement_dim**0.5))


def orthogonal_rows(
    key: Key[Array, ""], measurement_dim: int, signal_dim: int
) -> Float[Array, "measurement_dim signal_dim"]:
    """A with orthogonal rows of length sqrt(signal_dim/measurement_dim), so that E||A x||^2 = ||x||^2 over directions.

    A A^T = (signal_dim/measurement_dim) I; needs measurement_dim <= signal_dim.
    """
    rows = orthonormal(key, signal_dim, measurement_dim, Tag.OPERATOR).T
    return jnp.asarray(rows * (signal_dim / measurement_dim) ** 0.5)


def given(matrix: Any) -> Float[Array, "measurement_dim signal_dim"]:
    """Your own matrix as an operator, in the default float type. Raises ArgumentError unless finite, real and 2-d."""
    check_matrix("operator", matrix, "(measurement_dim, signal_dim)")
    return jnp.asarray(matrix, jnp.result_type(float))


def named(name: Any) -> Any:
    """The generator of that name. Raises ArgumentError for another, and for a matrix, which makes a Problem."""
    if not isinstance(name, str):
        raise fail("operator", f"one of {', '.join(sorted(GENERATORS))}", shown(name),
                   "for a matrix of your own pass problem=, which builds ji.Problem(operator=, signals=)")  # fmt: skip
    check_known("operator", name, GENERATORS)
    return GENERATORS[name]


def norm(operator: Float[Array, "measurement_dim signal_dim"]) -> Float[Array, ""]:
    """The largest singular value of the operator."""
    return jnp.linalg.norm(operator, 2)


def pseudo_inverse(
    operator: Float[Array, "measurement_dim signal_dim"],
) -> Float[Array, "signal_dim measurement_dim"]:
    """The Moore-Penrose inverse A^+: the map to the least-norm signal that explains the measurements."""
    return jnp.linalg.pinv(operator)


GENERATORS = {"gaussian": gaussian, "orthogonal_rows": orthogonal_rows}
"""The operators that can be asked for by name."""
