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

from ...arrays import AnyArray, namespace
from ...draws import normal
from .layers import Known, in_use, nothing_known, turned


class Sampled(eqx.Module):
    """Independent N(0, deviation^2) entries: `deviations` of all layers, W_1 first.

    `first_weight` is W_1 on the range of the data, in the coordinates of space 0 that it leads to: triangular.
    `sizes` are the dimensions of spaces 0, 1, ..., the last of them `signal_dim`; the first `known_outputs` coordinates
    of the last are those of the targets. `off_range` dimensions of measurement space lie beside the data.
    Random numbers do not depend on the capacity: a run goes the same way with more room.
    """

    deviations: Float[AnyArray, " depth"]
    first_weight: Float[AnyArray, "rank rank"]
    sizes: Int[AnyArray, " spaces"]
    known_outputs: Int[AnyArray, ""]
    off_range: int = eqx.field(static=True)
    signal_dim: int = eqx.field(static=True)

    @property
    def gains(self) -> Float[AnyArray, "layers 2"]:
        """Root mean square of what a unit vector becomes, forward and backward."""
        sizes = self.sizes.astype(self.deviations.dtype)
        return self.deviations[1:, None] * jnp.sqrt(jnp.stack([sizes[1:], sizes[:-1]], axis=1))

    def first(self, capacity: int) -> tuple[Float[Array, "capacity rank"], Known]:
        """W_1(0) on the range of the data, and what is known before the first step."""
        known = nothing_known(len(self.deviations) - 1, capacity)
        rank = len(self.first_weight)
        used = known.used.at[0].set(jnp.minimum(rank, self.sizes[0])).at[-1].set(self.known_outputs)
        first = jnp.zeros((capacity, rank)).at[:rank].set(self.first_weight)
        return first, eqx.tree_at(lambda known: known.used, known, used)

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
        # numbers on coordinates come last: those before them do not depend on the capacity
        normals = normal(key, (for_triangle(most) + directions.size,))
        beyond, across = jnp.split(normals, [for_triangle(most)])
        across = jnp.where(in_use(used, capacity)[:, None], across.reshape(directions.shape), 0)
        room, upper = jnp.zeros((capacity + most, most)), triangle(beyond, most, size - used)
        news = jax.lax.dynamic_update_slice(room, upper, (used, jnp.zeros_like(used)))
        fresh = across - other @ across + news[:capacity]
        images = matrix @ directions + self.deviations[layer + 1] * fresh
        return images, jnp.minimum(used + count, size), known.bases[space]

    def complete(self, key: Key[Array, ""], known: Known, maps: bool) -> "CompleteSample":
        """The layers as wholes: what was never looked at is generated, see `complete`; of its size alone where not."""
        return (complete if maps else sized)(self, key, known)


PROPOSALS = 8
"""Each is accepted with a probability above 0.95 or, from 3 degrees of freedom on, 0.97."""

FOR_CHI = 3 * PROPOSALS + 2
"""Normal numbers that a chi length takes."""


def triangle(normals: Float[AnyArray, " numbers"], columns: int, freedom: Any) -> Float[AnyArray, "columns columns"]:
    """The triangular factor R of a standard Gaussian matrix of `freedom` rows: G = Q R, Q uniform and independent.

    Normals above the diagonal, chi lengths of falling degrees of freedom on it (Bartlett). Rows beyond `freedom` are 0.
    Takes `for_triangle(columns)` numbers.
    """
    xp, left = namespace(normals), freedom - namespace(normals).arange(columns)
    above, along = xp.split(normals, [columns**2])
    upper = xp.triu(above.reshape(columns, columns), 1) + xp.diag(chi(along.reshape(columns, FOR_CHI), left))
    return xp.where(left[:, None] > 0, upper, 0)


def for_triangle(columns: int) -> int:
    """Normal numbers that `triangle` takes."""
    return columns * (columns + FOR_CHI)


def chi(normals: Float[AnyArray, "*shape numbers"], freedom: Any) -> Float[AnyArray, "*shape"]:
    """Lengths of Gaussian vectors with so many entries, of 1 where there are fewer.

    The root of 2 Gamma(freedom/2), by Marsaglia and Tsang (2000): a Gamma(a) is a Gamma(a + 1) times a uniform number
    to the power 1/a. All proposals at once, and uniform numbers from pairs of normals, whose squares are -2 log u: in
    place of a loop as in `jax.random.gamma`, which takes a second to compile.
    """
    xp = namespace(normals)
    half = xp.maximum(freedom, 1) / 2
    shift = half + 1 - 1 / 3
    x, first, second, powers = xp.split(normals, [PROPOSALS, 2 * PROPOSALS, 3 * PROPOSALS], axis=-1)
    cube = (1 + x / (3 * xp.sqrt(shift))[..., None]) ** 3
    positive = cube > 0
    margin = x**2 + 2 * shift[..., None] * (1 - cube + xp.log(xp.where(positive, cube, 1)))
    accepted = positive & (-(first**2 + second**2) < margin)
    chosen = xp.take_along_axis(cube, xp.argmax(accepted, axis=-1)[..., None], axis=-1)[..., 0]
    return xp.sqrt(2 * shift * chosen * xp.exp(-xp.sum(powers**2, axis=-1) / (2 * half)))


class CompleteSample(eqx.Module):
    """Whole layers: `off_range` columns of W_1 and the layers above on the directions that those lead to.

    Layer i takes capacity + n_i coordinates to capacity + n_{i+1}, the first of which are its `corners`; `size` is
    sum ||W_l(0)||_F^2 of all but W_1 on the range of the data. `order` are the coordinates of the last space that are
    there. Without `off_range` and layers nothing is known of the map beside the range of the data.
    """

    off_range: Float[Array, "coordinates off_range"] | None
    layers: tuple[Float[Array, "_ _"], ...]
    corners: Float[Array, "layers capacity capacity"]
    size: Float[Array, ""]
    order: Int[Array, " outputs"]

    def outputs(self, signals: Float[Array, "capacity rank"]) -> Float[Array, "outputs rank"]:
        """Signals of the last space in coordinates of signal space, of which the first are the targets'."""
        return jnp.take(signals, self.order, axis=0, mode="fill", fill_value=0)

    def off_range_map(self, trained: Any) -> Float[Array, "outputs off_range"]:
        """The map on what lies beside it, in the same coordinates and new ones."""
        capacity, through = len(trained.first), trained.share * self.off_range
        for weight, added in zip(self.layers, trained.added, strict=True):
            through = (trained.share * (weight @ through)).at[:capacity].add(added @ through[:capacity])
        return self.outputs(through)

    def squared_norm(self, trained: Any) -> Float[Array, ""]:
        """sum_l ||W_l||_F^2."""
        crossed = 2 * trained.share * jnp.sum(self.corners * trained.added) + jnp.sum(trained.added**2)
        return trained.share**2 * self.size + crossed + jnp.sum(trained.first**2)

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
    shapes = [(capacity + new, inn) for new, inn in zip(news, columns, strict=True)]
    free = sampled.sizes - known.used
    beyond = jnp.maximum(free[:-1] - jnp.array(news[:-1]), 0)
    rows = sampled.sizes[1:] - jnp.round(jnp.trace(known.left, axis1=1, axis2=2)).astype(free.dtype)
    freedom = free[:, None] - jnp.arange(max(columns))[None, :]
    entries = sum(out * inn for out, inn in shapes)
    count = entries + (freedom.size + len(rows)) * FOR_CHI
    normals = jax.lax.map(lambda half: normal(half, (-(-count // 2),)), jax.random.split(key)).ravel()[:count]
    generated = _pieces(normals, shapes)
    lengths = chi(normals[entries:].reshape(-1, FOR_CHI), jnp.concatenate([freedom.ravel(), rows * beyond]))
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
    size = jnp.sum(off_range**2) + sum(jnp.sum(weight**2) for weight in made) + jnp.sum(squares)
    corners = jnp.stack([weight[:capacity, :capacity] for weight in made])
    return CompleteSample(off_range, tuple(made), corners, size, _order(sampled, known))


def sized(sampled: Sampled, key: Key[Array, ""], known: Known) -> CompleteSample:
    """Of what was never looked at the sum of squares alone: chi squared, as many numbers as it has."""
    seen = [jnp.round(jnp.trace(each, axis1=1, axis2=2)).astype(sampled.sizes.dtype)
            for each in (known.left, known.right)]  # fmt: skip
    unseen = (sampled.sizes[1:] - seen[0]) * (sampled.sizes[:-1] - seen[1])
    entries = jnp.concatenate([sampled.sizes[:1] * sampled.off_range, unseen])
    lengths = chi(normal(key, (len(entries), FOR_CHI)), entries)
    squares = jnp.where(entries > 0, (sampled.deviations * lengths) ** 2, 0)
    size = jnp.sum(known.start**2) + jnp.sum(squares)
    return CompleteSample(None, (), known.start, size, _order(sampled, known))


def _order(sampled: Sampled, known: Known) -> Int[Array, " outputs"]:
    """The coordinates in use of the last space, then new ones: as many as signal space has, or as can be there."""
    layers, capacity, _ = known.start.shape
    new = min(sampled.off_range + layers * capacity, sampled.signal_dim)
    order = jnp.arange(min(sampled.signal_dim, capacity + new))
    return jnp.where(order < known.used[-1], order, capacity + order - known.used[-1])


def _pieces(numbers, shapes):
    """`numbers` cut into arrays of these shapes."""
    pieces, at = [], 0
    for shape in shapes:
        size = shape[0] * shape[1]
        pieces.append(numbers[at : at + size].reshape(shape))
        at += size
    return pieces
