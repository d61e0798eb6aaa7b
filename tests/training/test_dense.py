"""The dense engine: padding, vmapped blocks and devices give the numbers of the plain loop."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import jaxinv as ji
from jaxinv.measures import metrics
from jaxinv.training import dense, devices
from jaxinv.training.dense import Dense
from jaxinv.training.engine import Engine
from jaxinv.training.precision import run_settings
from jaxinv.training.run import train_block
from jaxinv.training.setup import Setup

from ..helpers import assert_close, relu_setup, setup

ONE = jax.local_devices()[:1]


@pytest.mark.parametrize("momentum", [0.0, 0.6])
@pytest.mark.parametrize("depth", [1, 2, 4])
def test_padded_and_unpadded_agree(momentum, depth):
    parts = setup(momentum=momentum, depth=depth)
    (padded,) = train_block(Dense(ONE, width=14), [parts], steps=300)
    plain = ji.train(*parts, steps=300)
    assert_close(padded.metrics, plain.metrics, 1e-12)
    for a, b in zip(padded.network.weights, plain.network.weights, strict=True):
        np.testing.assert_allclose(a, b, atol=1e-12)


@pytest.mark.parametrize("devices", [1, 2])
@pytest.mark.parametrize("width", [None, 24])
def test_a_vmapped_block_is_the_loop_over_its_members(devices, width):
    widths = [20, 20, 20, 20, 20] if width is None else [20, 17, 24, 9, 20]
    parts = [setup(seed=k, width=w, gamma=0.02 * k) for k, w in enumerate(widths)]
    each = -(-len(parts) // devices)
    block = train_block(Dense(jax.local_devices()[:devices], each=each, width=width), parts, steps=300)
    for one, run in zip(parts, block, strict=True):
        alone = ji.train(*one, steps=300)
        assert_close(run.metrics, alone.metrics, 1e-12)
        assert [w.shape for w in run.network.weights] == [w.shape for w in alone.network.weights]


def test_one_diverged_setup_does_not_stop_its_neighbours():
    calm = setup(seed=1)
    problem, network, descent = setup(seed=2)
    wild = Setup(problem, network, ji.Descent(descent.step_size * 1e3, 0.0))
    runs = train_block(Dense(ONE, each=2), [calm, wild], steps=200)
    assert [run.diverged for run in runs] == [False, True]
    assert_close(runs[0].metrics, ji.train(*calm, steps=200).metrics, 1e-12)


def test_the_dense_engine_keeps_the_protocol():
    engine = Dense(ONE)
    assert isinstance(engine, Engine)
    assert (engine.name, engine.holds_weights) == ("dense", True)


@pytest.mark.parametrize("reduce", [True, False])
@pytest.mark.parametrize("momentum", [0.0, 0.6])
def test_metrics_of_the_views_are_those_recorded(reduce, momentum):
    setups = [setup(seed=seed, gamma=0.2, momentum=momentum, samples=20) for seed in range(3)]
    engine = Dense(jax.local_devices(), each=2, reduce=reduce)
    with run_settings():
        block = engine.prepare(setups)
        assert len(engine.views(block)) == 3
        for steps in (0, 40):
            block, recorded = engine.advance(block, [steps], metrics.NAMES)
            for i, view in enumerate(engine.views(block)):
                for name, metric in metrics.METRICS.items():
                    value = float(metric(view, setups[i].descent.objective))
                    assert value == pytest.approx(recorded[name][0, i], rel=1e-9, abs=1e-12), name
        assert block.steps == 40


def cast_setup(made: Setup, dtype: str) -> Setup:
    problem, network, descent = made
    problem, network = jax.tree.map(lambda leaf: jnp.asarray(leaf, dtype), (problem, network))
    return Setup(problem, network, descent)


def test_views_and_networks_show_the_same_map():
    problem, network, descent = setup(gamma=0.2)
    engine = Dense(ONE)
    with run_settings():
        block, _ = engine.advance(engine.prepare([Setup(problem, network, descent)]), [30], ())
        (view,), (trained,) = engine.views(block), engine.networks(block)
    assert view.coordinates.rotation is not None
    assert view.end_to_end is not None
    np.testing.assert_allclose(view.end_to_end @ view.coordinates.rotation.T, trained.end_to_end(), atol=1e-12)
    assert view.network.depth == 3


def test_before_the_first_step_networks_are_those_given():
    setups = [setup(seed=seed) for seed in range(2)]
    engine = Dense(ONE, each=2)
    with run_settings():
        made = engine.networks(engine.prepare(setups))
    for network, one in zip(made, setups, strict=True):
        for ours, given in zip(network.weights, one.network.weights, strict=True):
            np.testing.assert_allclose(ours, given, atol=1e-14)


@pytest.mark.parametrize("made", [setup, relu_setup])
def test_advancing_in_two_halves_is_advancing_at_once(made):
    setups = [made(seed=seed) for seed in range(2)]
    engine = Dense(jax.local_devices())
    chosen = metrics.available(setups[0].network, setups[0].problem)
    with run_settings():
        once, at_once = engine.advance(engine.prepare(setups), [40], chosen)
        half, _ = engine.advance(engine.prepare(setups), [20], chosen)
        twice, in_halves = engine.advance(half, [20], chosen)
        for name in chosen:
            assert np.array_equal(at_once[name], in_halves[name]), name
        for one, other in zip(engine.networks(once), engine.networks(twice), strict=True):
            for ours, theirs in zip(one.weights, other.weights, strict=True):
                assert np.array_equal(ours, theirs)


@pytest.mark.parametrize("made", [setup, relu_setup])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_records_taken_together_are_those_taken_alone(made, dtype):
    setups = [cast_setup(made(seed=seed), dtype) for seed in range(2)]
    engine, steps = Dense(jax.local_devices()), [0, 1, 3, 16]
    chosen = metrics.available(setups[0].network, setups[0].problem)
    with run_settings():
        _, together = engine.advance(engine.prepare(setups), steps, chosen)
        block = engine.prepare(setups)
        for i, some in enumerate(steps):
            block, alone = engine.advance(block, [some], chosen)
            for name in chosen:
                assert np.array_equal(alone[name][0], together[name][i]), name


def test_as_many_records_are_taken_together_as_cost_little():
    engine = Dense(ONE)
    with run_settings():
        block = engine.prepare([setup()])
    assert engine.together(block, [0, 1, 2]) == 3
    assert engine.together(block, [1] * 100) == dense.RECORDS
    assert engine.together(block, [1, 2, 10**9, 1]) == 2  # a long way is a call of its own
    assert engine.together(block, [10**9, 1]) == 1


def test_compiled_programs_are_bounded(monkeypatch):
    monkeypatch.setattr(devices, "PROGRAMS", 3)
    compiled: Any = dense.advance_block
    sizes, losses = [], {}
    for width in (8, 9, 10, 11, 12, 8):
        run = ji.train(*setup(width=width), steps=5, records=2, metrics=["loss"])
        sizes.append(compiled._cache_size())
        assert np.array_equal(losses.setdefault(width, run.metrics["loss"]), run.metrics["loss"])
    assert max(sizes) <= 3
