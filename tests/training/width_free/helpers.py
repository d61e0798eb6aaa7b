"""The map of a run at its records, and the plain numpy computation that it is held against."""

from dataclasses import dataclass

import numpy as np

import jaxinv as ji
from jaxinv.measures import metrics
from jaxinv.problems.coordinates import rotated_coordinates
from jaxinv.training.setup import Setup
from jaxinv.training.width_free.prepared import prepare

from ...helpers import numpy_descent, numpy_metrics

KNOWN = [name for name in metrics.NAMES if name != "balancedness"]
"""Metrics that the engine can tell."""


@dataclass(frozen=True)
class Outputs:
    """What the network makes of the training inputs, in the coordinates of the run."""

    name: str = "outputs"
    dims: tuple[str, ...] = ("row", "out")
    needs_weights: bool = False

    def record(self, view):
        return view.outputs


def plain_run(setup: Setup, steps):
    """Every metric and the outputs on the compressed data at each of `steps`, by plain numpy on every weight."""
    problem, _, descent = setup
    rows, values = compressed(problem), []
    for _, weights in numpy_descent(*setup, steps):
        product = np.linalg.multi_dot(weights[::-1])
        values.append((rows @ product.T, numpy_metrics(problem, weights, float(descent.weight_decay))))
    outputs, measured = zip(*values, strict=True)
    return np.array(outputs), {name: np.array([one[name] for one in measured]) for name in KNOWN}


def compressed(problem):
    """The data as rows, as many as their rank, with the Gram matrix of all: ||W rows^T|| is ||W Y||."""
    coordinates = rotated_coordinates(problem)
    return np.asarray(coordinates.inputs) @ np.asarray(coordinates.rotation).T


def outputs_of(setup: Setup, run):
    """The recorded outputs in the problem's own signal space; beyond its frame they are padded with zeros."""
    recorded, frame = run.metrics["outputs"], prepare(setup).frame
    there = min(recorded.shape[-1], frame.shape[1])
    assert not np.any(recorded[..., there:])
    return recorded[..., :there] @ frame[:, :there].T


def errors(setup: Setup, steps, tolerance, plain):
    """Of the map on the data at each record, and of each metric, relative to its largest value; and the run."""
    run = ji.train(
        *setup, steps=steps[-1], records=steps, metrics=[*KNOWN, Outputs()], engine="width_free", tolerance=tolerance
    )
    outputs, measured = plain
    of_map = np.linalg.norm(outputs_of(setup, run) - outputs, axis=(1, 2))
    of_metrics = {
        name: np.max(np.abs(run.metrics[name] - measured[name])) / np.max(np.abs(measured[name])) for name in KNOWN
    }
    return of_map, of_metrics, run
