"""Optimizers by name, reduced and padded as they declare, are plain numpy loops on the full data."""

import numpy as np
import pytest

import jaxinv as ji

from .plain import RULES, assert_same, loop, named, reduced_and_padded, tiny

STEPS = 200
PARTS = tiny()
SMALL_STEPS = {"muon": {"step_size": 3e-3}}
"""At its default Muon circles the optimum, where rounding grows like in any chaotic orbit."""


def made(name, **options):
    return named(PARTS, name, **{"gamma": 0.1, **SMALL_STEPS.get(name, {}), **options})


@pytest.mark.parametrize(
    ("name", "options", "rotates"),
    [
        ("gradient_descent", {"decoupled": True}, True),
        ("momentum", {}, True),
        ("nesterov", {"momentum": 0.7}, True),
        ("nesterov", {"decoupled": True}, True),
        ("adam", {"momentum": 0.6}, False),
        ("adamw", {}, False),
        ("muon", {}, False),
    ],
)
def test_an_optimizer_reduced_as_it_declares_is_that_of_a_numpy_loop(name, options, rotates):
    parts = made(name, **options)
    weights, trained = reduced_and_padded(parts, STEPS)
    assert trained == (PARTS.problem.measurement_rank if rotates else PARTS.problem.measurement_dim)
    assert_same(weights, loop(parts, RULES[name], STEPS))


def test_muon_leaves_the_first_layer_off_the_range_of_the_data_to_its_decay():
    """Its polynomial of the gradient has the gradient's row space, which Adam's division by entries leaves."""
    measured = np.asarray(PARTS.problem.measurements).T
    off_range = np.eye(len(measured)) - measured @ np.linalg.pinv(measured)
    before = np.asarray(PARTS.network.weights[0]) @ off_range
    for name, follows in (("muon", True), ("adamw", False)):
        parts = made(name)
        after = loop(parts, RULES[name], STEPS)[0] @ off_range
        left = (1 - parts.descent.step_size * parts.descent.weight_decay) ** STEPS
        assert (np.abs(after - left * before).max() <= 1e-9) == follows


@pytest.mark.parametrize(("name", "decoupled"), [("nesterov", False), ("momentum", True)])
def test_decay_of_the_first_layer_is_reduced_exactly(name, decoupled):
    options = {"decoupled": decoupled, "regularizer": "first_layer_decay", "strength": 0.3, "weight_decay": 0.2}
    parts = named(PARTS, name, **options)
    weights, trained = reduced_and_padded(parts, STEPS)
    assert trained == PARTS.problem.measurement_rank
    assert_same(weights, loop(parts, RULES[name], STEPS, first=0.3))


def test_a_run_records_what_it_would_without_reductions():
    parts = named(PARTS, "nesterov", decoupled=True, regularizer="first_layer_decay", strength=0.3, weight_decay=0.2)
    metrics = ["loss", "off_subspace_error"]
    reduced, plain = (ji.train(*parts, steps=STEPS, records=9, metrics=metrics, reduce=flag) for flag in (True, False))
    for name in metrics:
        np.testing.assert_allclose(reduced.metrics[name], plain.metrics[name], rtol=1e-10, atol=1e-14)
    problem, _, descent = parts
    weights = [np.asarray(weight) for weight in plain.network.weights]
    gap = np.asarray(problem.signals) - np.asarray(plain.network(problem.measurements))
    # what stays of the gradient is 1 / (1 - momentum) times it, so the decay beside it counts 1 - momentum times
    decay = (1 - descent.momentum) * 0.2 * sum(np.sum(weight**2) for weight in weights)
    expected = 0.5 * (np.sum(gap**2) + decay + 0.3 * np.sum(weights[0] ** 2))
    assert plain.metrics["loss"][-1] == pytest.approx(expected, rel=1e-12)
