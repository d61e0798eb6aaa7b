"""Gaussian layers of any width, sampled where and when they are looked at: exactly in law.

A Gaussian matrix on new orthonormal directions is Gaussian and independent of what is known. Its part on coordinates in
use is generated; of the rest, which nobody has looked at, only the triangular factor: chi lengths on the diagonal. So
the width enters through degrees of freedom alone, as a number. docs/any_width.md has the proof.
"""

from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int, Key

from .layers import Known, in_use, nothing_known, turned


class Sampled(eqx.Module):
    """Independent N(0, deviation^2) entries: `deviations` of all layers, W_1 first.

    `sizes` are the dimensions of spaces 0, 1, ..., the last of them `signal_dim`; the first `known_outputs` coordinates
    of the last are those of the targets. The data have `rank`, `off_range` dimensions of measurement space lie beside.
    Random numbers do not depend on the capacity: a run goes the same way with more room.
    """

    deviations: Float[Array, " depth"]
    sizes: Int[Array, " spaces"]
    known_outputs: Int[Array, ""]
    rank: int = eqx.field(static=True)
    off_range: int = eqx.field(static=True)
    signal_dim: int = eqx.field(static=True)

    @property
    def gains(self) -> Float[Array, "layers 2"]:
        """Root mean square of what a unit vector becomes, forward and backward."""
        sizes = self.sizes.astype(self.deviations.dtype)
        return self.deviations[1:, None] * jnp.sqrt(jnp.stack([sizes[1:], sizes[:-1]], axis=1))

    def first(self, key: Key[Array, ""], capacity: int) -> tuple[Float[Array, "capacity rank"], Known]:
        """W_1(0) on the range of the data, and what is known before the first step."""
        upper = triangle(key, self.rank, self.sizes[0])
        known = nothing_known(len(self.deviations) - 1, capacity)
        used = known.used.at[0].set(jnp.minimum(self.rank, self.sizes[0])).at[-1].set(self.known_outputs)
        padded = jnp.zeros((capacity, self.rank)).at[: self.rank].set(self.deviations[0] * upper)
        return padded, eqx.tree_at(lambda known: known.used, known, used)

    def images(
        self,
        key: Key[Array, ""],
        known: Known,
        layer: Int[Array, ""],
        forward: Bool[Array, ""],
        directions: Float[Array, "capacity rank"],
        count: Int[Array, ""],
    ) -> tuple[Float[Array, "capacity rank"], Int[Array, ""], Float[Array, "size capacity"]]:
        """Of unit vectors orthogonal to those seen: what the other side knows, and fresh numbers beside it."""
        capacity, most = directions.shape
        space = layer + forward
        matrix = turned(known.start[layer], forward)
        other = jnp.where(forward, known.left[layer], known.right[layer])
        used, size = known.used[space], self.sizes[space]
        across, beyond = jax.random.split(key)
        normals = jnp.where(in_use(used, capacity)[:, None], jax.random.normal(across, directions.shape), 0)
        room = jnp.zeros((capacity + most, most))
        news = jax.lax.dynamic_update_slice(room, triangle(beyond, most, size - used), (used, jnp.zeros_like(used)))
        fresh = normals - other @ normals + news[:capacity]
        images = matrix @ directions + self.deviations[layer + 1] * fresh
        return images, jnp.minimum(used + count, size), known.bases[space]

    def complete(self, key: Key[Array, ""], known: Known) -> "CompleteSample":
        """The layers as wholes: what was never looked at is generated, see `complete`."""
        return complete(self, key, known)


def triangle(key: Key[Array, ""], columns: int, freedom: Int[Array, ""]) -> Float[Array, "columns columns"]:
    """The triangular factor R of a standard Gaussian matrix of `freedom` rows: G = Q R, Q uniform and independent.

    Normals above the diagonal, chi lengths of falling degrees of freedom on it (Bartlett). Rows beyond `freedom` are 0.
    """
    above, along = jax.random.split(key)
    left = freedom - jnp.arange(columns)
    upper = jnp.triu(jax.random.normal(above, (columns, columns)), 1) + jnp.diag(chi(along, left))
    return jnp.where(left[:, None] > 0, upper, 0)


PROPOSALS = 16
"""Each is accepted with probability above 0.95: that none is, does not happen."""


def chi(key: Key[Array, ""], freedom: Int[Array, "..."]) -> Float[Array, "..."]:
    """Lengths of Gaussian vectors with so many entries, 1 where there are fewer.

    2 Gamma(freedom / 2) by Marsaglia and Tsang, 2000, a Gamma(a) as Gamma(a + 1) times a uniform number to the power
    1/a. As many proposals at once, in place of a loop as in `jax.random.gamma`, which takes a second to compile.
    """
    half = jnp.maximum(freedom, 1) / 2
    shift = half + 1 - 1 / 3
    normals, uniforms, power = jax.random.split(key, 3)
    shape = (*half.shape, PROPOSALS)
    x, u = jax.random.normal(normals, shape), jax.random.uniform(uniforms, shape, minval=jnp.finfo(float).tiny)
    cube = (1 + x / (3 * jnp.sqrt(shift))[..., None]) ** 3
    margin = 0.5 * x**2 + shift[..., None] * (1 - cube + jnp.log(jnp.maximum(cube, jnp.finfo(float).tiny)))
    accepted = (cube > 0) & (jnp.log(u) < margin)
    first = jnp.take_along_axis(cube, jnp.argmax(accepted, axis=-1)[..., None], axis=-1)[..., 0]
    return jnp.sqrt(2 * shift * first * jax.random.uniform(power, half.shape) ** (1 / half))


class CompleteSample(eqx.Module):
    """Whole layers: `off_range` columns of W_1 and the layers above on the directions that those lead to.

    Layer i takes capacity + n_i coordinates to capacity + n_{i+1}; `rest` is sum ||W_l(0)||_F^2 of what no direction
    leads to.
    """

    off_range: Float[Array, "coordinates off_range"]
    layers: tuple[Float[Array, "out inn"], ...]
    rest: Float[Array, ""]

    def on_range(self, trained: Any) -> Float[Array, "outputs rank"]:
        """The map on the range of the data, in coordinates of signal space of which the first are the targets'."""
        capacity, through = len(trained.first), trained.first
        for weight, added in zip(self.layers, trained.added, strict=True):
            through = (trained.share * weight[:capacity, :capacity] + added) @ through
        return through

    def off_range_map(self, trained: Any) -> Float[Array, "outputs off_range"]:
        """The map on what lies beside it, in the same coordinates and new ones."""
        capacity, through = len(trained.first), trained.share * self.off_range
        for weight, added in zip(self.layers, trained.added, strict=True):
            through = (trained.share * (weight @ through)).at[:capacity].add(added @ through[:capacity])
        return through

    def squared_norm(self, trained: Any) -> Float[Array, ""]:
        """sum_l ||W_l||_F^2."""
        capacity = len(trained.first)
        start = jnp.sum(self.off_range**2) + sum(jnp.sum(weight**2) for weight in self.layers) + self.rest
        known = jnp.stack([weight[:capacity, :capacity] for weight in self.layers])
        changed = jnp.sum((trained.share * known + trained.added) ** 2) - trained.share**2 * jnp.sum(known**2)
        return trained.share**2 * start + changed + jnp.sum(trained.first**2)

    def weights(self, trained: Any) -> None:
        """None: they do not exist."""


def complete(sampled: Sampled, key: Key[Array, ""], known: Known) -> CompleteSample:
    """What was never looked at, generated in one go: on the directions that the map leads to, and no others.

    The off-range directions of measurement space lead to as many new coordinates of space 0. A layer leads these, and
    the coordinates in use that it has not seen, to as many new ones of the space above.
    """
    layers, capacity, _ = known.start.shape
    news = [sampled.off_range + layer * capacity for layer in range(layers + 1)]
    news[-1] = min(news[-1], sampled.signal_dim)
    columns = [sampled.off_range, *(capacity + new for new in news[:-1])]
    normals, lengths = jax.random.split(key)
    shapes = [(capacity + new, inn) for new, inn in zip(news, columns, strict=True)]
    generated = _pieces(jax.random.normal(normals, (sum(out * inn for out, inn in shapes),)), shapes)
    free = sampled.sizes - known.used
    beyond = jnp.maximum(free[:-1] - jnp.array(news[:-1]), 0)
    rows = sampled.sizes[1:] - jnp.round(jnp.trace(known.left, axis1=1, axis2=2)).astype(free.dtype)
    freedom = free[:, None] - jnp.arange(max(columns))
    lengths = chi(lengths, jnp.concatenate([freedom.ravel(), rows * beyond]))
    diagonals, rest = lengths[: freedom.size].reshape(freedom.shape), lengths[freedom.size :]

    def gaussian(space):
        """A standard Gaussian matrix on the coordinates in use of a space, and its triangular factor on new ones."""
        across, above = jnp.split(generated[space], [capacity])
        square = jnp.zeros((news[space], columns[space])).at[: len(above)].set(above)
        rows, upper = jnp.arange(len(square)), jnp.triu(square, 1)
        size = min(square.shape)
        upper = upper.at[jnp.arange(size), jnp.arange(size)].set(diagonals[space, :size])
        used = in_use(known.used[space], capacity)[:, None]
        return jnp.where(used, across, 0), jnp.where(rows[:, None] < free[space], upper, 0)

    made = []
    for layer in range(layers):
        across, upper = gaussian(layer + 1)
        there = in_use(known.used[layer], capacity), jnp.arange(news[layer]) < free[layer]
        unseen = jnp.diag(jnp.concatenate(there).astype(upper.dtype))
        unseen = unseen.at[:capacity, :capacity].add(-known.right[layer])
        top = (across - known.left[layer] @ across) @ unseen
        below = upper @ unseen
        whole = sampled.deviations[layer + 1] * jnp.concatenate([top, below])
        made.append(whole.at[:capacity, :capacity].add(known.start[layer]))
    off_range = sampled.deviations[0] * jnp.concatenate(gaussian(0))
    squares = jnp.where(rows * beyond > 0, (sampled.deviations[1:] * rest) ** 2, 0)
    return CompleteSample(off_range, tuple(made), jnp.sum(squares))


def _pieces(numbers, shapes):
    """`numbers` cut into arrays of these shapes."""
    pieces, at = [], 0
    for shape in shapes:
        size = shape[0] * shape[1]
        pieces.append(numbers[at : at + size].reshape(shape))
        at += size
    return pieces
