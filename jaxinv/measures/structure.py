"""Singular values and spaces of the data, the map and its layers, as functions for a Metric."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from ..checks import fail
from ..problems.coordinates import Coordinates
from .metrics import entropy_rank, finite

LANCZOS = 60
"""Steps of the iteration for the largest eigenvalue of K."""


def map_values(coordinates: Coordinates, network: Any) -> Float[Array, " subspace_dim"]:
    """The subspace_dim largest singular values of the end-to-end map."""
    values = jnp.linalg.svd(finite(network.end_to_end()), compute_uv=False)
    return values[: coordinates.covariance_root.shape[1]]


def end_to_end(coordinates: Coordinates, network: Any) -> Float[Array, "signal_dim measurement_dim"]:
    """The matrix of the map, on measurements as they are given."""
    product = network.end_to_end()
    return product if coordinates.rotation is None else product @ coordinates.rotation.T


def measured_extremes(coordinates: Coordinates, network: Any) -> Float[Array, "2"]:
    """The largest and the smallest non-zero singular value of Y, without noise on it."""
    values = jnp.linalg.svd(coordinates.inputs, compute_uv=False)
    return values[jnp.array([0, coordinates.covariance_root.shape[1] - 1])]


def first_layer_off_subspace(coordinates: Coordinates, network: Any) -> Float[Array, ""]:
    """||W_1 P_perp||_F, P_perp the projector onto range(A R)^perp: without noise that is range(Y)^perp (fact 1)."""
    return jnp.linalg.norm(network.weights[0] @ coordinates.off_basis)


def oracle_gain(coordinates: Coordinates, network: Any) -> Float[Array, ""]:
    """||R (A R)^+||_F, the noise gain of the oracle; NaN where there is none."""
    return jnp.linalg.norm(coordinates.oracle)


def signal_norms(coordinates: Coordinates, network: Any) -> Float[Array, " rank"]:
    """x_i of fact 8: a row of the compressed data is a column of X V, V the right singular vectors of Y."""
    return jnp.linalg.norm(coordinates.targets, axis=1)


def measured_norms(coordinates: Coordinates, network: Any) -> Float[Array, " rank"]:
    """y_i of fact 8, the lengths of the columns of Y V."""
    return jnp.linalg.norm(coordinates.inputs, axis=1)


def pair_gains(coordinates: Coordinates, network: Any) -> Float[Array, " rank"]:
    """What the map makes of each pair: (X V)_i^T W (Y V)_i / (x_i y_i), its singular value where W splits like them."""
    products = jnp.sum((coordinates.targets @ network.end_to_end()) * coordinates.inputs, axis=1)
    return products / (signal_norms(coordinates, network) * measured_norms(coordinates, network))


def values_by_pair(values: Float[np.ndarray, "*runs rank"], gains: Float[np.ndarray, "*runs rank"]) -> np.ndarray:
    """Singular `values`, largest first, in the order of the `pair_gains`: the k-th belongs to the k-th largest gain."""
    place = np.argsort(np.argsort(-gains, axis=-1, kind="stable"), axis=-1)
    return np.take_along_axis(values, place, axis=-1)


def pair_cosine(coordinates: Coordinates, network: Any) -> Float[Array, ""]:
    """The largest |cosine| between two columns of X V: 0 where fact 8 applies."""
    rows = coordinates.targets / jnp.linalg.norm(coordinates.targets, axis=1, keepdims=True)
    return jnp.max(jnp.abs(rows @ rows.T - jnp.eye(len(rows), dtype=rows.dtype)))


def layer_values(coordinates: Coordinates, network: Any) -> Float[Array, "depth index"]:
    """The leading singular values of each layer, as many as all of them have."""
    values = [each for _, each, _ in _decompositions("layer_values", network)]
    return jnp.stack([each[: min(map(len, values))] for each in values])


def layer_rank(coordinates: Coordinates, network: Any) -> Float[Array, " depth"]:
    """The effective rank of each layer: exp of the entropy of its normalised singular values."""
    return jnp.stack([entropy_rank(values) for _, values, _ in _decompositions("layer_rank", network)])


def misalignment(coordinates: Coordinates, network: Any) -> Float[Array, " joints"]:
    """Sine of the largest principal angle at each of depth + 1 joints: 0 where the spaces agree.

    Between range(A R) and the leading s right singular vectors of W_1, the leading left ones of each layer and the
    right ones of the next, those of W_L and range(R).
    """
    s = coordinates.covariance_root.shape[1]
    spaces = [jnp.linalg.qr(coordinates.measured_root)[0]]
    for left, _, right in _decompositions("misalignment", network):
        spaces += [right[:s].T, left[:, :s]]
    spaces.append(jnp.linalg.qr(coordinates.covariance_root)[0])
    joints = zip(spaces[::2], spaces[1::2], strict=True)
    return jnp.stack([jnp.linalg.norm(after - before @ (before.T @ after), 2) for before, after in joints])


def sharpness(coordinates: Coordinates, network: Any) -> Float[Array, ""]:
    """mu_max(K), the largest eigenvalue of the Gauss-Newton part of the Hessian, of a layer product: see fact 7.

    By Lanczos iteration on compressed data, from a start that is always the same: as `theory.linearise(...).largest()`
    of the weights, to rounding where LANCZOS steps exhaust it. NaN where a weight is not finite.
    """
    if not getattr(network, "is_product", False):
        raise fail("sharpness", "of a layer product", type(network).__name__, "leave it out")
    rows, columns = [coordinates.inputs], [jnp.eye(coordinates.targets.shape[1], dtype=coordinates.targets.dtype)]
    for weight in network.weights[:-1]:
        rows.append(rows[-1] @ weight.T)
    for weight in network.weights[:0:-1]:
        columns.append(columns[-1] @ weight)
    inner, outer = jnp.stack([p @ p.T for p in rows]), jnp.stack([b @ b.T for b in columns[::-1]])
    shape = coordinates.targets.shape
    start = np.random.default_rng(0).normal(size=shape).astype(rows[0].dtype)
    count, size = min(LANCZOS, start.size), start.size

    def extend(k, state):
        basis, images, vector = state
        image = jnp.einsum("lij,jk,lkm->im", inner, vector.reshape(shape), outer).ravel()
        basis, images = basis.at[k].set(vector), images.at[k].set(image)
        for _ in range(2):
            image = image - (basis @ image) @ basis
        length = jnp.linalg.norm(image)
        # what is left of an invariant space is rounding
        there = length > 100 * jnp.finfo(image.dtype).eps * jnp.linalg.norm(images[0])
        return basis, images, jnp.where(there, image / length, 0)

    empty = jnp.zeros((count, size), rows[0].dtype)
    basis, images, _ = jax.lax.fori_loop(0, count, extend, (empty, empty, start.ravel() / np.linalg.norm(start)))
    projected = basis @ images.T
    known = jnp.isfinite(jnp.sum(projected))
    return jnp.where(known, jnp.linalg.eigvalsh(finite(projected + projected.T) / 2)[-1], jnp.nan)


def _decompositions(what, network):
    """The singular value decomposition of each layer; ArgumentError where a layer is no matrix, as a filter is."""
    if any(weight.ndim != 2 for weight in network.weights):
        raise fail(what, "of layers that are matrices", type(network).__name__, "use map_values, those of the map")
    return [jnp.linalg.svd(finite(weight), full_matrices=False) for weight in network.weights]
