"""Misfits other than the squared one: their gradients by finite differences, training and metric by numpy."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import jaxinv as ji
from jaxinv.measures.objective import MISFITS, Misfit, Objective

from ..training.optimizers.plain import RULES, assert_same, loop, named, tiny

PARTS = tiny(noise=0.3)
RNG = np.random.default_rng(0)
OUTPUTS, TARGETS, DIRECTION = 2 * RNG.standard_normal((3, 7, 6))


def huber(errors):
    return np.where(np.abs(errors) < 1, 0.5 * errors**2, np.abs(errors) - 0.5)


def quartic(outputs, targets):
    """A user's own."""
    return 0.25 * jnp.sum((outputs - targets) ** 4)


GIVEN = {"squared": "squared", "absolute": "absolute", "huber": "huber", "quartic": quartic}
VALUES = {"squared": lambda errors: 0.5 * errors**2, "absolute": np.abs, "huber": huber,
          "quartic": lambda errors: 0.25 * errors**4}  # fmt: skip
SLOPES = {"absolute": np.sign, "huber": lambda errors: np.clip(errors, -1, 1), "quartic": lambda errors: errors**3}


@pytest.mark.parametrize("name", GIVEN)
def test_the_gradient_of_a_misfit_is_that_of_its_differences(name):
    misfit = MISFITS.find(GIVEN[name])
    assert float(misfit.function(OUTPUTS, TARGETS)) == pytest.approx(np.sum(VALUES[name](OUTPUTS - TARGETS)), rel=1e-12)
    slope = np.sum(np.asarray(jax.grad(misfit.function)(OUTPUTS, TARGETS)) * DIRECTION)
    ahead, behind = (np.sum(VALUES[name](OUTPUTS + h * DIRECTION - TARGETS)) for h in (1e-6, -1e-6))
    assert slope == pytest.approx((ahead - behind) / 2e-6, rel=1e-6)


@pytest.mark.parametrize("name", SLOPES)
def test_a_run_descends_and_records_the_misfit_it_is_given(name):
    parts = named(PARTS, "momentum", misfit=GIVEN[name], gamma=0.1, step_size=1e-3)
    assert not any([parts.descent.compresses, parts.descent.rotates, parts.descent.is_plain])
    run = ji.train(*parts, steps=100, records=2, metrics=["loss"])
    weights = loop(parts, RULES["momentum"], 100, slope=lambda outputs, targets: SLOPES[name](outputs - targets))
    assert_same(run.network.weights, weights)
    errors = np.linalg.multi_dot(weights[::-1]) @ np.asarray(PARTS.problem.measurements).T
    fit = np.sum(VALUES[name](errors - np.asarray(PARTS.problem.signals).T))
    decay = 0.5 * float(parts.descent.weight_decay) * sum(np.sum(weight**2) for weight in weights)
    assert run.metrics["loss"][-1] == pytest.approx(fit + decay, rel=1e-10)


BAD = {
    "by sample": lambda outputs, targets: jnp.sum((outputs - targets) ** 2, axis=1),
    "nothing": lambda outputs, targets: None,
    "a list": lambda outputs, targets: [jnp.sum(outputs)],
    "numpy": lambda outputs, targets: np.sum(np.abs(np.asarray(outputs) - targets)),
}


@pytest.mark.parametrize("name", BAD)
def test_a_misfit_that_gives_no_number_is_refused_in_one_line(name, tmp_path):
    words = r"^misfit must be a function of \(outputs, targets\) that gives a number, got .*; make it one float"
    parts = named(PARTS, "adam", misfit=BAD[name])
    with pytest.raises(ji.ArgumentError, match=words) as refused:
        ji.train(*parts, steps=2)
    assert "\n" not in str(refused.value)
    sweep = ji.Sweep({"seed": [0]}, {"signal_dim": 6, "measurement_dim": 5, "subspace_dim": 2, "misfit": BAD[name]})
    with pytest.raises(ji.ArgumentError, match=words):
        ji.run_sweep(sweep, tmp_path / "store")
    assert not (tmp_path / "store").exists()


def test_with_batches_a_misfit_must_be_a_sum_over_samples(tmp_path):
    # a batch of b of n samples counts n/b times, which of a mean would be too much
    fixed = {"signal_dim": 6, "measurement_dim": 5, "subspace_dim": 2, "samples": 8, "batch_size": 2, "width": 4}

    def run(misfit):
        return ji.run_sweep(
            ji.Sweep({"seed": [0]}, {**fixed, "misfit": misfit}, steps=2, records=2), tmp_path / "store"
        )

    with pytest.raises(ji.ArgumentError, match="misfit must be a sum over samples where there are mini-batches"):
        run(lambda outputs, targets: jnp.mean((outputs - targets) ** 2))
    assert not (tmp_path / "store").exists()
    assert not run(quartic).diverged.any()


def test_what_is_no_misfit_is_refused():
    with pytest.raises(ji.ArgumentError, match="misfit must be a name or a function of \\(outputs, targets\\), got 3"):
        named(PARTS, "adam", misfit=3)
    with pytest.raises(
        ji.ArgumentError, match="misfit must be a name or a function of \\(outputs, targets\\), got one of"
    ):
        named(PARTS, "adam", misfit=lambda outputs: jnp.sum(outputs))
    with pytest.raises(ji.ArgumentError, match="unknown misfit 'hubert'; did you mean 'huber'"):
        named(PARTS, "adam", misfit="hubert")


def test_an_objective_has_the_misfit_it_is_given():
    assert Objective(misfit=Misfit(quartic)).data_term(OUTPUTS, TARGETS) == pytest.approx(
        float(quartic(OUTPUTS, TARGETS))
    )
