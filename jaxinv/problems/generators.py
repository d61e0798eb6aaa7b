"""Problems made at random: signals on one subspace, on a union of several, or on a curved manifold."""

import jax.numpy as jnp
from jaxtyping import Array, Float, Key

from ..arrays import known
from ..checks import ArgumentError, check_count, check_number, fail
from ..draws import Tag, normal
from . import operators
from .manifolds import manifold
from .problem import Problem
from .signals import subspace
from .unions import union_of_subspaces

MOST_NOISE = 1e15
"""Relative noise whose loss is still a number in float32."""


def subspace_problem(
    key: Key[Array, ""],
    *,
    signal_dim: int = 200,
    measurement_dim: int = 100,
    subspace_dim: int = 5,
    samples: int = 1000,
    condition_number: float = 1.0,
    noise: float = 0.0,
    operator: str = "gaussian",
) -> Problem:
    """Signals on a random subspace and their measurements, by the data law of Laus et al. as we set it.

    `noise` is relative, sqrt(E||e||^2 / E||A x||^2), and falls on the training measurements alone. `operator` is a
    name of `operators.GENERATORS`. The defaults are the sizes of Fig. 1a of arXiv 2502.15522; samples and
    condition number are ours. Raises ArgumentError unless subspace_dim <= measurement_dim <= signal_dim.
    """
    d, m, s, n = (
        check_count("signal_dim", signal_dim),
        check_count("measurement_dim", measurement_dim),
        check_count("subspace_dim", subspace_dim),
        check_count("samples", samples),
    )
    _check_at_most("measurement_dim", m, "signal_dim", d, "an inverse problem has no more measurements than unknowns")
    _check_at_most("subspace_dim", s, "measurement_dim", m, "fewer measurements cannot tell the signals apart")
    check_number("condition_number", condition_number, 1.0)
    generator = _generator(operator, noise)
    latent = subspace(key, d, s, condition_number)
    matrix = generator(key, m, d)
    problem = Problem(matrix, latent.training(key, n), latent=latent, _rank=min(n, s), _generated=True)
    if noise == 0:
        return problem
    noisy = noisy_measurements(key, problem, noise)
    return Problem(matrix, problem.signals, noisy, latent=latent, _rank=min(n, m), _generated=True)


def noisy_measurements(key: Key[Array, ""], problem: Problem, noise: float) -> Float[Array, "samples measurement_dim"]:
    """The training measurements of `problem` with relative `noise` on them, from random numbers of its own."""
    unit = normal(key, problem.measurements.shape, Tag.TRAINING_NOISE)
    return problem.measurements + unit * jnp.sqrt(problem.noise_variance(noise))


def union_problem(
    key: Key[Array, ""],
    *,
    signal_dim: int = 200,
    measurement_dim: int = 100,
    subspace_dim: int = 5,
    subspaces: int = 4,
    samples: int = 1000,
    condition_number: float = 1.0,
    noise: float = 0.0,
    held_out: int = 1000,
    operator: str = "gaussian",
) -> Problem:
    """Signals on a union of `subspaces` random subspaces of `subspace_dim` each, and their measurements. Ours.

    `latent` is the union: its basis spans all of them, and the problem's oracle is the least-norm linear map that
    recovers them all (NaN where they span more dimensions than there are measurements). `held_out` fresh pairs without
    noise follow the law of the training pairs. Other arguments are those of `subspace_problem`. Raises ArgumentError
    unless subspace_dim <= measurement_dim <= signal_dim, and for fewer samples than subspaces.
    """
    d, m = check_count("signal_dim", signal_dim), check_count("measurement_dim", measurement_dim)
    s, members = check_count("subspace_dim", subspace_dim), check_count("subspaces", subspaces)
    n, fresh = check_count("samples", samples), check_count("held_out", held_out)
    if not s <= m <= d:
        raise ArgumentError(f"subspace_dim <= measurement_dim <= signal_dim must hold, got {s}, {m}, {d}")
    if min(n, fresh) < members:
        raise ArgumentError(f"samples and held_out must be at least subspaces = {members}, got {n} and {fresh}")
    check_number("condition_number", condition_number, 1.0)
    generator = _generator(operator, noise)
    latent = union_of_subspaces(key, d, s, members, condition_number)
    matrix = generator(key, m, d)
    return _with_pairs(key, latent, matrix, n, fresh, noise)


def manifold_problem(
    key: Key[Array, ""],
    *,
    signal_dim: int = 200,
    measurement_dim: int = 100,
    latent_dim: int = 2,
    features: int = 20,
    curvature: float = 1.0,
    samples: int = 1000,
    noise: float = 0.0,
    held_out: int = 1000,
    operator: str = "gaussian",
) -> Problem:
    """Signals on a curved manifold of `latent_dim` dimensions, a smooth random map, and their measurements. Ours.

    See `manifold`: with `curvature` c the phases of its `features` are of the order of c; for c -> 0 it is flat, a
    subspace of condition number 1. `latent` is its span, of as many dimensions as features, in which the linear oracle
    recovers all signals; it has the tangent spaces, too. `held_out` fresh pairs without noise follow the law of the
    training pairs. Other arguments are those of `subspace_problem`. Raises ArgumentError unless latent_dim <= features
    <= measurement_dim <= signal_dim.
    """
    d, m = check_count("signal_dim", signal_dim), check_count("measurement_dim", measurement_dim)
    k, p = check_count("latent_dim", latent_dim), check_count("features", features)
    n, fresh = check_count("samples", samples), check_count("held_out", held_out)
    _check_at_most("measurement_dim", m, "signal_dim", d, "an inverse problem has no more measurements than unknowns")
    _check_at_most("features", p, "measurement_dim", m, "fewer measurements cannot tell the signals apart")
    _check_at_most("latent_dim", k, "features", p, "each latent coordinate takes one of them")
    check_number("curvature", curvature, strict=True)
    generator = _generator(operator, noise)
    latent = manifold(key, d, k, p, curvature, fresh)
    matrix = generator(key, m, d)
    return _with_pairs(key, latent, matrix, n, fresh, noise)


def _with_pairs(key, latent, matrix, samples, fresh, noise):
    """The problem of training signals of that law, with `noise` on their measurements, and fresh pairs held out."""
    signals, measurements = _pairs(latent.training(key, samples), matrix)
    held = _pairs(latent.sample(key, fresh), matrix)
    problem = Problem(matrix, signals, measurements, latent=latent, held_out=held, _generated=True)
    if noise == 0:
        return problem
    noisy = noisy_measurements(key, problem, noise)
    return Problem(matrix, signals, noisy, latent=latent, held_out=held, _generated=True)


def _pairs(signals, matrix):
    return signals, signals @ known(matrix).T


def _generator(operator: str, noise: float):
    """The generator of that operator; checks the noise, whose variance must be a number."""
    check_number("noise", noise)
    if noise > MOST_NOISE:
        raise fail("noise", f"at most {MOST_NOISE:g}, or the loss is no number", f"{noise:g}", "pass less")
    return operators.named(operator)


def _check_at_most(name: str, value: int, bound_name: str, bound: int, why: str) -> None:
    if value > bound:
        raise ArgumentError(f"{name} must be at most {bound_name} = {bound}, got {value}; {why}")
