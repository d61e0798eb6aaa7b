"""What users register: one of each kind is swept over; what changes runs again; what cannot be is named."""

from collections.abc import Mapping
from itertools import pairwise

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

import jaxinv as ji
from jaxinv.networks.layers import LayerProduct
from jaxinv.registry import REGISTRIES, all_registered

from .helpers import SMALL, found

SHIFT = 0.0
"""Read by a function of the user's below."""


def swish(rows):
    return rows * jax.nn.sigmoid(rows) + SHIFT * rows


def halves(weights, activation, nonlinear_layers):
    """A network of half the weights it is given."""
    return LayerProduct(tuple(weight / 2 for weight in weights))


def ones(keys, sizes):
    """Every entry the same."""
    return [jnp.full((out, inn), 1 / inn) for inn, out in pairwise(sizes)]


ENTRIES = {
    "activation": swish,
    "architecture": halves,
    "init": ones,
    "misfit": lambda outputs, targets: jnp.sum((outputs - targets) ** 4),
    "optimizer": lambda step_size, weight_decay: optax.sign_sgd(step_size),
    "regularizer": lambda network: 100 * jnp.sum(network.end_to_end() ** 2),
    "schedule": lambda share: 1 - share,
}
OURS = {
    "activation": "linear", "architecture": "product", "init": "fan_in", "misfit": "squared",
    "optimizer": "gradient_descent", "regularizer": "weight_decay", "schedule": "constant",
}  # fmt: skip
FIXED = {**SMALL, "width": 6, "depth": 3, "step_size": 0.003}


@pytest.fixture(autouse=True)
def _forgotten():
    """What a test registers is not there for the next."""
    yield
    for registry in REGISTRIES.values():
        registry.added.clear()


def sweep_over(kind, values):
    more = {"schedule": {"horizon": 10}, "regularizer": {"gamma": 3}}.get(kind, {})
    fixed, axes = ({}, {kind: values}) if isinstance(values, list) else ({kind: values}, {"seed": [0]})
    return ji.Sweep(axes, {**FIXED, **more, **fixed}, steps=3, records=2, metrics=["regression_error"])


def test_every_kind_is_tried():
    assert set(ENTRIES) == set(REGISTRIES)


@pytest.mark.parametrize("kind", ENTRIES)
def test_one_of_each_kind_is_registered_and_swept_over(kind):
    ji.register(kind, "mine", ENTRIES[kind])
    runs = ji.run_sweep(sweep_over(kind, [OURS[kind], "mine"]))
    assert not runs.diverged.any()
    ours, mine = runs.regression_error.isel(record=-1).values
    assert abs(ours - mine) > 1e-6
    handed = ji.run_sweep(sweep_over(kind, ENTRIES[kind]))  # the function in place of its name
    np.testing.assert_array_equal(handed.regression_error[0], runs.regression_error[1])


def test_what_is_registered_does_what_it_says():
    problem, key = ji.subspace_problem(jax.random.key(0), **SMALL), jax.random.key(0)
    ji.register("activation", "mine", swish)
    network = ji.layer_product(key, problem, width=6, depth=2, activation="mine")
    first, last = (np.asarray(weight) for weight in network.weights)
    hidden = np.asarray(problem.measurements) @ first.T
    expected = (hidden / (1 + np.exp(-hidden))) @ last.T
    np.testing.assert_allclose(network(problem.measurements), expected, atol=1e-12)
    ji.register("init", "mine", ones)
    np.testing.assert_array_equal(
        ji.layer_product(key, problem, depth=1, init="mine").weights[0], np.full((13, 7), 1 / 7)
    )


def test_an_entry_registered_again_is_run_again_and_the_old_one_is_not_compiled_in(tmp_path):
    def network(key, problem):
        return ji.layer_product(key, problem, width=6, depth=3, activation="mine")

    def sweeps():
        by_name = ji.Sweep({"activation": ["tanh", "mine"]}, FIXED, steps=3, records=2, metrics=["regression_error"])
        return by_name, ji.Sweep(  # what a builder of the user's names counts, too
            {"seed": [0]}, {**SMALL, "step_size": 0.003}, steps=3, records=2, metrics=["regression_error"],
            network=network,
        )  # fmt: skip

    names, ends = [], []
    for entry in (swish, lambda rows: jnp.sin(rows), swish):
        ji.register("activation", "mine", entry)
        names.append([sweep.digest for sweep in sweeps()])
        (axis, before), (own, beside) = (found(sweep, tmp_path) for sweep in sweeps())
        again = [found(sweep, tmp_path)[1] for sweep in sweeps()]
        ends.append((float(axis.regression_error.sel(activation="mine")[-1]), float(own.regression_error[0, -1])))
        assert again == [2, 1]
        assert (before, beside) == {0: (0, 0), 1: (1, 0), 2: (2, 1)}[len(ends) - 1]  # tanh is as it was
    assert names[0] == names[2]
    assert not set(names[0]) & set(names[1])
    assert ends[0] == ends[2]
    assert all(abs(a - b) > 1e-6 for a, b in zip(*ends[:2], strict=True))
    assert all(a == pytest.approx(b, rel=1e-12) for a, b in [ends[0], ends[1]])  # by name or through the builder


@pytest.mark.parametrize("batched", [(), ("x",)])
def test_a_method_that_names_an_entry_runs_again_where_it_is_registered_anew(tmp_path, batched):
    def method(x):
        key = jax.random.key(0)
        problem = ji.subspace_problem(key, **SMALL)
        network = ji.layer_product(key, problem, width=6, depth=2, activation="mine")
        return {"y": x * jnp.sum(network(problem.measurements) ** 2)}

    def run(entry):
        ji.register("activation", "mine", entry)
        return found(ji.Sweep({"x": [1.0, 2.0]}, method=ji.Method(method, batched=batched)), tmp_path)

    first, _ = run(swish)
    second, already = run(jnp.tanh)
    assert already == 0
    assert (abs(first.y - second.y) > 1e-6).all()
    again, already = run(swish)
    assert already == 2
    assert np.array_equal(again.y, first.y)


@pytest.mark.parametrize("by_name", [True, False])
def test_what_an_entry_reads_is_part_of_it(tmp_path, monkeypatch, by_name):
    ends = []
    for shift, already in ((0.0, 0), (0.5, 0), (0.0, 1)):
        monkeypatch.setattr(f"{__name__}.SHIFT", shift)
        entry = ji.Activation(swish, 1.5)
        if by_name:
            ji.register("activation", "mine", entry)
        fixed = {**FIXED, "activation": "mine" if by_name else entry}
        runs, before = found(ji.Sweep({"seed": [0]}, fixed, steps=3, records=2, metrics=["regression_error"]), tmp_path)
        ends.append(float(runs.regression_error[0, -1]))
        assert before == already
    assert ends[0] == ends[2]
    assert abs(ends[0] - ends[1]) > 1e-6


def test_what_nobody_registered_changes_no_name(tmp_path):
    sweep = ji.Sweep({"activation": ["tanh", "relu"]}, FIXED, steps=3, metrics=["regression_error"])
    before = sweep.digest
    ji.register("activation", "mine", swish)
    assert all_registered() == {"activation": {"mine": swish}}
    assert sweep.digest == before


@pytest.mark.usefixtures("unchecked")
@pytest.mark.parametrize(
    ("kind", "name", "given", "words"),
    [
        ("activations", "mine", swish, "unknown kind 'activations'; did you mean 'activation'"),
        (3, "mine", swish, "kind must be a name, got 3"),
        ("activation", "relu", swish, "name must be of a new activation, got 'relu', which is one of ours; choose"),
        ("activation", "my own", swish, "name must be a word that activation can be called, got 'my own'"),
        ("activation", 1, swish, "name must be a word that activation can be called, got 1"),
        ("activation", "mine", 1, "activation must be a name or a function of an array, got 1"),
        ("init", "mine", swish, r"init must be a name or a function of \(keys, sizes\), got one of \(rows\): too"),
        ("misfit", "mine", swish, r"misfit must be a name or a function of \(outputs, targets\), got one of \(rows\)"),
        (
            "optimizer",
            "mine",
            "adam",
            "optimizer must be a name or a function of .step_size, weight_decay., got 'adam'",
        ),
        ("schedule", "mine", lambda: 1, r"schedule must be a name or a function of the share .*, got one of \(\): too"),
        ("regularizer", "mine", {}, "regularizer must be a name or a function of the network, got {}"),
        ("architecture", "mine", ones, r"function of \(weights, activation, nonlinear_layers\), got one of \(keys, si"),
    ],
)
def test_what_is_no_entry_is_named_in_one_line(kind, name, given, words):
    with pytest.raises(ji.ArgumentError, match=words) as error:
        ji.register(kind, name, given)
    assert "\n" not in str(error.value)
    assert all_registered() == {}


def test_a_registry_is_a_mapping_of_names():
    registry = REGISTRIES["activation"]
    assert isinstance(registry, Mapping)
    ji.register("activation", "mine", swish)
    assert len(registry) == len(list(registry)) == 7
    assert registry["mine"].function is swish
    assert "mine" in registry
    assert "mien" not in registry
    assert registry.get("mien") is None
    with pytest.raises(ji.ArgumentError, match="unknown activation 'mien'; did you mean 'mine'"):
        registry.find("mien")
