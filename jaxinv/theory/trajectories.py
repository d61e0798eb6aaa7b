"""Whole trajectories of training: two layers on whitened data in closed form, orthogonal starts by a recursion.

Data are whitened where Y^T Y (rows are samples) is a projector: then the training problem without decay is
(1/2)||(W - C) P||_F^2 and a constant, with P that projector and C = X^T Y, the correlation of signals and measurements.
"""

from collections.abc import Sequence
from functools import reduce
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Float

from ..arrays import numerical_rank
from ..checks import fail
from ..problems.problem import Problem

SPANNED = 1e-10
"""Singular values above this share of the largest count as directions."""


def whitened(problem: Problem, *, fills: bool = False) -> Problem:
    """`problem` with its measurements whitened, Y^T Y a projector, and its signals over their largest singular value.

    The operator is followed by T that takes Y to the isometry of its polar decomposition. The singular values of C are
    then those of X. `fills` adds to the measurements what no signal explains, so that Y^T Y = I: it takes as many
    samples as measurements. For problems without noise.
    """
    signals, operator = (np.asarray(each, np.float64) for each in (problem.signals, problem.operator))
    signals = signals / np.linalg.norm(signals, 2)
    samples, values, right = np.linalg.svd(signals @ operator.T)
    rank, size = problem.measurement_rank, problem.measurement_dim
    if fills and len(samples) < size:
        raise fail("samples", f"at least {size}, the measurements", len(samples), "generate more")
    scale, kept = np.append(1 / values[:rank], np.ones(size - rank)), size if fills else rank
    return Problem((right.T * scale) @ right @ operator, signals, samples[:, :kept] @ right[:kept])


def mode_flow(times: Any, correlation: Any, start: Any) -> Any:
    """a(t)^2 of the gradient flow da/dt = a (correlation - a^2), a(0)^2 = `start`: what two layers make of a mode.

    Whitened data, layers that are aligned with C: then each singular value a^2 of the map moves by itself along a
    sigmoid to that of C (Saxe et al., arXiv 1312.6120). [exact] Broadcasts.
    """
    fall = np.exp(-2 * correlation * np.asarray(times, float))
    return start / (fall + start * 2 * times * _mean_exponential(-2 * correlation * times))


def balanced_flow(
    problem: Problem, weights: Sequence[Any], times: Sequence[float] | np.ndarray
) -> Float[np.ndarray, "times signal_dim measurement_dim"]:
    """W_2 W_1 along the gradient flow without decay, on whitened data that fill measurement space, Y^T Y = I. [exact]

    From balanced `weights` W_1, W_2, with W_2^T W_2 = W_1 W_1^T, of any shapes. With Q = [W_1^T; W_2] and F = [0, C^T;
    C, 0] the flow is dQ/dt = F Q - Q Q^T Q / 2, a Riccati equation for G = Q Q^T, whose solution (Braun et al., NeurIPS
    2022, there for invertible F) is G(t) = e^{Ft} Q(0) (I + Q(0)^T S Q(0))^-1 Q(0)^T e^{Ft}, S the integral of e^{2Fs}
    from 0 to t. `times` rise from 0 or later. Raises ArgumentError for other data and layers.
    """
    first, second = (np.asarray(weight, np.float64) for weight in weights)
    gap = np.linalg.norm(second.T @ second - first @ first.T)
    if gap > 1e-8 * np.linalg.norm(second) ** 2:
        raise fail("weights", "balanced, W_2^T W_2 = W_1 W_1^T", f"layers {gap:.2g} off", "balance them")
    measurements, correlation = np.asarray(problem.measurements, np.float64), _correlation(problem)
    outputs, inputs = correlation.shape
    if np.linalg.norm(measurements.T @ measurements - np.eye(inputs)) > 1e-8:
        raise fail("problem", "whitened, Y^T Y = I", "one that is not", "whiten its measurements")
    whole = np.block([[np.zeros((inputs, inputs)), correlation.T], [correlation, np.zeros((outputs, outputs))]])
    rates, modes = np.linalg.eigh(whole)
    stacked, now, maps = modes.T @ np.concatenate([first.T, second]), 0.0, []
    for time in times:
        # in pieces in which no mode grows by more than a factor e: the whole is ill-conditioned
        pieces = max(1, int(np.ceil(rates[-1] * (time - now))))
        piece = (time - now) / pieces
        growth, gained = np.exp(rates * piece), piece * _mean_exponential(2 * rates * piece)
        for _ in range(pieces):
            root = np.linalg.cholesky(np.eye(second.shape[1]) + stacked.T * gained @ stacked)
            stacked = growth[:, None] * np.linalg.solve(root, stacked.T).T
        now = time
        maps.append(modes[inputs:] @ stacked @ (modes[:inputs] @ stacked).T)
    return np.array(maps)


def aligned_layers(problem: Problem, weights: Sequence[Any]) -> list[Float[np.ndarray, "_ _"]]:
    """The layers, first and last turned so that the map has the singular vectors of C, largest values with largest.

    A turn moves no singular value and keeps layers balanced, and orthogonal.
    """
    layers = [np.asarray(weight, np.float64) for weight in weights]
    left, _, right = np.linalg.svd(_correlation(problem))
    old_left, _, old_right = np.linalg.svd(reduce(lambda product, layer: layer @ product, layers))
    turned = [layers[0] @ (old_right.T @ right), *layers[1:]]
    turned[-1] = (left @ old_left.T) @ turned[-1]
    return turned


def mode_recursion(
    steps: Sequence[int] | np.ndarray, start: Any, correlation: Any, power: Any, step_size: float, weight_decay: float
) -> Float[np.ndarray, "records depth *modes"]:
    """A mode's singular value in each layer after each of `steps` of gradient descent with weight decay. [exact]

    `start`, (depth, modes), falls by itself: s_l <- (1 - eta lambda) s_l - eta (prod_{k != l} s_k) (power prod_k s_k -
    correlation). So do layers aligned with the pairs of fact 8, correlation = x_i y_i, power = y_i^2; and what an
    orthogonal start has beside what it learns: correlation 0, and power 1 on whitened data that fill measurement space
    (Yaras et al., arXiv 2306.01154), 0 off the range of the data, where it only decays. `correlation` and `power`
    broadcast against modes.
    """
    values = np.array(start, float)
    records, reached, ones = [], 0, np.ones_like(values[:1])
    for step in steps:
        for _ in range(step - reached):
            below = np.concatenate([ones, np.cumprod(values[:-1], axis=0)])
            above = np.concatenate([np.cumprod(values[:0:-1], axis=0)[::-1], ones])
            error = power * below[-1] * values[-1] - correlation
            values = (1 - step_size * weight_decay) * values - step_size * below * above * error
        reached = step
        records.append(values)
    return np.array(records)


class Parsimony(NamedTuple):
    """Training from an orthogonal start, in the few directions that it moves; see `parsimony`.

    `layers` are small: trained on `inputs` and `targets`, rows as everywhere, they are the large ones in those
    directions. All other singular values of a layer, `others` of them, are one number, at the start `rest`, (depth,),
    which falls by `mode_recursion` with correlation 0 and `power`. `modes` are the singular values of C where the start
    is aligned with it, else None.
    """

    layers: list[Float[np.ndarray, "_ _"]]
    inputs: Float[np.ndarray, "rank moved"]
    targets: Float[np.ndarray, "rank outputs"]
    rest: Float[np.ndarray, " depth"]
    others: int
    power: float
    modes: Float[np.ndarray, " moved"] | None

    def common(
        self, steps: Sequence[int] | np.ndarray, step_size: float, weight_decay: float
    ) -> Float[np.ndarray, "records depth"]:
        """The singular value that all directions but a few have, after each of `steps` of gradient descent. [exact]"""
        return mode_recursion(steps, self.rest[:, None], 0.0, self.power, step_size, weight_decay)[..., 0]

    def values(
        self, steps: Sequence[int] | np.ndarray, step_size: float, weight_decay: float
    ) -> Float[np.ndarray, "records depth measurement_dim"]:
        """The singular values of each layer, largest first, after each of `steps` of gradient descent. [exact]

        By scalar recursions alone from an aligned start, else with the small layers.
        """
        if self.modes is None:
            few = self._small(steps, step_size, weight_decay)
        else:
            start, power = np.tile(self.rest, (len(self.modes), 1)).T, np.linalg.norm(self.inputs, 2) ** 2
            few = mode_recursion(steps, start, self.modes, power, step_size, weight_decay)
        common = self.common(steps, step_size, weight_decay)
        return -np.sort(-np.concatenate([few, np.repeat(common[..., None], self.others, axis=2)], axis=2))

    def _small(self, steps, step_size, weight_decay):
        """The singular values of the small layers after each of `steps`."""
        layers, reached, records = list(self.layers), 0, []
        for step in steps:
            for _ in range(step - reached):
                layers = self._descended(layers, step_size, weight_decay)
            reached = step
            records.append([np.linalg.svd(layer, compute_uv=False) for layer in layers])
        return np.array(records)

    def _descended(self, layers, step_size, weight_decay):
        """The layers one step of gradient descent later."""
        rows = [self.inputs]
        for layer in layers:
            rows.append(rows[-1] @ layer.T)
        error, moved = rows[-1] - self.targets, []
        for layer, before in zip(layers[::-1], rows[-2::-1], strict=True):
            moved.append((1 - step_size * weight_decay) * layer - step_size * error.T @ before)
            error = error @ layer
        return moved[::-1]


def parsimony(problem: Problem, weights: Sequence[Any]) -> Parsimony:
    """The few directions that training moves from orthogonal `weights`, W_1 first, and the rule for all others.

    The law of parsimony of Yaras et al. (arXiv 2306.01154), for hidden layers of measurement_dim units and W_l^T W_l
    multiples of I. With J_l the product of the first l layers without those multiples, a direction n of measurement
    space that the correlation C does not see, C n = 0, nor C^T J_L n, is carried to J_1 n, J_2 n, ... in all steps: no
    gradient mixes it with others. That leaves 2 s directions for s singular values of C, s where the start is aligned
    with C. It takes data that are whitened and fill measurement space (power 1, theirs), or n off the range of Y,
    whatever the data (power 0, fact 1). [derived] Raises ArgumentError for other weights and other data.
    """
    layers = [np.asarray(weight, np.float64) for weight in weights]
    size = layers[0].shape[1]
    rest = np.array([np.linalg.norm(layer) / layer.shape[1] ** 0.5 for layer in layers])
    for number, (layer, value) in enumerate(zip(layers, rest, strict=True), 1):
        square = number == len(layers) or len(layer) == size
        if not square or np.linalg.norm(layer.T @ layer / value**2 - np.eye(size)) > 1e-8:
            raise fail("weights", f"of {size} hidden units, W_l^T W_l a multiple of I", f"another W_{number}",
                       "start orthogonally")  # fmt: skip
    rows, targets, power, whitened = _compressed(problem)
    left, modes, right = np.linalg.svd(targets.T @ rows, full_matrices=False)
    known = numerical_rank(modes, SPANNED)
    left, modes, right = left[:, :known], modes[:known], right[:known]
    carried = [np.eye(size)]
    for layer, value in zip(layers, rest, strict=True):
        carried.append(layer @ carried[-1] / value)
    moved = _basis(np.concatenate([right.T, carried[-1].T @ left], axis=1))
    bases = [each @ moved for each in carried]
    bases[-1] = _basis(np.concatenate([bases[-1], left], axis=1))
    small = [out.T @ layer @ into for layer, into, out in zip(layers, bases[:-1], bases[1:], strict=True)]
    aligned = whitened and np.linalg.norm(carried[-1] @ right.T - left) <= 1e-8
    return Parsimony(
        small, rows @ moved, targets @ bases[-1], rest, size - moved.shape[1], power, modes if aligned else None
    )


def _compressed(problem: Problem):
    """Y and X in as many rows as Y has rank (fact 4), the power of what has no signal, and whether Y is whitened."""
    left, values, right = np.linalg.svd(np.asarray(problem.measurements, np.float64), full_matrices=False)
    rank = problem.measurement_rank
    targets, whitened = (
        left[:, :rank].T @ np.asarray(problem.signals, np.float64),
        np.ptp(values[:rank]) <= 1e-8 * values[0],
    )
    filled = whitened and rank == problem.measurement_dim
    if not filled and np.linalg.matrix_rank(targets) < rank:
        raise fail("problem", "one whose measurements are whitened, or show no more dimensions than the signals have",
                   "another", "whiten them, or leave out their noise")  # fmt: skip
    return values[:rank, None] * right[:rank], targets, float(values[0] ** 2 if filled else 0), whitened


def _correlation(problem: Problem):
    """C = X^T Y."""
    return np.asarray(problem.signals, np.float64).T @ np.asarray(problem.measurements, np.float64)


def _basis(columns):
    """Orthonormal columns that span those given."""
    left, values, _ = np.linalg.svd(columns, full_matrices=False)
    return left[:, : numerical_rank(values, SPANNED)]


def _mean_exponential(x):
    """(e^x - 1) / x, 1 at 0: the mean of e^s for s between 0 and x."""
    x = np.asarray(x, float)
    return np.divide(np.expm1(x), x, out=np.ones_like(x), where=x != 0)
