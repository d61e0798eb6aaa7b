"""A sweep as it is asked for: bad input, the cells it makes, and what their names cover."""

import importlib.util
import re
from typing import Any

import jax.numpy as jnp
import numpy as np
import pytest

import jaxinv as ji

from ..helpers import small_sweep


@pytest.mark.usefixtures("unchecked")
@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"axes": {"widht": [5]}}, "unknown axis or argument 'widht'; did you mean 'width'"),
        ({"axes": {"gamma": []}}, "axis 'gamma' must be a non-empty sequence"),
        ({"axes": {"gamma": [0, 0.0]}}, "axis 'gamma' must be without repeated values"),
        ({"axes": {"init": "fan_in"}}, "axis 'init' must be a non-empty sequence"),
        ({"axes": {"seed": [-1]}}, "seed must be a whole number of at least 0 and below 2.63, got -1"),
        ({"axes": {"step": [1]}}, "axis 'step' is a name of the results"),
        ({"axes": {"scale": [np.eye(2)]}}, "axis 'scale' must be of numbers or strings"),
        ({"precision": "float16"}, "unknown precision 'float16'; did you mean 'float64'|did you mean 'float32'"),
        ({"steps": 0}, "steps must be a positive whole number"),
        ({"fixed": {"key": 1}}, "unknown axis or argument 'key'"),
        ({"reduce": "no"}, "reduce must be True or False, got 'no'"),
        ({"engine": 1}, "engine must be a name, got 1; known: auto, dense, gradient_flow, width_free"),
        ({"metrics": "loss"}, "metrics must be a list of names and Metrics, got 'loss'; put it into brackets"),
        ({"metrics": ji.Metric("own", print)}, "metrics must be a list of names and Metrics, got 'own'"),
        ({"metrics": ["loss", 3]}, "metrics must be names and Metrics, got 3; known: balancedness"),
    ],
)
def test_a_bad_sweep_is_refused(changes, words):
    with pytest.raises(ValueError, match=words):
        small_sweep(**changes)


def two(key, *, width):
    raise AssertionError("never called")


def test_an_ambiguous_argument_is_named():
    with pytest.raises(ValueError, match="'width' is ambiguous: problem and network"):
        ji.Sweep(axes={"width": [4]}, problem=two)


def layer_norms(coordinates, network):
    return jnp.stack([jnp.stack([jnp.linalg.norm(w), jnp.sum(jnp.abs(w))]) for w in network.weights])


@pytest.mark.usefixtures("unchecked")
@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"metrics": ["regresion_error"]}, "unknown metric 'regresion_error'; did you mean 'regression_error'"),
        ({"metrics": [ji.Metric("loss", layer_norms)]}, "metrics must be of different names, got 'loss' twice"),
        ({"metrics": [ji.Metric("norms", layer_norms, ("seed",))]}, "axis 'seed' is a name of the results"),
        ({"records": [0, 5, 4, 10]}, "records must be a number, or steps that rise from 0 to 10"),
        ({"records": [0, 5]}, "records must be a number, or steps that rise from 0 to 10"),
        ({"records": [0, 1.7, 10]}, "records must be whole numbers of steps, got [0, 1.7, 10]; round them"),
        ({"records": ["0", "10"]}, "records must be whole numbers of steps, got ['0', '10']; round them"),
    ],
)
def test_bad_records_are_refused(change, words):
    with pytest.raises(ValueError, match=re.escape(words)):
        ji.Sweep(axes={"seed": range(2)}, steps=10, **change)


NAMES_TAKEN = ["diverged", "step_size", "weight_decay", "precision_bits", "a/b", "../../x", "step", "arguments", "."]


@pytest.mark.parametrize("name", [*NAMES_TAKEN, "record", "digest", "", "a b"])
def test_a_metric_of_a_name_that_is_taken_is_refused_before_anything_runs(name):
    words = f"the name of a metric must be a word that the results do not use themselves, got {name!r}"
    with pytest.raises(ji.ArgumentError, match=re.escape(words)):
        small_sweep(metrics=[ji.Metric(name, layer_norms)])
    with pytest.raises(ji.ArgumentError, match=re.escape(words)):
        ji.train(*ji.build(small_sweep().cells()[0]), steps=2, metrics=[ji.Metric(name, layer_norms)])


def test_a_metric_called_hash_is_read_as_it_was_recorded(tmp_path):
    sweep = small_sweep(metrics=[ji.Metric("hash", layer_norms, ("layer", "kind"))], axes={"seed": [0]})
    first = ji.run_sweep(sweep, tmp_path)
    assert np.isfinite(first["hash"]).all()
    assert ji.run_sweep(sweep, tmp_path).identical(first)


def test_a_digest_covers_all_that_decides_the_numbers():
    def name(**changes):
        return small_sweep(axes={"seed": [0]}, **changes).cells()[0].digest("float64")

    base = name(fixed={"gamma": 0})
    assert base == name(fixed={"gamma": 0.0})
    assert base == name(fixed={"gamma": 0, "init": "fan_in"})  # the default
    others = [{"fixed": {"gamma": 0.1}}, {"steps": 41, "fixed": {"gamma": 0}}, {"reduce": False, "fixed": {"gamma": 0}}]
    assert len({base, *(name(**other) for other in others)}) == 4
    assert base != small_sweep(axes={"seed": [0]}, fixed={"gamma": 0}).cells()[0].digest("float32")


def test_other_data_under_the_same_name_are_other_cells(tmp_path):
    def run(scale):
        signals = scale * np.outer(np.arange(1.0, 8.0), np.ones(9))
        sweep = ji.Sweep(
            axes={"seed": [0]},
            fixed={"width": 30, "depth": 2},
            steps=5,
            metrics=["loss"],
            problem=lambda: ji.Problem(np.eye(4, 9), signals),
        )
        return float(ji.run_sweep(sweep, tmp_path).loss[0, 0])

    first = run(1.0)
    assert run(2.0) != first
    assert run(1.0) == first
    assert len(list(tmp_path.glob("*.nc"))) == 2


def test_a_helper_of_a_builder_counts_in_the_digest(tmp_path):
    source = """
import jaxinv as ji


def helper(x):
    return {x}


def descent(problem, network):
    return ji.gradient_descent(problem, network, step_size=helper(0.1))
"""
    digests = []
    for number, body in enumerate(("x", "x", "2 * x")):
        path = tmp_path / str(number) / "mine.py"
        path.parent.mkdir()
        path.write_text(source.replace("{x}", body))
        spec: Any = importlib.util.spec_from_file_location("mine", path)
        mine = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(mine)
        digests.append(ji.Sweep(axes={"seed": [0]}, descent=mine.descent).cells()[0].digest("float32"))
    assert digests[0] == digests[1] != digests[2]


def test_the_dense_engine_is_the_default():
    assert small_sweep(engine="dense").cells()[0].digest("float64") == small_sweep().cells()[0].digest("float64")
    with pytest.raises(ji.ArgumentError, match="unknown engine 'width_fre'; did you mean 'width_free'"):
        small_sweep(engine="width_fre")


AXES = {"width": [40, 25], "gamma": [0, 0.1], "seed": [0, 1]}


def test_steps_and_records_may_be_functions_of_the_arguments_of_a_cell():
    sweep = small_sweep(
        axes=AXES,
        steps=lambda width, depth, seed: width + 100 * depth + seed,
        records=lambda gamma, signal_dim: [0, signal_dim, 240 + 1] if gamma else 3,
        where=lambda seed, width: seed == 1 and width == 40,
    )
    assert [cell.steps for cell in sweep.cells()] == [241, 241]
    assert [cell.record_steps for cell in sweep.cells()] == [[0, 1, 241], [0, 12, 241]]


def test_where_leaves_cells_out():
    sweep = small_sweep(axes=AXES, where=lambda width, gamma: width == 40 or gamma > 0)
    points = [{"width": w, "gamma": g, "seed": s} for w in (40, 25) for g in (0, 0.1) for s in (0, 1)]
    assert sweep.points() == points
    assert [cell.point for cell in sweep.cells()] == [p for p in points if p["width"] == 40 or p["gamma"] > 0]


@pytest.mark.parametrize("option", ["steps", "records", "where"])
def test_a_function_that_asks_for_an_unknown_argument_is_named(option):
    with pytest.raises(ji.ArgumentError, match=f"unknown argument of {option} 'widht'; did you mean 'width'"):
        _ = [cell.record_steps for cell in small_sweep(**{option: lambda widht: 10}).cells()]


def test_a_sweep_without_cells_is_refused():
    with pytest.raises(ji.ArgumentError, match="where must be true for some cell, got false for all 6"):
        small_sweep(where=lambda gamma: gamma > 1).cells()


def test_bad_steps_of_a_cell_are_refused():
    with pytest.raises(ji.ArgumentError, match="steps must be a positive whole number, got 0"):
        _ = small_sweep(steps=lambda seed: seed).cells()[0].record_steps


def test_a_cell_has_one_name_however_its_steps_were_given():
    plain = small_sweep(axes=AXES, steps=30)
    made = small_sweep(axes=AXES, steps=lambda width: 30, records=lambda: 8, where=lambda width: width == 25)
    names = [cell.digest("float64") for cell in plain.cells()]
    assert [cell.digest("float64") for cell in made.cells()] == names[4:]
    assert len(set(names)) == 8


def test_the_digest_of_a_sweep_covers_all_its_cells():
    def name(**changes):
        return small_sweep(**{"axes": AXES, **changes}).digest

    assert name() == name(axes={k: list(v) for k, v in AXES.items()})
    assert name(steps=lambda width: width) == name(steps=lambda width: width + 0)
    others = [
        name(), name(axes={**AXES, "seed": [1, 0]}), name(steps=41), name(records=7), name(metrics=["noise_gain"]),
        name(where=lambda width: width == 25), name(where=lambda width: width == 40), name(steps=lambda width: width),
        name(fixed={"signal_dim": 13}), name(precision="auto"), name(reduce=False), name(network=ji.relu_network),
    ]  # fmt: skip
    assert len(set(others)) == len(others)
