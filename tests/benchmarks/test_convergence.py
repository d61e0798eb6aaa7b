"""The convergence benchmark on small grids: measured against predicted, and each claim seen to hold and to fail."""

from dataclasses import replace
from pathlib import Path

import matplotlib
import numpy as np
import pytest

import jaxinv as ji
from jaxinv.command.settings import adjusted
from jaxinv.measures import predictions
from jaxinv.studies import plots
from jaxinv.studies.compare import changes
from jaxinv.studies.experiment import load
from tests.experiments.divergence import assert_divergence_helps_no_claim

FILE = Path(__file__).parents[2] / "benchmarks" / "convergence.py"
SMALL = {"signal_dim": 16, "measurement_dim": 8, "subspace_dim": 2, "samples": 5, "condition_number": 2.0}
AXES = {
    "fit": {"depth": [2, 3], "width": [14, 512, 2**20], "step_rule": ["default", "stable"], "seed": range(4, 8)},
    "dense": {"depth": [2, 3], "width": [512], "seed": range(4, 8)},
    "off": {"depth": [2], "width": [64], "gamma": [0.1, 0.2], "seed": range(3)},
    "flow": {"depth": [2], "width": [64, 4096], "gamma": [0.1, 0.2], "seed": range(3)},
    "paired": {"depth": [2], "width": [64], "gamma": [0.1, 0.2], "seed": range(3)},
}
WIDE = 2**20


@pytest.fixture(scope="module")
def experiment():
    return load(FILE)


@pytest.fixture(scope="module")
def runs(experiment):
    """Small grids that were run."""
    grids = {name: replace(grid, axes=AXES[name], fixed=SMALL) for name, grid in experiment.grids("quick").items()}
    found = {name: ji.Runs(grid, ji.run_sweep(grid)) for name, grid in grids.items()}
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


def test_the_presets_reach_a_width_of_a_million(experiment):
    for preset, cells in (("quick", (216, 16, 16, 18, 8)), ("paper", (2176, 48, 72, 128, 24))):
        made = experiment.grids(preset)
        assert tuple(len(grid.cells()) for grid in made.values()) == cells
        assert made["fit"].axes["width"][-1] == made["flow"].axes["width"][-1] == WIDE
    grids = experiment.grids("paper")
    steps = {cell.arguments["network"]["width"]: cell.steps for cell in grids["fit"].cells()}
    assert [steps[2**k] for k in (6, 8, 9, 10, 11, 20)] == [3000, 1171, 585, 300, 300, 300]
    assert all(len(cell.record_steps) == 101 for cell in grids["off"].cells())


def test_settings_go_to_every_grid_that_has_the_argument(experiment):
    grids = adjusted(experiment.named_grids("quick"), 2, ["width=50,100", "gamma=0.2", "measurement_dim=30"])
    assert [list(grid.axes["width"]) for grid in grids.values()] == [[50, 100]] * 5
    assert [grid.fixed["measurement_dim"] for grid in grids.values()] == [30] * 5
    assert grids["off"].axes["gamma"] == [0.2]
    assert "gamma" not in grids["fit"].arguments
    assert list(grids["fit"].axes["seed"]) == list(grids["off"].axes["seed"]) == [0, 1]
    with pytest.raises(ValueError, match="wdth"):
        adjusted(experiment.named_grids("quick"), None, ["wdth=3"])


def test_every_claim_holds(experiment, runs):
    verdicts = experiment.claims(runs)
    assert len(verdicts) == 12
    assert all(verdict.holds for verdict in verdicts), [verdict.line() for verdict in verdicts]


def test_wide_networks_contract_as_predicted(runs):
    fit, wide = runs["fit"], {"width": WIDE, "step_rule": "default"}
    assert (fit.select("fit_quality", **wide) == "good").mean() > 0.5
    assert abs(fit.select("ratio", **wide) - 1).max() < 0.02
    steps = fit.select("steps_to", level=1e-6, **wide) / fit.select("predicted_steps_to", level=1e-6, **wide)
    assert abs(steps - 1).max() < 0.05  # other weights of the law: another error to start from
    sharpness = fit.select("sharpness", step_rule="stable", width=14)
    np.testing.assert_allclose(sharpness, 1.6, rtol=1e-6)
    assert fit.select("sharpness", step_rule="stable", width=512).isnull().all()
    assert (fit.select("fit_quality", step_rule="stable", width=512) == "").all()


def test_wide_networks_are_trained_without_their_weights(runs):
    free = runs["fit"].select("width_free", step_rule="default")
    assert not free.sel(width=14).any()
    assert free.sel(width=[512, WIDE]).all()


@pytest.mark.parametrize("grid", ["off", "flow"])
def test_off_subspace_times_follow_the_law(runs, grid):
    ratio = runs[grid]["steps_to"] / runs[grid]["predicted_steps_to"]
    assert abs(ratio - 1).max() < 0.01
    reach = runs[grid]["steps_to"] * runs[grid]["step_size"] * runs[grid]["weight_decay"]
    assert (reach.std("width") / reach.mean("width")).max() < 0.02  # one eta lambda t at all widths


def test_every_variable_says_what_it_is(experiment, runs):
    for name, derived in experiment.analyse(runs).items():
        assert all(derived[variable].attrs["long_name"] for variable in derived.data_vars), name


@pytest.mark.parametrize(
    ("failing", "grid", "variables"),
    [
        (0, "fit", {"steps_to": put(50.0, depth=2, width=14)}),
        (
            1,
            "fit",
            {"steps_to": put(130.0, depth=3, width=WIDE), "predicted_steps_to": put(130.0, depth=3, width=WIDE)},
        ),
        (2, "fit", {"ratio": lambda data: data * 1.2}),
        (2, "fit", {"ratio": put(np.nan, depth=3)}),
        (3, "fit", {"predicted_steps_to": lambda data: data / 1.3}),
        (4, "fit", {"wide_log_rate": put(0.2, width=WIDE, depth=2)}),
        (5, "dense", {"steps_to": lambda data: data * 1.2}),
        (5, "fit", {"width_free": put(False, width=512, depth=2)}),  # nothing to compare with
        (6, "fit", {"diverged": put(True, depth=2, width=14, step_rule="stable", seed=5)}),
        (7, "off", {"predicted_steps_to": put(3.0, width=64, gamma=0.2, seed=1)}),
        (8, "flow", {"predicted_steps_to": put(3.0, width=4096, gamma=0.2, seed=1)}),
        (8, "flow", {"steps_to": put(np.nan, width=4096, gamma=0.2, seed=1)}),
        (9, "off", {"plateau": lambda data: data * 1.2}),
        (10, "flow", {"plateau": put(np.nan, width=64, gamma=0.1, seed=0)}),  # it has not settled
        (11, "paired", {"steps_to": put(13100.0, width=64, gamma=0.1, level=1e-6)}),
    ],
)
def test_each_verdict_fails_where_its_claim_is_violated(experiment, runs, failing, grid, variables):
    verdicts = experiment.claims(changed(runs, grid, **variables))
    assert [index for index, verdict in enumerate(verdicts) if not verdict.holds] == [failing]


def test_a_run_that_diverged_fails_the_laws_even_where_it_had_followed_them(experiment, runs):
    verdicts = experiment.claims(changed(runs, "off", diverged=put(True, width=64, gamma=0.1, seed=0)))
    assert [index for index, verdict in enumerate(verdicts) if not verdict.holds] == [7, 9, 11]


def test_seeds_that_diverge_in_the_narrowest_count_against_the_wider(experiment, runs):
    narrow = {"depth": 3, "width": 14, "step_rule": "default"}
    before = experiment.claims(runs)[0].measured
    slower = changed(runs, "fit", steps_to=put([40.0, 50, 60, 300], **narrow, level=1e-6))
    assert experiment.claims(slower)[0].measured > 1  # median 55
    lost = changed(slower, "fit", diverged=put(True, seed=4, **narrow))
    assert experiment.claims(lost)[0].measured >= experiment.claims(slower)[0].measured > before


def test_divergence_helps_no_claim(experiment, runs, monkeypatch):
    found, make = [], predictions.linearised

    def once(*arguments, **options):  # nothing recorded enters it
        return found[0] if found else found.append(make(*arguments, **options)) or found[0]

    monkeypatch.setattr(predictions, "linearised", once)
    assert_divergence_helps_no_claim(experiment, runs, chosen=[0], standing=[4])


def test_wider_is_compared_with_the_narrowest_that_trains(experiment, runs):
    narrow = {"steps_to": put(np.nan, depth=2, width=14, step_rule="default", seed=[4, 5, 6])}
    verdict = experiment.claims(changed(runs, "fit", **narrow))[0]
    assert verdict.measured > 0.9  # from 512 on there is nothing to gain at depth 2


def test_the_table_has_a_line_a_cell_and_counts_failures(experiment, runs):
    lines = list(experiment.table(runs))
    assert sum(line.split()[2:3] in (["default"], ["stable"]) for line in lines) == 2 * 3 + 2
    assert sum(line.split()[3:4] == ["0/3"] for line in lines) == 2 + 4  # with decay: none came short
    point = {"depth": 2, "width": 512, "step_rule": "default", "seed": 4}
    broken = changed(runs, "fit", fit_quality=put("short", **point), steps_to=put(np.nan, **point))
    row = next(line.split() for line in experiment.table(broken) if line.split()[:3] == ["2", "512", "default"])
    assert row[5:8] == ["0/4", "1/4", "1/4"]


def test_a_prediction_of_less_than_half_of_the_seeds_is_not_shown(experiment, runs):
    point = {"depth": 3, "width": 512, "step_rule": "default"}
    few = changed(runs, "fit", predicted_steps_to=put(np.nan, seed=[4, 5, 6], **point))
    shown = [next(line for line in experiment.table(each) if line.split()[:3] == ["3", "512", "default"])
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
    assert [tick.get_text() for tick in steps.get_xticklabels()] == ["14\n1.75", "1,048,576\n131,000"]
    assert any(line.get_marker() == "x" and len(line.get_xdata()) for line in rate.lines)
    assert all(axes.get_xscale() == axes.get_yscale() == "log" for axes in figure.axes)
    assert {"descent", "gradient flow"} <= {text.get_text() for text in off.get_legend().get_texts()}
    figure.canvas.draw()


def test_a_smaller_step_is_said_by_a_comparison_and_nothing_else_is(runs):
    old = {name: run.data for name, run in runs.items()}
    found, tests = changes(old, old)
    assert not found
    assert tests > 100
    slower = old["fit"].assign(step_size=0.9 * old["fit"].step_size, steps_to=old["fit"].steps_to / 0.9)
    found, _ = changes(old, {**old, "fit": slower})
    assert {change.quantity for change in found} == {"fit: step_size", "fit: steps_to"}
