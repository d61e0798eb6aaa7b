"""What an optimizer declares is held to: ours is so, and a wrong declaration is refused in one line."""

import jax
import jax.numpy as jnp
import optax
import pytest

import jaxinv as ji
from jaxinv.registry import REGISTRIES
from jaxinv.training.optimizers.declared import check_declared
from jaxinv.training.optimizers.named import OURS

from .plain import tiny

PROBLEM, NETWORK, _ = tiny()


def stateless(change):
    """A direction that changes each layer's gradient by itself, without a memory."""

    def update(updates, state, params=None):
        return jax.tree.map(change, updates), state

    return lambda momentum: optax.GradientTransformation(lambda params: optax.EmptyState(), update)


def heavy_mix(momentum):
    return 1.0, momentum


@pytest.mark.parametrize("name", OURS)
def test_ours_declare_what_is_so(name):
    ours = OURS[name]
    check_declared(ours.direction, ours.mix, ours.pads, ours.momentum)


WRONG = {
    "adam has no velocities": ji.Optimizer(lambda momentum: optax.scale_by_adam(momentum), 0.9, heavy_mix),
    "another mix": ji.Optimizer(lambda momentum: optax.trace(momentum, nesterov=True), 0.9, heavy_mix),
    "large gradients are clipped": ji.Optimizer(lambda momentum: optax.clip_by_global_norm(1.0), mix=lambda m: (1, 0)),
    "a warm-up": ji.Optimizer(
        lambda momentum: optax.scale_by_schedule(lambda t: jnp.minimum(1, t / 8)), mix=lambda m: (1, 0)
    ),
    "decay within": ji.Optimizer(lambda momentum: optax.add_decayed_weights(0.1), mix=lambda m: (1, 0)),
    "the mean changes": ji.Optimizer(stateless(lambda each: each / jnp.mean(each**2) ** 0.5), pads=True),
    "zeros move": ji.Optimizer(stateless(lambda each: each + 1), pads=True),
}


@pytest.mark.parametrize("name", WRONG)
def test_a_wrong_declaration_is_refused(name):
    what = "pads" if WRONG[name].pads else "mix"
    with pytest.raises(ji.ArgumentError, match=f"^{what} must be .*; leave it out$") as refused:
        ji.register("optimizer", "mine", WRONG[name])
    assert "\n" not in str(refused.value)
    assert "mine" not in list(REGISTRIES["optimizer"])
    with pytest.raises(ji.ArgumentError, match=f"^{what} must be"):
        ji.gradient_descent(PROBLEM, NETWORK, optimizer=WRONG[name])
    with pytest.raises(ji.ArgumentError, match=f"^{what} must be"):
        ji.Descent(0.1, 0.1, optimizer=WRONG[name])


def test_a_right_declaration_passes_and_nothing_need_be_declared():
    averaged = ji.Optimizer(
        lambda momentum: optax.ema(momentum, debias=False),
        0.9,
        lambda momentum: (1 - momentum, momentum * (1 - momentum)),
        pads=True,
    )
    assert ji.gradient_descent(PROBLEM, NETWORK, optimizer=averaged).rotates
    plain = ji.gradient_descent(PROBLEM, NETWORK, optimizer=ji.Optimizer(WRONG["zeros move"].direction))
    assert not any([plain.rotates, plain.pads])


@pytest.mark.parametrize("direction", [lambda momentum: None, lambda: optax.identity(), lambda momentum: optax.sgd])
def test_a_direction_that_is_no_transformation_is_refused(direction):
    with pytest.raises(ji.ArgumentError, match="direction must be a function of the momentum that gives an optax"):
        ji.register("optimizer", "mine", ji.Optimizer(direction))
