"""Where the engine does not hold, one line says why, and what to use."""

import jax
import numpy as np
import optax
import pytest

import jaxinv as ji

from ...helpers import relu_setup
from .test_engine import SIZES, sweep

KEY = jax.random.key(0)


def given(width=100, depth=3, **problem):
    data = ji.subspace_problem(KEY, **{**SIZES, **problem})
    network = ji.layer_product(KEY, data, width=width, depth=depth)
    return data, network, ji.gradient_descent(data, network)


def assert_refused(setup, message, **options):
    with pytest.raises(ji.ArgumentError, match=message) as caught:
        ji.train(*setup, **{"steps": 2, "records": 2, "engine": "width_free"} | options)
    assert "\n" not in str(caught.value)


@pytest.mark.usefixtures("unchecked")
@pytest.mark.parametrize("tolerance", [0, 1.5, float("nan"), "1e-6", True, 1e-12, None])
def test_tolerance_is_a_number_that_rounding_allows(tolerance):
    assert_refused(given(), "tolerance must be a number from 1e-10 to 1, got .*; pass", tolerance=tolerance)
    with pytest.raises(ji.ArgumentError, match="tolerance must be a number from 1e-10 to 1"):
        sweep(tolerance=tolerance)


def test_few_directions_are_needed():
    assert_refused(given(width=6), 'gains nothing where the data have rank 3 and a layer is 6 wide.*use engine="dense"')
    full = {"signal_dim": 300, "measurement_dim": 290, "samples": 300, "noise": 0.1}
    assert_refused(given(width=700, depth=2, **full), "at most 512 coordinates, got data of rank 290")
    random = np.random.default_rng(0)
    operator, signals = random.normal(size=(10, 600)), random.normal(size=(4, 600))
    tests = random.normal(size=(550, 600))
    problem = ji.Problem(operator, signals, held_out=(tests, tests @ operator.T))
    network = ji.layer_product(KEY, problem, width=30, depth=2)
    descent = ji.gradient_descent(problem, network, step_size=1e-3)
    assert_refused(
        (problem, network, descent), "at most 512 coordinates, got targets and signals to test on that take 600"
    )


def test_networks_and_optimizers_outside():
    assert_refused(relu_setup(), 'trains layer products, got ReluNetwork.*; use engine="dense"')
    assert_refused(given(depth=1), 'got a network of depth 1.*; use engine="dense"')
    problem, network, _ = given()
    adam = ji.Descent(1e-3, 0.0, transform=lambda eta, decay: optax.adam(eta))
    assert_refused(
        (problem, network, adam),
        'momentum .* with weight decay and squared misfit, got.*; use engine="dense"',
    )


def test_metrics_that_cannot_be_told():
    own = ji.Metric("mine", lambda coordinates, network: network.weights[0][0, 0])
    for metric, name in (("balancedness", "balancedness"), (own, "mine")):
        assert_refused(
            given(), f"does not hold the weights that metric '{name}' needs; use engine=\"dense\"", metrics=[metric]
        )
        with pytest.raises(ji.ArgumentError, match=f"metric '{name}' needs"):
            ji.run_sweep(sweep(metrics=[metric]))


def test_what_the_engine_does_not_do():
    assert_refused(given(), "got reduce=False", reduce=False)
    done = ji.train(*given(), steps=2, records=2)
    assert_refused(given(), 'after must be None with engine "width_free"', after=done)
    with pytest.raises(ji.ArgumentError, match="precision must be float64 or auto"):
        sweep(precision="float32")


def test_weights_that_do_not_exist():
    message = r'width 1,000,000 and depth 3 .* were not generated; train it with engine="width_free"'
    problem = ji.subspace_problem(KEY, **SIZES)
    network = ji.layer_product(KEY, problem, width=10**6, depth=3)  # too many to generate
    descent = ji.gradient_descent(problem, network)
    assert_refused((problem, network, descent), message, engine="dense")
    for ask in (lambda: network.weights[0], lambda: len(network.weights), lambda: list(network.weights)):
        with pytest.raises(ji.ArgumentError, match=message):
            ask()
    for ask in (network.end_to_end, lambda: network(problem.measurements), lambda: ji.measure(problem, network)):
        with pytest.raises(ji.ArgumentError, match=message):
            ask()
    with pytest.raises(ji.ArgumentError, match=message):
        ji.run_sweep(sweep(axes={"width": [10**6], "seed": [0]}, engine="dense"))


def test_auto_never_takes_it_where_it_does_not_hold():
    """relu, another optimizer, a metric that is asked for: dense; wide and in scope: width-free."""
    assert not ji.train(*relu_setup(), steps=2, records=2, engine="auto").reduction
    wide = given(width=400)
    assert ji.train(*wide, steps=2, records=2, engine="auto").reduction
    assert not ji.train(*wide, steps=2, records=2, engine="auto", metrics=["balancedness"]).reduction
    adam = ji.Descent(1e-3, 0.0, transform=lambda eta, decay: optax.adam(eta))
    assert not ji.train(*wide[:2], adam, steps=2, records=2, engine="auto").reduction
