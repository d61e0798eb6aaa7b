"""The objective: its gradient is that of misfit + penalty, and the loss metric reads the same sum."""

import jax
import numpy as np
import pytest

from jaxinv.measures import objective
from jaxinv.measures.metrics import METRICS
from jaxinv.measures.objective import Objective
from jaxinv.measures.view import view_of_weights
from jaxinv.problems.coordinates import compressed_coordinates, plain_coordinates

from ..helpers import relu_setup, setup


@pytest.mark.parametrize("made", [setup, relu_setup])
@pytest.mark.parametrize("decay", [0.0, 0.7])
def test_the_gradient_is_that_of_misfit_and_penalty(made, decay):
    problem, network, _ = made()
    inputs, targets = problem.measurements, problem.signals

    def whole(net):
        return objective.squared(net(inputs), targets) + decay / 2 * objective.squared_norm(net)

    ours = Objective(decay).gradient(network, inputs, targets)
    for one, other in zip(ours.weights, jax.grad(whole)(network).weights, strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-12, atol=1e-12)


def test_the_gradient_of_the_misfit_has_no_decay():
    problem, network, _ = setup()
    slopes, decayed = (
        Objective(0.7).gradient(network, problem.measurements, problem.signals, decay=decay) for decay in (False, True)
    )
    for slope, both, weight in zip(slopes.weights, decayed.weights, network.weights, strict=True):
        np.testing.assert_allclose(both - slope, 0.7 * weight, rtol=1e-9, atol=1e-12)


def test_misfit_and_penalty_are_what_numpy_finds_and_the_loss_metric_is_their_sum():
    problem, network, _ = setup(noise=0.1, samples=20)
    first, second, third = (np.asarray(weight) for weight in network.weights)
    apart = np.asarray(problem.measurements) @ (third @ second @ first).T - np.asarray(problem.signals)
    misfit = 0.5 * np.linalg.norm(apart) ** 2
    penalty = 0.5 * 0.7 * sum(np.linalg.norm(weight) ** 2 for weight in (first, second, third))
    outputs = network(problem.measurements)
    assert float(objective.squared(outputs, problem.signals)) == pytest.approx(misfit, rel=1e-12)
    assert float(Objective(0.7).decay(objective.squared_norm(network))) == pytest.approx(penalty, rel=1e-12)
    for coordinates in (plain_coordinates(problem), compressed_coordinates(problem)):
        loss = METRICS["loss"](view_of_weights(coordinates, network), Objective(0.7))
        assert float(loss) == pytest.approx(misfit + penalty, rel=1e-12)


def test_what_compression_removed_counts_in_the_misfit():
    problem, network, _ = setup(noise=0.1, samples=20)
    compressed = compressed_coordinates(problem)
    assert float(compressed.residual) > 0.1
    outputs = network(compressed.inputs)
    full = float(objective.squared(network(problem.measurements), problem.signals))
    assert float(objective.squared(outputs, compressed.targets, compressed.residual)) == pytest.approx(full, rel=1e-12)
    assert float(objective.squared(outputs, compressed.targets)) < (1 - 1e-4) * full
