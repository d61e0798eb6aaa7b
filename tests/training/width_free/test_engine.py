"""The width-free engine: room, bits, one compilation for every width, runs that diverge or find no room."""

import itertools
from typing import Any

import jax
import numpy as np
import pytest

import jaxinv as ji
from jaxinv.networks.unsampled import UnsampledProduct
from jaxinv.training.width_free import engine

from .helpers import KNOWN

SIZES = {"signal_dim": 30, "measurement_dim": 14, "subspace_dim": 3, "samples": 9, "condition_number": 2.0}


def sampled(width=1000, depth=3, tolerance=1e-4, steps=60, step_size=None, seed=0, scale=1.0, **options):
    """A run of a network without weights, and its problem."""
    key = jax.random.key(seed)
    problem = ji.subspace_problem(key, **SIZES)
    network = ji.layer_product(key, problem, width=width, depth=depth, scale=scale, engine="width_free")
    descent = ji.gradient_descent(problem, network, gamma=0.1, step_size=step_size)
    return problem, ji.train(
        problem, network, descent, steps=steps, records=6, engine="width_free", tolerance=tolerance, **options
    )


def sweep(**changes):
    fixed = {**SIZES, "depth": 3, "gamma": 0.1, **changes.pop("fixed", {})}
    axes = changes.pop("axes", {"width": [200, 10**6], "seed": range(2)})
    fixed = {name: value for name, value in fixed.items() if name not in axes}
    return ji.Sweep(axes, fixed, **{"steps": 60, "records": 6, "engine": "width_free", "tolerance": 1e-4} | changes)


def assert_same_bits(one, other):
    assert set(one.data_vars) == set(other.data_vars)
    for name in one.data_vars:
        np.testing.assert_array_equal(np.asarray(one[name]), np.asarray(other[name]), err_msg=name)


def test_a_run_that_goes_on_with_more_room_is_the_run_that_had_it_from_the_start(monkeypatch):
    runs = []
    for capacities in [(16, 24, 96), (96,)]:
        monkeypatch.setattr(engine, "CAPACITIES", capacities)
        runs.append(sampled(width=200)[1])
    assert 24 < runs[0].reduction["coordinates"] == runs[1].reduction["coordinates"]
    for name in KNOWN:
        np.testing.assert_allclose(runs[0].metrics[name], runs[1].metrics[name], rtol=1e-9, atol=1e-12, err_msg=name)
    np.testing.assert_allclose(runs[0].network.matrix, runs[1].network.matrix, atol=1e-10)


def test_a_cell_alone_and_in_a_grid_has_the_same_bits(monkeypatch):
    """Where other cells of the block need more room, too."""
    monkeypatch.setattr(engine, "CAPACITIES", (32, 96))
    grid = ji.run_sweep(sweep())
    assert grid.coordinates.sel(width=200).min() > 32 >= grid.coordinates.sel(width=10**6).max()
    for width, seed in itertools.product([200, 10**6], range(2)):
        alone = ji.run_sweep(sweep(axes={"width": [width], "seed": [seed]}))
        assert_same_bits(alone, grid.sel(width=[width], seed=[seed]))


def test_one_compilation_serves_widths_gammas_and_seeds(monkeypatch):
    monkeypatch.setattr(engine, "CAPACITIES", (64,))
    axes = {"width": [2**k for k in range(8, 20)], "gamma": [0, 0.01, 0.1], "seed": range(2)}
    programs: Any = [engine.follow_block, engine.record_block]
    for program in programs:
        program.clear_cache()
    results = ji.run_sweep(sweep(axes=axes, fixed={"signal_dim": 29}, steps=5, records=3))
    assert results.loss.size == 12 * 3 * 2 * 3
    assert [program._cache_size() for program in programs] == [1, 1]


def test_a_run_that_finds_no_room_is_nan_and_filled(monkeypatch):
    monkeypatch.setattr(engine, "CAPACITIES", (16, 24))
    _, run = sampled(width=200)
    assert run.reduction["filled"]
    assert not run.diverged
    assert all(np.isnan(values).all() for values in run.metrics.values())
    assert np.isnan(run.network.end_to_end()).all()  # what is not right is not returned
    grid = ji.run_sweep(sweep(axes={"width": [200, 10**7], "seed": [0]}))
    np.testing.assert_array_equal(grid.filled.squeeze(), [True, False])
    np.testing.assert_array_equal(np.isnan(grid.loss).all("record").squeeze(), [True, False])
    assert not grid.diverged.any()


def test_a_run_that_diverges_ends_and_says_so():
    _, run = sampled(step_size=10.0, steps=10**9)  # at a million steps a second it would take twenty minutes
    assert run.diverged
    assert not run.reduction["filled"]
    assert np.isfinite(run.metrics["loss"][0])
    assert np.isnan(run.metrics["loss"][-1])


@pytest.mark.parametrize("scale", [0.3, 3.0, 10.0])
def test_layers_of_any_scale_are_looked_at(scale):
    """The first step sees the layers: with a gain above 4 it once saw none."""
    _, run = sampled(scale=scale, step_size=1e-3 / scale**6, steps=2)
    assert run.reduction["coordinates"] > 3
    assert run.reduction["leak"] <= 1e-4


def test_the_trained_map_is_what_was_recorded():
    problem, run = sampled()
    assert run.network.end_to_end().shape == (30, 14)
    measured = ji.measure(problem, ji.LayerProduct((run.network.end_to_end(),)))
    for name in set(KNOWN) - {"loss"}:
        np.testing.assert_allclose(run.metrics[name][-1], measured[name], rtol=1e-6, atol=1e-9, err_msg=name)
    np.testing.assert_allclose(run.network(problem.measurements), problem.measurements @ run.network.matrix.T)
    with pytest.raises(ji.ArgumentError, match="never existed"):
        _ = run.network.weights
    with pytest.raises(ji.ArgumentError, match="never existed"):
        ji.gradient_descent(problem, run.network)
    assert np.isnan(run.metrics["balancedness"]).all()


def test_the_loss_alone_needs_the_size_of_what_nobody_looked_at_and_no_map():
    """Chi squared: it differs from the sum over generated layers as two draws of one law do."""
    alone, whole = (ji.run_sweep(sweep(metrics=names)) for names in (["regression_error"], KNOWN))
    np.testing.assert_array_equal(alone.regression_error, whole.regression_error)
    gap, decay = alone.loss - whole.loss, alone.weight_decay / 2
    # entries have the variance 1 / fan-in, in layers of 14, d_w and d_w columns
    spread = (2 * 2 * (alone.width / 14 + 1 + 30 / alone.width)) ** 0.5
    assert np.all(np.abs(gap) <= 5 * decay * spread)
    assert np.all(gap != 0)


def test_a_cell_by_itself_is_that_of_the_sweep():
    one = sweep(axes={"width": [1000], "seed": [1]})
    problem, network, descent = ji.build(one.cells()[0])
    assert isinstance(network, UnsampledProduct)
    run = ji.train(problem, network, descent, steps=60, records=6, engine="width_free", tolerance=1e-4)
    results = ji.run_sweep(one)
    for name in KNOWN:
        np.testing.assert_array_equal(run.metrics[name], results[name].squeeze(), err_msg=name)


def test_what_the_engine_says_of_itself_is_stored(tmp_path):
    seen = []
    first = ji.run_sweep(sweep(), tmp_path)
    again = ji.run_sweep(sweep(), tmp_path, progress=lambda done, total, what: seen.append(done))
    assert seen[0] == 4  # found
    assert_same_bits(first, again)
    assert first.width_free.all()
    assert not first.filled.any()
    assert float(first.leak.max()) <= 1e-4
    assert float(first.coordinates.min()) >= 3
    ji.run_sweep(sweep(tolerance=1e-3), tmp_path, progress=lambda done, total, what: seen.append(done))
    assert 0 in seen[1:]  # another tolerance is another result


def test_pairs_held_out_in_few_directions_and_a_narrow_network():
    """The frame of signal space is as large as the tests may need, wherever they lie."""
    random = np.random.default_rng(0)
    basis, _ = np.linalg.qr(random.normal(size=(90, 3)))
    operator = random.normal(size=(12, 90)) / 12**0.5
    signals, tests = random.normal(size=(6, 3)) @ basis.T, random.normal(size=(90, 3)) @ basis.T
    problem = ji.Problem(operator, signals, held_out=(tests, tests @ operator.T))
    network = ji.layer_product(jax.random.key(0), problem, width=24, depth=3)
    descent = ji.gradient_descent(problem, network, gamma=0.1, step_size="stable")
    run, dense = (
        ji.train(problem, network, descent, steps=20, records=4, engine=name, tolerance=1e-8)
        for name in ("width_free", "dense")
    )
    np.testing.assert_allclose(run.metrics["test_error"], dense.metrics["test_error"], rtol=1e-6)
