"""One run: against a plain loop, divergence, and what is refused."""

from typing import ClassVar

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import jaxinv as ji
from jaxinv.measures import metrics
from jaxinv.measures.records import recorder
from jaxinv.measures.view import View
from jaxinv.training.dense import Dense
from jaxinv.training.run import train_block

from ..helpers import relu_setup, setup


def numpy_relu_descent(problem, network, descent, steps):
    """Weights after `steps` of gradient descent with decay, by backpropagation written out; numpy f64."""
    X, Y = np.asarray(problem.signals), np.asarray(problem.measurements)
    weights = [np.array(w) for w in network.weights]
    eta, decay = float(descent.step_size), float(descent.weight_decay)
    for _ in range(steps):
        rows, masks = [Y], []
        for weight in weights[:-1]:
            before = rows[-1] @ weight.T
            masks.append(before > 0)
            rows.append(np.where(before > 0, before, 0))
        slope = rows[-1] @ weights[-1].T - X
        for layer in reversed(range(len(weights))):
            gradient = slope.T @ rows[layer] + decay * weights[layer]
            if layer:
                slope = (slope @ weights[layer]) * masks[layer - 1]
            weights[layer] = weights[layer] - eta * gradient
    return weights


def test_training_a_relu_network_is_gradient_descent_on_the_full_data():
    problem, network, descent = relu_setup()
    run = ji.train(problem, network, descent, steps=200, records=5)
    assert set(run.metrics) == set(metrics.available(network, problem))
    for ours, plain in zip(run.network.weights, numpy_relu_descent(*relu_setup(), 200), strict=True):
        np.testing.assert_allclose(ours, plain, atol=1e-10)
    error = np.linalg.norm(run.network(problem.measurements) - problem.signals) / np.linalg.norm(problem.signals)
    np.testing.assert_allclose(run.metrics["regression_error"][-1], error, rtol=1e-12)
    assert error < run.metrics["regression_error"][0] / 2


def test_divergence_is_a_value():
    problem, network, descent = setup()
    wild = ji.Descent(descent.step_size * 1e3, 0.0)
    seen = []
    run = ji.train(problem, network, wild, steps=500, progress=seen.append)
    assert run.diverged
    assert np.isfinite(run.metrics["loss"][0])
    assert np.isnan(run.metrics["loss"][-1])
    assert seen[-1] < 500  # stopped early
    assert len(run.step) == len(run.metrics["loss"])


class Blind:
    """An engine that shows no weights; it computes with the dense one."""

    name: ClassVar[str] = "blind"
    holds_weights: ClassVar[bool] = False

    def __init__(self):
        self.dense = Dense(jax.local_devices()[:1])

    def prepare(self, setups):
        return self.dense.prepare(setups)

    def views(self, block):
        seen = self.dense.views(block)
        return [View(each.coordinates, each.outputs, each.squared_norm, each.end_to_end, None) for each in seen]

    def follow(self, block, step, chosen, progress):
        table = []
        for steps in np.diff(step, prepend=step[0]):
            block, _ = self.dense.advance(block, [int(steps)], ())
            pairs = zip(self.views(block), block.setups, strict=True)
            table.append([recorder(one.descent.objective, chosen)(view) for view, one in pairs])
        return block, {
            name: np.array([[np.asarray(row[name]) for row in rows] for rows in table]) for name in table[0][0]
        }

    def reduction(self, block):
        return self.dense.reduction(block)

    def networks(self, block):
        return self.dense.networks(block)


def first_norm(coordinates, network):
    return jnp.linalg.norm(network.weights[0])


def test_a_metric_that_needs_the_weights_is_refused_by_an_engine_without():
    own = ji.Metric("first_norm", first_norm)
    with pytest.raises(ji.ArgumentError, match="metric 'first_norm' needs the weights, which engine 'blind' does not"):
        train_block(Blind(), [setup()], steps=10, metrics=["noise_gain", own])
    run = ji.train(*setup(), steps=10, metrics=[own])  # the dense engine holds them
    np.testing.assert_allclose(run.metrics["first_norm"][-1], np.linalg.norm(run.network.weights[0]), rtol=1e-12)


def test_an_engine_without_weights_records_every_other_metric():
    wanted = [*metrics.NAMES, ji.NoisyError([0.1, 1.0], ["network", "oracle"])]
    (blind,) = train_block(Blind(), [setup()], steps=20, records=4, metrics=wanted)
    plain = ji.train(*setup(), steps=20, records=4, metrics=wanted)
    assert np.isnan(blind.metrics["balancedness"]).all()
    assert blind.metrics["noisy_error"].shape == (4, 2, 2)
    for name in set(plain.metrics) - {"balancedness"}:
        np.testing.assert_allclose(blind.metrics[name], plain.metrics[name], rtol=1e-9, atol=1e-12, err_msg=name)
    assert not blind.diverged


def test_an_unknown_engine_is_refused():
    assert not ji.train(*setup(), steps=2, records=2, metrics=["loss"], engine="dense").diverged
    with pytest.raises(ji.ArgumentError, match="unknown engine 'dens'; did you mean 'dense'"):
        ji.train(*setup(), steps=2, engine="dens")
