"""Where a run stands, as metrics read it: the same for every engine, whatever the engine holds."""

from functools import cached_property
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from ..arrays import AnyArray
from ..draws import Tag, normal
from ..problems.coordinates import Coordinates
from .objective import squared_norm

POINTS = 16
"""At most so many measurements are those where a network that is not linear has its Jacobian taken."""


class View(eqx.Module):
    """A network on a problem in some coordinates, at one record.

    `outputs` are its reconstructions of the training inputs, `squared_norm` is sum_l ||W_l||_F^2. `end_to_end` is its
    matrix in these coordinates, None for a network that is not linear. `network` holds the weights, None for an engine
    that does not know them.
    """

    coordinates: Coordinates
    outputs: Float[Array, "rows signal_dim"]
    squared_norm: Float[Array, ""]
    end_to_end: Float[AnyArray, "signal_dim measurement_dim"] | None
    network: Any

    @cached_property
    def jacobians(self) -> Float[Array, "points signal_dim measurement_dim"]:
        """Those of a network whose weights are known, at `local_points`: its map to first order around each."""
        return jacobians(self.network, local_points(self.coordinates))


def view_of_weights(coordinates: Coordinates, network: Any) -> View:
    """The view of a network whose weights are known; it acts on measurements in these coordinates."""
    return View(
        coordinates=coordinates,
        outputs=network(coordinates.inputs),
        squared_norm=squared_norm(network),
        end_to_end=network.end_to_end() if network.is_linear else None,
        network=network,
    )


def local_points(coordinates: Coordinates) -> Float[AnyArray, "points measurement_dim"]:
    """Measurements of fresh signals, as rows: POINTS of those held out, evenly spaced, as pairs may be sorted.

    Where there are none, POINTS without noise sampled of the law of the signals, with a key that is always the same.
    """
    if coordinates.held_out is None:
        root = coordinates.measured_root
        key = jax.random.fold_in(jax.random.key(0), Tag.TEST_SIGNALS)
        return jnp.asarray(normal(key, (POINTS, root.shape[1])), root.dtype) @ root.T
    measurements = coordinates.held_out[1]
    chosen = np.linspace(0, len(measurements) - 1, min(POINTS, len(measurements)))
    return measurements[np.rint(chosen).astype(int)]


@eqx.filter_jit
def jacobians(network: Any, rows: Float[AnyArray, "points measurement_dim"]) -> Any:
    """The (signal_dim, measurement_dim) Jacobian of the network at each of the `rows`, backwards, as layers need it."""
    return jax.vmap(jax.jacrev(lambda row: network(row[None])[0]))(rows)
