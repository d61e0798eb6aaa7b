"""The inverse problem for signals on a union of subspaces: no linear map is as good as one that tells them apart."""

from jaxtyping import Array, Key

from . import operators
from .checks import ArgumentError, check_count, check_known, check_number
from .problem import Problem, noisy_measurements
from .signals import union_of_subspaces


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
    check_number("noise", noise)
    check_known("operator", operator, operators.GENERATORS)
    latent = union_of_subspaces(key, d, s, members, condition_number)
    matrix = operators.GENERATORS[operator](key, m, d)
    signals, measurements = _pairs(latent.training(key, n), matrix)
    problem = Problem(matrix, signals, measurements, latent=latent, held_out=_pairs(latent.draw(key, fresh), matrix))
    if noise == 0:
        return problem
    noisy = noisy_measurements(key, problem, noise)
    return Problem(matrix, signals, noisy, latent=latent, held_out=problem.held_out)


def _pairs(signals, matrix):
    return signals, signals @ matrix.T
