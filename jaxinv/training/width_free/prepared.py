"""A setup as the width-free engine takes it: data in coordinates, and the layers at their start, sampled or given."""

from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Float

from ...arrays import AnyArray, cast, rounding
from ...draws import normal
from ...networks.layers import LayerProduct
from ...networks.unsampled import TrainedMap, UnsampledProduct
from ...problems.coordinates import Coordinates, rotated_coordinates
from ...problems.problem import Problem
from ..descent import Descent
from ..setup import Setup
from .given import Given
from .sampled import Sampled, for_triangle, triangle
from .scope import signal_coordinates


class Prepared(eqx.Module):
    """Arrays of numpy. The data fill the first columns of measurement space and the first coordinates of signal space.

    `frame` are those coordinates of signal space, as columns: of which the first are the targets' and the signals'.
    `rotation` are those of measurement space.
    """

    key: Any
    start: Sampled | Given
    inputs: Float[AnyArray, "rank rank"]
    targets: Float[AnyArray, "rank signal_coordinates"]
    coordinates: Coordinates
    descent: Descent
    frame: Float[np.ndarray, "signal_dim frame"]
    rotation: Float[np.ndarray, "measurement_dim measurement_dim"]
    least_capacity: int = eqx.field(static=True)


def prepare(setup: Setup) -> Prepared:
    """The setup in the coordinates of its data, in f64."""
    problem, network, descent = setup
    sampled = isinstance(network, UnsampledProduct)
    coordinates = rotated_coordinates(cast(problem, np.float64))
    rank, known = coordinates.trained, _spanned(_signals(problem, coordinates))
    # equal shapes whatever the rank of the signals: what is known is padded with zeros
    most = signal_coordinates(problem)
    first = padded(known.T, most).T
    reduced = coordinates.in_signal_space(lambda columns: first.T @ columns)
    make = _sampled if sampled else _given
    start, frame = make(network, coordinates, known, most)
    return Prepared(
        key=np.asarray(jax.random.key_data(network.key if sampled else jax.random.key(0))),
        start=start,
        inputs=coordinates.inputs[:, :rank].T.copy(),
        targets=reduced.targets,
        coordinates=reduced,
        descent=cast(descent, np.float64),
        frame=frame,
        rotation=np.asarray(coordinates.rotation),
        least_capacity=max(most, rank),
    )


def _signals(problem: Problem, coordinates: Coordinates) -> list[Any]:
    """What signal space has to hold, as columns: targets, test signals, the subspace, pairs to measure on."""
    parts = [coordinates.targets.T, coordinates.covariance_root]
    if problem.tests_on_pairs:
        parts.append(np.asarray(problem.latent.basis, np.float64))
    if coordinates.held_out is not None:
        parts.append(coordinates.held_out[0].T)
    return parts


def _spanned(parts):
    """Orthonormal columns that span the columns of `parts`."""
    together = np.concatenate([part / np.linalg.norm(part) for part in parts], axis=1)
    left, values, _ = np.linalg.svd(together, full_matrices=False)
    return left[:, values > rounding(left) * values[0]]


def _sampled(network: UnsampledProduct, coordinates: Coordinates, known, most: int):
    rank, measurement_dim = coordinates.trained, coordinates.inputs.shape[1]
    signal_dim = len(known)
    sizes = [network.width] * (network.depth - 1) + [signal_dim]
    fan_in = np.array([measurement_dim, *sizes[:-1]], float)
    normals = np.asarray(normal(jax.random.fold_in(network.key, 2), (for_triangle(rank),)), np.float64)
    start = Sampled(
        deviations=network.scale / np.sqrt(fan_in),
        first_weight=network.scale / fan_in[0] ** 0.5 * triangle(normals, rank, network.width),
        sizes=np.array(sizes, np.int64),
        known_outputs=np.array(known.shape[1]),
        off_range=measurement_dim - rank,
        signal_dim=signal_dim,
    )
    return start, _completed(known)


def _given(network: LayerProduct, coordinates: Coordinates, known, most: int):
    first, *above = (np.asarray(weight, np.float64) for weight in network.weights)
    first = first @ np.asarray(coordinates.rotation)
    # what the last layer never gives out, and no target asks for, stays out of it
    frame = _completed(known) if len(known) <= known.shape[1] + above[-1].shape[1] else np.linalg.qr(
        np.concatenate([known, above[-1]], axis=1))[0]  # fmt: skip
    frame = np.concatenate([known, frame[:, known.shape[1] :]], axis=1)
    above[-1] = frame.T @ above[-1]
    size = max(most, *(max(weight.shape) for weight in above))
    square = np.stack([padded(padded(weight, size).T, size).T for weight in above])
    norms = np.array([np.linalg.norm(weight, 2) for weight in above])
    start = Given(
        weights=square,
        first_weight=padded(first[:, : coordinates.trained], size),
        off_range=padded(first[:, coordinates.trained :], size),
        sizes=np.array([weight.shape[1] for weight in above] + [above[-1].shape[0]], np.int64),
        gains=np.stack([norms, norms], axis=1),
        known_outputs=np.array(known.shape[1]),
    )
    return start, frame


def _completed(columns):
    """An orthogonal matrix whose first columns are these."""
    full = np.linalg.qr(columns, mode="complete")[0]
    return np.concatenate([columns, full[:, columns.shape[1] :]], axis=1)


def padded(matrix: Any, rows: int) -> Any:
    """`matrix` with as many rows, of zeros where it has fewer."""
    namespace = np if isinstance(matrix, np.ndarray) else jnp
    return namespace.pad(matrix, ((0, rows - matrix.shape[0]), (0, 0)))


def trained_network(setup: Setup, prepared: Prepared, end: Any) -> Any:
    """The network as trained on the problem's own measurements: of one that was sampled, the map."""
    end_to_end, weights = end
    rotation, network = prepared.rotation, setup.network
    if weights is None:
        frame = prepared.frame[:, : len(end_to_end)]
        with np.errstate(all="ignore"):  # of a run that diverged
            matrix = frame @ end_to_end @ rotation.T
        return TrainedMap(jnp.asarray(matrix), network.width, network.depth)
    first, above = weights
    shapes = [weight.shape for weight in network.weights]
    with np.errstate(all="ignore"):
        made = [first[: shapes[0][0]] @ rotation.T]
        made += [weight[:out, :inn] for weight, (out, inn) in zip(above, shapes[1:], strict=True)]
        made[-1] = prepared.frame @ above[-1][: prepared.frame.shape[1], : shapes[-1][1]]
    return LayerProduct(tuple(jnp.asarray(weight, network.weights[0].dtype) for weight in made))
