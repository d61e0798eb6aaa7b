"""A problem of your own arrays."""

import jax
import numpy as np
import pytest

import jaxinv as ji

KEY = jax.random.key(3)


def test_your_own_arrays_are_a_problem():
    rng = np.random.default_rng(0)
    signals = rng.standard_normal((30, 4)) @ rng.standard_normal((4, 12))
    operator = rng.standard_normal((6, 12)) / 6**0.5
    problem = ji.Problem(operator=operator, signals=signals, measurements=signals @ operator.T)
    assert problem.subspace_dim == 4
    assert problem.measurement_rank == 4
    np.testing.assert_allclose(problem.measurements @ problem.oracle.T, signals, atol=1e-10)
    network = ji.layer_product(KEY, problem, width=60, depth=2)
    descent = ji.gradient_descent(problem, network, gamma=0.1)
    run = ji.train(problem, network, descent, steps=50, metrics=["off_subspace_error"])
    assert np.isfinite(run.metrics["off_subspace_error"]).all()


@pytest.mark.parametrize(
    ("name", "value", "words"),
    [
        ("signals", np.full((4, 6), np.nan), "signals must be finite everywhere, got 24 NaN"),
        ("signals", np.ones((4, 5)), "signals must be of shape .* signal_dim = 6, got shape"),
        ("signals", np.zeros((4, 6)), "signals must be non-zero"),
        ("signals", np.ones(6), "signals must be a non-empty matrix"),
        ("operator", np.array([["a"]]), "operator must be an array of real numbers"),
        ("measurements", np.ones((3, 2)), "measurements must be 4 rows"),
        ("measurements", np.full((4, 2), np.inf), "measurements must be finite"),
    ],
)
def test_bad_arrays_are_named(name, value, words):
    arrays = {"operator": np.eye(2, 6), "signals": np.ones((4, 6)), "measurements": np.ones((4, 2))}
    with pytest.raises(ValueError, match=words):
        ji.Problem(**{**arrays, name: value})


RIGHT = (np.ones((3, 6)), np.ones((3, 2)))


@pytest.mark.parametrize(
    ("held_out", "words"),
    [
        (np.ones((3, 6)), "held_out must be a pair .*, got ndarray of 3; pass held_out=\\(signals, measurements\\)"),
        (5, "held_out must be a pair .*, got int"),
        (RIGHT[:1], "held_out must be a pair .*, got tuple of 1"),
        ((RIGHT[0][:, :5], RIGHT[1]), "held_out signals must be of shape .* signal_dim = 6, got shape \\(3, 5\\)"),
        ((RIGHT[0], RIGHT[1].T), "held_out measurements must be of shape .* measurement_dim = 2, got shape \\(2, 3\\)"),
        ((RIGHT[0], RIGHT[1][:2]), "held_out measurements must be 3 rows, one for each held-out signal, got 2 rows"),
        ((RIGHT[0] * np.nan, RIGHT[1]), "held_out signals must be finite everywhere, got 18 NaN"),
        ((RIGHT[0], 1j * RIGHT[1]), "held_out measurements must be an array of real numbers, got dtype complex128"),
    ],
)
def test_bad_held_out_pairs_are_named(held_out, words):
    with pytest.raises(ji.ArgumentError, match=words) as caught:
        ji.Problem(np.eye(2, 6), np.ones((4, 6)), held_out=held_out)
    assert "\n" not in str(caught.value)


def test_held_out_pairs_have_the_float_type_of_the_operator():
    problem = ji.Problem(np.eye(2, 6), np.ones((4, 6)), held_out=([[1] * 6], np.ones((1, 2), np.float32)))
    assert problem.held_out is not None
    assert [array.dtype for array in problem.held_out] == [problem.operator.dtype] * 2


@pytest.mark.parametrize(
    ("more", "words"),
    [
        ({}, "signals span 20 dimensions, measurements 8: .*; pass subspace_dim if they lie near a smaller one"),
        (
            {"subspace_dim": 12},
            "subspace_dim is 12, measurements 8: .*; pass 8 or less if they lie near so small a one",
        ),
    ],
)
def test_the_warning_of_a_large_subspace_is_true_and_at_your_line(more, words):
    rng = np.random.default_rng(0)
    with pytest.warns(UserWarning, match=words) as caught:
        ji.Problem(rng.standard_normal((8, 20)), rng.standard_normal((30, 20)), **more)
    assert [warning.filename for warning in caught] == [__file__]


def test_float32_arrays_have_the_rank_of_the_float64_ones():
    rng = np.random.default_rng(0)
    signals, operator = rng.standard_normal((40, 3)) @ rng.standard_normal((3, 20)), rng.standard_normal((10, 20))
    arrays = operator, signals, signals @ operator.T
    wide, narrow = (ji.Problem(*(np.asarray(array, dtype) for array in arrays)) for dtype in ("f8", "f4"))
    assert (wide.measurement_rank, narrow.measurement_rank) == (3, 3)
    assert ji.Problem(*(array.astype("f4") for array in arrays[:2])).measurement_rank == 3


def test_a_problem_knows_whether_a_generator_made_it():
    made = ji.subspace_problem(KEY, signal_dim=12, measurement_dim=6, subspace_dim=2, samples=5, noise=0.1)
    assert made.generated
    assert ji.union_problem(KEY, signal_dim=12, measurement_dim=8, subspace_dim=2, subspaces=2, noise=0.1).generated
    assert not ji.Problem(made.operator, made.signals, latent=made.latent).generated
