"""An optimizer of one's own is held to the weight decay that is declared, before anything trains."""

import warnings
from typing import Any

import jax
import optax
import pytest

import jaxinv as ji
from jaxinv.training.decay import check_decay

from ..helpers import setup, small_sweep

PROBLEM, NETWORK, _ = setup()

AS_DECLARED = {
    "adamw": lambda eta, decay: optax.adamw(eta, weight_decay=decay),
    "lion": lambda eta, decay: optax.lion(eta, weight_decay=decay),
    "sgd": lambda eta, decay: optax.chain(optax.add_decayed_weights(decay), optax.sgd(eta, momentum=0.9)),
    "noise": lambda eta, decay: optax.chain(optax.add_noise(1e-2, 0.5, 0), optax.add_decayed_weights(decay),
                                            optax.scale(-eta)),
}  # fmt: skip


def last_layer(network: Any) -> Any:
    return jax.tree.unflatten(jax.tree.structure(network), [False] * (network.depth - 1) + [True])


OTHERWISE = {
    "adam on the penalty": lambda eta, decay: optax.chain(optax.add_decayed_weights(decay), optax.adam(eta)),
    "half of it": lambda eta, decay: optax.adamw(eta, weight_decay=decay / 2),
    "its own": lambda eta, decay: optax.adamw(eta, weight_decay=0.02),
    "warm-up": lambda eta, decay: optax.chain(
        optax.add_decayed_weights(decay), optax.scale_by_schedule(lambda t: -eta * t / 100)
    ),
    "last layer": lambda eta, decay: optax.chain(
        optax.masked(optax.add_decayed_weights(decay), last_layer),
        optax.sgd(eta),
    ),
}


def none(eta, decay):
    return optax.adam(eta)


@pytest.mark.parametrize("name", AS_DECLARED)
@pytest.mark.parametrize("decay", [0.0, 1e-5, 0.7])
def test_an_optimizer_that_decays_as_declared_passes(name, decay):
    check_decay(ji.Descent(1e-3, decay, transform=AS_DECLARED[name]), NETWORK)


@pytest.mark.parametrize("name", OTHERWISE)
def test_an_optimizer_that_decays_otherwise_is_said_to(name):
    words = "transform takes .* of a weight without gradient in its first step, not step_size \\* weight_decay = 0.0007"
    with pytest.warns(UserWarning, match=words) as caught:
        check_decay(ji.Descent(1e-3, 0.7, transform=OTHERWISE[name]), NETWORK)
    assert "\n" not in str(caught[0].message)


def test_decay_that_is_not_declared_is_said():
    with pytest.warns(UserWarning, match=r"takes 1e-07 of a weight .* not step_size \* weight_decay = 0:"):
        check_decay(ji.Descent(1e-3, 0.0, transform=lambda eta, decay: optax.adamw(eta)), NETWORK)


def test_training_is_refused_where_declared_decay_is_left_out():
    words = r"transform must be an optimizer that decays the weights \(step_size \* weight_decay = 0.0007\), got one"
    with pytest.raises(ji.ArgumentError, match=words):
        ji.train(PROBLEM, NETWORK, ji.Descent(1e-3, 0.7, transform=none), steps=2)
    ji.train(PROBLEM, NETWORK, ji.Descent(1e-3, 0.0, transform=none), steps=2, records=2, metrics=["loss"])
    check_decay(ji.Descent(1e-3, 0.7, 0.5), NETWORK)  # our own


def test_what_gives_no_transformation_is_refused():
    with pytest.raises(ji.ArgumentError, match="transform must be a function that gives an optax transformation, got"):
        ji.train(PROBLEM, NETWORK, ji.Descent(1e-3, 0.0, transform=lambda eta, decay: eta), steps=2)


def test_a_sweep_is_refused_before_any_cell_trains(tmp_path):
    def without(problem, network, *, decay=0.0):
        return ji.Descent(1e-3, decay, transform=lambda eta, decay: optax.adam(eta))

    sweep = small_sweep(axes={"decay": [0.0, 0.1]}, descent=without)
    with pytest.raises(ji.ArgumentError, match="got one without weight decay"):
        ji.run_sweep(sweep, tmp_path / "store")
    assert not (tmp_path / "store").exists()


def test_a_sweep_whose_step_size_is_random_is_refused_when_it_is_built():
    def without(problem, network):
        return ji.Descent(abs(network.weights[0][0, 0]), 0.1, transform=none)

    with pytest.raises(ji.ArgumentError, match="got one without weight decay"):
        ji.run_sweep(small_sweep(axes={"seed": [0]}, descent=without))


def test_an_optimizer_that_holds_random_numbers_can_be_planned():
    def scaled(problem, network):
        size = abs(network.weights[0][0, 0])
        return ji.Descent(1e-3, 0.1, transform=lambda eta, decay: optax.adamw(eta * size, weight_decay=decay / size))

    with warnings.catch_warnings():
        warnings.simplefilter("error")
        results = ji.run_sweep(small_sweep(axes={"seed": [0]}, descent=scaled))
    assert not results.diverged.any()
