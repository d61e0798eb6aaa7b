"""Problems made at random follow the law they state."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import jaxinv as ji

from ..helpers import GRID, SMALL, union

KEY = jax.random.key(3)


@settings(max_examples=15, deadline=None)
@given(s=st.integers(1, 5), extra=st.integers(0, 6), kappa=st.floats(1, 100), seed=st.integers(0, 99))
def test_data_law_is_exact(s, extra, kappa, seed):
    samples = s + extra
    problem = ji.subspace_problem(
        jax.random.key(seed), signal_dim=9, measurement_dim=6, subspace_dim=s, samples=samples, condition_number=kappa
    )
    values = np.linalg.svd(problem.signals, compute_uv=False)[:s]
    np.testing.assert_allclose(values, samples**0.5 * np.geomspace(1, 1 / kappa, s), rtol=1e-10)
    np.testing.assert_allclose(problem.measurements, problem.signals @ problem.operator.T, atol=1e-12)


def test_the_same_key_gives_the_same_problem_and_test_signals_of_their_own():
    problem = ji.subspace_problem(KEY, **SMALL, noise=0.2)
    again = ji.subspace_problem(KEY, **SMALL, noise=0.2)
    assert np.array_equal(problem.signals, again.signals)
    fresh, _ = problem.test_data(KEY, SMALL["samples"])
    assert not np.allclose(fresh, problem.signals)


def test_training_noise_has_the_stated_size():
    problem = ji.subspace_problem(KEY, signal_dim=40, measurement_dim=20, subspace_dim=3, samples=5000, noise=0.3)
    clean = problem.signals @ problem.operator.T
    ratio = jnp.linalg.norm(problem.measurements - clean) / jnp.linalg.norm(clean)
    assert float(ratio) == pytest.approx(0.3, rel=0.02)
    assert problem.measurement_rank == 20


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"measurement_dim": 14}, "measurement_dim must be at most signal_dim = 13, got 14"),
        ({"subspace_dim": 8}, "subspace_dim must be at most measurement_dim = 7, got 8"),
        ({"samples": 0}, "samples must be a positive whole number, got 0"),
        ({"noise": -0.1}, "noise must be a finite number of at least 0, got -0.1"),
        ({"noise": float("nan")}, "noise must be a finite number"),
        ({"condition_number": 0.5}, "condition_number must be a finite number of at least 1"),
        ({"operator": "gausian"}, "did you mean 'gaussian'"),
    ],
)
def test_a_bad_argument_of_a_subspace_problem_is_named(changes, words):
    with pytest.raises(ValueError, match=words):
        ji.subspace_problem(KEY, **{**SMALL, **changes})


def test_fewer_samples_than_dimensions_of_the_subspace_train_alike_reduced_and_plain():
    problem = ji.subspace_problem(KEY, **{**SMALL, "samples": 2, "condition_number": 1.0})
    assert problem.measurement_rank == 2
    values = np.linalg.svd(problem.signals, compute_uv=False)
    np.testing.assert_allclose(values[:2], problem.signal_extremes, rtol=1e-12)
    network = ji.layer_product(KEY, problem, width=8, depth=2)
    runs = [
        ji.train(problem, network, ji.gradient_descent(problem, network, gamma=0.1), steps=200, reduce=reduce)
        for reduce in (True, False)
    ]
    for name, curve in runs[1].metrics.items():
        np.testing.assert_allclose(runs[0].metrics[name], curve, atol=1e-10 * np.abs(curve).max(), err_msg=name)


def test_held_out_pairs_are_fresh_and_without_noise():
    problem: Any = union(noise=0.5)
    signals, measurements = problem.held_out
    assert signals.shape == (7, 14)
    np.testing.assert_allclose(measurements, signals @ problem.operator.T, atol=1e-13)
    assert np.linalg.norm(signals[:1] - problem.signals, axis=1).min() > 1e-3
    noise = problem.measurements - problem.signals @ problem.operator.T
    assert abs(np.sum(np.asarray(noise) ** 2) / 12 / (9 * float(problem.noise_variance(0.5))) - 1) < 0.5


def test_the_same_key_gives_the_same_problem_at_another_count_of_held_out_pairs():
    assert np.array_equal(union().signals, union(held_out=50).signals)
    assert not np.allclose(union(1).signals, union().signals)


@pytest.mark.parametrize(
    ("changes", "word"),
    [
        ({"subspaces": 0}, "subspaces"),
        ({"samples": 2}, "samples"),
        ({"held_out": 2}, "held_out"),
        ({"subspace_dim": 10}, "subspace_dim"),
        ({"measurement_dim": 15}, "measurement_dim"),
        ({"noise": -1.0}, "noise"),
        ({"operator": "gauss"}, "gaussian"),
    ],
)
def test_a_bad_argument_of_a_union_problem_is_named(changes, word):
    with pytest.raises(ji.ArgumentError, match=word):
        union(**changes)


@pytest.mark.usefixtures("unchecked")
@pytest.mark.parametrize("build", [ji.subspace_problem, ji.union_problem])
@pytest.mark.parametrize(
    ("argument", "words"),
    [
        (
            {"operator": np.eye(6, 12)},
            r"operator must be one of .*, got an array of shape \(6, 12\); for a matrix of your",
        ),
        ({"operator": 1}, "operator must be one of gaussian, orthogonal_rows, got 1"),
        ({"operator": "gausian"}, "unknown operator 'gausian'; did you mean 'gaussian'"),
        ({"noise": 1e308}, r"noise must be at most 1e\+15, or the loss is no number, got 1e\+308"),
    ],
)
def test_what_makes_no_operator_or_noise_is_refused_in_one_line(build, argument, words):
    with pytest.raises(ji.ArgumentError, match=words) as caught:
        build(jax.random.key(0), signal_dim=12, measurement_dim=6, subspace_dim=2, samples=9, **argument)
    assert len(str(caught.value).splitlines()) == 1


def test_the_loudest_noise_is_a_number_in_float32():
    fixed = {**GRID, "noise": 1e15}
    results = ji.run_sweep(ji.Sweep({"seed": [0]}, fixed, steps=1, records=2, precision="float32"))
    assert np.isfinite(results.loss[0, 0])
