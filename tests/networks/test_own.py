"""Modules of one's own: trained, measured, swept over, stored, and given back as what they are."""

from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

import jaxinv as ji
from jaxinv.measures.metrics import ANY_NETWORK, LOCAL, MONTE_CARLO, WORST
from jaxinv.networks.own import as_given, as_network
from jaxinv.training.run import Run

from ..helpers import UNION, found, union

KEY = jax.random.key(1)
PROBLEM = union()


class Module(eqx.Module):
    """x_hat = B f(scale A y[places]) + c: arrays of floats, of integers, a number, a function, a list."""

    first: jax.Array
    last: jax.Array
    shift: jax.Array
    places: jax.Array
    scale: float = 0.5
    function: Any = jnp.tanh
    notes: list = eqx.field(static=True, default_factory=lambda: ["of no consequence"])

    def __call__(self, rows):
        hidden = self.function(self.scale * rows[:, self.places] @ self.first.T)
        return hidden @ self.last.T + self.shift[None, :]


class Two(eqx.Module):
    """Two arrays, and what is made of them."""

    first: Any
    last: Any

    def __call__(self, rows):
        return jnp.tanh(rows @ self.first.T) @ self.last.T


class Scaled(Two):
    """What gives one output more than there are unknowns."""

    def __call__(self, rows):
        return super().__call__(rows), rows


class Without(eqx.Module):
    """A module with nothing to train."""

    count: int = 3

    def __call__(self, rows):
        return self.count * rows


def build(key, problem, *, hidden=5):
    """The builder of a sweep."""
    first, last = jax.random.split(key)
    sizes = problem.measurement_dim, problem.signal_dim
    return Module(
        jax.random.normal(first, (hidden, sizes[0])) / 3, jax.random.normal(last, (sizes[1], hidden)) / 3,
        jnp.zeros(sizes[1]), jnp.arange(sizes[0])[::-1],
    )  # fmt: skip


def of_mine(coordinates, module):
    """A metric that reads the fields of the user's class."""
    return jnp.linalg.norm(module.first) + module.scale


METRICS = ["regression_error", "test_error", "noise_gain", ji.Metric("of_mine", of_mine)]


@pytest.fixture(scope="module")
def module():
    return build(KEY, PROBLEM)


@pytest.fixture(scope="module")
def run(module):
    return ji.train(PROBLEM, module, ji.Descent(0.02, 0.1), steps=20, records=[0, 10, 20], metrics=METRICS)


def numpy_run(module, step_size, decay, steps):
    """The arrays of the module after so many steps, by numpy."""
    A, B, c, f = (np.array(each) for each in (module.first, module.last, module.shift, module.scale))
    Y, X = np.asarray(PROBLEM.measurements)[:, np.asarray(module.places)], np.asarray(PROBLEM.signals)
    for _ in range(steps):
        H = np.tanh(f * Y @ A.T)
        error = H @ B.T + c - X
        slopes = f * ((error @ B) * (1 - H**2)).T @ Y, error.T @ H, error.sum(0)
        A, B, c = (w - step_size * (slope + decay * w) for w, slope in zip((A, B, c), slopes, strict=True))
    return A, B, c


def test_a_module_is_trained_as_numpy_trains_it_and_comes_back_as_itself(module, run):
    assert isinstance(run.network, Module)
    assert (run.network.scale, run.network.function, run.network.notes) == (0.5, jnp.tanh, ["of no consequence"])
    np.testing.assert_array_equal(run.network.places, module.places)
    A, B, c = numpy_run(module, 0.02, 0.1, 20)
    for ours, plain in zip((run.network.first, run.network.last, run.network.shift), (A, B, c), strict=True):
        np.testing.assert_allclose(ours, plain, atol=1e-12)
    np.testing.assert_allclose(run.metrics["of_mine"][-1], np.linalg.norm(A) + 0.5, rtol=1e-12)
    assert run.metrics["loss"][-1] < run.metrics["loss"][0]


def test_it_is_measured_before_and_after(module, run):
    for record, network in ((0, module), (-1, run.network)):
        measured = ji.measure(PROBLEM, network, 0.1)
        assert set(measured) == {*ANY_NETWORK, *LOCAL, *WORST, *MONTE_CARLO}
        for name in ("loss", "regression_error", "test_error", "noise_gain"):
            np.testing.assert_allclose(measured[name], run.metrics[name][record], rtol=1e-12, err_msg=name)


def test_it_goes_on(module, run):
    half = ji.train(PROBLEM, module, ji.Descent(0.02, 0.1), steps=10, records=[0, 10], metrics=METRICS)
    more = ji.train(PROBLEM, module, ji.Descent(0.02, 0.1), steps=20, records=[0, 10, 20], metrics=METRICS, after=half)
    for name, curve in more.metrics.items():
        np.testing.assert_array_equal(curve, run.metrics[name][1:], err_msg=name)
    other = eqx.tree_at(lambda each: each.places, module, jnp.arange(9))
    with pytest.raises(ji.ArgumentError, match="after must be a run that began with this network"):
        ji.train(PROBLEM, other, ji.Descent(0.02, 0.1), steps=20, metrics=METRICS, after=half)


def test_it_is_swept_over_stored_and_built(tmp_path):
    sweep = ji.Sweep(
        {"seed": range(2)}, {**UNION, "hidden": 5, "step_size": 0.02}, steps=10, records=3, metrics=METRICS,
        precision="float64", problem=ji.union_problem, network=build,
    )  # fmt: skip
    results, before = found(sweep, tmp_path)
    again, after = found(sweep, tmp_path)
    assert (before, after) == (0, 2)
    assert results.drop_vars("loss").equals(again.drop_vars("loss"))
    problem, network, descent = ji.build(sweep.cells()[1])
    assert isinstance(network, Module)
    alone = ji.train(problem, network, descent, steps=10, records=3, metrics=METRICS)
    for name, curve in alone.metrics.items():
        np.testing.assert_array_equal(curve, results[name].sel(seed=1), err_msg=name)


def test_cells_whose_modules_hold_other_functions_do_not_share_a_block():
    def with_function(key, problem, *, power=1):
        function = lambda rows: rows**power  # noqa: E731  (another one at each call)
        return eqx.tree_at(lambda each: each.function, build(key, problem), function)

    sweep = ji.Sweep({"power": [1, 3], "seed": range(2)}, {**UNION, "step_size": 0.01}, steps=2, records=2,
                     metrics=["regression_error"], problem=ji.union_problem, network=with_function)  # fmt: skip
    made = ji.run_sweep(sweep)
    assert not made.diverged.any()
    start = made.regression_error.isel(record=0)
    assert len(np.unique(start)) == 4


def test_what_modules_hold_is_compared_by_value(module):
    same, frame = as_network(build(jax.random.key(2), PROBLEM)), as_network(module).frame
    assert same.frame == frame
    assert hash(same.frame) == hash(frame)
    assert frame != "another"
    for name, value in {"places": jnp.arange(9), "scale": 0.4, "function": jnp.sin, "notes": ["other"]}.items():
        changed = Module(**{**{n: getattr(module, n) for n in ("first", "last", "shift", "places")}, name: value})
        assert as_network(changed).frame != frame, name
    # integers of another type are another program
    narrow = eqx.tree_at(lambda each: each.places, module, module.places.astype(jnp.int8))
    assert as_network(narrow).frame != frame
    assert isinstance(as_given(as_network(module)), Module)


def test_it_says_that_nothing_is_exact_for_it_and_how_large_it_is(module):
    network = as_network(module)
    assert not any((network.is_linear, network.pads, network.is_chain, network.is_product))
    assert (network.depth, network.width) == (2, 14)


def test_vectors_are_mapped_by_filter_vmap_and_numpy_arrays_are_trained():
    vectors = eqx.nn.MLP(9, 14, 6, 1, key=KEY)
    arrays = Two(np.ones((6, 9)) / 9, np.ones((14, 6)) / 6)
    for network in (eqx.filter_vmap(vectors), arrays):
        run = ji.train(PROBLEM, network, ji.Descent(0.001, 0.0), steps=5, records=2, metrics=["loss"])
        assert isinstance(run, Run)
        assert type(run.network) is type(network)
        assert run.metrics["loss"][-1] < run.metrics["loss"][0]


A, B = np.ones((6, 9)), np.ones((14, 6))


@pytest.mark.usefixtures("unchecked")
@pytest.mark.parametrize(
    ("network", "words"),
    [
        (Without(), "network must be a module with arrays of floats to train, got one without"),
        (Two(np.arange(54).reshape(6, 9), np.ones((14, 6), int)), "with arrays of floats to train, got one without"),
        (Two(A + 1j, B), "network must be a module of real numbers, got arrays of complex128"),
        (Two(A[:, :4], B), "to 2 rows of 14 unknowns, got TypeError: dot_general requires contracting dim"),
        (Two(A, B[:4]), r"a map of 2 rows of 9 measurements to 2 rows of 14 unknowns, got what gives shape \(2, 4\)"),
        (Scaled(A, B), "2 rows of 14 unknowns, got what gives a tuple"),
        (eqx.nn.MLP(9, 14, 6, 1, key=KEY), "to 2 rows of 14 unknowns, got .*; eqx.filter_vmap makes rows of vectors"),
        (jax.vmap(eqx.nn.MLP(9, 14, 6, 1, key=KEY)), "network must be an equinox module that maps rows to rows, got f"),
        (eqx.nn.Lambda, "network must be an equinox module that maps rows to rows, got "),
        (eqx.nn.Dropout(), "network must be a module with arrays of floats to train, got one without"),
        (Two(A, (B, jax.random.key(0))), "network must be a module without random keys, got one that holds a key"),
        (3, "network must be an equinox module that maps rows to rows, got int; pass ji.layer_product"),
    ],
)
def test_what_is_no_network_of_the_problem_is_named_in_one_line(network, words):
    sweep = ji.Sweep({"seed": [0]}, UNION, steps=2, problem=ji.union_problem, network=lambda key, problem: network)
    for call in (
        lambda: ji.measure(PROBLEM, network),
        lambda: ji.gradient_descent(PROBLEM, network),
        lambda: ji.train(PROBLEM, network, ji.Descent(0.1, 0.0), steps=2),
        lambda: ji.run_sweep(sweep),
    ):
        with pytest.raises(ji.ArgumentError, match=words) as error:
            call()
        assert "\n" not in str(error.value)


def test_float_types_must_be_one():
    mixed = Two(jnp.asarray(A, jnp.float32), jnp.asarray(B))
    with pytest.raises(ji.ArgumentError, match="network must be of float32 or float64 weights, got float32 and float"):
        ji.train(PROBLEM, mixed, ji.Descent(0.1, 0.0), steps=2)


def test_what_is_known_of_layer_products_alone_is_refused_by_name(module):
    descent = ji.Descent(0.02, 0.1)
    with pytest.raises(ji.ArgumentError, match="network must be a layer product, got Module"):
        ji.linearisation_of(PROBLEM, module)
    with pytest.raises(ji.ArgumentError, match="metric 'balancedness' must be of a layer product, got Modul"):
        ji.train(PROBLEM, module, descent, steps=1, metrics=["balancedness"])
    with pytest.raises(ji.ArgumentError, match='engine "width_free" trains layer products, got Module'):
        ji.train(PROBLEM, module, descent, steps=1, engine="width_free")
    with pytest.raises(ji.ArgumentError, match="needs a linear network"):
        ji.train(PROBLEM, module, ji.gradient_descent(PROBLEM, module, regularizer="nuclear", strength=1), steps=1)
