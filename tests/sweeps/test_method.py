"""A method of one's own: its values over the axes, the same bits however they are computed, and what is refused."""

import re
from dataclasses import replace
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import jaxinv as ji
from jaxinv.command.settings import adjusted
from jaxinv.studies.experiment import load_module, size
from jaxinv.sweeps import method as methods
from jaxinv.sweeps.plan import Layout
from jaxinv.training import devices

from ..helpers import found

LEVELS = (1.0, 0.01)


def halving(key, start, factor, size=3):
    """Steps until a random vector of some size has shrunk to each level, in float64, and the vector then."""

    def shrink(state):
        return state[0] * factor * jnp.sum(jnp.cos(state[0]) ** 2) / size, state[1] + 1

    begun = start * jax.random.normal(key, (size,), jnp.float64)
    made = [
        jax.lax.while_loop(lambda s, level=level: jnp.max(jnp.abs(s[0])) > level, shrink, (begun, 0))
        for level in LEVELS
    ]
    return {"count": jnp.stack([steps for _, steps in made]), "last": made[-1][0], "solved": made[-1][1] < 40}


METHOD = ji.Method(halving, {"count": ("level",), "last": ("entry",)}, {"level": LEVELS}, ("key", "start"))
AXES = {"factor": [0.5, 0.7], "start": [1, 2.5], "seed": range(5)}


def sweep(axes=AXES, method=METHOD, **fixed):
    return ji.Sweep(axes, fixed, method=method)


@pytest.fixture(scope="module")
def results():
    return ji.run_sweep(sweep())


def test_values_are_over_the_axes_of_the_grid_and_their_own(results):
    assert results["count"].dims == ("factor", "start", "seed", "level")
    assert results["last"].dims == ("factor", "start", "seed", "entry")
    assert results["level"].values.tolist() == list(LEVELS)
    assert "entry" not in results.coords
    assert [results[name].dtype for name in ("count", "last", "solved")] == [np.int64, np.float64, bool]
    runs = ji.Runs(sweep(), results)
    assert runs.select("count", factor=0.7, level=0.01).dims == ("start", "seed")
    assert runs.argument("size") == 3
    assert size(sweep()) == "20 runs"


def test_one_at_a_time_it_is_the_plain_function(results):
    few = {"factor": [0.5, 0.7], "start": [2.5], "seed": [0, 3]}
    plain = ji.run_sweep(sweep(few, replace(METHOD, batched=())))
    assert np.array_equal(plain["count"], results["count"].sel(few))
    np.testing.assert_allclose(plain["last"], results["last"].sel(few), rtol=1e-13)
    alone = halving(jax.random.key(3), start=2.5, factor=0.7)
    assert np.array_equal(plain["count"].sel(factor=0.7, start=2.5, seed=3), alone["count"])


def test_a_cell_is_the_same_bits_alone_and_in_any_grid(results, tmp_path):
    one = ji.run_sweep(sweep(), devices=jax.local_devices()[:1])
    turned = ji.run_sweep(sweep({"seed": range(4, -1, -1), "start": [2.5, 1.0], "factor": [0.7, 0.5]}))
    alone = ji.run_sweep(sweep({"seed": [3]}, factor=0.7, start=1))
    ji.run_sweep(sweep({"factor": [0.7], "start": [1.0], "seed": [1, 3]}), tmp_path)
    resumed, there = found(sweep(), tmp_path)
    assert there == 2
    for name in ("count", "last", "solved"):
        assert np.array_equal(results[name], one[name])
        assert np.array_equal(results[name], resumed[name])
        assert np.array_equal(results[name], turned[name].sel(AXES).transpose(*results[name].dims))
        assert np.array_equal(results[name].sel(factor=0.7, start=1, seed=3), alone[name][0])


def test_what_is_stored_is_what_was_computed(results, tmp_path):
    ji.run_sweep(sweep(), tmp_path)
    again, there = found(sweep(), tmp_path)
    assert there == 20
    xr_equal = all(
        np.array_equal(again[name], results[name]) and again[name].dtype == results[name].dtype for name in results
    )
    assert xr_equal
    renamed = replace(METHOD, dims={"count": ("threshold",), "last": ("i",)}, labels={})
    assert found(sweep(method=renamed), tmp_path)[1] == 20
    assert renamed != METHOD
    assert sweep(method=renamed).digest != sweep().digest
    assert found(sweep(method=replace(METHOD, batched=("key",))), tmp_path)[1] == 0


def test_an_accelerator_computes_many_at_a_time(results):
    layout = Layout(most=3, memory=1e9, buckets=True)
    seen = []
    many = ji.run_sweep(sweep(), layout=layout, progress=lambda done, *_: seen.append(done))
    assert seen == [0, 6, 10, 16, 20]
    assert np.array_equal(many["count"], results["count"])
    np.testing.assert_allclose(many["last"], results["last"], rtol=1e-13)


def test_cells_of_a_shape_share_a_program_and_programs_are_released(monkeypatch):
    programs: Any = methods._compute
    jax.clear_caches()
    ji.run_sweep(sweep())
    assert programs._cache_size() == 2  # one for each factor
    ji.run_sweep(sweep({"factor": [0.7, 0.5], "start": [3, 4], "seed": range(3)}))
    assert programs._cache_size() == 2
    monkeypatch.setattr(devices, "PROGRAMS", 2)
    ji.run_sweep(sweep({"factor": [0.6], "seed": range(3)}, start=1))
    assert programs._cache_size() == 1


def told(key, seed, problem="none"):
    """What it was handed."""
    return {"bits": jax.random.key_data(key), "seed_seen": seed, "known": problem == "none"}


@pytest.mark.parametrize("batched", [(), ("key",), ("key", "seed")])
def test_key_and_seed_are_those_of_the_cell(batched):
    seeds = [0, 7, 2**40 + 3, 2**63 - 1]
    made = ji.run_sweep(ji.Sweep({"seed": seeds}, method=ji.Method(told, {"bits": ("word",)}, batched=batched)))
    with jax.enable_x64(True):
        keys = [np.asarray(jax.random.key_data(jax.random.key(seed))) for seed in seeds]
    assert np.array_equal(made["bits"], keys)
    assert made["seed_seen"].values.tolist() == seeds
    assert made["known"].all()


def any_steps(rate, rows=3):
    """A record of steps as long as the rows say, and a curve."""
    steps = np.array([0.0, 1.0, 1 / rate])
    return {"step": steps, "error": np.exp(-rate * steps), "diverged": np.bool_(rate > 1)}


def test_steps_that_a_method_gives_are_those_of_its_records():
    grid = ji.Sweep({"rate": [0.5, 0.1, 2.0]}, method=ji.Method(any_steps, {"step": ("record",), "error": ("record",)}))
    runs = ji.Runs(grid, ji.run_sweep(grid))
    assert runs["step"].dims == ("rate", "record")
    np.testing.assert_allclose(runs.end("error"), np.exp(-1))
    assert ji.run_sweep(replace(grid, axes={"rate": [0.5]})).step.dims == ("record",)
    without = ji.Method(lambda rate: {"error": np.exp(-rate * np.arange(3.0))}, {"error": ("record",)})
    grid = ji.Sweep({"rate": [0.5, 0.1]}, method=without)
    np.testing.assert_allclose(ji.Runs(grid, ji.run_sweep(grid)).end("error"), np.exp([-1, -0.2]))


def test_cells_left_out_are_missing():
    grid = replace(sweep({"start": [1, 2], "seed": range(2)}, factor=0.5), where=lambda start, seed: start > seed)
    made = ji.run_sweep(grid)
    assert np.isnan(made["last"].sel(start=1, seed=1)).all()
    assert np.isfinite(made["last"]).sum() == 9


def plain(key, scale, length=2):
    """An array."""
    return {"curve": scale * np.arange(1.0, 1.0 + length)}


PLAIN = ji.Method(plain, {"curve": ("time",)})


@pytest.mark.usefixtures("unchecked")
@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"axes": {"sclae": [1]}}, "unknown axis or argument 'sclae'; did you mean 'scale'?"),
        ({"axes": {"time": [1]}}, "axis 'time' is a name of the results"),
        ({"axes": {"drop": [1]}}, "axis 'drop' is a name of the results"),
        ({"fixed": {"key": 1}}, "unknown axis or argument 'key'"),
        ({"method": plain}, "method must be a jaxinv.Method, got <function plain"),
        ({"metrics": ["loss"]}, "metrics must be left out beside a method, got ['loss']; axes and fixed"),
        ({"steps": 5}, "steps must be left out beside a method, got 5"),
        ({"records": 5}, "records must be left out beside a method, got 5"),
        ({"engine": "width_free"}, "engine must be left out beside a method, got 'width_free'"),
        ({"precision": "float64"}, "precision must be left out beside a method, got 'float64'"),
        ({"network": plain}, "network must be left out beside a method, got <function plain"),
    ],
)
def test_what_does_not_go_with_a_method_is_refused(changes, words):
    with pytest.raises(ji.ArgumentError, match=re.escape(words)) as refused:
        ji.Sweep(**{"axes": {"scale": [1.0]}, "method": PLAIN, **changes})
    assert "\n" not in str(refused.value)


@pytest.mark.usefixtures("unchecked")
@pytest.mark.parametrize(
    ("given", "words"),
    [
        ((3,), "function of a method must be a function, got 3"),
        ((plain, {"curve": "time"}), "dims of 'curve' must be a tuple of different names, each a word, got 'time'"),
        ((plain, {"curve": ("curve",)}), "dims must be names that the results do not use, got 'curve'; rename it"),
        ((plain, {"curve": ("drop",)}), "dims must be names that the results do not use, got 'drop'; rename it"),
        ((plain, {"curve": ("time",)}, {"tim": (1,)}), "unknown dim with labels 'tim'; did you mean 'time'"),
        ((plain, {}, {}, ("keys",)), "unknown batched argument 'keys'; did you mean 'key'"),
        ((plain, {}, {}, "key"), "batched must be a list of names, got 'key'; put it into brackets"),
    ],
)
def test_a_method_of_names_that_do_not_fit_is_refused(given, words):
    with pytest.raises(ji.ArgumentError, match=re.escape(words)):
        ji.Method(*given)


@pytest.mark.parametrize(
    ("made", "dims", "words"),
    [
        (lambda scale: 3.0, {}, "what a method returns must be a dict of named arrays, got 3.0"),
        (lambda scale: {"a": "text"}, {}, "value 'a' must be an array of real numbers or truth values, got 'text'"),
        (lambda scale: {"a": None}, {}, "value 'a' must be an array of real numbers or truth values, got None"),
        (lambda scale: {"a": 1j}, {}, "value 'a' must be an array of real numbers or truth values, got 1j"),
        (lambda scale: {"a": [[1], [1, 2]]}, {}, "value 'a' must be an array of real numbers"),
        (lambda scale: {"a": np.ones(3)}, {}, "value 'a' must be an array with entries along its dims (), got shape"),
        (lambda scale: {"a": np.ones(0)}, {"a": ("t",)}, "an array with entries along its dims ('t',), got shape (0,)"),
        (lambda scale: {"a": 1.0}, {"b": ("t",)}, "unknown value with dims 'b'"),
        (lambda scale: {"scale": 1.0}, {}, "value 'scale' must be called otherwise than scale"),
        (lambda scale: {"digest": 1.0}, {}, "value 'digest' must be called otherwise than digest"),
        (lambda scale: {"step": 1.0}, {}, "value 'step' must be of dims (\"record\",), got dims ()"),
        (lambda scale: {"a": np.ones(2), "t": 0}, {"a": ("t",)}, "dims must be names that the results do not use"),
        (lambda scale: {"a": np.ones(2), "b": np.ones(3)}, {"a": ("t",), "b": ("t",)}, "dim 't' must be of one size"),
        (lambda scale: {"a": 1, **({"b": 1} if scale > 1 else {})}, {}, "of the same names in all cells, got ['a'"),
        (lambda scale: {"a": np.ones(scale)}, {"a": ("t",)}, "value 'a' must be of one shape in all cells, got (1,)"),
    ],
)  # fmt: skip
def test_values_that_do_not_fit_are_refused(made, dims, words):
    with pytest.raises(ji.ArgumentError, match=re.escape(words)) as refused:
        ji.run_sweep(ji.Sweep({"scale": [1, 2]}, method=ji.Method(made, dims)))
    assert "\n" not in str(refused.value)


def test_labels_are_as_many_as_entries():
    with pytest.raises(ji.ArgumentError, match="dim 'time' must be of one size, got 3 in its labels and 2 in curve"):
        ji.run_sweep(ji.Sweep({"scale": [1]}, method=replace(PLAIN, labels={"time": (1, 2, 3)})))


def test_what_cannot_be_traced_is_refused():
    words = (
        "a method must be traceable in scale, got TracerBoolConversionError of JAX; compute with jax.numpy, or leave"
    )
    with pytest.raises(ji.ArgumentError, match=words):
        ji.run_sweep(
            ji.Sweep({"scale": [1]}, method=ji.Method(lambda scale: {"a": 1 if scale else 0}, batched=["scale"]))
        )
    with pytest.raises(ji.ArgumentError, match="batched argument 'scale' must be numbers, got 'a'; leave it out of"):
        ji.run_sweep(ji.Sweep({"scale": ["a"]}, method=ji.Method(lambda scale: {"a": 1}, batched=["scale"])))


def test_a_missing_argument_is_named():
    with pytest.raises(ji.ArgumentError, match="method needs scale; add it to axes or fixed"):
        ji.run_sweep(ji.Sweep({"seed": [0]}, method=PLAIN))


def test_an_error_of_its_own_says_in_which_cell():
    def inverse(n):
        return {"value": 1 // n}

    with pytest.raises(ZeroDivisionError) as caught:
        ji.run_sweep(ji.Sweep({"n": [1, 0]}, method=ji.Method(inverse)))
    assert caught.value.__notes__ == ["in a cell with n=0"]


def test_there_is_nothing_to_build():
    cell = sweep().cells()[0]
    words = r"cell must be one whose sweep has builders, got one of the method halving; call that itself: method\("
    with pytest.raises(ji.ArgumentError, match=words):
        ji.build(cell)
    with pytest.raises(ji.ArgumentError, match=words):
        ji.Runs(cell.sweep, ji.run_sweep(sweep({"seed": [0]}, factor=0.5, start=1))).build()


OWN = """
import jaxinv as ji

SCALE = 1.0

def helper(x):
    return SCALE * x

def method(key, x):
    return {"y": helper(x)}
"""


@pytest.mark.parametrize("batched", [(), ("key", "x")])
def test_a_cell_is_named_by_the_source_of_the_function_and_what_it_reads(tmp_path, batched):
    path = tmp_path / "own.py"
    path.write_text(OWN)
    own = load_module(path)

    def run():
        return found(ji.Sweep({"x": [1.0, 2.0]}, method=ji.Method(own.method, batched=batched)), tmp_path / "cells")

    first, there = run()
    assert there == 0
    own.SCALE = 3.0
    second, there = run()
    assert there == 0
    assert np.array_equal(second.y, 3 * first.y)
    own.SCALE = 1.0
    assert run()[1] == 2


def test_whole_numbers_of_one_cell_do_not_round_those_of_others():
    def method(x):
        return {"y": 1 if x < 1 else x, "flag": x < 1}

    axes = {"x": [0.5, 2.5, 3.7]}
    results = ji.run_sweep(sweep(axes, ji.Method(method)))
    assert results.y.values.tolist() == [1, 2.5, 3.7]
    assert results.flag.values.tolist() == [True, False, False]


def test_what_a_function_without_source_reads_may_change_between_two_runs():
    names: dict[str, Any] = {"SCALE": 1.0}
    exec("def method(x):\n    return {'y': SCALE * x}\n", names)
    sweep = ji.Sweep({"x": [1.0, 2.0]}, method=ji.Method(names["method"], batched=("x",)))
    first = ji.run_sweep(sweep)
    names["SCALE"] = 3.0
    assert np.array_equal(ji.run_sweep(sweep).y, 3 * first.y)


def test_what_has_finished_is_stored_when_a_later_cell_fails(tmp_path):
    def fails(seed):
        if seed == 3:
            raise RuntimeError("the method's own error")
        return {"a": seed}

    grid = ji.Sweep({"seed": range(5)}, method=ji.Method(fails))
    with pytest.raises(RuntimeError, match="the method's own error"):
        ji.run_sweep(grid, tmp_path)
    assert len(list(tmp_path.glob("*.nc"))) == 1
    with pytest.raises(RuntimeError, match="the method's own error"):
        found(grid, tmp_path)


def test_cells_that_take_long_are_stored_one_by_one_and_quick_ones_many_at_a_time(monkeypatch):
    grid = sweep({"seed": range(40)}, factor=0.5, start=1)

    def blocks(long):
        monkeypatch.setattr("jaxinv.sweeps.plan.LONG", long)
        seen = []
        ji.run_sweep(grid, progress=lambda done, *_: seen.append(done))
        return np.diff(seen).tolist()

    assert blocks(0) == [2] * 20
    assert blocks(1e9) == [2, 4, 8, 16, 10]
    monkeypatch.setattr("jaxinv.sweeps.plan.MOST", 4)
    assert blocks(1e9) == [2, 4, 8, 8, 8, 8, 2]


def test_the_command_line_sets_what_the_method_takes():
    grid = ji.Sweep({"scale": [1.0], "seed": [0]}, method=PLAIN)
    made = adjusted({"": grid}, 2, ["length=3"])[""]
    assert (made.axes, made.fixed) == ({"scale": [1.0], "seed": [0, 1]}, {"length": 3})
    with pytest.raises(ji.ArgumentError, match="unknown axis or argument 'steps'"):
        adjusted({"": grid}, None, ["steps=3"])
    takes = ji.Sweep({"seed": [0]}, method=ji.Method(lambda steps: {"a": steps}))
    assert adjusted({"": takes}, None, ["steps=3"])[""].fixed == {"steps": 3}
