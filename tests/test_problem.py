"""Operators, signals and problems against numpy."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import jaxinv as ji
from jaxinv import baselines, operators
from jaxinv.draws import normal
from jaxinv.frame import compressed_frame, plain_frame, rotated_frame

from .helpers import SMALL

KEY = jax.random.key(3)


def test_gaussian_entries_have_variance_one_over_measurements():
    matrix = np.asarray(operators.gaussian(KEY, 300, 500))
    assert matrix.var() == pytest.approx(1 / 300, rel=0.02)
    assert abs(matrix.mean()) < 1e-3


def test_orthogonal_rows():
    matrix = operators.orthogonal_rows(KEY, 7, 13)
    np.testing.assert_allclose(matrix @ matrix.T, 13 / 7 * np.eye(7), atol=1e-12)


def test_norm_and_pseudo_inverse():
    matrix = operators.given(np.random.default_rng(0).standard_normal((4, 6)))
    assert float(operators.norm(matrix)) == pytest.approx(np.linalg.svd(matrix, compute_uv=False)[0])
    np.testing.assert_allclose(matrix @ operators.pseudo_inverse(matrix), np.eye(4), atol=1e-12)


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


def test_draws_do_not_depend_on_precision_or_flag():
    def draws():
        bits = normal(KEY, (50,))
        assert np.array_equal(np.float32(bits), bits)
        problem = ji.subspace_problem(KEY, **SMALL, noise=0.2)
        network = ji.layer_product(KEY, problem, width=6, depth=2)
        return [np.asarray(leaf, np.float64) for leaf in jax.tree.leaves((bits, problem, network))]

    wide = draws()
    with jax.enable_x64(False):
        narrow = draws()
    assert np.array_equal(wide[0], narrow[0])
    for a, b in zip(wide, narrow, strict=True):
        np.testing.assert_allclose(a, b, atol=2e-5 * np.abs(a).max())


def test_cells_that_differ_in_width_share_their_problem_but_not_all_draws_are_one():
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


def test_your_own_arrays():
    rng = np.random.default_rng(0)
    signals = rng.standard_normal((30, 4)) @ rng.standard_normal((4, 12))
    operator = rng.standard_normal((6, 12)) / 6**0.5
    problem = ji.Problem(operator=operator, signals=signals, measurements=signals @ operator.T)
    assert problem.subspace_dim == 4
    assert problem.measurement_rank == 4
    np.testing.assert_allclose(problem.measurements @ problem.oracle.T, signals, atol=1e-10)
    network = ji.layer_product(KEY, problem, width=60, depth=2)
    run = ji.train(problem, network, ji.gradient_descent(problem, network, gamma=0.1), steps=50)
    assert np.isfinite(run.metrics["off_subspace_error"]).all()


def test_metrics_that_need_an_identifiable_problem_are_nan_where_it_is_not():
    rng = np.random.default_rng(0)
    with pytest.warns(UserWarning, match="signals span 12 dimensions, measurements 5"):
        problem = ji.Problem(operator=rng.standard_normal((5, 12)), signals=rng.standard_normal((30, 12)))
    measured = ji.measure(problem, ji.layer_product(KEY, problem, width=8, depth=2))
    for name in ("off_subspace_error", "off_subspace_gain", "oracle_distance"):
        assert np.isnan(measured[name])
    assert np.isfinite(measured["regression_error"])
    square = ji.subspace_problem(KEY, signal_dim=9, measurement_dim=3, subspace_dim=3, samples=5)
    measured = ji.measure(square, ji.layer_product(KEY, square, width=8, depth=2))
    assert np.isnan(measured["off_subspace_error"])
    assert np.isfinite(measured["oracle_distance"])


@pytest.mark.parametrize("x64", [True, False])
def test_float32_signals_on_a_subspace_have_its_dimension(x64):
    rng = np.random.default_rng(0)
    signals = (rng.standard_normal((100, 3)) @ rng.standard_normal((3, 20))).astype(np.float32)
    operator = rng.standard_normal((10, 20)) / 10**0.5
    with jax.enable_x64(x64):
        problem = ji.Problem(operator, signals)
        assert problem.subspace_dim == 3
        assert np.isfinite(problem.oracle).all()
        assert ji.Problem(operator, signals, 1.01 * signals.astype(float) @ operator.T).measurement_rank == (
            10 if x64 else 3
        )


def test_signals_near_a_subspace():
    rng = np.random.default_rng(0)
    signals = rng.standard_normal((100, 3)) @ rng.standard_normal((3, 20)) + 1e-3 * rng.standard_normal((100, 20))
    problem = ji.Problem(rng.standard_normal((10, 20)) / 10**0.5, signals, subspace_dim=3)
    assert (problem.subspace_dim, problem.measurement_rank) == (3, 10)
    network = ji.layer_product(KEY, problem, width=60, depth=2)
    descent = ji.gradient_descent(problem, network, gamma=0.1)
    reduced, plain = (ji.train(problem, network, descent, steps=100, reduce=flag) for flag in (True, False))
    for name, curve in plain.metrics.items():
        np.testing.assert_allclose(reduced.metrics[name], curve, atol=1e-10 * np.abs(curve).max(), err_msg=name)
    with pytest.raises(ValueError, match="subspace_dim must be at most 20"):
        ji.Problem(problem.operator, signals, subspace_dim=21)


def test_truncated_svd_stops_at_the_rank_of_the_operator():
    problem = ji.subspace_problem(KEY, **SMALL)
    singular = ji.Problem(problem.operator.at[-1].set(0), problem.signals)
    assert np.isfinite(baselines.truncated_svd(singular)).all()
    with pytest.raises(ValueError, match="rank must be at most 6"):
        baselines.truncated_svd(singular, 7)


@pytest.mark.parametrize("frame", [compressed_frame, rotated_frame])
@pytest.mark.parametrize("noise", [0.0, 0.1])
def test_frames_are_the_same_for_numpy_and_jax(frame, noise):
    problem = ji.subspace_problem(KEY, **{**SMALL, "samples": 5}, noise=noise)
    host = jax.tree.map(np.asarray, problem)
    for ours, theirs in zip(jax.tree.leaves(jax.jit(frame)(problem)), jax.tree.leaves(frame(host)), strict=True):
        assert ours.shape == theirs.shape
    inputs = frame(host).inputs
    np.testing.assert_allclose(inputs @ inputs.T, np.diag(np.diag(inputs @ inputs.T)), atol=1e-10)
    assert len(inputs) == problem.measurement_rank
    assert np.linalg.norm(inputs) == pytest.approx(np.linalg.norm(plain_frame(host).inputs))


def test_baselines_against_their_definitions():
    problem = ji.subspace_problem(KEY, **{**SMALL, "samples": 40}, noise=0.1)
    X, Y, A = (np.asarray(a) for a in (problem.signals, problem.measurements, problem.operator))
    R = np.asarray(problem.latent.basis)
    np.testing.assert_allclose(baselines.oracle(problem), R @ np.linalg.pinv(A @ R), atol=1e-10)
    np.testing.assert_allclose(baselines.minimum_norm(problem), np.linalg.pinv(A), atol=1e-10)
    direct = X.T @ Y @ np.linalg.inv(Y.T @ Y + 0.7 * np.eye(7))
    np.testing.assert_allclose(baselines.ridge(problem, 0.7), direct, atol=1e-10)
    np.testing.assert_allclose(baselines.truncated_svd(problem, 7), np.linalg.pinv(A), atol=1e-10)
    assert np.linalg.matrix_rank(baselines.truncated_svd(problem, 4)) == 4
    held = slice(32, 40)

    def held_out(w):
        return np.linalg.norm(Y[held] @ np.asarray(w).T - X[held])

    assert held_out(baselines.ridge(problem)) <= 1.5 * held_out(baselines.oracle(problem))
    truncated = [held_out(baselines.truncated_svd(problem, rank)) for rank in range(1, 8)]
    assert held_out(baselines.truncated_svd(problem)) == pytest.approx(min(truncated))


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
def test_bad_problem(changes, words):
    with pytest.raises(ValueError, match=words):
        ji.subspace_problem(KEY, **{**SMALL, **changes})


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
def test_bad_arrays(name, value, words):
    arrays = {"operator": np.eye(2, 6), "signals": np.ones((4, 6)), "measurements": np.ones((4, 2))}
    with pytest.raises(ValueError, match=words):
        ji.Problem(**{**arrays, name: value})


def test_fewer_samples_than_dimensions_of_the_subspace():
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


def test_held_out_pairs_follow_the_rotation():
    held = np.ones((3, SMALL["signal_dim"])), np.arange(3.0 * SMALL["measurement_dim"]).reshape(3, -1)
    made = ji.subspace_problem(KEY, **SMALL)
    problem = ji.Problem(made.operator, made.signals, held_out=held)
    assert plain_frame(problem).held_out is problem.held_out
    network = ji.layer_product(KEY, problem, width=8, depth=2)
    descent = ji.gradient_descent(problem, network)
    error = ji.Metric("held_out_error", lambda frame, net: jnp.sum((net(frame.held_out[1]) - frame.held_out[0]) ** 2))
    run = ji.train(problem, network, descent, steps=50, metrics=[error])
    np.testing.assert_allclose(run.metrics["held_out_error"][-1], np.sum((run.network(held[1]) - held[0]) ** 2))
