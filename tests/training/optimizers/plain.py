"""Optimizers as plain numpy loops, written from their papers, that ours are held against.

A rule makes a function of a layer's gradient that gives its direction, and holds the layer's state.
"""

from collections.abc import Callable
from typing import Any

import jax
import numpy as np

import jaxinv as ji
from jaxinv.networks.padding import cut_width, pad_width
from jaxinv.training.descent import advance, start
from jaxinv.training.reduction import in_problem_coordinates, reduce_setup

from ...helpers import setup

SIZES: dict[str, Any] = {"signal_dim": 6, "measurement_dim": 5, "subspace_dim": 2, "samples": 7, "width": 6, "depth": 2}


def tiny(**changes):
    """Two layers on seven samples."""
    return setup(**{**SIZES, **changes})


def named(parts, optimizer, **options):
    """The parts with the optimizer of that name, its defaults but for the `options`."""
    return parts._replace(descent=ji.gradient_descent(parts.problem, parts.network, optimizer=optimizer, **options))


def advanced(parts, steps):
    """The weights after so many steps on the full data, by our update."""
    problem, network, descent = parts
    state = start(descent, network, problem.samples)
    return jax.jit(advance)(descent, problem.measurements, problem.signals, state, steps).network.weights


def reduced_and_padded(parts, steps, wider=3):
    """The weights after so many steps in the smallest exact coordinates, hidden layers wider by zeros, and the rank.

    The rank is what is trained of the measurements.
    """
    problem, network, descent = parts
    assert descent.pads
    reduced = reduce_setup(parts._replace(network=pad_width(network, network.width + wider)))
    inputs = reduced.coordinates.inputs[:, : reduced.coordinates.trained]
    state = start(descent, reduced.network, len(inputs))
    state = jax.jit(advance)(descent, inputs, reduced.coordinates.targets, state, steps)
    factor = descent.off_range_factor(np.array([steps]))[0] if reduced.off_range.size else 1.0
    weights = in_problem_coordinates(reduced, state.network, factor)
    assert len(inputs) == problem.measurement_rank < problem.samples
    return cut_width(weights, network).weights, reduced.coordinates.trained


def descend(beta):
    return lambda gradient: gradient


def heavy_ball(beta):
    held = [0.0]

    def direction(gradient):
        held[0] = gradient + beta * held[0]
        return held[0]

    return direction


def nesterov(beta):
    ball = heavy_ball(beta)
    return lambda gradient: gradient + beta * ball(gradient)


def adam(beta):
    held = [0.0, 0.0, 0]

    def direction(gradient):
        mean, square, t = held
        held[:] = beta * mean + (1 - beta) * gradient, 0.999 * square + 0.001 * gradient**2, t + 1
        mean, square, t = held
        return mean / (1 - beta**t) / (np.sqrt(square / (1 - 0.999**t)) + 1e-8)

    return direction


def muon(beta):
    held = [0.0, 0]

    def direction(gradient):
        mean, t = held
        mean, t = held[:] = beta * mean + (1 - beta) * gradient, t + 1
        x = beta * mean / (1 - beta ** (t + 1)) + (1 - beta) * gradient / (1 - beta**t)
        x = x / (np.linalg.norm(x) + 1e-8)
        for _ in range(5):  # Newton-Schulz with Keller Jordan's coefficients
            gram = x @ x.T
            x = 3.4445 * x + (-4.7750 * gram + 2.0315 * gram @ gram) @ x
        return x

    return direction


RULES: dict[str, Callable[[float], Callable[[Any], Any]]] = {
    "gradient_descent": descend, "momentum": heavy_ball, "nesterov": nesterov, "adam": adam, "adamw": adam,
    "muon": muon,
}  # fmt: skip


def slopes(weights, inputs, targets, slope=np.subtract):
    """The gradients of the loss with that `slope(outputs, targets)`, samples being columns; squared by default."""
    signals = [inputs]
    for weight in weights:
        signals.append(weight @ signals[-1])
    error, made = slope(signals[-1], targets), []
    for weight, signal in zip(weights[::-1], signals[-2::-1], strict=True):
        made.append(error @ signal.T)
        error = weight.T @ error
    return made[::-1]


def loop(parts, rule, steps, *, factor: Callable[[int], Any] = lambda t: 1.0, rows=lambda t: slice(None), times=1.0,
         slope=np.subtract, first=0.0):  # fmt: skip
    """The weights after so many steps of `rule`, with the descent's numbers.

    The step size of step t is times `factor(t)`; it sees the samples `rows(t)`, whose loss counts `times`. The gradient
    of W_1 has `first` times W_1.
    """
    problem, network, descent = parts
    targets, inputs = np.asarray(problem.signals).T, np.asarray(problem.measurements).T
    weights = [np.array(weight) for weight in network.weights]
    eta, decay, beside = float(descent.step_size), float(descent.weight_decay), descent.optimizer.decoupled
    directions = [rule(descent.momentum) for _ in weights]
    for t in range(steps):
        found = slopes(weights, inputs[:, rows(t)], targets[:, rows(t)], slope)
        found[0] = found[0] + first * weights[0]
        moved = [
            direction(times * gradient + (0 if beside else decay) * weight) + (decay if beside else 0) * weight
            for direction, gradient, weight in zip(directions, found, weights, strict=True)
        ]
        weights = [weight - eta * factor(t) * move for weight, move in zip(weights, moved, strict=True)]
    return weights


def assert_same(ours, plain, tolerance=1e-10):
    """Weights within `tolerance` of the largest."""
    for one, other in zip(ours, plain, strict=True):
        assert np.max(np.abs(np.asarray(one) - other)) <= tolerance * np.max(np.abs(other))
