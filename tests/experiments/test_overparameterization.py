"""overparameterization: each claim is seen to hold and to fail, its figure to have what it must."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import xarray as xr

import jaxinv as ji
from jaxinv.studies.experiment import load
from tests.experiments.divergence import assert_divergence_helps_no_claim

FILE = Path(__file__).parents[2] / "experiments" / "overparameterization.py"
SIZES = {"signal_dim": 32, "measurement_dim": 16, "subspace_dim": 2, "samples": 20}
WIDTHS, GAMMAS = [8, 16, 32, 64], [0.0, 0.1]
AXES = ("width", "gamma", "seed")
CURVES = ("regression_error", "off_subspace_error", "test_error", "noise_sensitivity")


@pytest.fixture(scope="module")
def experiment():
    return load(FILE)


@pytest.fixture
def good():
    """Results that show every claim: all seeds diverge at the least width, then all gets better with the width."""
    step = np.unique(np.rint(np.geomspace(1, 2000, 80))) - 1
    width, gamma, seed, t = np.ix_(np.array(WIDTHS) / 16, np.array(GAMMAS), np.arange(3), step)
    ones = np.ones((4, 2, 3, len(step)))
    step_size = 0.02 * width * ones
    fit = np.maximum(np.exp(-0.1 * width * t), np.where(gamma > 0, 0.05, 1e-9)) * (1 + 0.1 * seed)
    off = 2 * np.exp(-step_size * gamma * t)
    sensitivity = np.where(gamma > 0, 0.3, 1.0) / np.sqrt(width) * ones
    names = (*AXES, "record")
    curves = dict(zip(CURVES, (fit, off, 0.01 * ones, sensitivity), strict=True))
    return xr.Dataset(
        {name: (names, np.where(width < 1, np.nan, rows)) for name, rows in curves.items()}
        | {"diverged": (AXES, (width < 1)[..., 0] & (ones[..., 0] > 0)), "step_size": (AXES, step_size[..., 0])}
        | {"weight_decay": (AXES, (gamma * ones)[..., 0])}
        | {"measured_extremes": ((*names, "extreme"), ones[..., None] * [1.2, 0.8])},
        {"width": WIDTHS, "gamma": GAMMAS, "seed": range(3), "step": ("record", step)},
    )


def analysed(experiment, data, **changes):
    """The results as the experiment reads them, with what it derives from them."""
    axes = {name: data[name].values.tolist() for name in AXES}
    grid = replace(experiment.grids("quick"), **{"axes": axes, "fixed": {**SIZES, "depth": 3}, **changes})
    return ji.Runs(grid, data, experiment.analyse(ji.Runs(grid, data)))


def verdicts(experiment, data):
    return experiment.claims(analysed(experiment, data))


def fit_alike(data):
    data.regression_error.loc[{"gamma": 0.0}] = data.regression_error.sel(gamma=0.0, width=16)


def decay_slower(data):
    data.step_size.loc[{"width": 64}] = 0.016
    data.off_subspace_error.loc[{"width": 64, "gamma": 0.1}] = 2 * np.exp(-0.0016 * data.step)


def decay_out_of_law(data):
    data.off_subspace_error.loc[{"width": 64}] = data.off_subspace_error.sel(width=64) ** 3


def generalize_alike(gamma):
    def change(data):
        data.noise_sensitivity.loc[{"gamma": gamma}] = data.noise_sensitivity.sel(gamma=gamma, width=16)

    return change


def decay_in_vain(data):
    data.noise_sensitivity.loc[{"gamma": 0.1, "width": 32, "seed": 1}] = 5.0


def settle_elsewhere(data):
    data.regression_error.loc[{"gamma": 0.1, "width": 32, "seed": 1}] *= 1.02


def test_it_holds_on_results_that_show_the_claims(experiment, good):
    found = verdicts(experiment, good)
    assert all(verdict.holds for verdict in found), [verdict.line() for verdict in found]
    assert found[1].measured == pytest.approx(0.25, rel=0.05)  # at 16 no seed diverges: 64 over 16
    assert found[3].measured == pytest.approx(1, rel=1e-3)


VIOLATIONS = [fit_alike, decay_slower, decay_out_of_law, generalize_alike(0.1), generalize_alike(0.0), decay_in_vain,
              settle_elsewhere]  # fmt: skip


@pytest.mark.parametrize(("index", "violate"), list(enumerate(VIOLATIONS, 1)))
def test_a_violated_claim_fails_alone(experiment, good, index, violate):
    violate(good)
    assert [verdict.holds for verdict in verdicts(experiment, good)] == [i != index for i in range(8)]


def test_a_run_that_never_arrives_counts_as_infinitely_slow(experiment, good):
    good.regression_error.loc[{"gamma": 0.0, "width": 64, "seed": [0, 1]}] = 1.0
    assert verdicts(experiment, good)[1].measured == np.inf


def diverge(data, **where):
    """Those runs diverge after the first record."""
    data.diverged.loc[where] = True
    for name in CURVES:
        data[name].loc[{**where, "record": range(1, data.sizes["record"])}] = np.nan


def test_a_diverged_run_counts_as_infinitely_bad(experiment, good):
    diverge(good, width=64, seed=0)
    found = verdicts(experiment, good)
    # the median over three seeds stands, what is asked of the worst seed does not
    assert [verdict.holds for verdict in found] == [i not in (0, 6, 7) for i in range(8)]
    good.noise_sensitivity.loc[{"width": 64, "seed": 1}] = np.nan
    assert verdicts(experiment, good)[4].measured == np.inf


DIVERGED = [{"width": 64, "seed": 0}, {"width": 64}, {"width": 16, "seed": 0}, {"width": 16}, {"seed": 2},
            {"width": 16, "gamma": 0.0, "seed": 1}, {"width": 64, "gamma": 0.1, "seed": [0, 1]}]  # fmt: skip


@pytest.mark.parametrize("where", DIVERGED)
@pytest.mark.parametrize("violate", VIOLATIONS)
def test_nothing_that_failed_holds_where_runs_diverge(experiment, good, violate, where):
    violate(good)
    before = verdicts(experiment, good)
    diverge(good, **where)
    after = verdicts(experiment, good)
    assert not any(now.holds and not then.holds for then, now in zip(before, after, strict=True))


def test_a_run_below_the_widths_compared_is_asked_nothing_whether_or_not_it_diverges(experiment, good):
    diverge(good, width=16, seed=[0, 1])
    good.noise_sensitivity.loc[{"gamma": 0.1, "width": 16, "seed": 2}] = 5.0
    before = verdicts(experiment, good)
    assert before[6].holds
    assert "widths compared" in before[6].claim
    diverge(good, width=16)
    assert verdicts(experiment, good)[6].measured == before[6].measured


def test_the_widest_is_compared_whether_or_not_it_trains(experiment, good):
    diverge(good, width=64)
    assert [verdict.holds for verdict in verdicts(experiment, good)] == [False] * 8


def test_one_width_that_trains_is_compared_with_none(experiment, good):
    diverge(good, width=[16, 32])
    held = [verdict.holds for verdict in verdicts(experiment, good)]
    assert held == [i in (0, 6) for i in range(8)]


def test_nothing_holds_where_every_run_diverged(experiment, good):
    good.diverged[:] = True
    for name in CURVES:
        good[name][..., 1:] = np.nan
    runs = analysed(experiment, good)
    assert not any(verdict.holds for verdict in experiment.claims(runs))
    experiment.draw(runs)


def test_the_figure_leaves_out_what_diverged_and_says_so(experiment, good):
    good.diverged.loc[{"width": 32, "seed": 1, "gamma": 0.1}] = True
    fit, off, steps, test = experiment.draw(analysed(experiment, good)).axes
    assert [text.get_text() for text in fit.get_legend().get_texts()] == [f"$d_w$ = {w}" for w in WIDTHS[1:]]
    assert [len(panel.lines) for panel in (fit, off, steps, test)] == [3, 3, 3, 2]
    ticks = [label.get_text() for label in test.get_xticklabels()]
    assert ticks == ["0.5\n3 of 3\ndiverged", "1", "2\n1 of 3\ndiverged", "4"]
    # seeds 0 and 2 are left at width 32, whose eta lambda is 0.004
    curve = good.regression_error.sel(width=32, gamma=0.0, seed=[0, 2]).median("seed")
    np.testing.assert_allclose(fit.lines[1].get_ydata(), curve)
    np.testing.assert_allclose(off.lines[1].get_xdata(), 0.004 * good.step)


def test_a_small_sweep_holds_where_it_should(experiment):
    axes = {"width": [32, 64], "gamma": GAMMAS, "seed": range(2)}
    grid = replace(experiment.grids("quick"), axes=axes, fixed={**SIZES, "depth": 2}, steps=1000)
    runs = analysed(experiment, ji.run_sweep(grid), axes=axes, fixed=grid.fixed, steps=1000)
    found = experiment.claims(runs)
    assert [found[i].holds for i in (0, 3, 6, 7)] == [True] * 4, [verdict.line() for verdict in found]
    experiment.draw(runs)


def test_divergence_helps_no_claim(experiment, good):
    assert_divergence_helps_no_claim(experiment, analysed(experiment, good), chosen=range(1, 8))
