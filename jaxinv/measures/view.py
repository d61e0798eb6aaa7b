"""Where a run stands, as metrics read it: the same for every engine, whatever the engine holds."""

from typing import Any

import equinox as eqx
from jaxtyping import Array, Float

from ..arrays import AnyArray
from ..problems.coordinates import Coordinates
from .objective import squared_norm


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


def view_of_weights(coordinates: Coordinates, network: Any) -> View:
    """The view of a network whose weights are known; it acts on measurements in these coordinates."""
    return View(
        coordinates=coordinates,
        outputs=network(coordinates.inputs),
        squared_norm=squared_norm(network),
        end_to_end=network.end_to_end() if network.is_linear else None,
        network=network,
    )
