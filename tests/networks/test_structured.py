"""Residual, tied and circulant products: what they are, and what is exact for them."""

from dataclasses import replace

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import xarray
from scipy.linalg import circulant

import jaxinv as ji
from jaxinv.measures import structure
from jaxinv.measures.predictions import linearised
from jaxinv.networks.padding import pad_width
from jaxinv.training.descent import advance, start
from jaxinv.training.setup import Setup
from jaxinv.training.width_free.choice import choose_engine

from ..helpers import SMALL, numpy_metrics

KEY = jax.random.key(1)
PROBLEM = ji.subspace_problem(KEY, **SMALL)
KINDS = ("residual", "tied", "circulant")
ONE = np.eye(6)


def built(kind, **arguments):
    return ji.layer_product(KEY, PROBLEM, **{"width": 6, "depth": 4, "architecture": kind, **arguments})


def hidden(kind, weights):
    """The hidden matrices, by numpy."""
    return {
        "residual": lambda: [ONE + weight for weight in weights],
        "tied": lambda: [*weights, *weights],
        "circulant": lambda: [circulant(taps) for taps in weights],
    }[kind]()


@pytest.mark.parametrize("kind", KINDS)
def test_a_structured_product_is_the_product_of_its_matrices(kind):
    network = built(kind)
    first, *between, last = (np.asarray(weight) for weight in network.weights)
    matrices = [first, *hidden(kind, between), last]
    whole = np.linalg.multi_dot(matrices[::-1])
    np.testing.assert_allclose(network.end_to_end(), whole, atol=1e-13)
    rows = np.random.default_rng(0).standard_normal((3, 7))
    np.testing.assert_allclose(network(jnp.asarray(rows)), rows @ whole.T, atol=1e-13)
    assert (network.depth, network.width, network.is_linear) == (4, 6, True)
    deep = built(kind, width=40, depth=10)  # whatever the depth, of the order of one
    assert 0.2 < np.linalg.norm(deep.end_to_end()) / 13**0.5 < 4


def test_where_the_hidden_layers_start():
    first, *between, last = ji.layer_product(KEY, PROBLEM, width=6, depth=4).weights
    for kind, expected in {
        "residual": [weight / 2 for weight in between], "tied": between[:1], "circulant": [w[:, 0] for w in between],
    }.items():  # fmt: skip
        for ours, plain in zip(built(kind).weights, [first, *expected, last], strict=True):
            np.testing.assert_allclose(ours, plain, rtol=1e-14)


@pytest.mark.parametrize(("kind", "momentum"), [("residual", 0.0), ("tied", 0.9), ("circulant", 0.0)])
def test_compression_and_rotation_change_no_iterate(kind, momentum):
    network = built(kind)
    descent = ji.gradient_descent(PROBLEM, network, gamma=0.3, momentum=momentum)
    descent = replace(descent, step_size=descent.step_size * (1 - momentum))
    assert descent.rotates
    metrics = ["regression_error", "off_subspace_gain"]
    ours, plain = (
        ji.train(PROBLEM, network, descent, steps=200, records=[0, 7, 200], metrics=metrics, reduce=reduce)
        for reduce in (True, False)
    )
    for name, curve in plain.metrics.items():
        assert np.max(np.abs(ours.metrics[name] - curve)) <= 1e-10 * np.max(np.abs(curve)), name
    for a, b in zip(ours.network.weights, plain.network.weights, strict=True):
        np.testing.assert_allclose(a, b, atol=1e-10)
    assert ours.metrics["regression_error"][-1] < 0.5 * ours.metrics["regression_error"][0]
    assert isinstance(ours.network, type(network))


@pytest.mark.parametrize("kind", KINDS)
def test_its_metrics_are_those_of_its_map(kind):
    network, decay = built(kind), 0.2
    found = ji.measure(PROBLEM, network, decay)
    expected = numpy_metrics(PROBLEM, [np.asarray(network.end_to_end())], 0.0)
    squares = sum(np.sum(np.square(weight)) for weight in network.weights)
    expected["loss"] += decay / 2 * squares
    del expected["balancedness"]  # that of plain products
    assert set(found) == set(expected)
    for name, value in expected.items():
        np.testing.assert_allclose(found[name], value, rtol=1e-10, err_msg=name)


@pytest.mark.parametrize("kind", KINDS)
def test_what_holds_for_plain_products_alone_is_refused_by_name(kind):
    network = built(kind)
    descent = ji.gradient_descent(PROBLEM, network, gamma=0.1)
    with pytest.raises(ji.ArgumentError, match="metric 'balancedness' must be of a layer product, got "):
        ji.train(PROBLEM, network, descent, steps=1, metrics=["balancedness"])
    with pytest.raises(ji.ArgumentError, match=r"network must be a layer product, got .*Product"):
        ji.linearisation_of(PROBLEM, network)
    with pytest.raises(ji.ArgumentError, match=r"sharpness must be of a layer product, got .*Product; leave it out"):
        ji.train(PROBLEM, network, descent, steps=1, metrics=[ji.Metric("sharpness", structure.sharpness)])
    rates = xarray.DataArray([0.1], {"seed": [1]})
    with pytest.raises(ji.ArgumentError, match=r"network must be a layer product, got .*Product"):
        linearised(lambda seed: (PROBLEM, network, descent), rates, rates * 10, [0.1], axes=["seed"])
    for engine in ("width_free", "gradient_flow"):
        with pytest.raises(ji.ArgumentError, match=f'"{engine}" trains layer products, got .*Product'):
            ji.train(PROBLEM, network, descent, steps=1, engine=engine)
    assert choose_engine("auto", Setup(PROBLEM, network, descent), ["loss"], True) == "dense"


@pytest.mark.parametrize("name", ["layer_values", "layer_rank", "misalignment"])
def test_filters_have_no_singular_values(name):
    network = built("circulant")
    own = ji.Metric(name, getattr(structure, name), {"layer_values": ("layer", "index")}.get(name, ("layer",)))
    words = f"{name} must be of layers that are matrices, got CirculantProduct; use map_values, those of the map"
    with pytest.raises(ji.ArgumentError, match=words):
        ji.train(PROBLEM, network, ji.gradient_descent(PROBLEM, network), steps=1, metrics=[own])


@pytest.mark.parametrize("kind", KINDS)
def test_its_default_step_size_is_the_stable_one(kind):
    network = built(kind)
    descent = ji.gradient_descent(PROBLEM, network)
    assert descent.stable
    flat, tree = jax.flatten_util.ravel_pytree(network.weights)  # pyright: ignore[reportAttributeAccessIssue]

    def outputs(numbers):
        return type(network)(tree(numbers), **({"repeats": 2} if kind == "tied" else {}))(PROBLEM.measurements)

    J = np.asarray(jax.jit(jax.jacrev(outputs))(flat)).reshape(-1, flat.size)
    assert float(descent.step_size) <= 0.8 * 2 / np.linalg.norm(J, 2) ** 2 * (1 + 1e-3)


def test_padding_is_exact_for_the_residual_product_alone():
    assert [built(kind).pads for kind in KINDS] == [True, False, False]
    descent, three = ji.Descent(0.003, 0.1), jax.jit(lambda s: advance(descent, *pairs, s, jnp.asarray(3)).network)
    pairs = PROBLEM.measurements, PROBLEM.signals
    alone, wide = (three(start(descent, each, PROBLEM.samples)) for each in (built("residual"), padded()))
    for one, other in zip(alone.weights, wide.weights, strict=True):
        np.testing.assert_allclose(other[: len(one), : one.shape[1]], one, atol=1e-13)
        assert np.linalg.norm(other) == pytest.approx(np.linalg.norm(one), rel=1e-13)  # the padding is zero


def padded():
    return pad_width(built("residual"), 9)
