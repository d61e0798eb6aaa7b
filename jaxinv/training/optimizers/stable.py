"""Step sizes that are stable where training starts and where it may end."""

from typing import Any

import jax
import numpy as np

from ...arrays import cast, host_device, is_traced
from ...checks import UnknownNumbers, check_number, fail
from ...problems.problem import Problem
from ...theory.linearisation import balanced_fit, linearise
from ..precision import run_settings
from ..width_free.chains import linearisation_of

STABLE = "stable"
SHARE = 0.8
"""The step size "stable" is this share of 2 / mu_max(K): beyond all of it the linearised descent diverges."""


def stable_step_size(problem: Problem, network: Any, limit: float = 2.0) -> float:
    """0.8 * `limit` / mu_max(K), K the linearisation of training `network` on `problem` (fact 7), where it is larger:
    as the network is, or as a balanced product of its depth ends, which matters where ||A x|| is far below ||x||. Ours.

    The limit is 2 for gradient descent; an optimizer that scales gradients has none. K is that of the theory for a
    layer product, J J^T of the Jacobian J of the outputs on the training pairs for any other network. Of weights that
    were not generated it is sampled by their law, not that of the run's: see `sampled_linearisation`. In float64 on the
    host. Raises ArgumentError where there is no slope at all.
    """
    if is_traced(problem.measurements, *jax.tree.leaves(network)):
        raise UnknownNumbers('step_size "stable" needs known numbers, got traced weights; choose it outside jit')
    if network.is_product:
        largest = linearisation_of(problem, network).largest()
    else:
        largest = _largest_of_jacobian(network, problem.measurements)
    if largest > 0:
        largest = max(largest, linearise(problem, balanced_fit(problem, network.depth)).largest())
    if not 0 < largest < np.inf:
        raise fail("step_size", "a number, where the network has no slope at its start to choose it by",
                   f"mu_max(K) = {largest:.3g}", "pass a number, or other weights")  # fmt: skip
    return SHARE * limit / largest


def _largest_of_jacobian(network: Any, inputs: Any) -> float:
    """The largest eigenvalue of J J^T to 0.1%, J the Jacobian of network(inputs), by Lanczos iteration without J."""
    from scipy.sparse.linalg import LinearOperator, eigsh

    with run_settings(), jax.default_device(host_device()):
        network, inputs = cast((network, inputs), np.float64)
        shape = jax.eval_shape(network, inputs).shape
        size = int(np.prod(shape))
        if size == 1:
            return float(_jacobian_product(network, inputs, np.ones(shape))[0, 0])
        product = LinearOperator(
            (size, size),
            matvec=lambda v: np.ravel(_jacobian_product(network, inputs, v.reshape(shape))),  # pyright: ignore[reportCallIssue]
            dtype=np.float64,  # pyright: ignore[reportCallIssue]
        )
        start = np.random.default_rng(0).normal(size=size)
        if not np.any(product.matvec(start)):
            return 0.0
        options: Any = {"which": "LA", "v0": start, "tol": 1e-3, "return_eigenvectors": False}
        return float(eigsh(product, 1, **options)[0])


@jax.jit
def _jacobian_product(network: Any, inputs: Any, errors: Any) -> Any:
    """J J^T errors. J is the transpose of J^T, for layers that are only differentiated backwards."""
    slopes = jax.vjp(lambda net: net(inputs), network)[1]
    moved, forward = jax.vjp(lambda rows: slopes(rows)[0], errors)
    return forward(moved)[0]


def check_step_size(value: Any) -> None:
    """ArgumentError unless `value` is a number above 0 or the name "stable"."""
    if isinstance(value, str) and value != STABLE:
        raise fail("step_size", 'a finite number above 0 or "stable"', repr(value), "pass one of them")
    if not isinstance(value, str):
        check_number("step_size", value, strict=True)
