"""Default step sizes and decays of each optimizer, and a sweep over all of them with nothing else said."""

import numpy as np
import pytest

import jaxinv as ji
from jaxinv.training.optimizers.named import OURS

from .plain import SIZES, advanced, named, tiny

PARTS = tiny()
PROBLEM, NETWORK, _ = PARTS
DEPTH, WIDTH = SIZES["depth"], SIZES["width"]


def test_momentum_goes_as_far_as_gradient_descent_in_the_long_run():
    plain = named(PARTS, "gradient_descent").descent.step_size
    assert named(PARTS, "momentum").descent.step_size == pytest.approx(0.1 * plain)
    assert named(PARTS, "nesterov", momentum=0.7).descent.step_size == pytest.approx(0.3 * plain)
    assert named(PARTS, "gradient_descent", momentum=0.7).descent.step_size == plain
    stable = named(PARTS, "gradient_descent", step_size="stable").descent
    slower = named(PARTS, "nesterov", step_size="stable").descent
    assert slower.step_size == pytest.approx(0.1 * stable.step_size)
    assert slower.stable is stable.stable is True


def test_steps_of_one_size_are_a_share_of_the_weights_of_a_fit():
    assert named(PARTS, "adam").descent.step_size == pytest.approx(0.3 / (DEPTH * WIDTH))
    assert named(PARTS, "muon").descent.step_size == pytest.approx(0.03 / DEPTH)
    arrays = [np.asarray(array) for array in (PROBLEM.operator, 9 * PROBLEM.signals, PROBLEM.measurements)]
    own = PARTS._replace(problem=ji.Problem(arrays[0], arrays[1], arrays[2], subspace_dim=2))
    size = np.linalg.norm(arrays[1].T @ np.linalg.pinv(arrays[2].T), 2) ** (1 / DEPTH)
    assert named(own, "muon").descent.step_size == pytest.approx(0.03 * size / DEPTH)
    assert named(own, "adamw", gamma=0.2).descent.weight_decay == pytest.approx(0.2 * WIDTH / size)


def test_decay_beside_the_direction_is_on_one_scale():
    decay = named(PARTS, "gradient_descent", gamma=0.2).descent.weight_decay
    expected = {"gradient_descent": decay, "momentum": 10 * decay, "adam": 0.2 * WIDTH, "adamw": 0.2 * WIDTH,
                "muon": 0.2}  # fmt: skip
    for name, value in expected.items():
        descent = named(PARTS, name, gamma=0.2, decoupled=True).descent
        assert descent.weight_decay == pytest.approx(value)
        share = OURS[name].share
        if share is None:
            plain = named(PARTS, "gradient_descent", gamma=0.2).descent
            assert descent.step_size * descent.weight_decay == pytest.approx(plain.step_size * plain.weight_decay)
            assert descent.objective.weight_decay == pytest.approx(decay)
        else:
            assert descent.step_size * descent.weight_decay == pytest.approx(0.2 * share / DEPTH)
        assert named(PARTS, name, gamma=0.2, decoupled=False).descent.weight_decay == decay
    assert named(PARTS, "adamw", weight_decay=0.7).descent.weight_decay == 0.7
    assert named(PARTS, "adamw", gamma=0.2, regularizer="none").descent.weight_decay == 0


@pytest.fixture(scope="module")
def six():
    axes = {"optimizer": list(OURS), "seed": range(8)}
    fixed = {
        "signal_dim": 8,
        "measurement_dim": 4,
        "subspace_dim": 1,
        "samples": 6,
        "width": 16,
        "depth": 2,
        "gamma": 0.1,
    }
    return ji.Sweep(axes, fixed, steps=300, records=3, metrics=["regression_error"])


def test_a_sweep_over_all_optimizers_needs_nothing_else(six, tmp_path):
    results = ji.run_sweep(six, tmp_path / "store")
    assert np.isfinite(results.regression_error).all()
    assert not results.diverged.any()
    assert (results.regression_error.isel(record=-1) < 0.2).all()
    again = ji.run_sweep(six, tmp_path / "store")
    assert results.identical(again)


def test_no_default_diverges_on_a_narrow_network_where_gradient_descent_does_not():
    """At the edge of what gradient descent bears: with the step size of gradient descent itself momentum diverges."""
    narrow = [tiny(seed=seed, depth=3, width=10, condition_number=1.0) for seed in range(6)]
    lost = {name: [diverges(named(parts, name)) for parts in narrow] for name in list(OURS)[:3]}
    at_full = [
        diverges(named(parts, "momentum", step_size=named(parts, "gradient_descent").descent.step_size))
        for parts in narrow
    ]
    for name in ("momentum", "nesterov"):
        assert not any(ours and not plain for ours, plain in zip(lost[name], lost["gradient_descent"], strict=True))
    assert any(ours and not plain for ours, plain in zip(at_full, lost["gradient_descent"], strict=True))


def diverges(parts):
    return not all(np.isfinite(weight).all() for weight in advanced(parts, 200))


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"optimizer": "adm"}, "unknown optimizer 'adm'; did you mean 'adam'"),
        ({"optimizer": 3}, r"optimizer must be a name or a function of \(step_size, weight_decay\), got 3"),
        ({"optimizer": lambda eta, decay: None, "momentum": 0.5}, "momentum must be left out for an optimizer of your"),
        ({"optimizer": lambda eta, decay: None, "decoupled": True}, "decoupled must be left out for an optimizer"),
        ({"decoupled": 1}, "decoupled must be True or False, got 1"),
        ({"optimizer": "adam", "momentum": 1.0}, "momentum must be below 1"),
        ({"optimizer": "adam", "step_size": "stable"}, "step_size must be a number for an optimizer whose steps have"),
        ({"optimizer": "adam", "step_size": 0.0}, "step_size must be a finite number above 0"),
    ],
)
@pytest.mark.usefixtures("unchecked")
def test_a_bad_argument_is_named(options, words):
    with pytest.raises(ji.ArgumentError, match=words) as refused:
        named(PARTS, **{"optimizer": "gradient_descent", **options})
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"optimizer": "adam"}, r"optimizer must be a ji.Optimizer, got 'adam'; pass ji.gradient_descent\(..., optim"),
        ({"schedule": "cosine"}, r"schedule must be a Schedule, got 'cosine'; name it in ji.gradient_descent"),
        ({"batches": 8}, "batches must be a Batches, got 8"),
        ({"regularizer": "l1"}, "regularizer must be a Regularizer, got 'l1'"),
        ({"misfit": "huber"}, "misfit must be a Misfit, got 'huber'"),
        ({"strength": -1}, "strength must be a finite number of at least 0, got -1"),
        ({"transform": 3}, "transform must be a function"),
        (
            {"optimizer": OURS["adam"], "transform": lambda eta, decay: None},
            "momentum and transform exclude each other",
        ),
        ({"optimizer": OURS["muon"], "momentum": 0.0, "transform": lambda eta, decay: None}, "optimizer and transform"),
    ],
)
@pytest.mark.usefixtures("unchecked")
def test_a_bad_field_of_a_descent_is_named(options, words):
    with pytest.raises(ji.ArgumentError, match=words) as refused:
        ji.Descent(0.1, 0.1, **options)
    assert "\n" not in str(refused.value)


def test_a_descent_has_the_momentum_of_its_optimizer():
    assert ji.Descent(0.1, 0.1, optimizer=OURS["adam"]).momentum == 0.9
    assert ji.Descent(0.1, 0.1, 0.5, optimizer=OURS["adam"]).momentum == 0.5
    assert ji.Descent(0.1, 0.1).momentum == 0
    assert ji.Descent(0.1, 0.1, optimizer=OURS["momentum"]).is_plain
    assert not ji.Descent(0.1, 0.1, optimizer=OURS["nesterov"]).is_plain
