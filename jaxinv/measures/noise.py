"""The error on fresh noisy measurements, of the network and of maps to compare it with, as a metric."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from ..checks import ArgumentError, check_known, check_number, fail
from ..draws import Tag, normal
from ..problems.baselines import PENALTIES
from ..problems.coordinates import Coordinates
from .metrics import error_halves, noisy_test_error
from .view import View

MAPS = ("network", "oracle", "ridge")


@dataclass(frozen=True, init=False)
class NoisyError:
    """The relative RMSE on fresh signals at each relative test `noise`, as the metric "noisy_error".

    Its axes are "map" and "noise": `maps` are "network", "oracle" (R (A R)^+) and "ridge" (ridge regression on the
    training pairs, at each noise the penalty that is best on fresh signals). In closed form for linear maps; of another
    network by Monte Carlo on the held-out pairs of its problem, the same noise scaled to every level. Raises
    ArgumentError for a bad level or an unknown map, and where there are no held-out pairs for Monte Carlo.
    """

    noise: tuple[float, ...]
    maps: tuple[str, ...]

    def __init__(self, noise: Iterable[float], maps: Iterable[str] = ("network",)):
        levels, chosen = tuple(noise), tuple(maps)
        for name, given in (("noise", levels), ("maps", chosen)):
            if not given:
                raise fail(name, "a non-empty sequence", "none", "pass at least one")
        for level in levels:
            check_number("noise", level)
        for each in chosen:
            check_known("map", each, MAPS)
        object.__setattr__(self, "noise", tuple(float(level) for level in levels))
        object.__setattr__(self, "maps", chosen)

    @property
    def name(self) -> str:
        """Its name in the results."""
        return "noisy_error"

    @property
    def dims(self) -> tuple[str, ...]:
        """The names of its axes."""
        return ("map", "noise")

    @property
    def needs_weights(self) -> bool:
        """That any engine can record it (of a network that is not linear, any that holds the weights)."""
        return False

    @property
    def of_fresh_signals(self) -> bool:
        """That it is in-sample where a problem knows no other signals than those trained on."""
        return True

    @property
    def labels(self) -> dict[str, tuple[Any, ...]]:
        """The values along its axes."""
        return {"map": self.maps, "noise": self.noise}

    def record(self, view: View) -> Float[Array, "map noise"]:
        """The error of each map at each level where a run stands."""
        coordinates = view.coordinates
        levels = jnp.asarray(self.noise, coordinates.targets.dtype)
        errors = {
            "network": lambda: _network_error(view, levels),
            "oracle": lambda: noisy_test_error(*error_halves(coordinates, coordinates.oracle), levels),
            "ridge": lambda: ridge_error(coordinates, levels),
        }
        return jnp.stack([errors[each]() for each in self.maps])


def _network_error(view: View, levels):
    if view.end_to_end is not None:
        return noisy_test_error(*error_halves(view.coordinates, view.end_to_end), levels)
    if view.coordinates.held_out is None:
        raise ArgumentError(
            "noisy_error of a network that is not linear needs held_out pairs, got a problem without; pass held_out="
        )
    signals, measurements = view.coordinates.held_out
    unit = normal(jax.random.fold_in(jax.random.key(0), Tag.TEST_NOISE), measurements.shape).astype(signals.dtype)
    size = jnp.sqrt(jnp.sum(view.coordinates.measured_root**2) / measurements.shape[1])

    def error(level):
        misfit = view.network(measurements + level * size * unit) - signals
        return jnp.linalg.norm(misfit) / jnp.linalg.norm(signals)

    return jax.lax.map(error, levels)


def ridge_error(coordinates: Coordinates, levels: Float[Array, " noise"]) -> Float[Array, " noise"]:
    """The relative RMSE of ridge regression at each noise level, with the best of PENALTIES on fresh signals.

    The map is T diag(f) V^T, with inputs U S V^T, T = targets^T U and f = S / (S^2 + penalty): all errors are quadratic
    in f. Compressed pairs have the same ridge maps.
    """
    left, values, right = jnp.linalg.svd(coordinates.inputs, full_matrices=False)
    outer, inner = coordinates.targets.T @ left, right @ coordinates.measured_root
    penalties = jnp.asarray(PENALTIES, values.dtype)[:, None] * values[0] ** 2
    filters = values[None, :] / (values[None, :] ** 2 + penalties)
    power = jnp.sum(coordinates.covariance_root**2)
    quadratic = (outer.T @ outer) * (inner @ inner.T)
    linear = jnp.sum((outer.T @ coordinates.covariance_root) * inner, axis=1)
    bias = jnp.sum((filters @ quadratic) * filters, axis=1) - 2 * filters @ linear + power
    gain = filters**2 @ jnp.sum(outer**2, axis=0)
    variance = jnp.sum(coordinates.measured_root**2) / coordinates.inputs.shape[1] * gain
    clean, sensitivity = jnp.sqrt(jnp.maximum(bias, 0) / power), jnp.sqrt(variance / power)
    return jnp.min(noisy_test_error(clean[:, None], sensitivity[:, None], levels[None, :]), axis=0)
