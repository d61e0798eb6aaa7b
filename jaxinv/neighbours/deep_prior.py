"""An untrained network as a prior (deep inverse prior): gradient descent on one measurement, and when it must succeed.

The setting (Buskulic, Fadili, Queau, arXiv 2403.05395 and 2309.12128): y = A xbar + e, and x(W) = V phi(W u) / sqrt(k)
with the sigmoid phi, k hidden units, signs V that stay as they are, ||u|| = 1 and W(0) of standard normal entries.
Gradient descent on L(W) = ||A x(W) - y||^2 / 2. Derived by us and held by tests:

1.  Gradients of W are g u^T, so z = W u is all that moves: z <- z - eta g, g = phi'(z) * V^T A^T (A x - y) / sqrt(k),
    and ||W - W(0)||_F = ||z - z(0)||. z(0) is standard normal: neither W nor u enters, nor how long u is.
2.  Signals see the weights through the n x n kernel K = V diag(phi'(z)^2) V^T / k: dx/dt = -K A^T (A x - y) in the
    flow, and the smallest singular value s of the Jacobian has s^2 = lambda_min(K).
3.  With s_0 that at the start, s_A the smallest non-zero singular value of A, r_0 = A x(0) - y in the range of A, the
    Jacobian is Lipschitz with C = max|phi''| max_i ||V_i|| / sqrt(k), the gradient at losses up to the first with
    B = (||A|| ||V|| max|phi'|)^2 / k + ||A|| ||r_0|| C. At eta = 1/B: where 4 ||r_0|| / (s_A s_0) < s_0 / (2 C), the
    premise, W stays within the left side of W(0), and L(t) <= (1 - eta s_A^2 s_0^2 / 4)^t L(0).

The premise makes s stay above s_0 / 2 as far as the iterates come, so that each step takes eta s_A^2 s_0^2 / 4 of the
loss at least, and the way to be gone is a telescoping sum of the roots of losses. It speaks of the loss alone: where A
has a null space the signal is another matter.
"""

from collections.abc import Mapping
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Key

from ..checks import check_count
from ..draws import Tag, normal
from ..measures.records import record_steps

SLOPE, BEND = 0.25, 1 / (6 * 3**0.5)
"""The largest phi' and phi'' of the sigmoid."""


class Start(NamedTuple):
    """A measurement and the network before its first step: `units` are the columns of V, `hidden` is z(0)."""

    operator: Float[Array, "rows signal_dim"]
    signal: Float[Array, " signal_dim"]
    measured: Float[Array, " rows"]
    units: Float[Array, "width signal_dim"]
    hidden: Float[Array, " width"]

    def recovered(self, hidden: Float[Array, " width"]) -> Float[Array, " signal_dim"]:
        """x = V phi(z) / sqrt(k)."""
        return jax.nn.sigmoid(hidden) @ self.units / len(self.units) ** 0.5

    def residual(self, hidden: Float[Array, " width"]) -> Float[Array, " rows"]:
        """A x - y."""
        return self.operator @ self.recovered(hidden) - self.measured

    def gradient(self, hidden: Float[Array, " width"], residual: Float[Array, " rows"]) -> Float[Array, " width"]:
        """g: the gradient of the loss with respect to z."""
        active = jax.nn.sigmoid(hidden)
        return active * (1 - active) * (self.units @ (residual @ self.operator)) / len(self.units) ** 0.5

    def kernel(self, hidden: Float[Array, " width"]) -> Float[Array, "signal_dim signal_dim"]:
        """K = V diag(phi'(z)^2) V^T / k."""
        active = jax.nn.sigmoid(hidden)
        seen = (active * (1 - active))[:, None] * self.units
        return seen.T @ seen / len(self.units)


class Guarantee(NamedTuple):
    """Fact 3 at a start. `needed` is how far the weights may have to go, `allowed` how far the bound reaches.

    The premise is needed < allowed; then the loss falls by the factor 1 - `share` a step, at `step_size` 1/B.
    `condition` is that of A, over its non-zero singular values.
    """

    step_size: Float[Array, ""]
    share: Float[Array, ""]
    needed: Float[Array, ""]
    allowed: Float[Array, ""]
    condition: Float[Array, ""]


def start(
    key: Key[Array, ""], width: int, measurement_dim, signal_dim: int, noise=0.0, rows: int | None = None
) -> Start:
    """A Gaussian operator of `measurement_dim` rows, a Gaussian signal, and a network of `width` hidden units.

    A has N(0, 1/measurement_dim) entries and xbar standard normal ones, ||e|| is `noise` times ||A xbar||. `rows` (at
    least measurement_dim, which may then be traced) pads A with rows of zeros, which change nothing. What is generated
    for fewer rows or a smaller width is part of what is for more. Raises ArgumentError for a size that is none.
    """
    width, signal_dim = check_count("width", width), check_count("signal_dim", signal_dim)
    rows = check_count("measurement_dim", measurement_dim) if rows is None else check_count("rows", rows)
    shape = rows, signal_dim
    at = {tag: jax.random.fold_in(key, tag) for tag in Tag}
    there = jnp.arange(shape[0]) < measurement_dim
    operator = jnp.where(there[:, None], normal(at[Tag.OPERATOR], shape), 0) / jnp.sqrt(measurement_dim)
    signal = jnp.asarray(normal(at[Tag.COEFFICIENTS], (signal_dim,)))
    clean = operator @ signal
    error = jnp.where(there, normal(at[Tag.TRAINING_NOISE], shape[:1]), 0)
    error = error * (noise * jnp.linalg.norm(clean) / jnp.linalg.norm(error))
    signs, hidden = jax.random.split(at[Tag.WEIGHTS])
    units = jax.random.rademacher(signs, (width, signal_dim), operator.dtype)
    return Start(operator, signal, clean + error, units, jnp.asarray(normal(hidden, (width,))))


def guarantee(begun: Start) -> Guarantee:
    """Fact 3, from the singular values of A and the spectra of two n x n matrices."""
    values, width = jnp.linalg.svd(begun.operator, compute_uv=False), len(begun.units)
    largest, least = values[0], jnp.min(jnp.where(values > 1e-12 * values[0], values, jnp.inf))
    output = jnp.sqrt(jnp.linalg.eigvalsh(begun.units.T @ begun.units)[-1] / width)
    seen = jnp.sqrt(jnp.maximum(jnp.linalg.eigvalsh(begun.kernel(begun.hidden))[0], 0))
    bend = BEND * jnp.max(jnp.linalg.norm(begun.units, axis=1)) / width**0.5
    residual = jnp.linalg.norm(begun.residual(begun.hidden))
    step_size = 1 / ((largest * output * SLOPE) ** 2 + largest * residual * bend)
    return Guarantee(
        step_size=step_size,
        share=step_size * (least * seen) ** 2 / 4,
        needed=4 * residual / (least * seen),
        allowed=seen / (2 * bend),
        condition=largest / least,
    )


def descend(
    key: Key[Array, ""],
    width: int,
    measurement_dim,
    signal_dim: int = 10,
    noise=0.0,
    steps: int = 3000,
    records: int = 40,
    until: float = 0.0,
    rows: int | None = None,
) -> Mapping[str, Array]:
    """Gradient descent of step size 1/B from `start`, for `steps`, or until the loss is `until` of the first.

    A dict of arrays. At each of the records of `record_steps`, or where the run ended before: `step`, `loss`, `error`
    (||x - xbar|| / ||xbar||) and `moved` (||W - W(0)||_F). Of the run: `diverged`, and the fields of `Guarantee`.
    """
    begun = start(key, width, measurement_dim, signal_dim, noise, rows)
    known = guarantee(begun)

    def step(state):
        done, hidden, residual = state
        hidden = hidden - known.step_size * begun.gradient(hidden, residual)
        return done + 1, hidden, begun.residual(hidden)

    def record(state, step_of_record):
        def going(state):
            done, _, residual = state
            return (done < step_of_record) & (residual @ residual > enough)

        done, hidden, residual = state = jax.lax.while_loop(going, step, state)
        row = {
            "step": done,
            "loss": residual @ residual / 2,
            "error": jnp.linalg.norm(begun.recovered(hidden) - begun.signal) / jnp.linalg.norm(begun.signal),
            "moved": jnp.linalg.norm(hidden - begun.hidden),
        }
        return state, row

    first = begun.residual(begun.hidden)
    enough = until * (first @ first)
    after = jnp.asarray(record_steps(steps, records))
    _, table = jax.lax.scan(record, (jnp.zeros((), after.dtype), begun.hidden, first), after)
    return {**table, "diverged": ~jnp.isfinite(table["loss"][-1]), **known._asdict()}


DIMS: dict[str, tuple[str, ...]] = dict.fromkeys(("step", "loss", "error", "moved"), ("record",))
"""The axis of what `descend` gives at each record."""
