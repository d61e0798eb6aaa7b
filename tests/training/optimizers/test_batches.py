"""Mini-batches: every sample once an epoch, in a seeded order; the updates are those of a numpy loop."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import jaxinv as ji
from jaxinv.training.optimizers.batches import Batches

from .plain import RULES, advanced, assert_same, loop, named, tiny

KEY = jax.random.key(5)
PARTS = tiny()
SAMPLES = PARTS.problem.samples


def batched(optimizer="gradient_descent", size=3, key=KEY, **options):
    return named(PARTS, optimizer, batch_size=size, key=key, gamma=0.1, **options)


def taken(batches, steps):
    """The samples of each step."""
    rows, order = jnp.arange(SAMPLES), batches.start(SAMPLES)
    take = jax.jit(lambda order: batches.take(order, rows, rows))
    found = []
    for _ in range(steps):
        one, _, order = take(order)
        found.append(np.asarray(one))
    return np.array(found)


@pytest.mark.parametrize("size", [3, 7])
def test_every_sample_is_seen_at_most_once_an_epoch_and_batches_are_full(size):
    each = SAMPLES // size
    epochs = taken(batched(size=size).descent.batches, 4 * each).reshape(4, -1)
    assert all(len(set(epoch)) == each * size for epoch in epochs)
    assert size == 3 or all(sorted(epoch) == list(range(SAMPLES)) for epoch in epochs)
    assert len({tuple(epoch) for epoch in epochs}) == 4  # another order each time


def test_the_order_is_decided_by_the_key():
    first, again, other = (
        taken(batched(key=key).descent.batches, 6) for key in (KEY, jax.random.key(5), jax.random.key(6))
    )
    assert np.array_equal(first, again)
    assert not np.array_equal(first, other)


@pytest.mark.parametrize("optimizer", ["momentum", "adam"])
def test_batches_train_as_a_numpy_loop_does(optimizer):
    parts = batched(optimizer)
    rows = taken(parts.descent.batches, 200)
    plain = loop(parts, RULES[optimizer], 200, rows=rows.__getitem__, times=SAMPLES / 3)
    assert_same(advanced(parts, 200), plain)


def test_a_batch_of_all_samples_is_the_full_batch_up_to_order():
    parts, whole = batched(size=SAMPLES), named(PARTS, "gradient_descent", gamma=0.1)
    assert parts.descent.step_size == whole.descent.step_size
    assert_same(advanced(parts, 200), loop(whole, RULES["gradient_descent"], 200))
    assert not any([parts.descent.compresses, parts.descent.rotates, parts.descent.is_plain])


def test_small_batches_take_shorter_steps():
    assert isinstance(batched().descent.batches, Batches)
    full = named(PARTS, "gradient_descent").descent.step_size
    for name in ("gradient_descent", "momentum"):
        pace = 1.0 if name == "gradient_descent" else 0.1
        expected = full * pace / (1 + 3 * (1 / 3 - 1 / 7))
        assert batched(name).descent.step_size == pytest.approx(expected)
        stable = [batched(name, size, step_size="stable").descent.step_size for size in (3, SAMPLES)]
        assert stable[0] / stable[1] == pytest.approx(1 / (1 + 3 * (1 / 3 - 1 / 7)))
    assert batched("adam").descent.step_size == named(PARTS, "adam").descent.step_size


@pytest.mark.parametrize(
    ("size", "words"),
    [
        (0, "batch_size must be a positive whole number, got 0"),
        (2.5, "batch_size must be a positive whole number, got 2.5"),
        (SAMPLES + 1, "batch_size must be at most the 7 samples, got 8; pass fewer, or None for all"),
    ],
)
def test_a_size_that_does_not_fit_is_refused(size, words):
    with pytest.raises(ji.ArgumentError, match=words):
        batched(size=size)


def test_a_run_with_batches_and_adam_goes_on_bit_for_bit():
    parts = batched("adam", schedule="inverse_time", horizon=50)
    long = ji.train(*parts, steps=90, records=[0, 40, 90], metrics=["loss"])
    short = ji.train(*parts, steps=40, records=[0, 40], metrics=["loss"])
    more = ji.train(*parts, steps=90, records=[0, 40, 90], metrics=["loss"], after=short)
    assert np.array_equal(more.metrics["loss"], long.metrics["loss"][1:])
    for ours, theirs in zip(more.network.weights, long.network.weights, strict=True):
        assert np.array_equal(ours, theirs)
