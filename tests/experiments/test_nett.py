"""nett: each claim is seen to hold and to fail, its figure to have what it must."""

from pathlib import Path

import numpy as np
import pytest
import xarray as xr

import jaxinv as ji
from jaxinv.studies.experiment import load
from tests.experiments.divergence import assert_divergence_helps_no_claim

FILE = Path(__file__).parents[2] / "experiments" / "nett.py"
SOLVERS, SHAPES, SEEDS = ["fbp", "tv", "post", "nett"], ["ellipses", "rectangles"], 4
TABLE = ("seed", "shape", "solver", "level")
NETT = {"solver": "nett"}


@pytest.fixture(scope="module")
def experiment():
    return load(FILE)


@pytest.fixture(scope="module")
def grid(experiment):
    return experiment.grids("quick")


@pytest.fixture
def good(grid):
    """Results that show every claim: NETT nears its limit like the noise, and is 3 dB above all others."""
    level = np.array(grid.method.labels["level"])
    seed, shape, solver, noise = np.ix_(np.arange(SEEDS), np.arange(2), np.arange(4), level)
    floor = np.array([0.4, 0.2, 0.25, 0.1])[solver]
    error = (floor + noise) * (1 + 0.01 * seed)
    lost = np.array([0.5, 2.0, 2.0, 1.0])[solver] * shape
    misfit = np.where(solver % 2 == 1, 0.8 * noise, 0.05 + 0 * noise)
    whole = (SEEDS, 2, 4, len(level))
    table = {"error": error, "psnr": -20 * np.log10(error) - lost, "misfit": misfit}
    distance = 0.5 * level * (1 + 0.1 * np.arange(SEEDS)[:, None])
    return xr.Dataset(
        {name: (TABLE, np.broadcast_to(values, whole).copy()) for name, values in table.items()}
        | {"distance": (("seed", "level"), distance), "factor": (("seed", "regularized"), np.ones((SEEDS, 2)))}
        | {"picture": (("seed", "shown", "row", "column"), np.ones((SEEDS, 5, 4, 4)))},
        {"seed": range(SEEDS), "shape": SHAPES, "solver": SOLVERS, "level": level,
         "regularized": ["tv", "nett"], "shown": ["phantom", *SOLVERS]},
    )  # fmt: skip


def rise_without_noise(data):
    data.error.loc[{"seed": 2, "shape": "ellipses", **NETT, "level": 0.0}] *= 1.2


def stay_as_without_noise(data):
    data.error.loc[{"seed": 2, "shape": "ellipses", **NETT}] = 0.1


def near_slowly(data):
    data.distance.loc[{"seed": 1}] = 0.5 * data.level.values**0.4


def leave_data(data):
    data.misfit.loc[{"seed": 1, "shape": "ellipses", **NETT, "level": 1e-4}] = 1.6e-4


def explain_all_alone(data):
    data.misfit.loc[{"seed": 1, "shape": "ellipses", "solver": "post", "level": 1e-3}] = 4e-3


def fail_on_rectangles(data):
    data.psnr.loc[{"shape": "rectangles", **NETT, "seed": [0, 1]}] -= 15


def lose_more(data):
    data.psnr.loc[{"shape": "rectangles", **NETT, "seed": [0, 1]}] -= 1.5


def be_above(solver):
    def change(data):
        data.psnr.loc[{"shape": "ellipses", "solver": solver, "seed": [0, 1]}] += 20

    return change


def test_it_holds_on_results_that_show_the_claims(experiment, grid, good):
    found = experiment.claims(ji.Runs(grid, good))
    assert all(verdict.holds for verdict in found), [verdict.line() for verdict in found]
    assert found[2].measured == pytest.approx(1)


@pytest.mark.parametrize(
    ("failing", "violate"),
    [
        ({0}, rise_without_noise),
        ({1}, stay_as_without_noise),
        ({2}, near_slowly),
        ({3}, leave_data),
        ({4}, explain_all_alone),
        ({5, 6}, fail_on_rectangles),
        ({6}, lose_more),
        ({7}, be_above("fbp")),
        ({8}, be_above("tv")),
    ],
)
def test_a_violated_claim_fails_alone(experiment, grid, good, failing, violate):
    violate(good)
    found = experiment.claims(ji.Runs(grid, good))
    assert {i for i, verdict in enumerate(found) if not verdict.holds} == failing


def test_nothing_holds_where_a_seed_failed(experiment, grid, good):
    for name in good.data_vars:
        good[name].loc[{"seed": 1}] = np.nan
    assert not any(verdict.holds for verdict in experiment.claims(ji.Runs(grid, good)))


def test_divergence_helps_no_claim(experiment, grid, good):
    assert_divergence_helps_no_claim(experiment, ji.Runs(grid, good))


def test_the_figure_has_pictures_curves_and_their_bounds(experiment, grid, good):
    *pictures, error, distance, misfit, drop = experiment.draw(ji.Runs(grid, good)).axes
    assert len(pictures) == 5
    assert all(len(panel.images) == 1 for panel in pictures)
    assert [len(panel.lines) for panel in (error, distance, misfit, drop)] == [5, 2, 5, 9]
    np.testing.assert_allclose(distance.lines[0].get_ydata(), good.distance.median("seed")[1:])
    assert misfit.lines[-1].get_ydata()[0] == 1.5
    for name in good.data_vars:
        good[name][:] = np.nan
    experiment.draw(ji.Runs(grid, good))
