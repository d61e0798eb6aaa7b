"""Metrics of a network on a problem: those with a name, and what a metric of your own is."""

from collections.abc import Callable, Collection
from functools import partial
from itertools import pairwise
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from ..arrays import AnyArray
from ..checks import warn
from ..networks.own import as_given, as_network, check_maps
from ..problems.coordinates import Coordinates, plain_coordinates
from ..problems.problem import Problem
from .objective import Objective
from .view import View, view_of_weights


class Metric(NamedTuple):
    """A quantity of your own to record: `function(coordinates, network)` gives an array whose axes are named `dims`.

    `coordinates` hold the problem as the run sees it (`Coordinates`), `network` acts on measurements in those. It
    needs the weights, which not every engine holds.
    """

    name: str
    function: Callable[[Coordinates, Any], Any]
    dims: tuple[str, ...] = ()

    @property
    def needs_weights(self) -> bool:
        """Whether an engine must hold the weights to record it."""
        return True

    def record(self, view: View) -> Any:
        """Its value where a run stands."""
        return self.function(view.coordinates, as_given(view.network))


def measure(problem: Problem, network: Any, weight_decay: float = 0.0) -> dict[str, Float[Array, ""]]:
    """Every metric of `network` on `problem`; `weight_decay` enters the loss alone.

    With W = W_{L:1} and P_perp the projector onto range(A R)^perp:

        loss                (1/2)||W Y - X||_F^2 + (weight_decay/2) sum_l ||W_l||_F^2
        regression_error    ||W Y - X||_F / ||X||_F
        off_subspace_error  ||W P_perp||_2              off_subspace_gain  ||W P_perp||_F
        noise_gain          ||W||_F, so that E||W e||^2 = sigma^2 ||W||_F^2
        oracle_distance     ||W - R (A R)^+||_2 / ||R (A R)^+||_2
        effective_rank      exp of the entropy of the normalised singular values of W
        balancedness        max_l ||W_{l+1}^T W_{l+1} - W_l W_l^T||_F
        test_error          relative RMSE on fresh signals without noise, in closed form
        noise_sensitivity   its growth with relative test noise: see `noisy_test_error`

    On a problem of your own arrays the last two are those of its `held_out` pairs, with `test_error_standard_error`
    beside. Where it has none they can only tell of the training signals: they are called `in_sample_test_error` and
    `in_sample_noise_sensitivity`, and a warning says so.

    The metrics of the subspace are NaN where A R lacks full column rank or fills measurement space. A baseline map is
    measured as `LayerProduct((map,))`. Balancedness is that of plain products alone.

    A network that is not linear has a map at each point, to first order: its Jacobian there. Those of LOCAL are then
    the means over the Jacobians at 16 test points, with the largest of them beside as `NAME_worst` (for a linear
    network, where it is asked for: the same). The points are held-out measurements, evenly spaced, or where the problem
    has none, noise-free ones sampled of its law with a fixed key. Its test error is that on held-out pairs. For a small
    noise, `noise_sensitivity` is what the error grows by; for any, see `ji.NoisyError`. Raises ArgumentError for what
    is no network of that problem.
    """
    network = as_network(network)
    check_maps(problem, network)
    with jax.default_matmul_precision("highest"):
        view = view_of_weights(plain_coordinates(problem), network)
        names = available(network, problem)
        warn_in_sample([name for name in names if name in IN_SAMPLE.values()])
        return {name: EVERY_METRIC[name](view, Objective(weight_decay)) for name in names}


def available(network: Any, problem: Problem) -> tuple[str, ...]:
    """The names of the metrics that `network` has on `problem`: see `measure`."""
    if not network.is_linear:
        names = [*ANY_NETWORK, *LOCAL, *WORST]
        pairs = MONTE_CARLO if problem.held_out is not None else ()
    else:
        names = [name for name in NAMES if name != BALANCEDNESS or network.is_product]
        pairs = MONTE_CARLO[1:] if problem.tests_on_pairs else ()
    return *(in_sample_name(name, problem) for name in names), *pairs


def known(network: Any, problem: Problem) -> tuple[str, ...]:
    """The names that can be asked for: those available, and for a linear network the worst of its one map."""
    return tuple(dict.fromkeys([*available(network, problem), *(in_sample_name(name, problem) for name in WORST)]))


def in_sample_name(name: str, problem: Problem) -> str:
    """`name`, or what it is called on a problem that cannot tell of fresh signals."""
    return IN_SAMPLE.get(name, name) if problem.in_sample else name


def warn_in_sample(names: Collection[str]) -> None:
    """Warn of metrics of these `names`, if there are any: they are in-sample."""
    if names:
        warn(
            f"{', '.join(names)}: of the signals trained on, not of fresh ones, for a problem of your own arrays; pass "
            "held_out=(signals, measurements) to ji.Problem"
        )


def _loss(view, objective):
    coordinates = view.coordinates
    fit = objective.data_term(view.outputs, coordinates.targets, coordinates.residual)
    if objective.regularizer is not None:
        fit = fit + objective.penalty(view.network, coordinates.inputs)
    return fit + objective.decay(view.squared_norm)


def _regression_error(view, objective):
    coordinates = view.coordinates
    signal_norm = jnp.sqrt(jnp.sum(coordinates.targets**2) + coordinates.residual**2)
    squares = jnp.sum((view.outputs - coordinates.targets) ** 2) + coordinates.residual**2
    return jnp.sqrt(squares) / signal_norm


def _off_subspace_error(coordinates, matrix):
    return spectral_norm(matrix @ coordinates.off_basis)


def _off_subspace_gain(coordinates, matrix):
    off_subspace = matrix @ coordinates.off_basis
    return jnp.linalg.norm(off_subspace) if off_subspace.size else jnp.full((), jnp.nan, off_subspace.dtype)


def _noise_gain(coordinates, matrix):
    return jnp.linalg.norm(matrix)


def _oracle_distance(coordinates, matrix):
    return spectral_norm(matrix - coordinates.oracle) / spectral_norm(coordinates.oracle)


def _effective_rank(coordinates, matrix):
    return entropy_rank(singular_values(finite(matrix)))


def _noise_sensitivity(coordinates, matrix):
    return error_halves(coordinates, matrix)[1]


def _of_map(function, pool, view, objective):
    """`function` of the coordinates and the map; of a network that is not linear `pool` over those of its Jacobians."""
    if view.end_to_end is not None:
        return function(view.coordinates, view.end_to_end)
    return pool(_each(function, view.coordinates, view.jacobians))


@partial(jax.jit, static_argnames="function")
def _each(function, coordinates, matrices):
    """On a CPU one after the other: the bits of a sum over many depend on the program, and so on how many devices."""
    of_one = partial(function, coordinates)
    return _of_each(of_one, matrices, of_one)


def _of_each(of_one, matrices, together):
    """`of_one` of each matrix, one after the other on a CPU; elsewhere `together` of all, which computes the same."""
    return jax.lax.platform_dependent(matrices, cpu=partial(jax.lax.map, of_one), default=jax.vmap(together))


def _balancedness(view, objective):
    """max_l ||W_{l+1}^T W_{l+1} - W_l W_l^T||_F, 0 for a single layer; NaN where the engine does not hold weights."""
    if view.network is None:
        return jnp.full((), jnp.nan, view.outputs.dtype)
    weights = view.network.weights
    gaps = [jnp.linalg.norm(after.T @ after - before @ before.T) for before, after in pairwise(weights)]
    return jnp.max(jnp.stack(gaps)) if gaps else jnp.zeros((), weights[0].dtype)


def _test_error(view, objective):
    if view.end_to_end is None:
        squares, power = _held_out_squares(view)
        return jnp.sqrt(jnp.sum(squares) / jnp.sum(power))
    return error_halves(view.coordinates, view.end_to_end)[0]


def _test_error_standard_error(view, objective):
    """That of the root of a ratio of means, to first order in the spread of the pairs; NaN for one pair."""
    squares, power = _held_out_squares(view)
    count, ratio = len(squares), jnp.sum(squares) / jnp.sum(power)
    variance = jnp.sum((squares - ratio * power) ** 2) / (max(count - 1, 0) or jnp.nan)
    return jnp.sqrt(variance / count) / jnp.mean(power) / (2 * jnp.sqrt(ratio))


def _held_out_squares(view):
    """||x_hat - x||^2 and ||x||^2 of each held-out pair."""
    signals, measurements = view.coordinates.held_out
    outputs = view.network(measurements) if view.end_to_end is None else measurements @ view.end_to_end.T
    return jnp.sum((outputs - signals) ** 2, axis=1), jnp.sum(signals**2, axis=1)


LOCAL: dict[str, Callable[[Coordinates, Any], Any]] = {
    "off_subspace_error": _off_subspace_error,
    "off_subspace_gain": _off_subspace_gain,
    "noise_gain": _noise_gain,
    "oracle_distance": _oracle_distance,
    "effective_rank": _effective_rank,
    "noise_sensitivity": _noise_sensitivity,
}
"""Functions of the coordinates and a map, or a Jacobian."""

BALANCEDNESS = "balancedness"
_MEANS = {name: partial(_of_map, function, jnp.mean) for name, function in LOCAL.items()}

METRICS: dict[str, Callable[[View, Any], Any]] = {
    "loss": _loss,
    "regression_error": _regression_error,
    **{name: _MEANS[name] for name in LOCAL if name != "noise_sensitivity"},
    BALANCEDNESS: _balancedness,
    "test_error": _test_error,
    "noise_sensitivity": _MEANS["noise_sensitivity"],
}
"""Functions of a view and the objective, by name; `measure` says what they are."""

NAMES = tuple(METRICS)
"""Those that a linear network has on a problem whose law is known."""

WORST = {f"{name}_worst": partial(_of_map, function, jnp.max) for name, function in LOCAL.items()}
"""The largest over the Jacobians of a network that is not linear."""

ANY_NETWORK = ("loss", "regression_error")
"""Those that every network has."""

MONTE_CARLO = ("test_error", "test_error_standard_error")
"""Those that any network has on held-out pairs."""

IN_SAMPLE = {name: f"in_sample_{name}" for name in ("test_error", "noise_sensitivity", "noise_sensitivity_worst")}
"""What metrics of fresh signals are called where only the training signals are known."""

EVERY_METRIC = METRICS | WORST
EVERY_METRIC |= {other: EVERY_METRIC[name] for name, other in IN_SAMPLE.items()}
EVERY_METRIC["test_error_standard_error"] = _test_error_standard_error
"""`METRICS`, the worst, and those of problems of your own arrays."""


def error_halves(
    coordinates: Coordinates, end_to_end: Float[AnyArray, "signal_dim measurement_dim"]
) -> tuple[Float[Array, ""], Float[Array, ""]]:
    """(relative RMSE on fresh signals without noise, its growth with relative test noise), in closed form.

    E||W(Ax + e) - x||^2 = ||(WA - I) Sigma^{1/2}||_F^2 + sigma_e^2 ||W||_F^2, over E||x||^2 = tr Sigma. The second is
    the root of the last term over tr Sigma at relative noise 1, where m sigma_e^2 = E||A x||^2.
    """
    power = jnp.sum(coordinates.covariance_root**2)
    measured_power = jnp.sum(coordinates.measured_root**2)
    bias = jnp.sum((end_to_end @ coordinates.measured_root - coordinates.covariance_root) ** 2)
    variance = measured_power / end_to_end.shape[1] * jnp.sum(end_to_end**2)
    return jnp.sqrt(bias / power), jnp.sqrt(variance / power)


def noisy_test_error(test_error: Any, noise_sensitivity: Any, noise: Any) -> Any:
    """Relative RMSE on fresh signals at relative test noise `noise`, from the two recorded halves; broadcasts."""
    return (test_error**2 + (noise * noise_sensitivity) ** 2) ** 0.5


def finite(matrix: Float[Array, "_ _"]) -> Float[Array, "_ _"]:
    """The matrix, or zeros in place of one that is not finite everywhere: LAPACK complains of NaN on stderr."""
    return jnp.where(jnp.isfinite(jnp.sum(matrix)), matrix, 0)


def entropy_rank(values: Float[AnyArray, " values"]) -> Float[Array, ""]:
    """exp of the entropy of the normalised singular `values`; NaN where all are 0."""
    share = values / jnp.sum(values)
    return jnp.exp(-jnp.sum(jnp.where(share > 0, share * jnp.log(jnp.where(share > 0, share, 1)), share)))


def spectral_norm(matrix: Float[Array, "_ _"]) -> Float[Array, ""]:
    """Largest singular value, from the smaller Gram matrix; NaN for an empty matrix.

    Scaled to entries of at most 1, so that squares of values near the smallest float do not vanish.
    """
    if 0 in matrix.shape:
        return jnp.full((), jnp.nan, matrix.dtype)
    size = jnp.max(jnp.abs(matrix))
    unit = finite(matrix) / jnp.where(size == 0, 1, size)
    gram = unit.T @ unit if matrix.shape[0] >= matrix.shape[1] else unit @ unit.T
    return size * jnp.sqrt(_eigenvalues(gram)[-1])


def _one_by_one(decompose):
    """`decompose`, on a CPU of many matrices one after the other.

    Decomposed together their threads would wait for each other for ever once a second device does the same.
    """
    of_one = jax.custom_batching.custom_vmap(decompose)

    @of_one.def_vmap
    def of_many(_, batched, matrices):
        return _of_each(of_one, matrices, decompose), batched[0]

    return of_one


singular_values = _one_by_one(lambda matrix: jnp.linalg.svd(matrix, compute_uv=False))
_eigenvalues = _one_by_one(lambda matrix: jnp.linalg.eigvalsh(matrix))
