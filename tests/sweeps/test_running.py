"""Running a grid: its numbers do not depend on how it is run, and what is stored is not run again."""

import threading
import time
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

import jaxinv as ji
from jaxinv.arrays import is_traced
from jaxinv.measures import metrics
from jaxinv.studies.experiment import load_module
from jaxinv.sweeps.plan import Layout
from jaxinv.training import dense

from ..helpers import UNION, assert_close, found, small_sweep

SIZES = {"signal_dim": 12, "measurement_dim": 6, "subspace_dim": 2, "samples": 9, "depth": 3}
DATA: dict[str, Any] = {name: size for name, size in SIZES.items() if name != "depth"}
ACCELERATOR = Layout(most=4, memory=1e9, buckets=True)


@pytest.mark.parametrize("precision", ["float32", "float64"])
def test_a_cell_is_bit_equal_alone_in_a_grid_in_any_order_and_on_any_number_of_devices(precision):
    axes = {"gamma": [0, 0.1], "width": [40, 25], "seed": [0, 1, 2]}
    grid = ji.run_sweep(small_sweep(axes=axes, precision=precision))
    one = ji.run_sweep(small_sweep(axes=axes, precision=precision), devices=jax.local_devices()[:1])
    turned = ji.run_sweep(
        small_sweep(axes={"seed": [2, 1, 0], "width": [25, 40], "gamma": [0.1, 0]}, precision=precision)
    )
    alone = small_sweep(axes={"seed": [2]}, fixed={"width": 25, "gamma": 0.1}, precision=precision)
    single = ji.run_sweep(alone).sel(seed=2)
    run = ji.train(*ji.build(alone.cells()[0]), steps=40, records=8)
    for name in metrics.NAMES:
        cell = grid[name].sel(seed=2, width=25, gamma=0.1).values
        assert np.array_equal(grid[name], one[name], equal_nan=True), name
        assert np.array_equal(cell, turned[name].sel(seed=2, width=25, gamma=0.1)), name
        assert np.array_equal(cell, single[name]), name
        assert np.array_equal(cell, run.metrics[name]), name


def test_running_again_computes_only_what_is_missing(tmp_path):
    def counts(sweep):
        seen = []
        results = ji.run_sweep(sweep, tmp_path, progress=lambda done, total, what: seen.append(done))
        return results, seen[0]

    first, found = counts(small_sweep(axes={"seed": [0, 1]}, fixed={"gamma": 0.1}))
    assert found == 0
    more, found = counts(small_sweep(axes={"seed": [0, 1, 2]}, fixed={"gamma": 0.1}))
    assert found == 2
    again, found = counts(small_sweep(axes={"gamma": [0.1], "seed": [2, 0, 1]}))
    assert found == 3
    assert np.array_equal(again.loss.sel(gamma=0.1, seed=[0, 1]), first.loss)
    assert np.array_equal(more.loss.sel(seed=2), again.loss.sel(gamma=0.1, seed=2))
    assert not list(tmp_path.glob("*.part"))


def own_problem(*, operator, signals):
    return ji.Problem(operator=operator, signals=signals)


IN_SAMPLE = "in_sample_test_error, in_sample_noise_sensitivity: of the signals trained on"


def test_your_own_problem_runs_in_a_sweep():
    rng = np.random.default_rng(0)
    arrays = {
        "operator": rng.standard_normal((5, 9)),
        "signals": rng.standard_normal((7, 3)) @ rng.standard_normal((3, 9)),
    }
    fixed = {**arrays, "width": 40, "depth": 2, "gamma": 0.1}
    sweep = ji.Sweep(axes={"seed": [0, 1]}, fixed=fixed, steps=20, problem=own_problem)
    with pytest.warns(UserWarning, match=IN_SAMPLE):
        results = ji.run_sweep(sweep)
    assert np.isfinite(results.regression_error).all()
    other = ji.Sweep(
        axes={"seed": [0, 1]}, fixed={**fixed, "signals": arrays["signals"] + 1}, steps=20, problem=own_problem
    )
    assert sweep.cells()[0].digest("float32") != other.cells()[0].digest("float32")


def test_a_builder_that_generates_its_own_signals_and_sets_its_own_rank():
    def generated(key, *, rank):
        rng = np.random.default_rng(np.asarray(jax.random.key_data(key)))
        return ji.Problem(
            rng.standard_normal((6, 12)) / 6**0.5, rng.standard_normal((9, rank)) @ rng.standard_normal((rank, 12))
        )

    sweep = ji.Sweep(
        axes={"rank": [2, 3], "seed": [0, 1]}, fixed={"width": 60, "depth": 2}, problem=generated, steps=20
    )
    with pytest.warns(UserWarning, match=IN_SAMPLE):
        results = ji.run_sweep(sweep)
    assert np.isfinite(results.loss).all()
    assert len(np.unique(results.loss.isel(record=0))) == 4


def test_a_transformation_made_in_the_builder_trains():
    def adam(problem, network, *, rate=1e-3):
        return ji.Descent(rate, 0.0, transform=lambda eta, decay: optax.adamw(eta, weight_decay=decay))

    results = ji.run_sweep(small_sweep(axes={"seed": [0, 1, 2]}, descent=adam))
    assert float(results.loss.isel(record=-1).max()) < float(results.loss.isel(record=0).min())


def test_noise_and_depth_can_be_axes():
    results = ji.run_sweep(small_sweep(axes={"noise": [0.0, 0.1], "depth": [1, 2], "seed": [0, 1]}))
    assert np.isfinite(results.loss).all()
    assert not results.diverged.any()


def test_a_sweep_in_an_accelerators_layout_gives_the_same_results():
    axes = {"width": [40, 33, 20], "gamma": [0.0, 0.1], "seed": range(3)}
    sweep = ji.Sweep(axes=axes, fixed=SIZES, steps=60, records=8, precision="float64")
    plain = ji.run_sweep(sweep)
    seen = []
    wide = ji.run_sweep(sweep, layout=ACCELERATOR, progress=lambda done, total, what: seen.append((done, what)))
    assert_close(wide, plain, 1e-12)
    assert len({done for done, what in seen if what == "done"}) == 3  # 18 cells: 12 share width 48 in two blocks of 6


def test_a_second_grid_of_the_same_shape_does_not_compile_again():
    compiled: Any = dense.advance_block

    def run(gammas, seeds):
        sweep = ji.Sweep(
            axes={"gamma": gammas, "seed": seeds}, fixed={**SIZES, "width": 31}, steps=30, precision="float64"
        )
        ji.run_sweep(sweep)
        return compiled._cache_size()

    compiled.clear_cache()
    first = run([0.0, 0.1], range(2))
    assert first == 1
    assert run([0.0, 0.02, 0.3], range(5, 8)) == first


def test_the_program_of_each_next_shape_is_compiled_beside_the_training_and_used(monkeypatch):
    compiled: Any = dense.advance_block
    compile_for, beside = dense.Dense.compile_for, []

    def counted(*given):
        compile_for(*given)
        beside.append((threading.current_thread() is threading.main_thread(), compiled._cache_size()))

    monkeypatch.setattr(dense.Dense, "compile_for", counted)
    compiled.clear_cache()
    ji.run_sweep(small_sweep(axes={"width": [41, 42, 43], "seed": [0, 1]}))
    assert len(beside) == 2
    assert not any(main for main, _ in beside)
    assert compiled._cache_size() == 3


def test_a_builder_that_fails_on_a_later_shape_does_not_lose_the_cells_before_it(tmp_path):
    def network(key, problem, *, width):
        if width == 30 and not is_traced(problem.signals):
            raise OSError("no such weights")
        return ji.layer_product(key, problem, width=width, depth=2)

    def sweep(widths):
        return ji.Sweep(axes={"width": widths}, fixed=DATA, steps=20, network=network)

    with pytest.raises(OSError, match="no such weights"):
        ji.run_sweep(sweep([25, 30]), tmp_path)
    seen = []
    ji.run_sweep(sweep([25]), tmp_path, progress=lambda done, total, what: seen.append(done))
    assert seen[0] == 1


def held_out_error(coordinates, network):
    signals, measurements = coordinates.held_out
    return jnp.stack([jnp.linalg.norm(network(c * measurements) - c * signals) for c in (1.0, 2.0)])


def relu_sweep(**changes):
    return ji.Sweep(
        **{
            "axes": {"gamma": [0.0, 0.1], "seed": range(3)},
            "fixed": {**UNION, "width": 20, "depth": 3},
            "steps": 30,
            "records": 4,
            "metrics": ["regression_error", ji.Metric("held_out_error", held_out_error, ("scale",))],
            "precision": "float32",
            "problem": ji.union_problem,
            "network": ji.relu_network,
            **changes,
        }
    )


def test_a_sweep_of_relu_networks_stores_resumes_and_does_not_depend_on_the_block(tmp_path):
    results = ji.run_sweep(relu_sweep(), tmp_path)
    assert results.held_out_error.dims == ("gamma", "seed", "record", "scale")
    np.testing.assert_allclose(results.held_out_error[..., 1], 2 * results.held_out_error[..., 0], rtol=1e-5)
    seen = []
    again = ji.run_sweep(relu_sweep(), tmp_path, progress=lambda done, total, what: seen.append(done))
    assert seen == [6]
    assert np.array_equal(again.loss, results.loss)
    cell = relu_sweep().cells()[4]
    run = ji.train(*ji.build(cell), steps=30, records=4, metrics=relu_sweep().metrics)
    assert np.array_equal(run.metrics["held_out_error"], results.held_out_error.sel(cell.point))
    assert results.precision_bits.values.max() == 32


def test_metrics_of_jacobians_are_the_same_bits_on_any_number_of_devices():
    sizes = {"signal_dim": 20, "measurement_dim": 10, "subspace_dim": 3, "samples": 30, "width": 12, "depth": 3}
    sweep = relu_sweep(
        axes={"seed": range(3)}, fixed={**sizes, "gamma": 0.1, "activation": "leaky_relu"}, precision="float64",
        problem=ji.subspace_problem, network=ji.layer_product, metrics=None, steps=100,
    )  # fmt: skip
    two, one = ji.run_sweep(sweep), ji.run_sweep(sweep, devices=jax.local_devices()[:1])
    for name in two.data_vars:
        assert np.array_equal(two[name], one[name], equal_nan=two[name].dtype == float), name


def test_blocks_of_relu_networks_on_an_accelerator_give_the_same_numbers():
    plain = ji.run_sweep(relu_sweep(precision="float64"))
    wide = ji.run_sweep(relu_sweep(precision="float64"), layout=ACCELERATOR)
    np.testing.assert_allclose(wide.held_out_error, plain.held_out_error, rtol=1e-10)


def test_metrics_of_layer_products_are_refused_for_a_relu_network():
    with pytest.raises(ji.ArgumentError, match="balancedness"):
        ji.run_sweep(relu_sweep(metrics=["balancedness"]))


def test_relu_networks_of_many_widths_share_a_bucket_on_an_accelerator():
    axes = {"width": [20, 17, 24], "gamma": [0.0, 0.1]}
    changes = {"axes": axes, "fixed": {**UNION, "depth": 3}, "precision": "float64", "metrics": ["regression_error"]}
    seen = []
    wide = ji.run_sweep(
        relu_sweep(**changes), layout=ACCELERATOR, devices=jax.local_devices()[:1],
        progress=lambda done, total, what: seen.append(done) if what == "done" else None,
    )  # fmt: skip
    assert seen == [3, 6]  # padded to width 24: two equal blocks of at most four
    np.testing.assert_allclose(wide.regression_error, ji.run_sweep(relu_sweep(**changes)).regression_error, rtol=1e-10)


def test_the_results_name_the_engine():
    assert ji.run_sweep(small_sweep(axes={"seed": [0]}, engine="dense")).attrs["engine"] == "dense"


OWN = """
import jax.numpy as jnp
import numpy as np
import jaxinv as ji

SCALE = 1.0
SIZES = {"signal_dim": 8, "measurement_dim": 5, "subspace_dim": 2, "samples": 4}

def gain(coordinates, network):
    return SCALE * jnp.linalg.norm(network.end_to_end())

def numpy_problem(seed=0):
    numbers = np.random.default_rng(seed)
    return ji.Problem(numbers.normal(size=(5, 8)) / 5**0.5, numbers.normal(size=(4, 2)) @ numbers.normal(size=(2, 8)))

def looking(problem, network):
    first = float(problem.operator[0, 0])
    return ji.Descent(0.01, 1e-5 if first > 0 else 1e-3)
"""


@pytest.fixture
def own(tmp_path):
    """A module of the user's."""
    path = tmp_path / "own.py"
    path.write_text(OWN)
    return load_module(path)


@pytest.mark.parametrize("stored", [True, False])
@pytest.mark.parametrize("again", [True, False])
def test_what_a_metric_reads_may_change_between_two_runs_in_one_process(own, tmp_path, stored, again):
    def sweep():
        fixed = {**own.SIZES, "width": 6, "depth": 2}
        return ji.Sweep({"seed": [0]}, fixed, steps=3, records=2, metrics=[ji.Metric("gain", own.gain)])

    store = tmp_path / "store" if stored else None
    same = sweep()
    first = ji.run_sweep(same, store).gain
    own.SCALE = 10.0
    second = ji.run_sweep(same if again else sweep(), store).gain
    np.testing.assert_allclose(second, 10 * first, rtol=1e-5)


def test_a_builder_that_takes_a_seed_is_given_that_of_its_cell(own):
    sizes = {"width": 6, "depth": 2}
    sweep = ji.Sweep({"seed": [0, 1, 2]}, sizes, steps=1, metrics=["loss"], problem=own.numpy_problem)
    for seed, cell in enumerate(sweep.cells()):
        assert cell.arguments["problem"]["seed"] == seed
        np.testing.assert_allclose(ji.build(cell).problem.operator, own.numpy_problem(seed).operator, rtol=1e-6)
    assert len({cell.digest("float32") for cell in sweep.cells()}) == 3


def test_precision_is_resolved_for_each_seed_where_it_depends_on_random_numbers(own):
    sizes = {**own.SIZES, "width": 6, "depth": 2}

    def bits(seeds):
        sweep = ji.Sweep({"seed": seeds}, sizes, steps=1, metrics=["loss"], descent=own.looking)
        return dict(zip(seeds, ji.run_sweep(sweep).precision_bits.values.tolist(), strict=True))

    forward = bits(list(range(6)))
    assert set(forward.values()) == {32, 64}
    assert bits(list(range(5, -1, -1))) == forward
    assert all(bits([seed])[seed] == forward[seed] for seed in forward)


def test_the_generator_of_random_numbers_is_part_of_the_name(tmp_path):
    sweep = small_sweep(axes={"seed": [0]}, steps=2)
    name = sweep.cells()[0].digest("float64")
    with jax.threefry_partitionable(False):
        assert sweep.cells()[0].digest("float64") != name
    with jax.default_prng_impl("rbg"):
        assert sweep.cells()[0].digest("float64") != name
    assert sweep.cells()[0].digest("float64") == name


def test_problems_and_networks_are_built_once_and_quick_batches_share_files(tmp_path):
    calls = []

    def counted(key):
        if not is_traced(key):  # planning traces it
            calls.append(key)
        return ji.subspace_problem(key, **DATA)

    axes = {"gamma": [0.0, 0.1, 0.2], "seed": range(20)}
    sweep = ji.Sweep(axes, {"width": 40, "depth": 2}, steps=20, records=3, metrics=["loss"], problem=counted)
    results = ji.run_sweep(sweep)
    assert len(calls) == 20  # the same 20 seeds for each gamma
    plain = ji.Sweep(axes, {**DATA, "width": 40, "depth": 2}, steps=20, records=3, metrics=["loss"])
    begun = time.monotonic()
    stored = ji.run_sweep(plain, tmp_path)
    assert len(list(tmp_path.glob("*.nc"))) <= 2 + time.monotonic() - begun  # of 30 batches
    assert np.array_equal(stored.loss, results.loss, equal_nan=True)
    assert np.array_equal(found(plain, tmp_path)[0].loss, results.loss, equal_nan=True)
    assert found(plain, tmp_path)[1] == 60


def test_what_finished_is_stored_when_a_later_cell_fails(tmp_path):
    sweep = ji.Sweep({"seed": range(8)}, {**DATA, "width": 40, "depth": 2}, steps=20, records=3, metrics=["loss"])

    def stop(done, total, what):
        if done == 4:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        ji.run_sweep(sweep, tmp_path, progress=stop)
    assert found(sweep, tmp_path)[1] == 4
