"""Schedules by name: what the step size is multiplied by on the way."""

from collections.abc import Callable
from typing import Any

import equinox as eqx
import jax.numpy as jnp

from ...registry import Registry, check_function


class Schedule(eqx.Module):
    """The step size at step t is `factor(t / horizon)` times that of the descent."""

    factor: Callable[[Any], Any] = eqx.field(static=True)
    horizon: Any

    def __call__(self, count: Any) -> Any:
        """The factor of the step after `count` steps."""
        return self.factor(count / self.horizon)


def _cosine(share: Any) -> Any:
    return 0.5 * (1 + jnp.cos(jnp.pi * jnp.minimum(share, 1)))


def _inverse(share: Any) -> Any:
    return 1 / (1 + share)


def _made(name: str | None, given: Any) -> Callable[[Any], Any]:
    check_function("schedule", given, "the share of the horizon that has passed")
    return given


CONSTANT = "constant"

SCHEDULES: Registry[Callable[[Any], Any]] = Registry("schedule", _made, {
    CONSTANT: jnp.ones_like,
    "cosine": _cosine,
    "inverse_time": _inverse,
})  # fmt: skip
"""Constant; half a cosine down to 0 at the horizon, 0 after it; 1 / (1 + t / horizon)."""
