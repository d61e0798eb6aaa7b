"""Zero padding changes no map and no training of the networks that say so."""

import numpy as np
import optax
import pytest

import jaxinv as ji
from jaxinv.networks.layers import Layers
from jaxinv.networks.padding import cut_width, pad_width
from jaxinv.training.descent import start, step

from ..helpers import relu_setup, setup


def test_padding_keeps_the_map():
    _, network, _ = setup()
    wide = pad_width(network, 20)
    assert wide.width == 20
    np.testing.assert_allclose(wide.end_to_end(), network.end_to_end(), atol=1e-14)


@pytest.mark.parametrize("made", [setup, relu_setup])
def test_padding_changes_nothing_under_gradient_descent(made):
    problem, network, descent = made(width=20)
    assert network.pads
    assert descent.pads
    wide = pad_width(network, 32)
    assert [weight.shape for weight in wide.weights] == [
        (32, problem.measurement_dim),
        (32, 32),
        (problem.signal_dim, 32),
    ]
    np.testing.assert_allclose(wide(problem.measurements), network(problem.measurements), atol=1e-13)
    plain, padded = (ji.train(problem, each, descent, steps=300, records=6, reduce=False) for each in (network, wide))
    for name, curve in plain.metrics.items():
        np.testing.assert_allclose(padded.metrics[name], curve, rtol=1e-9, atol=1e-12, err_msg=name)
    for ours, theirs, full in zip(
        cut_width(padded.network, network).weights, plain.network.weights, padded.network.weights, strict=True
    ):
        np.testing.assert_allclose(ours, theirs, atol=1e-12)
        assert np.linalg.norm(full) == pytest.approx(np.linalg.norm(ours), rel=1e-14)  # the padding is still zero


class Squares(Layers):
    """x_hat = W_L (W_{L-1} ... + 1)^2: a hidden unit of weight zero is not without effect."""

    is_linear = False

    def __call__(self, measurements):
        rows = measurements
        for weight in self.weights[:-1]:
            rows = (rows @ weight.T + 1) ** 2
        return rows @ self.weights[-1].T


def test_a_network_does_not_pad_unless_it_says_so_and_then_rightly():
    problem, network, descent = setup()
    own = Squares((network.weights[0], network.weights[-1]))
    assert not own.pads
    moved = step(
        descent, problem.measurements, problem.signals, start(descent, pad_width(own, 12), problem.samples)
    ).network
    assert np.linalg.norm(moved.weights[-1][:, 9:]) > 1e-3


def test_an_optimizer_of_your_own_does_not_pad():
    assert not ji.Descent(0.1, 0.0, transform=lambda eta, decay: optax.sign_sgd(eta)).pads
