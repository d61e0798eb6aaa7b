"""Metrics that do not fit are found before anything trains."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import jaxinv as ji
from jaxinv.sweeps.plan import Layout, plan_cells
from jaxinv.training.recorded import recorded_shapes

from ..helpers import relu_setup, setup, small_sweep


def first(coordinates, network):
    return network.weights[0]


def pair(coordinates, network):
    return jnp.ones(2)


def triple(coordinates, network):
    return jnp.ones(3)


class Labelled(ji.NoisyError):
    """A metric whose values are not as many as its labels say."""

    def record(self, view):
        return super().record(view)[:, :1]


BAD = {
    "rank": ([ji.Metric("own", first, ("row",))],
             r"metric 'own' with dims \('row',\) must be an array with an axis for each of them, got shape \(40, 6\); "
             "name 2 dims"),
    "failure": ([ji.Metric("own", lambda coordinates, network: network.weights[7])],
                r"metric 'own' with dims \(\) must be a function .*, got IndexError: tuple index out of range"),
    "numpy": ([ji.Metric("own", lambda coordinates, network: np.linalg.norm(network.weights[0]))],
              "metric 'own' .*; compute with jax.numpy"),
    "list": ([ji.Metric("own", lambda coordinates, network: [jnp.ones(2)], ("k",))],
             "metric 'own' .* must be one array, got list"),
    "constant": ([ji.Metric("own", lambda coordinates, network: 1.0)], "metric 'own' .* must be one array, got float"),
    "sizes": ([ji.Metric("own", pair, ("k",)), ji.Metric("other", triple, ("k",))],
              "dim 'k' must be of one size in all metrics and cells, got 2 in 'own' and 3 in 'other'"),
    "labels": ([Labelled([0.1, 1.0])], r"must be of size 2 along 'noise', as its labels, got shape \(1, 1\)"),
    "record": ([ji.Metric("own", pair, ("record",))], "dims of metric 'own' must be .* rename 'record'"),
    "step size": ([ji.Metric("own", pair, ("step_size",))], "dims of metric 'own' must be .* rename 'step_size'"),
    "its name": ([ji.Metric("own", pair, ("own",))], "dims of metric 'own' must be .* rename 'own'"),
    "slash": ([ji.Metric("own", pair, ("a/b",))], "dims of metric 'own' must be a tuple of .*, each a word"),
    "point": ([ji.Metric("own", pair, (".",))], "dims of metric 'own' must be a tuple of .*, each a word"),
    "twice": ([ji.Metric("own", first, ("k", "k"))], "dims of metric 'own' must be a tuple of different names"),
}  # fmt: skip


@pytest.mark.parametrize("name", BAD)
@pytest.mark.parametrize("reduce", [True, False])
def test_a_metric_that_does_not_fit_is_named_before_the_first_cell_trains(name, reduce, tmp_path):
    metrics, words = BAD[name]
    sweep = small_sweep(metrics=["loss", *metrics], reduce=reduce)
    with pytest.raises(ji.ArgumentError, match=words) as caught:
        ji.run_sweep(sweep, tmp_path / "store", progress=lambda done, total, what: pytest.fail("a cell was asked for"))
    assert "\n" not in str(caught.value)
    assert not (tmp_path / "store").exists()


def test_a_dim_that_is_an_axis_is_refused():
    with pytest.raises(ji.ArgumentError, match="axis 'gamma' is a name of the results"):
        small_sweep(metrics=[ji.Metric("own", pair, ("gamma",))])


def test_a_metric_whose_shape_differs_between_cells_is_found():
    norms = ji.Metric("norms", lambda c, n: jnp.stack([jnp.sum(w**2) for w in n.weights]), ("layer",))
    sweep = small_sweep(axes={"depth": [2, 3]}, metrics=[norms])
    with pytest.raises(ji.ArgumentError, match=r"dim 'layer' must be .*, got 2 in 'norms' and 3 in 'norms'"):
        plan_cells(sweep.cells())


@pytest.mark.parametrize("made", [setup, relu_setup])
@pytest.mark.parametrize("reduce", [True, False])
def test_the_shape_is_that_of_the_run(made, reduce):
    parts = made()
    own = [
        ji.Metric("first", first, ("row", "column")),
        ji.Metric("fit", lambda coordinates, network: network(coordinates.inputs), ("sample", "entry")),
    ]
    shapes = recorded_shapes(parts, reduce, own)
    run = ji.train(*parts, steps=2, records=2, metrics=own, reduce=reduce)
    assert shapes == {metric.name: run.metrics[metric.name].shape[1:] for metric in own}


def test_metrics_are_traced_once_a_shape():
    seen = []

    def counted(coordinates, network):
        seen.append(network.weights[0].shape)
        return jnp.ones(())

    axes = {"gamma": [0, 0.1, 0.2], "width": [40, 30], "seed": range(3)}
    plan_cells(small_sweep(axes=axes, metrics=[ji.Metric("counted", counted)]).cells())
    assert seen == [(40, 6), (30, 6)]
    seen.clear()
    layout = Layout(most=4, memory=1e9, buckets=True)
    plan_cells(small_sweep(axes=axes, metrics=[ji.Metric("counted", counted)]).cells(), layout)
    assert seen == [(48, 6), (32, 6)]


def test_a_builder_that_looks_at_its_numbers_is_traced_too():
    def generated(key):
        rng = np.random.default_rng(np.asarray(jax.random.key_data(key)))
        return ji.Problem(rng.standard_normal((6, 12)), rng.standard_normal((9, 2)) @ rng.standard_normal((2, 12)))

    sweep = ji.Sweep({"seed": [0]}, {"width": 60, "depth": 2}, problem=generated, metrics=BAD["rank"][0])
    with pytest.raises(ji.ArgumentError, match="must be an array with an axis for each of them"):
        ji.run_sweep(sweep)


def test_a_metric_without_its_held_out_pairs_says_so_itself():
    sweep = small_sweep(network=ji.relu_network, metrics=[ji.NoisyError([0.1])])
    with pytest.raises(ji.ArgumentError, match="needs held_out pairs"):
        plan_cells(sweep.cells())


def test_a_complex_metric_is_refused_before_anything_trains():
    turned = ji.Metric("turned", lambda coordinates, network: 1j * jnp.sum(coordinates.inputs))
    words = "metric 'turned' must be real, got an array of complex.*; take .real, .imag or abs of it"
    with pytest.raises(ji.ArgumentError, match=words):
        ji.run_sweep(small_sweep(metrics=[turned]))
    seen = []
    with pytest.raises(ji.ArgumentError, match=words):
        ji.train(*setup(), steps=2, metrics=[turned], progress=seen.append)
    assert not seen
