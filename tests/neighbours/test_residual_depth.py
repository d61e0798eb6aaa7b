"""Deep linear residual networks, against numpy's products and scipy's integrator."""

from functools import reduce
from itertools import pairwise

import jax
import numpy as np
import pytest
from scipy.integrate import solve_ivp

import jaxinv as ji
from jaxinv.neighbours import residual_depth as rd

DEPTH, SIZE = 3, 3
RUN, FLOW = jax.jit(rd.run, static_argnames="advance"), jax.jit(rd.flow_step)
START = jax.jit(rd.start, static_argnums=(1, 2, 3))


@pytest.fixture(scope="module")
def phi():
    return rd.target(jax.random.key(1), SIZE, 0.9, 0.0)


@pytest.fixture(scope="module")
def weights():
    """Layers that are all different from the identity and from zero."""
    return START(jax.random.key(2), "near_identity", DEPTH, SIZE) * 0.9


def product(weights):
    """W_L ... W_1."""
    return reduce(lambda below, above: above @ below, weights, np.eye(SIZE))


def plain_gradient(weights, phi):
    error = product(weights) - phi
    return np.stack([product(weights[i + 1 :]).T @ error @ product(weights[:i]).T for i in range(len(weights))])


def plain_risk(weights, phi):
    return 0.5 * np.linalg.norm(product(weights) - phi) ** 2


def test_risk_and_gradient_are_those_of_the_products(weights, phi):
    at, direction = np.array(weights), np.random.default_rng(0).standard_normal(weights.shape)
    risk, gradient = jax.jit(lambda w: (rd.risk(w, phi), rd.gradient(w, phi)))(weights)
    np.testing.assert_allclose(risk, plain_risk(at, phi), rtol=1e-13)
    np.testing.assert_allclose(gradient, plain_gradient(at, phi), atol=1e-14)
    moved = [plain_risk(at + h * direction, phi) for h in (-1e-6, 1e-6)]
    np.testing.assert_allclose(np.sum(gradient * direction), (moved[1] - moved[0]) / 2e-6, rtol=1e-7)


def plain_descent(weights, phi, step_size, steps):
    """The risk before each step and after the last."""
    at, found = np.array(weights), []
    for _ in range(steps + 1):
        found.append(plain_risk(at, phi))
        at = at - step_size * plain_gradient(at, phi)
    return np.array(found)


def test_a_run_is_the_plain_loop_and_stands_still_from_its_level_on(weights, phi):
    known = plain_descent(weights, phi, 0.05, 60)
    path = RUN(weights, phi, 0.05, [0, 1, 1, 10, 60, 500], 0.99 * known[10])
    np.testing.assert_array_equal(path.step, [0, 1, 1, 10, 60, 60])
    np.testing.assert_allclose(path.risk, known[[0, 1, 1, 10, 60, 60]], rtol=1e-11)


def test_a_run_that_diverges_is_not_a_number(weights, phi):
    path = RUN(weights, phi, 50.0, [0, 1, 30, 60, 70, 80], 0.0)
    assert np.isfinite(path.risk[0])
    assert np.isnan(path.risk[1:]).all()
    np.testing.assert_array_equal(path.step[1:], 1)


def test_the_flow_is_that_of_an_integrator_and_conserves_differences(weights, phi):
    def slope(_, flat):
        return -plain_gradient(flat.reshape(DEPTH, SIZE, SIZE), phi).ravel()

    exact = solve_ivp(slope, (0, 1), np.ravel(weights), "DOP853", rtol=1e-12, atol=1e-12).y[:, -1]
    errors = []
    for count in (40, 80):
        at = weights
        for _ in range(count):
            at = FLOW(at, phi, 1 / count)
        errors.append(np.linalg.norm(np.ravel(at) - exact))
    assert errors[1] < 1e-8
    assert 12 < errors[0] / errors[1] < 20  # order 4

    def differences(weights):
        return np.stack([after.T @ after - before @ before.T for before, after in pairwise(np.array(weights))])

    np.testing.assert_allclose(differences(at), differences(weights), atol=1e-8)


def test_starts_are_what_they_are_called():
    depth, size, key = 40, 20, jax.random.key(0)
    zero, near, xavier = map(
        np.array, jax.jit(lambda key: [rd.start(key, name, depth, size) for name in rd.STARTS])(key)
    )
    np.testing.assert_array_equal(zero, [*[np.eye(size)] * (depth - 1), np.zeros((size, size))])
    assert (near - np.eye(size)).std() == pytest.approx(0.1 / np.sqrt(depth * size), rel=0.03)
    assert xavier.std() == pytest.approx(1 / np.sqrt(size), rel=0.03)
    with pytest.raises(ji.ArgumentError, match="unknown start 'xaver'; did you mean 'xavier'"):
        rd.start(key, "xaver", depth, size)


@pytest.mark.parametrize("sizes", [{"depth": 0, "size": 3}, {"depth": 2, "size": 0}])
def test_sizes_that_are_none_are_named(sizes):
    with pytest.raises(ji.ArgumentError, match="must be a positive whole number, got 0"):
        rd.start(jax.random.key(0), "xavier", **sizes)
    with pytest.raises(ji.ArgumentError, match="must be a positive whole number, got 0"):
        rd.residual_flow(jax.random.key(0), norm=0.5, negative=0, until=1.0, records=3, **sizes)
    with pytest.raises(ji.ArgumentError, match="must be a positive whole number, got 0"):
        rd.residual_descent(jax.random.key(0), norm=0.5, negative=0, level=0.1, records=3, **sizes)


def test_targets_have_their_norm_and_direction():
    key = jax.random.key(0)
    np.testing.assert_allclose(rd.target(key, 4, 2.0, 1.0), -np.eye(4), rtol=1e-15)
    gaussian, mixed, other = (np.array(rd.target(jax.random.key(k), 4, 0.5, n)) for k, n in ((0, 0), (0, 0.5), (1, 0)))
    assert np.linalg.norm(gaussian) == pytest.approx(0.5, rel=1e-12)
    assert np.linalg.norm(gaussian - other) > 0.1
    between = gaussian - np.eye(4) / 4
    np.testing.assert_allclose(mixed, 0.5 * between / np.linalg.norm(between), rtol=1e-12)


@pytest.mark.parametrize(
    ("depth", "norm", "expected"), [(10, 0.5, 1 / 14400), (50, 0.3, 1 / 5e5), (18, 2.0, 1 / (4 * 18**3 * 4**6)),
                                    (4, 0.5, 1 / (144 * 16 * 1.5**4))],
)  # fmt: skip
def test_the_step_size_of_the_theorem(depth, norm, expected):
    assert (rd.flow_time_step(2), rd.flow_time_step(50)) == (0.02, 0.004)
    assert rd.proven_step_size(depth, norm) == pytest.approx(expected, rel=1e-12)


@pytest.fixture(scope="module")
def bounded():
    """The flow and the descent for a Gaussian Phi and for -I."""
    fixed = {"depth": DEPTH, "size": SIZE, "norm": 0.5}
    keys, signs = jax.random.split(jax.random.key(3), 2), np.array([0.0, 1.0])

    def flow(key, negative):
        return rd.residual_flow(key, negative=negative, until=2.0, records=20, **fixed)

    def descent(key, negative):
        return rd.residual_descent(key, negative=negative, level=0.5, records=20, **fixed)

    made = {each.__name__: jax.jit(jax.vmap(each))(keys, signs) for each in (flow, descent)}
    return jax.tree.map(np.array, made)


def test_the_flow_keeps_to_its_bound(bounded):
    risk, time = bounded["flow"]["risk"], 0.02 * bounded["flow"]["step"]
    assert (risk <= np.exp(-2 * time) * (1 + 1e-9)).all()
    assert (risk[:, 0] == 1).all()
    np.testing.assert_allclose(time[:, -1], 2.0, rtol=1e-12)
    assert (risk[:, 1] > np.exp(-2.01 * time[:, 1])).all()  # the bound is tight at first: time is counted right


def test_the_descent_keeps_to_its_bound_and_gets_to_the_level(bounded):
    risk, step = bounded["descent"]["risk"], bounded["descent"]["step"]
    eta = 1 / (144 * 81)  # at L < 9, whatever L is
    assert (risk <= (1 - eta / 2) ** step * (1 + 1e-9)).all()
    np.testing.assert_allclose(risk[:, 1], (1 - eta) ** 2, rtol=1e-12)  # the first step moves the last layer alone
    assert (step[:, -1] == np.ceil(1.02 * np.log(2) / 2 / eta)).all()
    assert (risk[:, -1] <= 0.5).all()


def test_records_are_whole_numbers_of_steps_to_the_last():
    steps = np.array(rd.spaced(1000.0, 40))
    assert len(steps) == 40
    np.testing.assert_array_equal(steps[[0, 1, -1]], [0, 1, 1000])
    assert (np.diff(steps) >= 0).all()
    assert (steps == np.floor(steps)).all()
    assert rd.spaced(999.5, 40)[-1] == 1000


def test_starts_race_on_minus_the_identity_until_they_are_there():
    keys, fixed = jax.random.split(jax.random.key(0), 2), {"depth": DEPTH, "size": SIZE, "level": 1e-2, "records": 30}
    race = jax.vmap(lambda key: rd.residual_starts(key, rate=0.3, most=200, **fixed))
    made = jax.tree.map(np.array, jax.jit(race)(keys))
    assert made["risk"].shape == (2, 3, 30)
    for seed, key in enumerate(keys):
        for i, name in enumerate(rd.STARTS):
            last, risk = int(made["at"][seed, i, -1]), made["risk"][seed, i]
            known = plain_descent(START(key, name, DEPTH, SIZE), -np.eye(SIZE), 0.3 / DEPTH, last)
            np.testing.assert_allclose(risk, (known / known[0])[made["at"][seed, i].astype(int)], rtol=1e-9)
            assert risk[-1] <= 1e-2 or last == 200
    assert (made["at"][:, 0, -1] < 200).all()  # the zero-asymmetric start gets there
