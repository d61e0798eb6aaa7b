"""Sweeps: labels, independence of batching, resuming, hashes, bad input."""

import re

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

import jaxinv as ji
from jaxinv import metrics

SIZES = {"signal_dim": 12, "measurement_dim": 6, "subspace_dim": 2, "samples": 9, "width": 40, "depth": 2}


def small(**changes):
    axes = changes.pop("axes", {"gamma": [0, 0.1], "seed": range(3)})
    fixed = {name: value for name, value in {**SIZES, **changes.pop("fixed", {})}.items() if name not in axes}
    return ji.Sweep(**{"axes": axes, "fixed": fixed, "steps": 40, "records": 8, "precision": "float64", **changes})


def test_results_are_labelled():
    results = ji.run_sweep(small())
    assert results.off_subspace_error.dims == ("gamma", "seed", "record")
    assert results.step.values.tolist()[0] == 0
    assert results.diverged.dims == ("gamma", "seed")
    assert set(metrics.NAMES) <= set(results.data_vars)
    assert float(results.weight_decay.sel(gamma=0.0).max()) == 0
    assert results.attrs["matmul_precision"] == "highest"


@pytest.mark.parametrize("precision", ["float32", "float64"])
def test_a_cell_is_bit_equal_alone_in_a_grid_in_any_order_and_on_any_number_of_devices(precision):
    axes = {"gamma": [0, 0.1], "width": [40, 25], "seed": [0, 1, 2]}
    grid = ji.run_sweep(small(axes=axes, precision=precision))
    one = ji.run_sweep(small(axes=axes, precision=precision), devices=jax.local_devices()[:1])
    turned = ji.run_sweep(small(axes={"seed": [2, 1, 0], "width": [25, 40], "gamma": [0.1, 0]}, precision=precision))
    alone = small(axes={"seed": [2]}, fixed={"width": 25, "gamma": 0.1}, precision=precision)
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

    first, found = counts(small(axes={"seed": [0, 1]}, fixed={"gamma": 0.1}))
    assert found == 0
    more, found = counts(small(axes={"seed": [0, 1, 2]}, fixed={"gamma": 0.1}))
    assert found == 2
    again, found = counts(small(axes={"gamma": [0.1], "seed": [2, 0, 1]}))
    assert found == 3
    assert np.array_equal(again.loss.sel(gamma=0.1, seed=[0, 1]), first.loss)
    assert np.array_equal(more.loss.sel(seed=2), again.loss.sel(gamma=0.1, seed=2))
    assert not list(tmp_path.glob("*.part"))


def test_a_corrupt_file_is_named_set_aside_and_recomputed(tmp_path):
    sweep = small(axes={"seed": [0, 1]})
    first = ji.run_sweep(sweep, tmp_path)
    (path,) = tmp_path.glob("*.nc")
    path.write_bytes(path.read_bytes()[:1000])
    with pytest.warns(UserWarning, match=f"{path.name} is corrupt .* kept as"):
        again = ji.run_sweep(sweep, tmp_path)
    assert np.array_equal(first.loss, again.loss)
    assert path.exists()
    assert path.with_suffix(".corrupt").exists()


def test_a_changed_byte_of_data_is_noticed(tmp_path):
    sweep = small(axes={"seed": [0]})
    first = ji.run_sweep(sweep, tmp_path)
    (path,) = tmp_path.glob("*.nc")
    content, needle = bytearray(path.read_bytes()), first.loss.values[0].tobytes()
    at = content.find(needle)
    assert at > 0
    content[at] ^= 1
    path.write_bytes(bytes(content))
    with pytest.warns(UserWarning, match="is corrupt"):
        again = ji.run_sweep(sweep, tmp_path)
    assert np.array_equal(first.loss, again.loss)


def test_hash_covers_all_that_decides_the_numbers():
    def name(**changes):
        return small(axes={"seed": [0]}, **changes).cells()[0].hash("float64")

    base = name(fixed={"gamma": 0})
    assert base == name(fixed={"gamma": 0.0})
    assert base == name(fixed={"gamma": 0, "init": "fan_in"})  # the default
    others = [{"fixed": {"gamma": 0.1}}, {"steps": 41, "fixed": {"gamma": 0}}, {"reduce": False, "fixed": {"gamma": 0}}]
    assert len({base, *(name(**other) for other in others)}) == 4
    assert base != small(axes={"seed": [0]}, fixed={"gamma": 0}).cells()[0].hash("float32")


def own_problem(*, operator, signals):
    return ji.Problem(operator=operator, signals=signals)


def test_your_own_problem_in_a_sweep():
    rng = np.random.default_rng(0)
    arrays = {
        "operator": rng.standard_normal((5, 9)),
        "signals": rng.standard_normal((7, 3)) @ rng.standard_normal((3, 9)),
    }
    fixed = {**arrays, "width": 40, "depth": 2, "gamma": 0.1}
    sweep = ji.Sweep(axes={"seed": [0, 1]}, fixed=fixed, steps=20, problem=own_problem)
    results = ji.run_sweep(sweep)
    assert np.isfinite(results.regression_error).all()
    other = ji.Sweep(
        axes={"seed": [0, 1]}, fixed={**fixed, "signals": arrays["signals"] + 1}, steps=20, problem=own_problem
    )
    assert sweep.cells()[0].hash("float32") != other.cells()[0].hash("float32")


def test_a_builder_that_draws_its_own_signals_and_sets_its_own_rank():
    def drawn(key, *, rank):
        rng = np.random.default_rng(np.asarray(jax.random.key_data(key)))
        return ji.Problem(
            rng.standard_normal((6, 12)) / 6**0.5, rng.standard_normal((9, rank)) @ rng.standard_normal((rank, 12))
        )

    sweep = ji.Sweep(axes={"rank": [2, 3], "seed": [0, 1]}, fixed={"width": 60, "depth": 2}, problem=drawn, steps=20)
    results = ji.run_sweep(sweep)
    assert np.isfinite(results.loss).all()
    assert len(np.unique(results.loss.isel(record=0))) == 4


def test_a_transformation_made_in_the_builder():
    def adam(problem, network, *, rate=1e-3):
        return ji.Descent(rate, 0.0, transform=lambda eta, decay: optax.adamw(eta, weight_decay=decay))

    results = ji.run_sweep(small(axes={"seed": [0, 1, 2]}, descent=adam))
    assert float(results.loss.isel(record=-1).max()) < float(results.loss.isel(record=0).min())


def test_other_data_under_the_same_name_are_other_cells(tmp_path):
    def run(scale):
        signals = scale * np.outer(np.arange(1.0, 8.0), np.ones(9))
        sweep = ji.Sweep(
            axes={"seed": [0]},
            fixed={"width": 30, "depth": 2},
            steps=5,
            problem=lambda: ji.Problem(np.eye(4, 9), signals),
        )
        return float(ji.run_sweep(sweep, tmp_path).loss[0, 0])

    first = run(1.0)
    assert run(2.0) != first
    assert run(1.0) == first
    assert len(list(tmp_path.glob("*.nc"))) == 2


def test_files_that_are_not_cells_are_left_alone(tmp_path):
    results = ji.run_sweep(small(axes={"seed": [0]}), tmp_path)
    results.to_netcdf(tmp_path / "results.nc", engine="h5netcdf")
    ji.run_sweep(small(axes={"seed": [0]}), tmp_path)
    assert (tmp_path / "results.nc").exists()


def test_no_axes():
    results = ji.run_sweep(small(axes={}))
    assert results.loss.dims == ("record",)


def test_precision_is_resolved_for_each_cell():
    results = ji.run_sweep(small(axes={"weight_decay": [0.0, 1e-5, 0.1]}, precision="auto", steps=3))
    assert results.precision_bits.values.tolist() == [32, 64, 32]
    with pytest.raises(ValueError, match="precision must be float64"):
        ji.run_sweep(small(axes={"weight_decay": [1e-5]}, precision="float32"))


def test_noise_and_depth_as_axes():
    results = ji.run_sweep(small(axes={"noise": [0.0, 0.1], "depth": [1, 2], "seed": [0, 1]}))
    assert np.isfinite(results.loss).all()
    assert not results.diverged.any()


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
    ],
)
def test_bad_sweep(changes, words):
    with pytest.raises(ValueError, match=words):
        small(**changes)


@pytest.mark.parametrize(
    ("axes", "words"),
    [
        ({"width": [8, 0]}, "width must be a positive whole number, got 0"),
        ({"gamma": [0.1, -1]}, "gamma must be"),
        ({"measurement_dim": [6, 13]}, "measurement_dim must be at most signal_dim"),
        ({"gamma": [0.1], "weight_decay": [0.1]}, "exclude each other"),
        ({"weight_decay": [1.0, 1e-6]}, "precision must be float64"),
    ],
)
def test_bad_values_are_found_before_anything_runs(axes, words, tmp_path):
    folder = tmp_path / "store"
    with pytest.raises(ValueError, match=words):
        ji.run_sweep(small(axes={**axes, "seed": [0]}, precision="float32"), folder)
    assert not folder.exists()


def two(key, *, width):
    raise AssertionError("never called")


def test_an_ambiguous_argument_is_named():
    with pytest.raises(ValueError, match="'width' is ambiguous: problem and network"):
        ji.Sweep(axes={"width": [4]}, problem=two)


def test_metrics_of_your_own_have_named_axes_and_survive_the_store(tmp_path):
    sweep = ji.Sweep(
        axes={"width": [8, 9], "seed": range(2)},
        fixed={**{name: value for name, value in SIZES.items() if name != "width"}, "depth": 2},
        steps=20,
        records=[0, 5, 20],
        metrics=["regression_error", ji.Metric("layer_norms", layer_norms, ("layer", "kind"))],
        precision="float64",
    )
    results = ji.run_sweep(sweep, tmp_path)
    assert set(results.data_vars) == {
        "loss", "regression_error", "layer_norms", "diverged", "step_size", "weight_decay", "precision_bits"
    }  # fmt: skip
    assert results.layer_norms.dims == ("width", "seed", "record", "layer", "kind")
    assert results.step.values.tolist() == [0, 5, 20]
    run = ji.train(*ji.build(sweep.cells()[1]), steps=20, records=[0, 5, 20])
    last = results.isel(width=0, seed=1, record=-1)
    assert float(last.regression_error) == run.metrics["regression_error"][-1]
    norms = [[np.linalg.norm(w), np.abs(w).sum()] for w in np.asarray(run.network.weights, object)]
    np.testing.assert_allclose(last.layer_norms[:, 0], [norm[0] for norm in norms], rtol=1e-12)
    assert ji.run_sweep(sweep, tmp_path).identical(results)


def layer_norms(frame, network):
    return jnp.stack([jnp.stack([jnp.linalg.norm(w), jnp.sum(jnp.abs(w))]) for w in network.weights])


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"metrics": ["regresion_error"]}, "unknown metric 'regresion_error'; did you mean 'regression_error'"),
        ({"metrics": [ji.Metric("loss", layer_norms)]}, "metrics must be of different names, got 'loss' twice"),
        ({"metrics": [ji.Metric("norms", layer_norms, ("seed",))]}, "axis 'seed' is a name of the results"),
        ({"records": [0, 5, 4, 10]}, "records must be a number, or steps that rise from 0 to 10"),
        ({"records": [0, 5]}, "records must be a number, or steps that rise from 0 to 10"),
    ],
)
def test_bad_records(change, words):
    with pytest.raises(ValueError, match=re.escape(words)):
        ji.Sweep(axes={"seed": range(2)}, steps=10, **change)


def test_a_helper_of_a_builder_counts_in_the_hash():
    names = {"ji": ji, "__name__": "mine"}
    source = """
def helper(x):
    return {x}

def descent(problem, network):
    return ji.gradient_descent(problem, network, step_size=helper(0.1))
"""
    hashes = []
    for body in ("x", "x", "2 * x"):
        exec(source.replace("{x}", body), made := dict(names))
        hashes.append(ji.Sweep(axes={"seed": [0]}, descent=made["descent"]).cells()[0].hash("float32"))
    assert hashes[0] == hashes[1] != hashes[2]
