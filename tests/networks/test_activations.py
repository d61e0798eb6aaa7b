"""Networks with activations: what they compute, the gain at their start, which layers have it, what is exact."""

import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import jaxinv as ji
from jaxinv.networks.activations import ACTIVATIONS
from jaxinv.networks.padding import pad_width
from jaxinv.training.descent import start, step

from ..helpers import union

KEY = jax.random.key(1)
PROBLEM = union()
ROWS = np.random.default_rng(0).standard_normal((5, 9))
PLAIN = {
    "linear": lambda z: z,
    "relu": lambda z: np.maximum(z, 0),
    "leaky_relu": lambda z: np.where(z > 0, z, 0.01 * z),
    "gelu": lambda z: 0.5 * z * (1 + np.tanh(math.sqrt(2 / math.pi) * (z + 0.044715 * z**3))),
    "tanh": np.tanh,
    "sigmoid": lambda z: 1 / (1 + np.exp(-z)),
}


def test_every_activation_is_tried():
    assert set(ACTIVATIONS) == set(PLAIN)


@pytest.mark.parametrize("name", PLAIN)
def test_an_activated_network_is_what_it_says(name):
    network = ji.layer_product(KEY, PROBLEM, width=6, depth=3, activation=name)
    plain = ji.layer_product(KEY, PROBLEM, width=6, depth=3)
    gain = ACTIVATIONS[name].gain
    for weight, linear, factor in zip(network.weights, plain.weights, (gain, gain, 1), strict=True):
        np.testing.assert_allclose(weight, factor * linear, rtol=1e-12)
    first, second, last = (np.asarray(weight) for weight in network.weights)
    expected = PLAIN[name](PLAIN[name](ROWS @ first.T) @ second.T) @ last.T
    np.testing.assert_allclose(network(jnp.asarray(ROWS)), expected, atol=1e-12)
    assert network.is_linear == (name == "linear")
    assert network.depth == 3
    assert network.width == 6


@pytest.mark.parametrize("name", PLAIN)
def test_the_gain_keeps_the_power_of_a_standard_normal_signal(name):
    z = np.linspace(-12, 12, 200_001)
    power = np.trapezoid(PLAIN[name](z) ** 2 * np.exp(-(z**2) / 2), z) / math.sqrt(2 * math.pi)
    assert ACTIVATIONS[name].gain == pytest.approx(power**-0.5, rel=1e-4)


def test_the_gain_of_a_function_of_ones_own_is_found():
    network = ji.layer_product(KEY, PROBLEM, width=6, depth=2, activation=jnp.sin)
    plain = ji.layer_product(KEY, PROBLEM, width=6, depth=2)
    gain = ((1 - math.exp(-2)) / 2) ** -0.5  # E sin(z)^2 = (1 - e^-2)/2
    np.testing.assert_allclose(network.weights[0], gain * plain.weights[0], rtol=1e-12)
    with jax.enable_x64(False):
        assert ACTIVATIONS.find(jnp.sin).gain == network.activation.gain  # whatever the session's float type
    assert ACTIVATIONS.find(lambda z: jnp.cosh(z**2)).gain == 1  # no power: no gain
    assert ACTIVATIONS.find(ji.Activation(jnp.sin)).gain == 1


@pytest.mark.parametrize("count", [1, 2])
def test_the_last_hidden_layers_have_the_activation(count):
    network = ji.layer_product(KEY, PROBLEM, width=6, depth=4, activation="tanh", nonlinear_layers=count)
    plain = ji.layer_product(KEY, PROBLEM, width=6, depth=4)
    rows, linear = ROWS, 3 - count
    for place, weight in enumerate(map(np.asarray, network.weights)):
        factor = 1.5925 if linear <= place < 3 else 1
        np.testing.assert_allclose(weight, factor * plain.weights[place], rtol=1e-12)
        rows = rows @ weight.T
        rows = np.tanh(rows) if linear <= place < 3 else rows
    np.testing.assert_allclose(network(jnp.asarray(ROWS)), rows, atol=1e-12)


@pytest.mark.parametrize("name", PLAIN)
def test_padding_is_exact_where_it_is_declared(name):
    network = ji.layer_product(KEY, PROBLEM, width=6, depth=3, activation=name)
    ends = []
    for each in (network, pad_width(network, 9)):
        descent = ji.Descent(0.01, 0.1)
        state = start(descent, each, PROBLEM.samples)
        for _ in range(3):
            state = step(descent, PROBLEM.measurements, PROBLEM.signals, state)
        ends.append(state.network)
    pairs = zip(network.weights, *(end.weights for end in ends), strict=True)
    cut = [np.allclose(wide[: len(one), : one.shape[1]], alone, rtol=1e-12) for one, alone, wide in pairs]
    outside = max(float(jnp.max(jnp.abs(weight[:, 6:]))) for weight in ends[1].weights[1:])
    assert network.pads == all(cut) == (outside == 0) == (name != "sigmoid")


def test_zeros_do_not_pad_where_the_slope_at_zero_is_infinite():
    # 0 times infinity: one step would make NaN of every weight
    root = ji.Activation(lambda rows: jnp.sign(rows) * jnp.sqrt(jnp.abs(rows)))
    assert not ji.layer_product(KEY, PROBLEM, width=6, depth=3, activation=root).pads
    assert ji.layer_product(KEY, PROBLEM, width=6, depth=3, activation=lambda rows: rows * (rows > 0)).pads


def test_hidden_layers_with_one_activation_can_be_linear():
    # what the reductions may not see: a network that is linear, but does not say so
    network = ji.layer_product(KEY, PROBLEM, width=6, depth=3, activation=ji.Activation(lambda rows: rows))
    plain = ji.layer_product(KEY, PROBLEM, width=6, depth=3)
    np.testing.assert_allclose(network(jnp.asarray(ROWS)), ROWS @ np.asarray(plain.end_to_end()).T, atol=1e-12)
    assert not network.is_linear


@pytest.mark.usefixtures("unchecked")
@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"activation": "rleu"}, "unknown activation 'rleu'; did you mean 'relu'"),
        ({"activation": 3}, "activation must be a name or a function of an array, got 3"),
        ({"activation": lambda: 1}, "activation must be a name or a function of an array, got one of"),
        ({"activation": jax.nn.softmax}, "activation must be a function of arrays, entry by entry, got one that mixes"),
        ({"activation": jnp.sum}, r"entry by entry, got one that gives shape \(\)"),
        ({"activation": math.sin}, "entry by entry, got TypeError: "),
        ({"nonlinear_layers": 0}, "nonlinear_layers must be a positive whole number, got 0"),
        ({"nonlinear_layers": 3}, "nonlinear_layers must be at most the 2 hidden layers, got 3; pass None for all"),
        ({"nonlinear_layers": 1, "depth": "two"}, "depth must be a positive whole number, got 'two'"),
        ({"architecture": "resnet"}, "unknown architecture 'resnet'; known: circulant, product, residual, tied"),
        ({"architecture": 1}, r"architecture must be a name or a function of \(weights, activation, non"),
        ({"architecture": "tied", "activation": "relu"}, 'activation must be "linear" for architecture \'tied\', got'),
        ({"architecture": "residual", "depth": 2}, "depth must be at least 3 for architecture 'residual', got 2"),
        ({"init": lambda keys, sizes: []}, r"init must be a function that gives arrays of shapes \[\(6, 9\)"),
        ({"init": lambda keys: []}, r"init must be a name or a function of \(keys, sizes\), got one of \(keys\)"),
        ({"init": "balanced", "width": 10**6}, "width must be one with at most 2,147,483,648 weights, got 1000000"),
    ],
)  # fmt: skip
def test_a_bad_argument_is_named_in_one_line(arguments, words):
    with pytest.raises(ji.ArgumentError, match=words) as error:
        ji.layer_product(KEY, PROBLEM, **{"width": 6, "depth": 3, **arguments})
    assert "\n" not in str(error.value)
