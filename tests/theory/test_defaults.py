"""What the default step size and weight decay make of the laws, and steps that are stable at the start."""

import numpy as np
import pytest

import jaxinv as ji
from jaxinv import theory

from ..helpers import GRID, setup, small_sweep


@pytest.mark.parametrize("depth", [1, 2, 5])
def test_the_decay_per_step_of_the_defaults_follows_from_the_sizes(depth):
    sizes = {"signal_dim": 12, "measurement_dim": 6, "condition_number": 3.0}
    fixed = {**GRID, **sizes, "depth": depth, "gamma": 0.2}
    problem, network, _ = ji.build(small_sweep(axes={"seed": [0]}, fixed=fixed).cells()[0])
    made = ji.gradient_descent(problem, network, gamma=0.2)
    expected = made.step_size * made.weight_decay
    assert theory.default_decay_per_step(0.2, depth, GRID["width"], **sizes) == pytest.approx(expected, rel=1e-12)


def test_the_largest_stable_step_size_is_where_the_linearised_descent_turns():
    problem, network, _ = setup(depth=3)
    linear = theory.linearise(problem, network.weights)
    largest = linear.stable_step_size()
    assert theory.contraction(0.99 * largest, linear.extremes()) < 1
    assert theory.contraction(1.01 * largest, linear.extremes()) > 1
    assert linear.stable_step_size(0.8) == pytest.approx(0.8 * largest)
    curve = linear.curve(1.05 * largest, 2000)
    assert curve[-1] > curve[0]


def test_the_constant_is_fitted_up_to_a_share_of_the_run():
    steps = np.arange(0, 4001, 50)
    error = 0.7 * theory.off_range_decay(steps, 0.1, 0.02) * np.where(steps > 2000, 2.0, 1.0)
    assert theory.off_subspace_constant(steps, error, 0.1, 0.02, 0.5) == pytest.approx(0.7)
    assert theory.off_subspace_constant(steps, error, 0.1, 0.02) == pytest.approx(1.4)
    assert np.isnan(theory.off_subspace_constant(steps, np.full(len(steps), np.nan), 0.1, 0.02, 0.5))


def test_steps_off_the_subspace_broadcast():
    errors, constants = np.array([1e-3, 1e-6]), np.array([[0.5], [2.0], [1e-4], [np.nan]])
    steps = theory.steps_to_off_subspace(errors, constants, 0.1, 0.02)
    back = theory.off_subspace_late(steps, constants, 0.1, 0.02)
    np.testing.assert_allclose(back[:2], np.broadcast_to(errors, (2, 2)))
    assert steps[2, 0] == 0  # it starts below
    assert np.isnan(steps[3]).all()


@pytest.mark.parametrize("bad", ["depth", "width", "signal_dim", "condition_number"])
def test_sizes_that_cannot_be_are_refused(bad):
    sizes = {"depth": 2, "width": 30, "signal_dim": 12, "measurement_dim": 6, "condition_number": 3.0, bad: 0}
    with pytest.raises(ji.ArgumentError, match=f"{bad} must be above 0, got 0"):
        theory.default_decay_per_step(0.2, **sizes)
