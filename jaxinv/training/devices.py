"""Setups on devices: stacked, split over a mesh, computed one at a time or together."""

from collections.abc import Callable, Sequence
from typing import Any

import jax
import numpy as np
from jax.sharding import Mesh, NamedSharding, PartitionSpec

AXIS = "setup"
SPLIT = PartitionSpec(AXIS)

PROGRAMS = 16
"""So many compiled programs are kept: each takes some 30 MB, and JAX releases none by itself."""


COMPILER_OPTIONS = {"xla_cpu_use_fusion_emitters": False}
"""How programs are compiled on a CPU: the older emitters take three quarters to half of the time and a tenth of the
memory, and what they make is as fast here.
"""


def mesh_of(devices: Sequence[Any]) -> Mesh:
    """The mesh over which setups are split."""
    return Mesh(np.array(devices), (AXIS,))


def stack(parts: Sequence[Any], mesh: Mesh) -> Any:
    """Trees of arrays as one tree of stacked arrays, the first axis split over the mesh."""
    sharding = NamedSharding(mesh, SPLIT)
    stacked = jax.tree.map(lambda *leaves: np.stack([np.asarray(x) for x in leaves]), *parts)
    return jax.device_put(stacked, sharding)


def on_each(mesh: Mesh, one: Callable[..., Any], *arguments: Any) -> Any:
    """`one` of each setup, of stacked `arguments`.

    One setup at a time keeps its weights in the cache of a CPU, and its loops end where they end; an accelerator has
    room for many.
    """

    def local(*arguments):
        if len(jax.tree.leaves(arguments)[0]) > 1:
            return jax.vmap(one)(*arguments)
        result = one(*jax.tree.map(lambda leaf: leaf[0], arguments))
        return jax.tree.map(lambda leaf: leaf[None], result)

    return jax.shard_map(local, mesh=mesh, in_specs=SPLIT, out_specs=SPLIT, check_vma=False)(*arguments)


def release_programs(compiled: Any) -> None:
    """Clear the caches of JAX once `compiled` has PROGRAMS programs; a shape that comes again is compiled again."""
    if compiled._cache_size() >= PROGRAMS:
        jax.clear_caches()  # that of `compiled` alone would leave most of the memory taken
