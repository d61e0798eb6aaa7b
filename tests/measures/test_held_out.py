"""Metrics of fresh signals on a problem of your own arrays: on held-out pairs, or called in-sample."""

import warnings

import jax
import numpy as np
import pytest

import jaxinv as ji
from jaxinv.measures.view import view_of_weights
from jaxinv.problems import baselines
from jaxinv.problems.coordinates import compressed_coordinates, plain_coordinates

from ..helpers import relu_setup, setup, small_sweep

KEY = jax.random.key(2)
RNG = np.random.default_rng(0)
OPERATOR = RNG.standard_normal((6, 12)) / 6**0.5
ALL = (RNG.standard_normal((60, 12)) * np.geomspace(1, 1e-2, 12)).astype(np.float64)
SIGNALS, FRESH = ALL[:9], ALL[9:]
MEASURED = FRESH @ OPERATOR.T + 0.01 * RNG.standard_normal((51, 6))
IN_SAMPLE = {"in_sample_test_error", "in_sample_noise_sensitivity"}


def own(**more):
    return ji.Problem(OPERATOR, SIGNALS, subspace_dim=5, **more)


def with_pairs():
    return own(held_out=(FRESH, MEASURED))


def error_and_standard_error(outputs):
    """Relative RMSE on the held-out pairs, and its standard error by leaving each pair out in turn (jackknife)."""
    squares, power = np.sum((outputs - FRESH) ** 2, axis=1), np.sum(FRESH**2, axis=1)
    n = len(power)
    without = np.sqrt((squares.sum() - squares) / (power.sum() - power))
    spread = np.sqrt((n - 1) / n * np.sum((without - without.mean()) ** 2))
    return np.sqrt(squares.sum() / power.sum()), spread


def test_the_in_sample_oracle_is_not_called_perfect():
    problem = own()
    oracle = ji.LayerProduct((baselines.oracle(problem),))
    with pytest.warns(UserWarning, match="of the signals trained on, not of fresh ones, .* pass held_out=") as caught:
        blind = ji.measure(problem, oracle)
    assert [warning.filename for warning in caught] == [__file__]
    assert blind.keys() >= IN_SAMPLE
    assert not {"test_error", "noise_sensitivity"} & blind.keys()
    seen = ji.measure(with_pairs(), oracle)
    assert not IN_SAMPLE & seen.keys()
    assert float(blind["in_sample_test_error"]) < 1e-12
    outputs = MEASURED @ np.asarray(problem.oracle).T
    error, spread = error_and_standard_error(outputs)
    assert float(seen["test_error"]) == pytest.approx(error, rel=1e-12)
    assert float(seen["test_error_standard_error"]) == pytest.approx(spread, rel=0.1)
    assert error > 0.05


@pytest.mark.parametrize("made", [ji.layer_product, ji.relu_network])
@pytest.mark.parametrize("reduce", [True, False])
def test_with_held_out_pairs_the_test_error_is_theirs(made, reduce):
    problem = with_pairs()
    network = made(KEY, problem, width=20, depth=3)
    run = ji.train(problem, network, ji.gradient_descent(problem, network), steps=30, records=[0, 30], reduce=reduce)
    for record, net in ((0, network), (1, run.network)):
        error, spread = error_and_standard_error(np.asarray(net(MEASURED)))
        assert run.metrics["test_error"][record] == pytest.approx(error, rel=1e-10)
        assert run.metrics["test_error_standard_error"][record] == pytest.approx(spread, rel=0.1)


def test_the_sensitivity_and_the_noisy_error_are_those_of_the_held_out_pairs():
    problem = with_pairs()
    network = ji.layer_product(KEY, problem, width=20, depth=2)
    measured = {name: float(value) for name, value in ji.measure(problem, network).items()}
    matrix, noise = np.asarray(network.end_to_end()), 0.5
    variance = noise**2 * np.mean(np.sum(MEASURED**2, axis=1)) / 6
    squares = np.mean(np.sum((MEASURED @ matrix.T - FRESH) ** 2, axis=1)) + variance * np.sum(matrix**2)
    expected = np.sqrt(squares / np.mean(np.sum(FRESH**2, axis=1)))
    halves = ji.noisy_test_error(measured["test_error"], measured["noise_sensitivity"], noise)
    assert halves == pytest.approx(expected, rel=1e-12)
    for coordinates in (plain_coordinates(problem), compressed_coordinates(problem)):
        rows = ji.NoisyError([noise], ["network", "oracle"]).record(view_of_weights(coordinates, network))
        assert float(rows[0, 0]) == pytest.approx(expected, rel=1e-12)
        assert float(rows[1, 0]) > 0.05


def test_one_pair_has_no_standard_error():
    problem = own(held_out=(FRESH[:1], MEASURED[:1]))
    measured = ji.measure(problem, ji.layer_product(KEY, problem, width=20, depth=2))
    assert np.isfinite(measured["test_error"])
    assert np.isnan(measured["test_error_standard_error"])


def test_a_generator_knows_its_law():
    problem, network, _ = setup()
    assert not {*IN_SAMPLE, "test_error_standard_error"} & ji.measure(problem, network).keys()
    given = ji.Problem(problem.operator, problem.signals, latent=problem.latent)
    assert float(ji.measure(given, network)["test_error"]) == float(ji.measure(problem, network)["test_error"])
    union, relu, _ = relu_setup()
    product = ji.LayerProduct(relu.weights)
    assert "test_error_standard_error" not in ji.measure(union, product)


def test_a_run_and_a_sweep_warn_once_and_name_it():
    problem = own()
    network = ji.layer_product(KEY, problem, width=20, depth=2)
    descent = ji.gradient_descent(problem, network)

    def caught(function):
        with warnings.catch_warnings(record=True) as found:
            warnings.simplefilter("always")
            return function(), [warning for warning in found if warning.filename == __file__ or pytest.fail("not here")]

    run, found = caught(lambda: ji.train(problem, network, descent, steps=3, records=3, metrics=["test_error"]))
    assert set(run.metrics) == {"loss", "in_sample_test_error"}
    assert len(found) == 1
    run, found = caught(
        lambda: ji.train(problem, network, descent, steps=3, records=3, metrics=["in_sample_test_error"])
    )
    assert set(run.metrics) == {"loss", "in_sample_test_error"}
    assert not found
    sweep = ji.Sweep({"width": [20, 30], "seed": range(3)}, {"depth": 2}, 3, 3, problem=lambda: own())
    results, found = caught(lambda: ji.run_sweep(sweep))
    assert set(results.data_vars) >= IN_SAMPLE
    assert "test_error" not in results
    assert len(found) == 1
    noisy = ji.Sweep({"seed": range(2)}, {"depth": 2}, 3, 3, [ji.NoisyError([0.1])], problem=lambda: own())
    assert "noisy_error: of the signals" in str(caught(lambda: ji.run_sweep(noisy))[1][0].message)
    held = ji.Sweep({"width": [20, 30]}, {"depth": 2}, 3, 3, problem=lambda: with_pairs())
    results, found = caught(lambda: ji.run_sweep(held))
    assert np.isfinite(results.test_error_standard_error).all()
    assert not found


def test_a_relu_network_without_held_out_pairs_has_no_test_error():
    sweep = small_sweep(network=ji.relu_network, metrics=["test_error"])
    with pytest.raises(ji.ArgumentError, match="metric 'test_error' must be of a problem with held-out pairs"):
        ji.run_sweep(sweep)
