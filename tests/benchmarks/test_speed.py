"""The loops of the speed benchmark follow the same iterates; claims, figure and table are tested on made-up times."""

from dataclasses import replace
from pathlib import Path

import matplotlib
import numpy as np
import pytest
import xarray

import jaxinv as ji
from jaxinv.studies import plots
from jaxinv.studies.experiment import load, load_module
from jaxinv.studies.timing import run_timing
from jaxinv.training.precision import run_settings
from tests import helpers

PATH = Path(__file__).parents[2] / "benchmarks" / "speed.py"
TINY = {"width": 100, "depth": 2, "samples": 30}
TIMES = {"PyTorch, full data": 60, "PyTorch, compressed data": 2, "JAX jit, full data": 30,
         "JAX jit, compressed data": 0.5, "jaxinv": 0.25, "memory limit": 0.05, "arithmetic limit": 0.1}  # fmt: skip


@pytest.fixture(scope="module")
def speed():
    return load_module(PATH)


def made_up(speed, preset) -> dict[str, ji.Runs]:
    """Results of a preset: the TIMES of the loops, and times in proportion to the weights along each axis."""
    runs = {}
    for name, grid in speed.grids(preset).items():
        dims, shape = tuple(grid.axes), tuple(len(values) for values in grid.axes.values())
        if name == "loops":
            precisions, loops = grid.axes["precision"], grid.axes["loop"]
            ms = np.array([[TIMES[loop] * (2 if one == "float64" else 1) for loop in loops] for one in precisions])
            apart = [[np.nan if loop in speed.LIMITS else 1e-7 if one == "float32" else 1e-13 for loop in loops]
                     for one in precisions]  # fmt: skip
            record = [[11.0 if loop == speed.OURS else np.nan for loop in loops] for _ in precisions]
            seconds = np.full(shape, 0.5)
            measured = {"apart": apart, "setup_s": seconds, "compile_s": seconds, "record_ms": record}
        else:
            weights = np.array([value**2 if name == "width" else 9.0 for value in grid.axes[dims[0]]], float)
            ms, measured = weights * 1e-3, {"weights": weights, "setup_s": weights, "compile_s": weights}
        if name == "memory":
            ms, measured = np.full(shape, np.nan), {"peak_MiB": [490.0, 510.0]}
        rounds = ms[..., None] * np.linspace(1, 1.5, grid.rounds)
        variables = {"ms": ((*dims, "round"), rounds), **{key: (dims, values) for key, values in measured.items()}}
        runs[name] = ji.Runs(grid, xarray.Dataset(variables, {key: list(values) for key, values in grid.axes.items()}))
    return runs


def changed(runs, name, variable, change) -> dict[str, ji.Runs]:
    """The results with one variable of one grid changed."""
    data = runs[name].data
    return {**runs, name: ji.Runs(runs[name].grid, data.assign({variable: change(data[variable])}))}


def at(values, value, **point):
    """`values` with `value` at a point."""
    there = values.copy()
    there.loc[point] = value
    return there


@pytest.mark.parametrize("precision", ["float32", "float64"])
def test_every_loop_follows_plain_gradient_descent(speed, precision):
    with run_settings():
        timed = {loop: speed.loop_at(loop, precision, **TINY) for loop in speed.LOOPS}
        weights = speed.reference(precision, **TINY)
        problem, network, descent = speed.setup_at(0, precision, **TINY)
        ((_, plain),) = helpers.numpy_descent(problem, network, descent, [speed.CHECK_STEPS])
    tolerance = 1e-4 if precision == "float32" else 1e-11
    for own, expected in zip(weights, plain, strict=True):
        assert own.dtype == precision
        assert np.max(np.abs(own - expected)) <= tolerance * np.max(np.abs(expected))
    for loop, one in timed.items():
        assert one.measured["apart"] <= tolerance
        assert one.units == (8 if loop == speed.OURS else 1)
    assert timed[speed.FULL].measured["apart"] == 0
    assert timed[speed.OURS].measured["record_ms"] > 0


def test_a_loop_that_follows_other_iterates_is_told(speed, monkeypatch):
    other = speed.setup_at(1, "float64", **TINY)
    monkeypatch.setattr(speed, "setup_at", lambda *_, **__: other)
    with run_settings():
        assert speed.loop_at("JAX jit, compressed data", "float64", **{**TINY, "samples": 31}).measured["apart"] < 1e-11
        first, *rest = speed.reference("float64", **{**TINY, "samples": 31})
        monkeypatch.setattr(speed, "reference", lambda *_: [first, *(weight * np.nan for weight in rest)])
        assert np.isnan(speed.loop_at("JAX jit, compressed data", "float64", **TINY).measured["apart"])
        monkeypatch.setattr(speed, "reference", lambda *_: [weight + 0.1 for weight in other.network.weights])
        assert speed.loop_at("JAX jit, compressed data", "float64", **TINY).measured["apart"] > 0.01


def test_compressed_data_are_few_rows_and_full_data_those_given(speed):
    setup = speed.setup_at(0, "float32", **TINY)
    inputs, targets = speed.data(setup, compressed=False)
    np.testing.assert_array_equal(inputs, setup.problem.measurements)
    np.testing.assert_array_equal(targets, setup.problem.signals)
    inputs, targets = speed.data(setup, compressed=True)
    assert (inputs.shape, targets.shape) == ((5, 100), (5, 200))
    assert inputs.dtype == targets.dtype == "float32"


def test_the_grids_are_timed_and_drawn(speed, tmp_path):
    small = {"replicas": [1, 3], "width": [100, 120], "depth": [2, 3], "samples": [20, 40]}
    runs, digests = {}, [grid.digest for grid in speed.grids("paper").values()]
    for name, grid in speed.grids("quick").items():
        axes = grid.axes if name == "loops" else {name: small[name]}
        fixed = {key: TINY[key] for key in grid.fixed}
        tiny = replace(grid, axes=axes, fixed=fixed, rounds=1, seconds=1e-6)
        runs[name] = ji.Runs(tiny, run_timing(tiny, tmp_path, lambda *_: None))
    assert [grid.digest for grid in speed.grids("paper").values()] == digests  # nothing cached enters
    assert (runs["loops"]["ms"] > 0).all()
    assert (runs["samples"]["weights"] == runs["samples"]["weights"][0]).all()
    assert runs["width"]["weights"].values.tolist() == [100 * (5 + 200), 120 * (5 + 200)]
    assert speed.claims(runs)[0].holds  # the others are about times
    assert speed.draw(runs).axes
    assert "jaxinv" in "\n".join(speed.table(runs))


def test_memory_is_that_of_another_process(speed, monkeypatch):
    codes = []
    monkeypatch.setattr(speed, "peak_memory", lambda code: codes.append(code) or 12.5)
    timed = speed.memory_at(4)
    assert timed.advance is None
    assert timed.measured == {"peak_MiB": 12.5}
    compile(codes[0], "sweep", "exec")
    assert "range(4)" in codes[0]


def test_the_presets(speed):
    quick, paper = speed.grids("quick"), speed.grids("paper")
    assert list(quick) == ["loops", "replicas", "width", "depth", "samples"]
    assert list(paper) == [*quick, "memory"]
    assert quick["loops"].axes["precision"] == ["float32"]
    assert paper["loops"].axes["precision"] == ["float32", "float64"]
    assert quick["loops"].fixed == {"width": 400, "depth": 5, "samples": 1000}
    assert "quick: " in load(PATH).line()


@pytest.mark.parametrize("preset", ["quick", "paper"])
def test_the_claims_hold_on_times_like_those_measured(speed, preset):
    verdicts = speed.claims(made_up(speed, preset))
    assert all(verdict.holds for verdict in verdicts)
    assert [verdict.measured for verdict in verdicts] == pytest.approx(
        [1e-7, 120, 1] if preset == "quick" else [1e-7, 1e-13, 120, 1, 510 / 490]
    )


@pytest.mark.parametrize(
    ("number", "name", "variable", "change"),
    [
        (0, "loops", "apart", lambda v: at(v, 2e-3, precision="float32", loop="jaxinv")),
        (0, "loops", "apart", lambda v: at(v, np.nan, precision="float32", loop="JAX jit, compressed data")),
        (1, "loops", "apart", lambda v: at(v, 2e-10, precision="float64", loop="jaxinv")),
        (2, "loops", "ms", lambda v: at(v, 4, precision="float32", loop="jaxinv")),
        (2, "loops", "ms", lambda v: at(v, 4, precision="float64", loop="JAX jit, full data")),
        (3, "samples", "ms", lambda v: at(v, 0.014, samples=100_000)),
        (3, "samples", "ms", lambda v: at(v, 0.014, samples=1000)),
        (4, "memory", "peak_MiB", lambda v: at(v, 700, replicas=64)),
    ],
)
def test_each_claim_fails_where_it_is_violated(speed, number, name, variable, change):
    verdicts = speed.claims(changed(made_up(speed, "paper"), name, variable, change))
    assert [i for i, verdict in enumerate(verdicts) if not verdict.holds] == [number]


@pytest.mark.parametrize(
    ("number", "name", "variable", "point"),
    [
        (2, "loops", "ms", {"precision": "float32", "loop": "JAX jit, full data"}),
        (2, "loops", "ms", {"precision": "float64", "loop": "jaxinv"}),
        (3, "samples", "ms", {"samples": 100}),
        (3, "samples", "ms", {"samples": 1000}),
        (4, "memory", "peak_MiB", {"replicas": 4}),
    ],
)
def test_a_time_that_is_missing_or_one_to_compare_with_fails(speed, number, name, variable, point):
    verdicts = speed.claims(changed(made_up(speed, "paper"), name, variable, lambda v: at(v, np.nan, **point)))
    assert [i for i, verdict in enumerate(verdicts) if not verdict.holds] == [number]


def test_the_least_time_of_the_rounds_is_taken(speed):
    runs = changed(made_up(speed, "quick"), "loops", "ms", lambda v: v.where(v["round"] > 0, 1000 * v))
    assert speed.claims(runs)[1].measured == pytest.approx(120)


@pytest.mark.parametrize("preset", ["quick", "paper"])
def test_the_figure_has_a_bar_with_its_value_for_each_loop_and_a_panel_for_each_axis(speed, preset, tmp_path):
    runs = made_up(speed, preset)
    with matplotlib.rc_context(plots.STYLE):
        figure = speed.draw(runs)
    panels = {axes.get_label(): axes for axes in figure.axes}
    precisions = runs["loops"]["precision"].values.tolist()
    assert list(panels) == [*precisions, "replicas", "width", "depth", "samples"]
    bars = [*speed.LOOPS, speed.ARITHMETIC]  # the slower of the two limits
    for precision in precisions:
        axes = panels[precision]
        assert axes.get_xscale() == "log"
        if precision == precisions[0]:
            assert [label.get_text() for label in axes.get_yticklabels()] == bars
        times = speed.least(runs["loops"]).sel(precision=precision, loop=bars)
        assert [float(text.get_text()) for text in axes.texts] == pytest.approx(times.values.tolist())
        assert [bar.get_width() for bar in axes.patches] == times.values.tolist()
    for name in ("replicas", "width", "depth", "samples"):
        reference, line = panels[name].lines
        np.testing.assert_allclose(line.get_ydata(), runs[name]["ms"].min("round"))
        np.testing.assert_allclose(reference.get_ydata(), line.get_ydata())  # made up in proportion to the weights
        assert panels[name].get_xlabel() == name
    assert len({axes.get_ylim() for name, axes in panels.items() if name not in precisions}) == 1
    assert all(path.stat().st_size for path in plots.save(figure, tmp_path / "speed"))


def test_the_table_has_a_line_for_each_loop_and_axis(speed):
    runs = made_up(speed, "paper")
    lines = list(speed.table(runs))
    for loop in runs["loops"]["loop"].values:
        assert sum(line.startswith(f"{loop:28}") for line in lines) == 2
    (row,) = [line for line in lines if line.startswith("jaxinv ") and " 0.250 " in line]
    assert row.split() == ["jaxinv", "0.250", "1.00", "0.50", "0.50", "1.0e-07"]
    assert any(line.startswith("samples") and "100,000: 0.009" in line for line in lines)
    assert "a record of jaxinv: 11.0 ms a replica" in lines
    assert lines[-1] == "peak memory of a sweep of 64 replicas: 510 MiB"


def test_the_slower_limit_is_the_one_that_is_shown(speed):
    runs = made_up(speed, "paper")
    assert speed.limit(speed.least(runs["loops"]).sel(precision="float32")) == speed.ARITHMETIC
    shown = [label.get_text() for label in speed.draw(runs).axes[0].get_yticklabels()]
    assert shown == [*speed.LOOPS, speed.ARITHMETIC]
    assert "the machine allows 0.100 ms (arithmetic limit)" in list(speed.table(runs))
    runs = changed(runs, "loops", "ms", lambda ms: at(ms, 0.2, loop=speed.MEMORY))
    assert "the machine allows 0.200 ms (memory limit)" in list(speed.table(runs))


def test_the_arithmetic_limit_counts_the_operations_of_a_step(speed, monkeypatch):
    monkeypatch.setattr(speed, "matrix_product", lambda operations, *_: operations)
    with run_settings():
        operations = speed.loop_at(speed.ARITHMETIC, "float32", **speed.SIZES)
    assert operations == pytest.approx(18.5e6, rel=0.01)
