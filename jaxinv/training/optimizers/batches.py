"""Mini-batches: which samples each step sees, in a seeded order that visits all of them once an epoch."""

from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Integer, UInt32

from ...arrays import AnyArray


class Order(eqx.Module):
    """Where a run stands in its samples: the steps it has done, and the permutation of this epoch."""

    count: Integer[Array, ""]
    permutation: Integer[Array, " samples"]


class Batches(eqx.Module):
    """Batches of `size` samples, in an order that the random `words` of a key decide.

    What is left of an epoch when no batch fits is left out.
    """

    words: UInt32[AnyArray, "..."]
    size: int = eqx.field(static=True)

    def start(self, samples: int) -> Order:
        """Before the first step."""
        return Order(jnp.zeros((), jnp.int32), self._permutation(0, samples))

    def take(self, order: Order, inputs: Any, targets: Any) -> tuple[Any, Any, Order]:
        """The rows of the next batch, and where the run stands after it.

        A new permutation is made where an epoch begins.
        """
        samples = len(order.permutation)
        each = samples // self.size
        epoch, place = order.count // each, order.count % each
        permutation = jax.lax.cond(place == 0, lambda: self._permutation(epoch, samples), lambda: order.permutation)
        rows = jax.lax.dynamic_slice(permutation, (place * self.size,), (self.size,))
        return inputs[rows], targets[rows], Order(order.count + 1, permutation)

    def _permutation(self, epoch: Any, samples: int) -> Any:
        key = jax.random.fold_in(jax.random.wrap_key_data(jnp.asarray(self.words)), epoch)
        return jax.random.permutation(key, samples).astype(jnp.int32)
