"""Given weights: the run in few coordinates is the run in all of them, to the tolerance."""

from itertools import pairwise

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import jaxinv as ji
from jaxinv.problems.signals import Subspace
from jaxinv.training.setup import Setup
from jaxinv.training.width_free import engine

from .helpers import errors, plain_run

STEPS = [0, 1, 3, 10, 40, 150]
SIZES = {"signal_dim": 40, "measurement_dim": 20, "subspace_dim": 3, "samples": 12, "condition_number": 2.0}


def made(depth=3, width=100, gamma=0.05, momentum=0.0, step_size=None, init="fan_in", scale=1.0, **problem) -> Setup:
    """A setup with all its weights; a third of the default step size unless another is given."""
    key = jax.random.key(1)
    data = ji.subspace_problem(key, **{**SIZES, **problem})
    network = ji.layer_product(key, data, width=width, depth=depth, init=init, scale=scale)
    step_size = step_size or float(ji.gradient_descent(data, network).step_size) / 3
    descent = ji.gradient_descent(data, network, gamma=gamma, step_size=step_size, momentum=momentum)
    return Setup(data, network, descent.resolved(data, network))


CASES = {
    "shallow": {"depth": 2},
    "undecayed": {"depth": 3, "gamma": 0.0},
    "deep": {"depth": 5},
    "small weights": {"depth": 3, "scale": 0.3},
    "large weights": {"depth": 3, "scale": 3.0, "step_size": "stable"},
    "momentum": {"depth": 3, "momentum": 0.8},
    "balanced": {"depth": 3, "init": "balanced"},
    "orthogonal": {"depth": 3, "init": "orthogonal"},
    "rank 60": {"depth": 2, "width": 160, "signal_dim": 70, "measurement_dim": 64, "samples": 60, "noise": 0.3},
}


@pytest.fixture
def roomy(monkeypatch):
    """One capacity that is room enough: one compilation for all tolerances."""
    monkeypatch.setattr(engine, "CAPACITIES", (200,))


@pytest.mark.parametrize("case", CASES)
@pytest.mark.usefixtures("roomy")
def test_the_map_and_every_metric_are_those_of_all_weights(case):
    assert_held(made(**CASES[case]))


@pytest.mark.usefixtures("roomy")
def test_a_map_that_starts_hundreds_of_times_too_large():
    """Signals are right relative to what they are, so is the map: to 3 tolerances of the largest that it was."""
    assert_held(made(depth=5, scale=3.0, step_size="stable"), of_largest=True)


def assert_held(setup, of_largest=False):
    """The map at every record within 3 tolerances of ||X||, or of the largest ||W Y|| if that is larger; metrics 10."""
    plain = plain_run(setup, STEPS)
    size = np.linalg.norm(setup.problem.signals)
    if of_largest:
        size = max(size, np.max(np.linalg.norm(plain[0], axis=(1, 2))))
    for tolerance in (1e-2, 1e-4, 1e-6, 1e-8):
        of_map, of_metrics, _ = errors(setup, STEPS, tolerance, plain)
        assert np.max(of_map) <= 3 * tolerance * size, tolerance
        assert max(of_metrics.values()) <= 10 * tolerance, (tolerance, of_metrics)


SHAPES = {
    "signals much larger": (20, 90, 150, 70, 300),
    "wider than the layers": (20, 40, 200),
    "measurements much larger": (200, 90, 60, 12),
    "a waist": (20, 120, 30, 100, 40),
}


@pytest.mark.parametrize("sizes", SHAPES.values(), ids=SHAPES)
@pytest.mark.usefixtures("roomy")
def test_layers_of_any_shape(sizes):
    """Arrays of one's own: hidden layers of several widths, many more signals than measurements, and many fewer."""
    random = np.random.default_rng(0)
    measurement_dim, *_, signal_dim = sizes
    basis, _ = np.linalg.qr(random.normal(size=(signal_dim, 3)))
    signals = random.normal(size=(8, 3)) @ basis.T
    operator = random.normal(size=(measurement_dim, signal_dim)) / measurement_dim**0.5
    problem = ji.Problem(operator, signals, latent=Subspace(jnp.asarray(basis), jnp.ones(3)))
    network = ji.LayerProduct(tuple(jnp.asarray(random.normal(size=(o, i)) / i**0.5) for i, o in pairwise(sizes)))
    descent = ji.gradient_descent(problem, network, gamma=0.05, step_size="stable").resolved(problem, network)
    assert_held(Setup(problem, network, descent))
