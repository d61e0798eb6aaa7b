"""What is recorded during training: small arrays by name, never weights."""

from collections.abc import Callable, Sequence
from itertools import pairwise
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from .checks import AnyArray, check_known, fail
from .descent import Descent
from .frame import Frame, plain_frame
from .network import Layers
from .problem import Problem

NAMES = (
    "loss",
    "regression_error",
    "off_subspace_error",
    "off_subspace_gain",
    "noise_gain",
    "oracle_distance",
    "effective_rank",
    "balancedness",
    "test_error",
    "noise_sensitivity",
)
ANY_NETWORK = ("loss", "regression_error")
"""Those that networks have which are not linear."""


class Metric(NamedTuple):
    """A quantity of your own to record: `function(frame, network)` gives an array whose axes are named `dims`.

    `frame` holds the problem in the coordinates of the run, `network` acts on measurements in those (`Frame`).
    """

    name: str
    function: Callable[[Frame, Any], Any]
    dims: tuple[str, ...] = ()


def measure(problem: Problem, network: Layers, weight_decay: float = 0.0) -> dict[str, Float[Array, ""]]:
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

    The metrics of the subspace are NaN where A R lacks full column rank or fills measurement space. A baseline map is
    measured as `LayerProduct((map,))`.
    """
    with jax.default_matmul_precision("highest"):
        return evaluate(plain_frame(problem), network, weight_decay)


def evaluate(frame: Frame, network: Any, weight_decay: Any) -> dict[str, Float[Array, ""]]:
    """Every metric, as `measure` defines them, in any coordinates: `network` acts on measurements in `frame`'s.

    Of a network that is not linear, those of ANY_NETWORK.
    """
    misfit = jnp.sum((network(frame.inputs) - frame.targets) ** 2) + frame.residual**2
    penalty = sum(jnp.sum(weight**2) for weight in network.weights)
    signal_norm = jnp.sqrt(jnp.sum(frame.targets**2) + frame.residual**2)
    fit = {
        "loss": 0.5 * misfit + 0.5 * weight_decay * penalty,
        "regression_error": jnp.sqrt(misfit) / signal_norm,
    }
    if not network.is_linear:
        return fit
    end_to_end = network.end_to_end()
    off_subspace = end_to_end @ frame.off_basis
    bias, sensitivity = error_halves(frame, end_to_end)
    return fit | {
        "off_subspace_error": _spectral_norm(off_subspace),
        "off_subspace_gain": jnp.linalg.norm(off_subspace) if off_subspace.size else jnp.full_like(bias, jnp.nan),
        "noise_gain": jnp.linalg.norm(end_to_end),
        "oracle_distance": _spectral_norm(end_to_end - frame.oracle) / _spectral_norm(frame.oracle),
        "effective_rank": entropy_rank(jnp.linalg.svd(finite(end_to_end), compute_uv=False)),
        "balancedness": _balancedness(network),
        "test_error": bias,
        "noise_sensitivity": sensitivity,
    }


def error_halves(
    frame: Frame, end_to_end: Float[AnyArray, "signal_dim measurement_dim"]
) -> tuple[Float[Array, ""], Float[Array, ""]]:
    """(relative RMSE on fresh signals without noise, its growth with relative test noise), in closed form.

    E||W(Ax + e) - x||^2 = ||(WA - I) Sigma^{1/2}||_F^2 + sigma_e^2 ||W||_F^2, over E||x||^2 = tr Sigma. The second is
    the root of the last term over tr Sigma at relative noise 1, where m sigma_e^2 = E||A x||^2.
    """
    power = jnp.sum(frame.covariance_root**2)
    measured_power = jnp.sum(frame.measured_root**2)
    bias = jnp.sum((end_to_end @ frame.measured_root - frame.covariance_root) ** 2)
    variance = measured_power / end_to_end.shape[1] * jnp.sum(end_to_end**2)
    return jnp.sqrt(bias / power), jnp.sqrt(variance / power)


def noisy_test_error(test_error: Any, noise_sensitivity: Any, noise: Any) -> Any:
    """Relative RMSE on fresh signals at relative test noise `noise`, from the two recorded halves; broadcasts."""
    return (test_error**2 + (noise * noise_sensitivity) ** 2) ** 0.5


Chosen = tuple[str | Metric, ...]


def choose(wanted: Sequence[str | Metric] | None, network: Any) -> Chosen:
    """What to record of `network`: all it has where `wanted` is None, else those, and the loss (it tells divergence).

    Raises ArgumentError for a metric that the network does not have.
    """
    known = NAMES if network.is_linear else ANY_NETWORK
    for metric in wanted or ():
        if not isinstance(metric, Metric):
            check_known("metric", metric, known)
    return known if wanted is None else tuple(dict.fromkeys(("loss", *wanted)))


def check_metrics(wanted: Sequence[str | Metric] | None) -> None:
    """ArgumentError unless each is the name of a metric, or a Metric whose name is its own."""
    names = [metric.name if isinstance(metric, Metric) else metric for metric in wanted or ()]
    for metric, name in zip(wanted or (), names, strict=True):
        if not isinstance(metric, Metric):
            check_known("metric", name, NAMES)
        elif name in NAMES or names.count(name) > 1:
            raise fail("metrics", "of different names", f"{name!r} twice", "rename your metric")


def recorder(frame: Frame, descent: Descent, chosen: Chosen) -> Any:
    """The function of a network that `descent.advance` is handed. What is not `chosen` the compiler drops."""

    def record(network):
        known = evaluate(frame, network, descent.weight_decay)
        own = {metric.name: metric.function(frame, network) for metric in chosen if isinstance(metric, Metric)}
        return {name: known[name] for name in known if name in chosen} | own

    return record


def map_values(frame: Frame, network: Any) -> Float[Array, " subspace_dim"]:
    """The subspace_dim largest singular values of the end-to-end map; for a Metric."""
    return jnp.linalg.svd(finite(network.end_to_end()), compute_uv=False)[: frame.covariance_root.shape[1]]


def measured_extremes(frame: Frame, network: Any) -> Float[Array, "2"]:
    """The largest and the smallest non-zero singular value of Y; for a Metric."""
    values = jnp.linalg.svd(frame.inputs, compute_uv=False)
    return values[jnp.array([0, frame.covariance_root.shape[1] - 1])]


def finite(matrix: Float[Array, "_ _"]) -> Float[Array, "_ _"]:
    """The matrix, or NaN-free zeros in place of one that is not finite: LAPACK complains of it on stderr."""
    return jnp.where(jnp.isfinite(jnp.sum(matrix)), matrix, 0)


def entropy_rank(values: Float[AnyArray, " values"]) -> Float[Array, ""]:
    """exp of the entropy of the normalised singular `values`; NaN where all are 0."""
    share = values / jnp.sum(values)
    return jnp.exp(-jnp.sum(jnp.where(share > 0, share * jnp.log(jnp.where(share > 0, share, 1)), share)))


def _spectral_norm(matrix):
    """Largest singular value, from the smaller Gram matrix; NaN for an empty matrix.

    Scaled to entries of at most 1, so that squares of values near the smallest float do not vanish.
    """
    if 0 in matrix.shape:
        return jnp.full((), jnp.nan, matrix.dtype)
    size = jnp.max(jnp.abs(matrix))
    unit = finite(matrix) / jnp.where(size == 0, 1, size)
    gram = unit.T @ unit if matrix.shape[0] >= matrix.shape[1] else unit @ unit.T
    return size * jnp.sqrt(jnp.linalg.eigvalsh(gram)[-1])


def _balancedness(network):
    """max_l ||W_{l+1}^T W_{l+1} - W_l W_l^T||_F, 0 for a single layer."""
    gaps = [jnp.linalg.norm(after.T @ after - before @ before.T) for before, after in pairwise(network.weights)]
    return jnp.max(jnp.stack(gaps)) if gaps else jnp.zeros((), network.weights[0].dtype)
