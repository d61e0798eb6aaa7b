"""The linearisation of training at weights that were not generated: that of dense networks in law, at any width."""

from typing import Any

import jax
import numpy as np
import pytest
from scipy.stats import ks_2samp

import jaxinv as ji
from jaxinv import theory
from jaxinv.networks.unsampled import UnsampledProduct
from jaxinv.training.width_free.chains import sampled_linearisation

from ...helpers import relu_setup

SEEDS = 200
SIZES = {"signal_dim": 8, "measurement_dim": 5, "subspace_dim": 2, "samples": 9, "condition_number": 2.0, "noise": 0.3}
PROBLEM = ji.subspace_problem(jax.random.key(0), **SIZES)
WIDTHS = (3, 9, 14, 60)  # below the rank 5 of the data, below rank + signal_dim, just above it, far above


def network(seed, width, depth=3, problem=PROBLEM, scale=1.3, engine="width_free") -> Any:
    key = jax.random.key(seed)
    return ji.layer_product(key, problem, width=width, depth=depth, scale=scale, engine=engine)


def told(linear):
    """Extremes of K, the error at the start, and how the two go together."""
    whole = sum(np.kron(linear.inputs[layer], linear.outputs[:, layer]) for layer in range(len(linear.inputs)))
    values, error = np.linalg.eigvalsh(whole), linear.error.ravel()
    return {
        "largest": values[-1], "smallest": values[0], "error": np.linalg.norm(error), "entry": error[0],
        "slope": error @ whole @ error, "first input": linear.inputs[1][0, 0], "output": linear.outputs[0, 0, 0],
    }  # fmt: skip


@pytest.mark.parametrize("width", WIDTHS)
@pytest.mark.parametrize("depth", [2, 4])
def test_in_law_it_is_that_of_dense_networks(width, depth):
    dense = [theory.linearise(PROBLEM, network(seed, width, depth, engine="dense").weights) for seed in range(SEEDS)]
    sampled = [sampled_linearisation(PROBLEM, network(SEEDS + seed, width, depth)) for seed in range(SEEDS)]
    ours, plain = ([told(linear) for linear in each] for each in (sampled, dense))
    for name in ours[0]:
        a, b = ([one[name] for one in each] for each in (ours, plain))
        if width == WIDTHS[0] and name == "smallest":
            np.testing.assert_allclose([a, b], 0, atol=1e-9)  # K is singular
        else:
            test: Any = ks_2samp(a, b)
            assert test.pvalue > 0.01 / (2 * len(WIDTHS) * len(ours[0])), name
    assert {one.beyond for one in sampled} == {dense[0].beyond}


@pytest.mark.parametrize("depth", [2, 3, 5])
def test_a_million_wide_it_is_near_its_limit(depth):
    problem = ji.subspace_problem(jax.random.key(1), signal_dim=20, measurement_dim=10, subspace_dim=3, samples=9)
    linear = ji.linearisation_of(problem, network(0, 10**6, depth, problem, scale=1.0))
    gaps = np.divide(linear.extremes(), theory.wide_extremes(problem, 10**6, depth)) - 1
    assert np.max(np.abs(gaps)) <= depth * (problem.measurement_dim / 10**6) ** 0.5


def test_a_single_layer_has_no_chain():
    linear = sampled_linearisation(PROBLEM, UnsampledProduct(jax.random.key(0), (5, 8), 1.0))
    values = np.linalg.svd(np.asarray(PROBLEM.measurements), compute_uv=False)
    assert linear.extremes() == pytest.approx((values[4] ** 2, values[0] ** 2))


def test_a_key_gives_one_linearisation():
    first, again, other = (ji.linearisation_of(PROBLEM, network(seed, 10**6)) for seed in (0, 0, 1))
    for a, b, c in zip(first, again, other, strict=True):
        np.testing.assert_array_equal(a, b)
        assert np.ndim(a) == 0 or not np.allclose(a, c)


def test_of_generated_weights_it_is_theirs():
    dense = network(0, 20, engine="dense")
    for ours, plain in zip(ji.linearisation_of(PROBLEM, dense), theory.linearise(PROBLEM, dense.weights), strict=True):
        np.testing.assert_array_equal(ours, plain)


def test_a_network_that_is_no_layer_product_has_none(unchecked):
    problem, relu, _ = relu_setup()
    with pytest.raises(ji.ArgumentError, match="network must be a layer product, got ReluNetwork; pass what"):
        ji.linearisation_of(problem, relu)
