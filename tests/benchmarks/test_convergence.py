"""The convergence benchmark on small grids: measured against predicted, and each claim seen to hold and to fail."""

from dataclasses import replace
from pathlib import Path

import matplotlib
import numpy as np
import pytest
import xarray

import jaxinv as ji
from jaxinv.command.settings import adjusted
from jaxinv.measures import predictions
from jaxinv.studies import plots
from jaxinv.studies.compare import changes
from jaxinv.studies.experiment import load
from jaxinv.studies.timing import seconds_of
from jaxinv.training.precision import run_settings
from tests.experiments.divergence import assert_divergence_helps_no_claim

FILE = Path(__file__).parents[2] / "benchmarks" / "convergence.py"
SMALL = {"signal_dim": 16, "measurement_dim": 8, "subspace_dim": 2, "samples": 5, "condition_number": 2.0}
AXES = {
    "fit": {"depth": [2, 3], "width": [14, 240], "step_rule": ["default", "stable"], "seed": range(4, 8)},
    "off": {"depth": [2], "width": [16, 240], "gamma": [0.03, 0.1, 0.2], "seed": range(3)},
    "step_times": {"depth": [2, 3], "width": [14, 240]},
}


@pytest.fixture(scope="module")
def experiment():
    return load(FILE)


@pytest.fixture(scope="module")
def runs(experiment):
    """Small grids that were run, with made-up times."""
    grids = {name: replace(grid, axes=AXES[name], fixed=SMALL) for name, grid in experiment.grids("quick").items()}
    ms = xarray.DataArray([[[0.3, 0.2], [3, 4]], [[0.5, 0.4], [5, 6]]], AXES["step_times"], ("depth", "width", "round"))
    times = ji.Runs(grids["step_times"], ms.to_dataset(name="ms"))
    found = {name: ji.Runs(grids[name], ji.run_sweep(grids[name])) for name in ("fit", "off")} | {"step_times": times}
    derived = experiment.analyse(found)
    return {name: ji.Runs(run.grid, run.data, derived.get(name)) for name, run in found.items()}


def changed(runs, name, **variables):
    """The results with functions of some variables of a grid in their place."""
    data = runs[name].data
    made = data.assign({key: change(data[key].copy(deep=True)) for key, change in variables.items()})
    return {**runs, name: ji.Runs(runs[name].grid, made)}


def put(value, **point):
    """A function that puts `value` at a point of an array."""

    def change(data):
        data.loc[point] = value
        return data

    return change


def test_the_presets_are_as_large_as_ever(experiment):
    for preset, fit, off, times in (("quick", 168, 16, 12), ("paper", 1280, 216, 24)):
        grids = experiment.grids(preset)
        assert (len(grids["fit"].cells()), len(grids["off"].cells())) == (fit, off)
        assert len(grids["step_times"].points()) == times
    steps = {cell.arguments["network"]["width"]: cell.steps for cell in grids["fit"].cells()}
    assert steps == {50: 3000, 100: 3000, 200: 3000, 400: 1500, 800: 750, 1600: 375}
    assert all(len(cell.record_steps) == 101 for cell in grids["off"].cells())


def test_settings_go_to_every_grid_that_has_the_argument(experiment):
    grids = adjusted(experiment.named_grids("quick"), 2, ["width=50,100", "gamma=0.2", "measurement_dim=30"])
    assert [list(grid.axes["width"]) for grid in grids.values()] == [[50, 100]] * 3
    assert [grid.fixed["measurement_dim"] for grid in grids.values()] == [30] * 3
    assert grids["off"].axes["gamma"] == [0.2]
    assert "gamma" not in grids["fit"].arguments
    assert list(grids["fit"].axes["seed"]) == list(grids["off"].axes["seed"]) == [0, 1]
    with pytest.raises(ValueError, match="wdth"):
        adjusted(experiment.named_grids("quick"), None, ["wdth=3"])


def test_every_claim_holds(experiment, runs):
    verdicts = experiment.claims(runs)
    assert len(verdicts) == 6
    assert all(verdict.holds for verdict in verdicts), [verdict.line() for verdict in verdicts]


def test_wide_networks_contract_as_predicted(runs):
    fit, wide = runs["fit"], {"width": 240, "step_rule": "default"}
    assert (fit.select("fit_quality", **wide) == "good").all()
    assert abs(fit.select("ratio", **wide).median("seed") - 1).max() < 0.05
    steps = fit.select("steps_to", **wide) / fit.select("predicted_steps_to", **wide)
    assert abs(steps.median("seed") - 1).max() < 0.1
    sharpness = fit.select("sharpness", step_rule="stable", width=14)
    np.testing.assert_allclose(sharpness, 1.6, rtol=1e-6)
    assert fit.select("sharpness", step_rule="stable", width=240).isnull().all()
    assert (fit.select("fit_quality", step_rule="stable", width=240) == "").all()
    fastest = fit["seconds_to"] / fit["steps_to"] * 1e3
    assert fastest.sel(depth=2, width=14, step_rule="default").max() == pytest.approx(0.2)
    assert fastest.sel(depth=3, width=240, step_rule="default").max() == pytest.approx(5)
    assert fit["seconds_to"].attrs["units"] == "s"


def test_a_step_is_timed_with_one_network_on_each_device(experiment):
    grid = experiment.grids("quick")["step_times"]
    with run_settings():
        timed = grid.prepare(depth=2, width=14, **SMALL)
        assert seconds_of(timed.advance, 3) > 0
    assert timed.units == 1


def test_off_subspace_times_follow_the_law_and_are_extrapolated_by_it(runs):
    off = runs["off"]
    ratio = off.select("steps_to", width=16, gamma=[0.1, 0.2]) / off.select(
        "predicted_steps_to", width=16, gamma=[0.1, 0.2]
    )
    assert abs(ratio - 1).max() < 0.01
    extrapolated = off["extrapolated_steps_to"]
    assert extrapolated.sel(width=240).notnull().all()
    assert extrapolated.sel(gamma=0.03).notnull().all()
    assert extrapolated.sel(width=16, gamma=[0.1, 0.2]).isnull().all()
    assert off.select("steps_to", gamma=0.03).isnull().all()
    further = off.select("extrapolated_steps_to", width=240, gamma=0.2) / off.select(
        "predicted_steps_to", width=16, gamma=0.2
    ).median("seed")
    np.testing.assert_allclose(further, 240 / 16, rtol=0.05)


def test_every_variable_says_what_it_is(experiment, runs):
    for name, derived in experiment.analyse(runs).items():
        assert all(derived[variable].attrs["long_name"] for variable in derived.data_vars), name


@pytest.mark.parametrize(
    ("failing", "grid", "variables"),
    [
        (0, "fit", {"steps_to": put(50.0, depth=2, width=14)}),
        (1, "fit", {"ratio": lambda data: data * 1.1}),
        (1, "fit", {"ratio": put(np.nan, depth=3)}),
        (2, "fit", {"predicted_steps_to": lambda data: data / 1.3}),
        (3, "fit", {"diverged": put(True, depth=2, width=14, step_rule="stable", seed=5)}),
        (4, "off", {"predicted_steps_to": put(3.0, width=16, gamma=0.2, seed=1)}),
        (4, "off", {"steps_to": put(np.nan, width=16, gamma=0.2, seed=1)}),
        (5, "off", {"plateau": lambda data: data * 1.2}),
        (5, "off", {"plateau": put(np.nan, width=16, gamma=0.1, seed=0)}),  # it has not settled
    ],
)
def test_each_verdict_fails_where_its_claim_is_violated(experiment, runs, failing, grid, variables):
    verdicts = experiment.claims(changed(runs, grid, **variables))
    assert [index for index, verdict in enumerate(verdicts) if not verdict.holds] == [failing]


def test_a_run_that_diverged_fails_the_laws_even_where_it_had_followed_them(experiment, runs):
    verdicts = experiment.claims(changed(runs, "off", diverged=put(True, width=16, gamma=0.1, seed=0)))
    assert [index for index, verdict in enumerate(verdicts) if not verdict.holds] == [4, 5]


def test_seeds_that_diverge_in_the_narrowest_count_against_the_wider(experiment, runs):
    narrow = {"depth": 3, "width": 14, "step_rule": "default"}
    before = experiment.claims(runs)[0].measured
    slower = changed(runs, "fit", steps_to=put([80.0, 90, 100, 300], **narrow, level=1e-6))
    assert experiment.claims(slower)[0].measured > 1  # median 95
    lost = changed(slower, "fit", diverged=put(True, seed=4, **narrow))
    assert experiment.claims(lost)[0].measured >= experiment.claims(slower)[0].measured > before


def test_divergence_helps_no_claim(experiment, runs, monkeypatch):
    found, make = [], predictions.linearised

    def once(*arguments, **options):  # nothing recorded enters it
        return found[0] if found else found.append(make(*arguments, **options)) or found[0]

    monkeypatch.setattr(predictions, "linearised", once)
    assert_divergence_helps_no_claim(experiment, runs, chosen=[0])


def test_wider_is_compared_with_the_narrowest_that_trains(experiment, runs):
    narrow = {"steps_to": put(np.nan, depth=2, width=14, step_rule="default", seed=[4, 5, 6])}
    verdict = experiment.claims(changed(runs, "fit", **narrow))[0]
    assert verdict.measured == 1  # of two widths one is left, and that is no faster than itself
    assert not verdict.holds


def test_the_table_has_a_line_a_cell_and_counts_failures(experiment, runs):
    lines = list(experiment.table(runs))
    assert sum(line.split()[2:3] in (["default"], ["stable"]) for line in lines) == 2 * 2 + 2
    off = [line.split() for line in lines[-6:]]
    assert sum(row[3] == "-" for row in off) == 4  # extrapolated
    point = {"depth": 2, "width": 240, "step_rule": "default", "seed": 4}
    broken = changed(runs, "fit", fit_quality=put("short", **point), steps_to=put(np.nan, **point))
    row = next(line.split() for line in experiment.table(broken) if line.split()[:3] == ["2", "240", "default"])
    assert row[5:8] == ["0/4", "1/4", "1/4"]


def test_a_prediction_of_less_than_half_of_the_seeds_is_not_shown(experiment, runs):
    point = {"depth": 3, "width": 240, "step_rule": "default"}
    few = changed(runs, "fit", predicted_steps_to=put(np.nan, seed=[4, 5, 6], **point))
    shown = [next(line for line in experiment.table(each) if line.split()[:3] == ["3", "240", "default"])
             for each in (runs, few)]  # fmt: skip
    assert len(shown[0].split()) == len(shown[1].split())
    assert sum(word == "-" for word in shown[1].split()) == sum(word == "-" for word in shown[0].split()) + 1


def test_the_figure_has_three_panels_a_diagonal_and_the_counts(experiment, runs):
    lost = put(np.nan, depth=2, width=14, step_rule="default", seed=6)
    broken = changed(runs, "fit", steps_to=lost, sharpness=lambda data: data.where(data.width > 14, 3.0))
    with matplotlib.rc_context(plots.STYLE):
        figure = experiment.draw(broken)
    steps, rate, off = figure.axes
    assert any(text.get_text().startswith("×") for text in steps.texts)
    assert {f"$L$ = {depth}" for depth in (2, 3)} <= {text.get_text() for text in steps.get_legend().get_texts()}
    assert [tick.get_text() for tick in steps.get_xticklabels()] == ["14\n1.75", "240\n30"]
    assert any(line.get_marker() == "x" and len(line.get_xdata()) for line in rate.lines)
    assert all(axes.get_xscale() == axes.get_yscale() == "log" for axes in figure.axes)
    assert {"measured", "extrapolated"} <= {text.get_text() for text in off.get_legend().get_texts()}
    figure.canvas.draw()


def test_a_smaller_step_is_said_by_a_comparison_and_nothing_else_is(runs):
    old = {name: run.data for name, run in runs.items()}
    found, tests = changes(old, old)
    assert not found
    assert tests > 100
    slower = old["fit"].assign(step_size=0.9 * old["fit"].step_size, steps_to=old["fit"].steps_to / 0.9)
    found, _ = changes(old, {**old, "fit": slower})
    assert {change.quantity for change in found} == {"fit: step_size", "fit: steps_to"}
