"""Settings of the command line go to every grid that has the argument."""

import pytest

import jaxinv as ji
from jaxinv.command.settings import adjusted, parse


def prepare(width, repeats=1):
    return ji.Timed(None)


GRIDS = {
    "fit": ji.Sweep({"width": [4, 8], "seed": range(2)}, {"depth": 2}, steps=10),
    "off": ji.Sweep({"gamma": [0.1], "seed": range(2)}, {"width": 4}, steps=lambda width: width),
    "times": ji.Timing({"width": [4, 8]}, prepare),
}


def test_an_argument_goes_to_every_grid_that_has_it():
    made = adjusted(GRIDS, None, ["width=16"])
    assert made["fit"].axes["width"] == [16]
    assert made["off"].fixed["width"] == 16
    assert made["times"].axes["width"] == [16]
    made = adjusted(GRIDS, 3, ["repeats=5", "gamma=0.2"])
    assert [list(made[name].axes["seed"]) for name in ("fit", "off")] == [[0, 1, 2]] * 2
    assert made["times"].fixed == {"repeats": 5}
    assert (made["off"].axes["gamma"], made["fit"].fixed["gamma"]) == ([0.2], 0.2)
    with pytest.raises(ji.ArgumentError, match="--set gamma must be one value, got 2; only width, seed are axes"):
        adjusted({"fit": GRIDS["fit"]}, None, ["gamma=0.2,0.3"])


def test_a_table_of_the_experiment_is_refused_in_its_name():
    method = ji.Method(lambda levels: {"size": len(levels)})
    with pytest.raises(ji.ArgumentError, match=r"--set levels must be left out, being a whole table, got 0\.1"):
        adjusted({"": ji.Sweep({"seed": [0]}, {"levels": (0.0, 0.1)}, method=method)}, None, ["levels=0.1"])


def test_steps_can_be_set():
    made = adjusted(GRIDS, None, ["steps=7"])
    off = made["off"]
    assert isinstance(off, ji.Sweep)
    assert [cell.steps for cell in off.cells()] == [7, 7]


@pytest.mark.parametrize(
    ("seeds", "settings", "words"),
    [
        (None, ["widht=4"], "unknown axis or argument 'widht'; did you mean 'width'"),
        (None, ["width"], "--set must be NAME=VALUE"),
        (0, [], "seeds must be a positive whole number, got 0"),
        (None, ["seeds=3"], "did you mean 'seed'"),
        (None, ["steps=0"], "steps must be a positive whole number, got 0"),
        (None, ["width=3", "gamma=0", "width=5"], "--set must be given once for each argument, got width twice"),
        (3, ["seed=4"], "--seeds and --set seed exclude each other"),
        (10**30, [], "seeds must be at most 1,000,000, got 10{30}; pass fewer, or one with --set seed=K"),
        (None, ["width=4,None"], "--set width must be numbers or words, being an axis, got None"),
    ],
)
def test_what_no_grid_has_is_refused(seeds, settings, words):
    with pytest.raises(ji.ArgumentError, match=words):
        adjusted(GRIDS, seeds, settings)


def test_values_are_parsed():
    assert parse("gamma=0,0.1") == ("gamma", [0, 0.1])
    assert parse("init=[orthogonal]") == ("init", ["orthogonal"])
    assert parse("name={[]:1}") == ("name", ["{[]:1}"])
    assert parse("bound=-1e-3") == ("bound", [-1e-3])
