"""A run that goes on with another is the run that was long from the start, bit for bit."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

import jaxinv as ji
from jaxinv.training.dense import Dense
from jaxinv.training.run import train_block

from ..helpers import relu_setup, setup

OWN = ji.Metric("first", lambda coordinates, network: jnp.linalg.norm(network.weights[0], axis=0), ("input",))


def adam(eta, decay):
    return optax.adamw(eta, weight_decay=decay)


def narrow(parts):
    return type(parts)(parts.problem, jax.tree.map(lambda w: w.astype(jnp.float32), parts.network), parts.descent)


def with_adam(parts):
    return parts._replace(descent=ji.Descent(1e-3, 0.1, transform=adam))


MADE = {
    "plain": lambda: setup(noise=0.1),
    "momentum": lambda: setup(momentum=0.7),
    "float32": lambda: narrow(setup()),
    "float32 with momentum": lambda: narrow(setup(momentum=0.7, samples=4)),
    "adam": lambda: with_adam(setup()),
    "relu": relu_setup,
}


def assert_goes_on(long, short, more):
    at = np.searchsorted(long.step, more.step[more.step > short.step[-1]])
    assert np.array_equal(more.step[1:], long.step[at])
    for name, curve in more.metrics.items():
        assert np.array_equal(curve[1:], long.metrics[name][at], equal_nan=True), name
        assert np.array_equal(curve[0], short.metrics[name][-1], equal_nan=True), name
    for ours, theirs in zip(more.network.weights, long.network.weights, strict=True):
        assert ours.dtype == theirs.dtype
        assert np.array_equal(ours, theirs, equal_nan=True)
    assert more.diverged == long.diverged


@pytest.mark.parametrize("reduce", [True, False])
@pytest.mark.parametrize("name", MADE)
def test_a_run_that_goes_on_is_the_long_one_at_the_records_they_share(name, reduce):
    parts = MADE[name]()
    metrics = ["loss", "regression_error", OWN]
    if name != "relu":
        metrics += ["off_subspace_error", "balancedness"]
    long = ji.train(*parts, steps=150, records=20, metrics=metrics, reduce=reduce)
    short = ji.train(*parts, steps=37, records=5, metrics=metrics, reduce=reduce)
    kept = jax.tree.map(np.array, short.network)
    for _ in range(2):  # the run that is gone on with stays as it is
        assert_goes_on(
            long, short, ji.train(*parts, steps=150, records=20, metrics=metrics, reduce=reduce, after=short)
        )
    middle = ji.train(*parts, steps=60, records=[37, 50, 60], metrics=metrics, reduce=reduce, after=short)
    assert middle.step.tolist() == [37, 50, 60]
    assert_goes_on(long, middle, ji.train(*parts, steps=150, records=20, metrics=metrics, reduce=reduce, after=middle))
    for ours, theirs in zip(kept.weights, short.network.weights, strict=True):
        assert np.array_equal(ours, theirs)


def test_a_run_that_diverged_stays_diverged():
    parts = setup()._replace(descent=ji.Descent(10.0, 0.0))
    short = ji.train(*parts, steps=50, records=5)
    more = ji.train(*parts, steps=150, records=5, after=short)
    assert short.diverged
    assert more.diverged
    assert np.isnan(more.metrics["loss"]).all()


def test_metrics_may_be_others():
    parts = setup(momentum=0.5)
    long = ji.train(*parts, steps=80, records=[0, 30, 80], metrics=["noise_gain"])
    short = ji.train(*parts, steps=30, records=2)
    more = ji.train(*parts, steps=80, records=[0, 30, 80], metrics=["noise_gain"], after=short)
    assert set(more.metrics) == {"loss", "noise_gain"}
    assert np.array_equal(more.metrics["noise_gain"], long.metrics["noise_gain"][1:])


def test_equal_parts_will_do():
    short = ji.train(*setup(), steps=5, records=2, metrics=["loss"])
    assert ji.train(*setup(), steps=9, records=2, metrics=["loss"], after=short).step.tolist() == [5, 9]


PARTS = setup()
OTHERS = {
    "problem": PARTS._replace(problem=setup(noise=0.1).problem),
    "network": PARTS._replace(network=setup(seed=1).network),
    "descent": PARTS._replace(descent=setup(gamma=0.06).descent),
}


@pytest.mark.parametrize("name", OTHERS)
def test_another_setup_is_refused(name):
    short = ji.train(*PARTS, steps=5, records=2, metrics=["loss"])
    words = f"after must be a run that began with this {name}, got one that began with another {name}; pass the {name}"
    with pytest.raises(ji.ArgumentError, match=words):
        ji.train(*OTHERS[name], steps=9, after=short)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"steps": 5}, "steps must be above 5, the steps that `after` has done, got 5; count from the first step"),
        ({"steps": 9, "reduce": False}, "reduce must be True as in the run that `after` is, got False"),
        ({"steps": 9, "records": [3, 9]}, "records must be a number, or steps that rise from 0 to 9"),
    ],
)
def test_what_does_not_go_on_is_refused(arguments, words):
    short = ji.train(*PARTS, steps=5, records=2, metrics=["loss"])
    with pytest.raises(ji.ArgumentError, match=words):
        ji.train(*PARTS, after=short, **arguments)


def test_a_float32_run_does_not_go_on_in_float64():
    short = ji.train(*narrow(PARTS), steps=5, records=2, metrics=["loss"])
    with pytest.raises(ji.ArgumentError, match="got one that began with another network"):
        ji.train(*PARTS, steps=9, after=short)


def test_a_run_of_a_block_carries_no_state():
    (run,) = train_block(Dense(jax.local_devices()[:1]), [PARTS], steps=3, records=2, metrics=["loss"])
    assert run.standing is None
    with pytest.raises(ji.ArgumentError, match="after must be a run that `train` returned, got Run without its state"):
        ji.train(*PARTS, steps=9, after=run)
