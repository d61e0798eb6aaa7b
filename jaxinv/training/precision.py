"""Precision of a run: the settings it is computed under, and where float32 cannot resolve the weight decay."""

from collections.abc import Iterator
from contextlib import contextmanager

import jax

from ..checks import ArgumentError

SMALLEST_FLOAT32_DECAY = 1e-6
"""Below this step_size * weight_decay a float32 weight loses less per step than its rounding (fact 10)."""


@contextmanager
def run_settings() -> Iterator[None]:
    """What every run is computed under: float64 allowed, matrix products at the highest precision."""
    with jax.enable_x64(True), jax.default_matmul_precision("highest"):
        yield


def resolved(precision: str, decay_per_step: float) -> str:
    """`precision`, with "auto" made float64 where step_size * weight_decay is lost in float32, else float32."""
    if precision == "auto":
        return "float64" if 0 < decay_per_step < SMALLEST_FLOAT32_DECAY else "float32"
    return precision


def check_float32(decay_per_step: float) -> None:
    """ArgumentError where a float32 weight would not decay: the argument is step_size * weight_decay."""
    if 0 < decay_per_step < SMALLEST_FLOAT32_DECAY:
        raise ArgumentError(
            f"precision must be float64 where step_size * weight_decay is below {SMALLEST_FLOAT32_DECAY:g}, got "
            f"float32 at {decay_per_step:.2g}; a float32 weight would not decay: use float64, or raise the weight decay"
        )
