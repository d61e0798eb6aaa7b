"""Deep linear residual networks: square layers W_L ... W_1 that learn a map Phi, and the bounds of their descent.

Wu, Wang and Ma (arXiv 1911.00645), as quoted with proofs in "Speeding up deep learning training by sharing weights and
then unsharing": the data are whitened, so that the risk is R = 1/2 ||W_L ... W_1 - Phi||_F^2, and all layers are (size,
size). The zero-asymmetric start is W_1 = ... = W_{L-1} = I, W_L = 0. From it, for any Phi,

    gradient flow      R(t) <= exp(-2 t) R(0)
    gradient descent   R(k) <= (1 - eta/2)^k R(0)   at eta of `proven_step_size`: O(L^3 log(1/eps)) steps

W_{l+1}^T W_{l+1} - W_l W_l^T is conserved by the flow, so W_{L-1} W_{L-1}^T = I + W_L^T W_L and sigma_min(W_{L-1} ...
W_1) >= 1, from which the first bound follows.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Key

from ..checks import check_count, check_known
from ..draws import Tag, normal

Weights = Float[Array, "depth size size"]
"""The layers, W_1 first."""

Map = Float[Array, "size size"]

ZERO = "zero_asymmetric"
STARTS = (ZERO, "near_identity", "xavier")
"""W_l = I but W_L = 0; I + N(0, 0.01/(size L)) [ours]; N(0, 1/size)."""

BLOWN = 1e3
"""A run whose risk is so many times its first one has diverged."""


def target(key: Key[Array, ""], size: int, norm: Any, negative: Any) -> Map:
    """Phi of Frobenius norm `norm`, in the direction (1 - negative) G/||G||_F - negative I/||I||_F, G Gaussian."""
    size = check_count("size", size)
    entries = jnp.asarray(normal(jax.random.fold_in(key, Tag.OPERATOR), (size, size)))
    direction = (1 - negative) * entries / jnp.linalg.norm(entries) - negative * jnp.eye(size) / size**0.5
    return norm * direction / jnp.linalg.norm(direction)


def start(key: Key[Array, ""], name: str, depth: int, size: int) -> Weights:
    """The layers before the first step; ArgumentError for a name that is none of STARTS, and a size that is none."""
    check_known("start", name, STARTS)
    depth, size = check_count("depth", depth), check_count("size", size)
    identity = jnp.broadcast_to(jnp.eye(size), (depth, size, size))
    if name == ZERO:
        return identity.at[-1].set(0.0)
    entries = jnp.asarray(normal(jax.random.fold_in(key, Tag.WEIGHTS), (depth, size, size))) / size**0.5
    return entries if name == "xavier" else identity + 0.1 / depth**0.5 * entries


def proven_step_size(depth: Any, norm: Any) -> Any:
    """The largest step size of the theorem on gradient descent, for a Phi of that Frobenius norm.

    min(1/(4 L^3 xi^6), 1/(144 L^2 xi^4)) with xi = max(2 ||Phi||_F, 3 L^(-1/2), 1).
    """
    xi = np.maximum(np.maximum(2 * norm, 3 / np.sqrt(depth)), 1.0)
    return np.minimum(1 / (4 * depth**3 * xi**6), 1 / (144 * depth**2 * xi**4))


def risk(weights: Weights, phi: Map) -> Float[Array, ""]:
    """1/2 ||W_L ... W_1 - Phi||_F^2."""
    product = jax.lax.fori_loop(1, len(weights), lambda layer, below: weights[layer] @ below, weights[0])
    return 0.5 * jnp.sum((product - phi) ** 2)


def gradient(weights: Weights, phi: Map) -> Weights:
    """The gradient of the risk: (W_L ... W_{l+1})^T (W_L ... W_1 - Phi) (W_{l-1} ... W_1)^T for each layer l."""
    identity = jnp.eye(weights.shape[-1])[None]
    up_to = jax.lax.associative_scan(lambda below, above: _product(above, below), weights)
    down_to = jax.lax.associative_scan(_product, weights, reverse=True)
    below = jnp.concatenate([identity, up_to[:-1]])
    above = jnp.concatenate([down_to[1:], identity])
    error = jnp.broadcast_to(up_to[-1] - phi, weights.shape)
    return _product(above.mT, _product(error, below.mT))


def _product(left, right):
    """left @ right as a sum that XLA fuses: of many small matrices, eight times as fast as its matrix product."""
    return jnp.sum(left[..., :, :, None] * right[..., None, :, :], axis=-2)


def descent_step(weights: Weights, phi: Map, step_size: Any) -> Weights:
    """One step of gradient descent."""
    return weights - step_size * gradient(weights, phi)


def flow_time_step(depth: Any) -> Any:
    """The time step with which the flow is integrated: 0.02, less for deep networks, which are stiffer [ours]."""
    return np.minimum(0.02, 0.2 / depth)


def flow_step(weights: Weights, phi: Map, step_size: Any) -> Weights:
    """The gradient flow over a time `step_size`, by the classical Runge-Kutta method: an error of order 5 in it."""

    def stage(state, coefficients):
        slope, total = state
        ahead, share = coefficients
        slope = gradient(weights - step_size * ahead * slope, phi)
        return (slope, total + share * slope), None

    stages = jnp.array([[0, 1 / 6], [1 / 2, 1 / 3], [1 / 2, 1 / 3], [1, 1 / 6]])
    nothing = jnp.zeros_like(weights)
    return weights - step_size * jax.lax.scan(stage, (nothing, nothing), stages)[0][1]


class Path(NamedTuple):
    """A run as it was recorded: the risk, and the step after which it was taken.

    Once the risk is at the level that was asked for the run stands still; NaN once it is beyond BLOWN times its first.
    """

    step: Float[Array, " records"]
    risk: Float[Array, " records"]


def spaced(steps: Any, records: int) -> Float[Array, " records"]:
    """0, then `records` - 1 whole numbers to the one above `steps`, evenly spaced in their logarithms; some repeat."""
    return jnp.append(0.0, jnp.ceil(jnp.exp(jnp.linspace(0.0, jnp.log(steps), records - 1)) * (1 - 1e-12)))


def run(
    weights: Weights, phi: Map, step_size: Any, record_steps: Any, level: Any = 0.0,
    advance: Callable[..., Any] = descent_step,
) -> Path:  # fmt: skip
    """Steps from `weights`, recorded after each of `record_steps` (a rising table); early ended at a risk `level`."""
    first = risk(weights, phi)

    def record(state, until):
        weights, step, last = state

        def again(state):
            return (last > level) & (state[1] < until)  # never where it is NaN

        def once(state):
            return advance(state[0], phi, step_size), state[1] + 1

        weights, step = jax.lax.while_loop(again, once, (weights, step))
        last = risk(weights, phi)
        last = jnp.where(last < BLOWN * first, last, jnp.nan)
        return (weights, step, last), (step, last)

    _, (step, risks) = jax.lax.scan(record, (weights, jnp.zeros(()), first), jnp.asarray(record_steps, float))
    return Path(step, risks)


def residual_flow(key: Key[Array, ""], *, depth: int, size: int, norm: Any, negative: Any, until: Any, records: int):
    """The gradient flow from the zero-asymmetric start up to the time `until`.

    `risk`, over that at the start, after each `step`, of length `flow_time_step`.
    """
    time_step = flow_time_step(check_count("depth", depth))
    return _from_zero(key, size, norm, negative, depth, time_step, until, records, flow_step)


def residual_descent(key: Key[Array, ""], *, depth: int, size: int, norm: Any, negative: Any, level: Any, records: int):
    """Gradient descent from the zero-asymmetric start at `proven_step_size`, until the flow would be at a `level`.

    `risk`, over that at the start, after each `step`.
    """
    until, depth = 1.02 * jnp.log(1 / level) / 2, check_count("depth", depth)
    return _from_zero(key, size, norm, negative, depth, proven_step_size(depth, norm), until, records, descent_step)


def _from_zero(key, size, norm, negative, depth, step_size, until, records, advance):
    weights, phi = start(key, ZERO, depth, size), target(key, size, norm, negative)
    path = run(weights, phi, step_size, spaced(until / step_size, records), advance=advance)
    return {"risk": path.risk / path.risk[0], "step": path.step}


def residual_starts(key: Key[Array, ""], *, depth: int, size: int, rate: Any, level: Any, most: Any, records: int):
    """Gradient descent with step size rate/depth on Phi = -I from each of the STARTS, in at most so many steps.

    `risk`, over that at the start, and `at`, the step after which it was taken: (starts, records). A run ends at the
    first record at which it is at the `level`.
    """
    weights = jnp.stack([start(key, name, depth, size) for name in STARTS])

    def one(weights):
        first = risk(weights, -jnp.eye(size))
        path = run(weights, -jnp.eye(size), rate / depth, spaced(most, records), level * first)
        return {"risk": path.risk / first, "at": path.step}

    return jax.lax.map(one, weights)
