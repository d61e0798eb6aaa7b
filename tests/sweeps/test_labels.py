"""Results as one labelled dataset."""

import jax.numpy as jnp
import numpy as np
import pytest

import jaxinv as ji
from jaxinv.measures import metrics

from ..helpers import GRID, SMALL, small_sweep


def test_results_have_the_axes_of_the_sweep():
    results = ji.run_sweep(small_sweep())
    assert results.off_subspace_error.dims == ("gamma", "seed", "record")
    assert results.step.values.tolist()[0] == 0
    assert results.diverged.dims == ("gamma", "seed")
    assert set(metrics.NAMES) <= set(results.data_vars)
    assert float(results.weight_decay.sel(gamma=0.0).max()) == 0
    assert results.attrs["matmul_precision"] == "highest"


def test_a_sweep_without_axes_has_the_records_alone():
    results = ji.run_sweep(small_sweep(axes={}))
    assert results.loss.dims == ("record",)


def test_metrics_of_your_own_have_named_axes_and_survive_the_store(tmp_path):
    sweep = ji.Sweep(
        axes={"width": [8, 9], "seed": range(2)},
        fixed={**{name: value for name, value in GRID.items() if name != "width"}, "depth": 2},
        steps=20,
        records=[0, 5, 20],
        metrics=["regression_error", ji.Metric("layer_norms", layer_norms, ("layer", "kind"))],
        precision="float64",
    )
    results = ji.run_sweep(sweep, tmp_path)
    assert set(results.data_vars) == {
        "loss", "regression_error", "layer_norms", "diverged", "step_size", "stable_step_size", "weight_decay",
        "precision_bits"
    }  # fmt: skip
    assert results.layer_norms.dims == ("width", "seed", "record", "layer", "kind")
    assert results.step.values.tolist() == [0, 5, 20]
    run = ji.train(*ji.build(sweep.cells()[1]), steps=20, records=[0, 5, 20])
    last = results.isel(width=0, seed=1, record=-1)
    assert float(last.regression_error) == run.metrics["regression_error"][-1]
    norms = [[np.linalg.norm(w), np.abs(w).sum()] for w in np.asarray(run.network.weights, object)]
    np.testing.assert_allclose(last.layer_norms[:, 0], [norm[0] for norm in norms], rtol=1e-12)
    assert ji.run_sweep(sweep, tmp_path).identical(results)


def layer_norms(coordinates, network):
    return jnp.stack([jnp.stack([jnp.linalg.norm(w), jnp.sum(jnp.abs(w))]) for w in network.weights])


AXES = {"width": [40, 25, 60], "gamma": [0, 0.1], "seed": [0, 1]}
OWN = ji.Metric("layer_norms", layer_norms, ("layer", "kind"))


@pytest.fixture(scope="module")
def ragged():
    """Widths of other numbers of steps and records; width 60 without decay is left out."""
    return ji.run_sweep(
        small_sweep(
            axes=AXES,
            steps=lambda width: width,
            records=lambda width: 4 if width == 25 else [0, 3, width // 2, width - 1, width],
            where=lambda width, gamma: width < 60 or gamma > 0,
            metrics=[*metrics.NAMES, OWN],
        )
    )


def test_steps_by_cell_are_a_coordinate_with_the_axes(ragged):
    assert ragged.loss.dims == ("width", "gamma", "seed", "record")
    assert ragged.step.dims == ("width", "gamma", "seed", "record")
    assert ragged.sizes["record"] == 5
    steps = {40: [0, 3, 20, 39, 40], 25: [0, 1, 5, 25, np.nan], 60: [0, 3, 30, 59, 60]}
    for width, expected in steps.items():
        for gamma in (0, 0.1):
            missing = width == 60 and gamma == 0
            for seed in (0, 1):
                found = ragged.step.sel(width=width, gamma=gamma, seed=seed)
                np.testing.assert_array_equal(found, np.full(5, np.nan) if missing else expected)


def test_cells_left_out_are_nan_or_false(ragged):
    out = ragged.sel(width=60, gamma=0)
    for name in (*metrics.NAMES, "layer_norms", "step_size", "weight_decay", "precision_bits"):
        assert np.isnan(out[name]).all(), name
        assert np.isfinite(ragged[name].sel(width=[40, 60], gamma=0.1)).all(), name
    assert ragged.diverged.dtype == bool
    assert not ragged.diverged.any()
    assert float(ragged.precision_bits.sel(width=60, gamma=0.1, seed=0)) == 64


@pytest.mark.parametrize("width", [40, 25, 60])
def test_a_kept_cell_is_bit_equal_to_the_same_cell_of_a_plain_sweep(ragged, width):
    records = 4 if width == 25 else [0, 3, width // 2, width - 1, width]
    axes = {"gamma": [0, 0.1], "seed": [0, 1]}
    plain = ji.run_sweep(
        small_sweep(axes=axes, fixed={"width": width}, steps=width, records=records, metrics=[*metrics.NAMES, OWN])
    )
    assert plain.step.dims == ("record",)
    ends = plain.sizes["record"]
    for gamma in (0, 0.1) if width < 60 else (0.1,):
        ours, theirs = ragged.sel(width=width, gamma=gamma), plain.sel(gamma=gamma)
        for name in (*metrics.NAMES, "layer_norms"):
            assert np.array_equal(ours[name].isel(record=slice(ends)), theirs[name]), name
            assert np.isnan(ours[name].isel(record=slice(ends, None))).all(), name
        for name in ("diverged", "step_size", "weight_decay", "precision_bits"):
            assert np.array_equal(ours[name], theirs[name]), name


def test_functions_that_say_the_same_for_every_cell_leave_one_step_for_all():
    results = ji.run_sweep(small_sweep(steps=lambda depth: 20 * depth, records=lambda: 3))
    assert results.step.dims == ("record",)
    assert results.step.values.tolist() == [0, 1, 40]
    assert results.identical(ji.run_sweep(small_sweep(steps=40, records=3)))


def test_a_metric_labels_its_own_axes(tmp_path):
    metric = ji.NoisyError([0.0, 0.5], ["oracle", "network"])
    sweep = small_sweep(metrics=["test_error", metric], axes={"seed": [0, 1]})
    results = ji.run_sweep(sweep, tmp_path)
    assert results.noisy_error.dims == ("seed", "record", "map", "noise")
    assert results["map"].values.tolist() == ["oracle", "network"]
    np.testing.assert_allclose(results.noisy_error.sel(map="network", noise=0.0), results.test_error, rtol=1e-12)
    assert float(results.noisy_error.sel(map="oracle", noise=0.0).max()) < 1e-10
    assert ji.run_sweep(sweep, tmp_path).identical(results)


@pytest.mark.parametrize("name", ["noise", "map"])
def test_an_axis_of_the_name_of_an_axis_of_a_metric_is_refused(name):
    with pytest.raises(ji.ArgumentError, match=f"axis '{name}' is a name of the results"):
        small_sweep(axes={name: [0.1]}, metrics=[ji.NoisyError([0.1])])


def test_a_metric_of_another_shape_in_some_cells_is_refused():
    def spectrum(coordinates, network):
        return jnp.ones(network.depth)

    sweep = small_sweep(axes={"depth": [1, 2]}, steps=2, records=2, metrics=[ji.Metric("spectrum", spectrum, ("i",))])
    with pytest.raises(ji.ArgumentError, match="dim 'i' must be of one size in all metrics and cells"):
        ji.run_sweep(sweep)


def test_cells_whose_networks_have_other_metrics_are_nan_there():
    def either(key, problem, *, kind):
        build = ji.layer_product if kind == "linear" else ji.relu_network
        return build(key, problem, width=6, depth=2)

    for kinds in (["relu", "linear"], ["linear", "relu"]):
        sweep = ji.Sweep({"kind": kinds}, SMALL, steps=2, records=2, network=either)
        results = ji.run_sweep(sweep)
        assert results.balancedness.sel(kind="relu").isnull().all()
        assert results.balancedness.sel(kind="linear").notnull().all()
        assert results.loss.notnull().all()
        assert results.noise_gain.notnull().all()


@pytest.mark.parametrize("values", [[1, True], [1, "1"], [0.5, "a"]])
def test_values_of_several_kinds_on_one_axis_are_refused(values):
    with pytest.raises(ji.ArgumentError, match="axis 'width' must be of one kind of values"):
        ji.Sweep({"width": values})
