"""The untrained network: one vector for all weights, and the bound of its loss, against the plain network in numpy."""

import jax
import numpy as np
import pytest

import jaxinv as ji
from jaxinv.measures.records import record_steps
from jaxinv.neighbours import deep_prior


def sigmoid(z):
    return 1 / (1 + np.exp(-z))


class Plain:
    """The network with all its weights, by numpy."""

    def __init__(self, begun, input_dim=4, seed=0):
        rng = np.random.default_rng(seed)
        self.A, self.signal, self.y = (np.asarray(part) for part in (begun.operator, begun.signal, begun.measured))
        self.V, hidden = np.asarray(begun.units).T, np.asarray(begun.hidden)
        self.u = rng.standard_normal(input_dim)
        self.u /= np.linalg.norm(self.u)
        start = rng.standard_normal((len(hidden), input_dim))
        self.W = start + np.outer(hidden - start @ self.u, self.u)  # all that was generated: what it does to the input

    def x(self, W):
        return self.V @ sigmoid(W @ self.u) / self.V.shape[1] ** 0.5

    def loss(self, W):
        return 0.5 * np.sum((self.A @ self.x(W) - self.y) ** 2)

    def jacobian(self, W):
        """Of x with respect to all entries of W, (n, k d)."""
        active = sigmoid(W @ self.u)
        return np.kron(self.V * (active * (1 - active)) / self.V.shape[1] ** 0.5, self.u)

    def gradient(self, W):
        return (self.jacobian(W).T @ (self.A.T @ (self.A @ self.x(W) - self.y))).reshape(W.shape)


@pytest.fixture(scope="module")
def begun():
    return deep_prior.start(jax.random.key(0), 30, 3, 5, noise=0.2)


def test_the_gradient_of_the_plain_network_is_that_of_finite_differences(begun):
    plain, direction = Plain(begun), np.random.default_rng(1).standard_normal((30, 4))
    slope = (plain.loss(plain.W + 1e-5 * direction) - plain.loss(plain.W - 1e-5 * direction)) / 2e-5
    np.testing.assert_allclose(np.sum(plain.gradient(plain.W) * direction), slope, rtol=1e-7)


STATIC = ("width", "signal_dim", "steps", "records", "rows")
descend = jax.jit(deep_prior.descend, static_argnames=STATIC)


@pytest.fixture(scope="module")
def made():
    return descend(jax.random.key(0), 30, 3, 5, noise=0.2, steps=60, records=6, rows=3)


def test_descent_of_one_vector_is_that_of_all_weights(begun, made):
    plain, rate, after = Plain(begun), float(made["step_size"]), record_steps(60, 6)
    W, rows = plain.W, {}
    for t in range(61):
        if t in after:
            error = np.linalg.norm(plain.x(W) - plain.signal) / np.linalg.norm(plain.signal)
            rows[t] = t, plain.loss(W), error, np.linalg.norm(W - plain.W)
        W = W - rate * plain.gradient(W)
    for name, column in zip(deep_prior.DIMS, np.array([*rows.values()]).T, strict=True):
        np.testing.assert_allclose(made[name], column, rtol=1e-10, atol=1e-14)
    assert not made["diverged"]


def test_the_guarantee_is_made_of_bounds_of_the_plain_network(begun):
    plain, known, rng = Plain(begun), deep_prior.guarantee(begun), np.random.default_rng(2)
    values = np.linalg.svd(plain.A, compute_uv=False)
    s_0 = np.linalg.svd(plain.jacobian(plain.W), compute_uv=False)[-1]
    r_0 = np.linalg.norm(plain.A @ plain.x(plain.W) - plain.y)
    bend = 5**0.5 / (6 * 3**0.5) / 30**0.5
    np.testing.assert_allclose(known.condition, values[0] / values[-1], rtol=1e-12)
    np.testing.assert_allclose(known.needed, 4 * r_0 / (s_0 * values[-1]), rtol=1e-10)
    np.testing.assert_allclose(known.allowed, s_0 / (2 * bend), rtol=1e-10)
    np.testing.assert_allclose(known.share, known.step_size * (s_0 * values[-1]) ** 2 / 4, rtol=1e-10)
    for _ in range(30):  # Lipschitz constants: of the Jacobian everywhere, of the gradient where losses are smaller
        W, other = (plain.W + rng.uniform(0, 3) * rng.standard_normal(plain.W.shape) for _ in range(2))
        way = np.linalg.norm(W - other)
        assert np.linalg.norm(plain.jacobian(W) - plain.jacobian(other), 2) <= bend * way
        if plain.loss(other) <= plain.loss(plain.W):
            assert np.linalg.norm(plain.gradient(W) - plain.gradient(other)) <= way / known.step_size


def test_where_the_premise_holds_loss_and_way_are_bounded():
    """The numbers are those of the theorem; that they are no coincidence: a faster fall is not bounded by them."""
    for measurement_dim in (1, 4):
        made = descend(jax.random.key(3), 20_000, measurement_dim, 2, steps=150, records=151, until=1e-9, rows=4)
        made = {name: np.asarray(value) for name, value in made.items()}
        assert made["needed"] < made["allowed"]
        assert made["loss"][-1] <= 1e-9 * made["loss"][0]
        assert (np.diff(made["step"]) >= 0).all()
        assert made["step"][-1] < 150
        bound = made["loss"][0] * (1 - made["share"]) ** made["step"]
        assert (made["loss"] <= bound * (1 + 1e-9)).all()
        assert (made["moved"] <= made["needed"]).all()
        assert (made["loss"] > bound[0] * (1 - 40 * made["share"]) ** made["step"]).any()


@pytest.mark.parametrize("sizes", [(0, 3, 5), (30, 0, 5), (30, 3, -1), (30, 3, 5, 0.0, 0)])
def test_sizes_that_are_none_are_named(sizes):
    with pytest.raises(ji.ArgumentError, match="must be a positive whole number, got "):
        deep_prior.start(jax.random.key(0), *sizes)


def test_padding_changes_nothing_and_the_larger_contains_the_smaller(begun, made):
    padded = descend(jax.random.key(0), 30, 3, 5, noise=0.2, steps=60, records=6, rows=8)
    for name in made:
        np.testing.assert_allclose(made[name], padded[name], rtol=1e-10)
    larger = deep_prior.start(jax.random.key(0), 40, 4, 5)
    np.testing.assert_allclose(begun.operator * 3**0.5, larger.operator[:3] * 2, rtol=1e-12)
    assert np.array_equal(begun.units, larger.units[:30])
    assert np.array_equal(begun.hidden, larger.hidden[:30])
    error = np.linalg.norm(begun.measured - begun.operator @ begun.signal)
    np.testing.assert_allclose(error, 0.2 * np.linalg.norm(begun.operator @ begun.signal), rtol=1e-12)
