"""The rule that finds the linear phase, on curves whose answer is known."""

import numpy as np
import pytest

from jaxinv.measures import curves

STEP = np.unique(np.rint(np.concatenate([np.arange(60), np.geomspace(60, 4000, 200)])).astype(int))
RATE = 0.02
GEOMETRIC = np.exp(-RATE * STEP)


def test_a_geometric_curve_gives_its_factor():
    fit = curves.linear_phase(STEP, 3 * np.maximum(GEOMETRIC, 1e-16))
    assert fit.quality == "good"
    assert fit.factor == pytest.approx(np.exp(-RATE), rel=1e-12)
    assert fit.log_rate == pytest.approx(RATE, rel=1e-10)
    assert 0 < fit.window[0] < fit.window[1] < 4000


@pytest.mark.parametrize("share", [0.3, 1e-3])
def test_of_two_rates_the_late_one_counts(share):
    fit = curves.linear_phase(STEP, (1 - share) * np.exp(-0.1 * STEP) + share * np.maximum(GEOMETRIC, 1e-15))
    assert fit.quality == "good"
    assert fit.log_rate == pytest.approx(RATE, rel=0.01)


def test_two_rates_in_the_window_are_flagged():
    fit = curves.linear_phase(STEP, np.maximum(np.exp(-0.3 * STEP) + 1e-11 * GEOMETRIC**0.2, 1e-15))
    assert fit.quality == "curved"


@pytest.mark.parametrize("plateau", [1e-3, 1e-6, 1e-12])
def test_a_plateau_is_left_out(plateau):
    fit = curves.linear_phase(STEP, GEOMETRIC + plateau)
    assert fit.quality == "good"
    assert fit.log_rate == pytest.approx(RATE, rel=0.03)
    assert curves.settled(STEP, GEOMETRIC + plateau) == pytest.approx(plateau, rel=1e-6)


def test_a_dip_before_the_plateau_is_left_out():
    error = GEOMETRIC + 1e-6 * (1 - np.exp(-0.001 * STEP))
    assert curves.linear_phase(STEP, error).log_rate == pytest.approx(RATE, rel=0.03)


def test_oscillations_and_noise_do_not_move_the_fit():
    noise = np.random.default_rng(0).lognormal(sigma=0.2, size=len(STEP))
    fit = curves.linear_phase(STEP, np.maximum(GEOMETRIC, 1e-15) * (1 + 0.5 * np.cos(0.9 * STEP)) * noise)
    assert fit.quality == "good"
    assert fit.log_rate == pytest.approx(RATE, rel=0.02)


@pytest.mark.parametrize(
    "error", [np.exp(0.01 * STEP), np.where(STEP > 30, np.nan, 1.0), np.where(STEP > 9, np.inf, 1)]
)
def test_divergence_is_said(error):
    fit = curves.linear_phase(STEP, error)
    assert fit.quality == "diverged"
    assert np.isnan([fit.factor, fit.log_rate, *fit.window]).all()


@pytest.mark.parametrize("error", [np.ones(len(STEP)), 1 - 1e-4 * STEP, np.where(STEP < 3, 1.0, 1e-9)])
def test_nothing_to_fit_is_said(error):
    fit = curves.linear_phase(STEP, error)
    assert fit.quality == "short"
    assert np.isnan(fit.log_rate)


def test_steps_to_a_level_are_read_between_records():
    for level in (0.9, 1e-1, 1e-3, 1e-6):
        assert curves.steps_to(STEP, GEOMETRIC, level) == pytest.approx(-np.log(level) / RATE, rel=1e-10)
    assert curves.steps_to(STEP, GEOMETRIC, 2.0) == 0
    assert np.isnan(curves.steps_to(STEP, GEOMETRIC, 1e-80))
    assert np.isnan(curves.steps_to(STEP, np.full(len(STEP), np.nan), 1.0))
    assert curves.steps_to(np.array([0, 1, 2]), np.array([1.0, 0.5, 0.0]), 0.1) == 2


def test_a_curve_settles_where_its_last_fifth_does_not_move():
    assert np.isnan(curves.settled(STEP, np.exp(-0.001 * STEP)))
    assert curves.settled(STEP, np.ones(len(STEP))) == 1
    assert np.isnan(curves.settled(STEP, np.where(STEP > 3500, np.nan, 1.0)))


def test_phases_end_at_records():
    step, error = np.array([0, 1, 2, 5, 9, 20]), np.array([8.0, 3.0, 1.0, 1.0, 1.9, 2.0])
    assert curves.lowest(step, error) == 2
    assert curves.reached(step, error, 3.0) == 1
    assert np.isnan(curves.reached(step, error, 0.5))
    assert [curves.comes_to_rest(step, error, share) for share in (0.01, 0.06, 0.6, 9.0)] == [20, 9, 1, 0]
    broken = np.where(step > 5, np.nan, error)
    assert np.isnan([curves.lowest(step, broken), curves.comes_to_rest(step, broken, 0.1)]).all()
    assert curves.reached(step, broken, 3.0) == 1
