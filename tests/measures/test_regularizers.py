"""Regularizers: values, slopes, strength and precision, and that what they declare to be exact is."""

from dataclasses import replace
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import jaxinv as ji
from jaxinv.measures.metrics import METRICS
from jaxinv.measures.objective import Objective
from jaxinv.measures.regularizers import REGULARIZERS
from jaxinv.measures.view import view_of_weights
from jaxinv.networks.layers import with_weights
from jaxinv.problems.coordinates import compressed_coordinates, plain_coordinates, rotated_coordinates
from jaxinv.sweeps.plan import plan_cells
from jaxinv.training.dense import Dense
from jaxinv.training.descent import Descent
from jaxinv.training.run import train_block
from jaxinv.training.setup import Setup

from ..helpers import relu_setup, setup, small_sweep

PROBLEM, NETWORK, PLAIN = setup()
DEPTH = NETWORK.depth
RATES = (0.5, 0.0, 2.0)
NAMED: dict = {name: name for name in REGULARIZERS.ours if name not in ("weight_decay", "none")}
NAMED["layer_decay"] = ji.layer_decay(RATES)
jacobian = jax.jit(REGULARIZERS["jacobian"].penalty)
OF_THE_MAP = ("nuclear", "frobenius", "spectral")


def numpy_value(name, weights):
    """The regularizer of a linear network by numpy's own linear algebra."""
    values = np.linalg.svd(np.linalg.multi_dot(weights[::-1]), compute_uv=False)
    squares = [np.linalg.norm(weight) ** 2 for weight in weights]
    return {
        "weight_decay": sum(squares) / 2,
        "first_layer_decay": squares[0] / 2,
        "last_layer_decay": squares[-1] / 2,
        "layer_decay": np.dot(RATES, squares) / 2,
        "l1": sum(np.abs(weight).sum() for weight in weights),
        "nuclear": values.sum(),
        "frobenius": (values**2).sum() / 2,
        "spectral": values.max(),
        "jacobian": (values**2).sum() / 2,
    }[name]


def tanh_jacobians(weights, inputs):
    """The mean of (1/2)||J||_F^2 of a tanh network over the inputs, by the chain rule in numpy."""
    squares = []
    for row in inputs:
        value, slope = weights[0] @ row, weights[0]
        for weight in weights[1:]:
            value, slope = weight @ np.tanh(value), weight @ ((1 - np.tanh(value) ** 2)[:, None] * slope)
        squares.append(np.sum(slope**2) / 2)
    return np.mean(squares)


def assert_value_and_slope(penalty, network, value):
    """`penalty(network)` is `value(weights)`, its slope along two directions the difference quotient of that."""
    weights = [np.asarray(weight) for weight in network.weights]
    assert float(penalty(network)) == pytest.approx(value(weights), rel=1e-12)
    slopes = jax.grad(penalty)(network).weights
    for seed in (0, 1):
        ways = [np.random.default_rng(seed).normal(size=weight.shape) for weight in weights]
        ahead, behind = ([w + h * way for w, way in zip(weights, ways, strict=True)] for h in (1e-6, -1e-6))
        along = sum(np.sum(np.asarray(slope) * way) for slope, way in zip(slopes, ways, strict=True))
        assert along == pytest.approx((value(ahead) - value(behind)) / 2e-6, rel=1e-6)


@pytest.mark.parametrize("name", ["weight_decay", *NAMED])
def test_value_and_slope_are_those_that_numpy_finds(name):
    regularizer = REGULARIZERS.find(NAMED.get(name, name))
    assert_value_and_slope(lambda net: regularizer.penalty(net, None), NETWORK, partial(numpy_value, name))


def test_the_jacobian_of_a_network_that_is_not_linear():
    network = ji.layer_product(jax.random.key(0), PROBLEM, width=5, depth=3, activation="tanh")
    inputs = PROBLEM.measurements
    assert_value_and_slope(
        lambda net: jacobian(net, inputs), network, partial(tanh_jacobians, inputs=np.asarray(inputs))
    )


@pytest.mark.parametrize("name", NAMED)
def test_the_loss_is_misfit_and_penalty_in_any_coordinates(name):
    regularizer = REGULARIZERS.find(NAMED[name])
    rotated = rotated_coordinates(PROBLEM)
    turned = with_weights(NETWORK, [NETWORK.weights[0] @ rotated.rotation, *NETWORK.weights[1:]])
    seen = [(plain_coordinates(PROBLEM), NETWORK), (compressed_coordinates(PROBLEM), NETWORK)]
    if regularizer.first_decay is not None:
        seen.append((rotated, turned))
    weights = [np.asarray(weight) for weight in NETWORK.weights]
    apart = np.asarray(PROBLEM.measurements) @ np.linalg.multi_dot(weights[::-1]).T - np.asarray(PROBLEM.signals)
    squares = sum(np.sum(weight**2) for weight in weights)
    whole = np.sum(apart**2) / 2 + 0.3 * squares / 2 + 0.7 * numpy_value(name, weights)
    for coordinates, network in seen:
        loss = METRICS["loss"](view_of_weights(coordinates, network), Objective(0.3, 0.7, regularizer))
        assert float(loss) == pytest.approx(whole, rel=1e-11)


def together(declared):
    """One regularizer that is the sum of those named and declares what all of them do: it breaks where one is wrong."""
    ours = [REGULARIZERS.find(NAMED.get(name, name)) for name in declared]
    decays: list = [one.first_decay for one in ours]
    return ji.Regularizer(
        lambda network, inputs: sum(one.penalty(network, inputs) for one in ours),
        None if None in decays else sum(decays),
        pads=all(one.pads for one in ours), compresses=all(one.compresses for one in ours),
    )  # fmt: skip


def strongest_difference(regularizer, width=None, problem=PROBLEM):
    """How far runs of 200 steps with and without what the regularizer declares come apart, in any record and weight."""
    descent = Descent(PLAIN.step_size, 0.0, strength=0.05, regularizer=regularizer)
    given = Setup(problem, NETWORK, descent)
    engines = Dense(jax.local_devices()[:1], width=width), Dense(jax.local_devices()[:1], reduce=False)
    options = {"steps": 200, "records": 5, "metrics": ["regression_error"]}
    (ours,), (plain,) = (train_block(engine, [given], **options) for engine in engines)
    assert not plain.diverged
    assert plain.metrics["regression_error"][-1] < 0.8
    pairs = [(ours.metrics[name], plain.metrics[name]) for name in plain.metrics]
    pairs += list(zip(ours.network.weights, plain.network.weights, strict=True))
    return max(np.abs(np.asarray(one) - other).max() / np.abs(np.asarray(other)).max() for one, other in pairs)


DECAYS = [name for name in ("weight_decay", *NAMED) if REGULARIZERS.find(NAMED.get(name, name)).first_decay is not None]


@pytest.mark.parametrize(("declared", "width"), [(DECAYS, None), ([*NAMED], 13)])
def test_what_is_declared_holds(declared, width):
    regularizer = together(declared)
    assert regularizer.pads
    assert regularizer.compresses
    assert (regularizer.first_decay is None) is (declared is not DECAYS)
    assert strongest_difference(regularizer, width) < 1e-10


@pytest.mark.parametrize(
    ("wrong", "width"),
    [
        (ji.Regularizer(REGULARIZERS["l1"].penalty, first_decay=1.0, compresses=True), None),
        (ji.Regularizer(lambda network, inputs: jnp.mean(network(inputs) ** 4), compresses=True), None),
        (ji.Regularizer(lambda network, inputs: sum(jnp.sum(jnp.abs(w)) for w in network.weights), pads=True), 13),
    ],
)
def test_a_wrong_declaration_is_noticed(wrong, width):
    assert strongest_difference(wrong, width) > 1e-6


def test_a_penalty_that_may_read_the_inputs_gets_all_of_them():
    descent = Descent(0.1, 0.0, regularizer=ji.Regularizer(lambda network, inputs: jnp.mean(network(inputs) ** 4)))
    assert not descent.compresses
    assert not descent.rotates
    assert replace(PLAIN, regularizer=REGULARIZERS.find(lambda network: jnp.sum(network.weights[0] ** 2))).compresses


@pytest.mark.parametrize("name", NAMED)
def test_gamma_makes_all_weigh_the_same_at_balanced_layers_of_the_least_norm_map(name):
    X, Y = np.asarray(PROBLEM.signals).T, np.asarray(PROBLEM.measurements).T
    left, values, right = np.linalg.svd(X @ np.linalg.pinv(Y, 1e-9), full_matrices=False)
    left, root, right = left[:, :3], values[:3] ** (1 / DEPTH), right[:3]
    weights = [root[:, None] * right, np.diag(root), left * root]
    largest = np.linalg.svd(X, compute_uv=False)
    decay = 0.2 * largest[2] ** 2 * (7 / 13) ** 0.5
    descent = ji.gradient_descent(PROBLEM, NETWORK, gamma=0.2, regularizer=NAMED[name])
    assert descent.weight_decay == 0
    assert descent.strength * numpy_value(name, weights) == pytest.approx(decay * numpy_value("weight_decay", weights))


def test_how_strong_one_is_where_nothing_is_said():
    made = partial(ji.gradient_descent, PROBLEM, NETWORK)
    usual = float(made(gamma=0.1).weight_decay)
    assert made().weight_decay == 0
    assert made(regularizer="weight_decay").weight_decay == usual
    assert made(regularizer="l1").strength == made(regularizer="l1", gamma=0.1).strength > 0
    assert made(regularizer="l1", strength=0.0).strength == 0
    beside = made(regularizer="l1", strength=0.2, weight_decay=0.3)
    assert (beside.strength, beside.weight_decay) == (0.2, 0.3)
    assert made(regularizer="weight_decay", strength=0.2).weight_decay == 0.2
    for none in (made(regularizer="none"), made(regularizer="none", gamma=0.1), made(regularizer="none", strength=1.0)):
        assert none.regularizer is None
        assert none.weight_decay == none.strength == 0


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"strength": 0.1}, "strength must be left out where no regularizer is named"),
        ({"regularizer": "l1", "strength": 0.1, "gamma": 0.1}, "gamma and strength exclude each other"),
        ({"regularizer": "weight_decay", "strength": 0.1, "weight_decay": 0.1}, "strength and weight_decay exclude"),
        ({"regularizer": "l2"}, "unknown regularizer 'l2'; did you mean 'l1'"),
        ({"regularizer": 3}, "regularizer must be a name or a function of the network"),
        ({"regularizer": lambda network: network.weights[0]}, "function that gives a number, got one that gives shape"),
        ({"regularizer": lambda network: network.weight}, "in JAX's terms, got AttributeError"),
        ({"regularizer": lambda network: 0 * jnp.sum(network.weights[0])}, "above 0 at balanced layers"),
        ({"regularizer": ji.layer_decay([1.0, 2.0])}, "layer_decay of 3 rates, one for each layer, got 2"),
    ],
)
def test_bad_arguments_are_refused_in_one_line(given, words):
    with pytest.raises(ji.ArgumentError, match=words) as error:
        ji.gradient_descent(PROBLEM, NETWORK, **given)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(("rates", "words"), [([1.0, -1.0], "rates must be"), ([0, 0], "rates must be above 0")])
def test_bad_rates_are_refused(rates, words):
    with pytest.raises(ji.ArgumentError, match=words):
        ji.layer_decay(rates)


def test_equal_ones_are_equal():
    function = lambda network: jnp.sum(network.weights[0])  # noqa: E731
    assert REGULARIZERS.find(function) == REGULARIZERS.find(function)
    assert ji.layer_decay([1, 2]) == ji.layer_decay([1.0, 2.0]) != ji.layer_decay([1, 3])


@pytest.mark.parametrize("name", OF_THE_MAP)
def test_those_of_the_map_are_refused_for_a_network_that_is_not_linear(name):
    problem, network, _ = relu_setup()
    with pytest.raises(ji.ArgumentError, match='needs a linear network, got one that is not; pass regularizer="jacob'):
        ji.gradient_descent(problem, network, regularizer=name)


def test_the_jacobian_trains_a_network_that_is_not_linear():
    problem, network, _ = relu_setup(width=6, depth=2)
    descent = ji.gradient_descent(problem, network, regularizer="jacobian", strength=0.5)
    run = ji.train(problem, network, descent, steps=100, records=2, metrics=["loss"])
    assert run.metrics["loss"][-1] < run.metrics["loss"][0]
    plain = ji.train(problem, network, replace(descent, regularizer=None), steps=100, records=2, metrics=["loss"])
    ours, theirs = (float(jacobian(made.network, problem.measurements)) for made in (run, plain))
    assert ours < 0.97 * theirs


TURNS = [np.linalg.qr(np.random.default_rng(k).normal(size=(k, k)))[0] for k in (5, 4)]


@pytest.mark.parametrize("values", [[2, 2, 1, 1], [2, 2, 0, 0], [2, 1, 0, 0], [0, 0, 0, 0]])
def test_slopes_at_repeated_and_zero_singular_values_are_the_least_subgradients(values):
    left, right = TURNS[0][:, :4], TURNS[1]
    network = ji.LayerProduct((jnp.asarray(left * values @ right),))
    for name, wanted in (
        ("nuclear", np.sign(values)),
        ("spectral", np.equal(values, max(values)) / max(1, values.count(max(values))) * np.sign(values)),
    ):
        regularizer = REGULARIZERS[name]
        slope = jax.grad(lambda net, one=regularizer: one.penalty(net, None))(network).weights[0]
        if name == "nuclear" or values.count(max(values)) == 1 or max(values) == 0:
            np.testing.assert_allclose(slope, left * wanted @ right, atol=1e-12)
        else:  # any mean over the tied directions is a subgradient, rounding decides which
            inside = left.T @ np.asarray(slope) @ right.T
            assert np.trace(inside) == pytest.approx(1)
            np.testing.assert_allclose(inside[2:], 0, atol=1e-12)


def test_a_slope_that_float32_cannot_resolve_is_taken_in_float64():
    eta = float(PLAIN.step_size)
    names = ["weight_decay", "first_layer_decay", "l1", "nuclear"]
    sweep = partial(small_sweep, fixed={"step_size": eta}, metrics=["regression_error"])
    both = {"regularizer": names, "strength": [1e-7 / eta, 1e-2 / eta]}
    plans = plan_cells(sweep(axes=both, precision="auto").cells(), named=False)
    assert [plan.precision for plan in plans] == ["float64", "float32"] * len(names)
    for name, words in (
        ("weight_decay", "step_size \\* weight_decay is"),
        ("l1", "what a step of the regularizer takes"),
    ):
        with pytest.raises(ji.ArgumentError, match=words):
            ji.run_sweep(sweep(axes={"regularizer": [name], "strength": [1e-7 / eta]}, precision="float32"))


def test_each_by_name_trains_where_nothing_else_is_said_and_its_strength_is_among_the_results():
    names = list(REGULARIZERS.ours)
    sizes = {"signal_dim": 12, "measurement_dim": 6, "subspace_dim": 2, "samples": 9, "width": 20, "depth": 2}
    sweep = ji.Sweep({"regularizer": names, "seed": [0]}, sizes, steps=30, records=2, metrics=["regression_error"])
    results = ji.run_sweep(sweep)
    assert not results.diverged.any()
    error = results.regression_error.isel(seed=0)
    assert (error.isel(record=1) < 0.5 * error.isel(record=0)).all()
    made = [ji.build(cell).descent for cell in sweep.cells()[:3]]
    assert names[:3] == ["weight_decay", "none", "first_layer_decay"]
    assert results.weight_decay.values[:3, 0].tolist() == [float(made[0].weight_decay), 0, 0]
    assert made[0].weight_decay > 0
    np.testing.assert_array_equal(results.strength[:3, 0], [np.nan, np.nan, float(made[2].strength)])
    assert (results.strength[2:] > 0).all()
    with pytest.raises(ji.ArgumentError, match="a word that the results do not use"):
        replace(sweep, metrics=[ji.Metric("strength", lambda coordinates, network: jnp.zeros(()))])
