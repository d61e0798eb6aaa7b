"""Changes of coordinates alter no iterate: reduced runs against plain numpy on the full data."""

import numpy as np
import optax
import pytest

import jaxinv as ji
from jaxinv.measures import metrics

from ..helpers import assert_close, numpy_descent, numpy_metrics, setup

RECORDS = 25


def assert_same_curves(run, problem, network, descent, tolerance=1e-10):
    """Every metric within `tolerance` of its largest value over the run."""
    rows = [numpy_metrics(problem, weights, float(descent.weight_decay))
            for _, weights in numpy_descent(problem, network, descent, set(run.step.tolist()))]  # fmt: skip
    for name in metrics.NAMES:
        plain = np.array([row[name] for row in rows])
        assert np.max(np.abs(run.metrics[name] - plain)) <= tolerance * max(np.max(np.abs(plain)), 1e-300), name


@pytest.mark.parametrize("reduce", [True, False])
@pytest.mark.parametrize("noise", [0.0, 0.1])
@pytest.mark.parametrize("depth", [1, 2, 3, 4, 5])
def test_every_metric_is_that_of_plain_numpy_descent_on_the_full_data(depth, noise, reduce):
    problem, network, descent = setup(depth=depth, noise=noise, samples=23)
    run = ji.train(problem, network, descent, steps=300, records=RECORDS, reduce=reduce)
    assert_same_curves(run, problem, network, descent)
    assert not run.diverged


@pytest.mark.parametrize("noise", [0.0, 0.1])
def test_fewer_samples_than_measurements_reduce_alike(noise):
    problem, network, descent = setup(noise=noise, samples=4)
    assert_same_curves(ji.train(problem, network, descent, steps=300, records=RECORDS), problem, network, descent)


@pytest.mark.parametrize("init", ["orthogonal", "balanced"])
def test_other_initializations_reduce_alike(init):
    problem, network, descent = setup(init=init)
    assert_same_curves(ji.train(problem, network, descent, steps=300, records=RECORDS), problem, network, descent)


@pytest.mark.parametrize("noise", [0.0, 0.1])
def test_momentum_reduces_alike(noise):
    problem, network, descent = setup(momentum=0.7, noise=noise)
    run = ji.train(problem, network, descent, steps=500, records=RECORDS)
    assert_same_curves(run, problem, network, descent)


def test_trained_weights_are_those_of_numpy():
    problem, network, descent = setup()
    run = ji.train(problem, network, descent, steps=300)
    ((_, weights),) = list(numpy_descent(problem, network, descent, {300}))
    for ours, plain in zip(run.network.weights, weights, strict=True):
        np.testing.assert_allclose(ours, plain, atol=1e-12)


@pytest.mark.parametrize("momentum", [0.0, 0.6])
@pytest.mark.parametrize("noise", [0.0, 0.1])
@pytest.mark.parametrize("samples", [4, 40])
def test_reduced_and_plain_agree(momentum, noise, samples):
    parts = setup(momentum=momentum, noise=noise, samples=samples)
    reduced, plain = (ji.train(*parts, steps=500, reduce=flag) for flag in (True, False))
    assert_close(reduced.metrics, plain.metrics, 1e-10)
    for a, b in zip(reduced.network.weights, plain.network.weights, strict=True):
        np.testing.assert_allclose(a, b, atol=1e-11)


def adam(step_size, weight_decay):
    return optax.adamw(step_size, weight_decay=weight_decay)


def test_any_optax_transformation_trains_on_compressed_data():
    problem, network, _ = setup(noise=0.1, samples=40)
    descent = ji.Descent(1e-2, 1e-2, transform=adam)
    fast, plain = (ji.train(problem, network, descent, steps=200, reduce=r) for r in (True, False))
    for name, curve in plain.metrics.items():
        np.testing.assert_allclose(fast.metrics[name], curve, atol=1e-9 * np.abs(curve).max(), err_msg=name)
