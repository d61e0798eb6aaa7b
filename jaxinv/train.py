"""Training: problem, network, descent, metrics -> Run, one replica or a block of replicas over devices."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh, NamedSharding, PartitionSpec
from jaxtyping import Bool, Float, Integer

from .checks import ArgumentError, fail
from .descent import Descent, State, advance, record_steps, start
from .metrics import Chosen, Metric, choose, recorder
from .network import Layers
from .problem import Problem
from .reduction import Replica, cut_width, lift, pad_width, reduce_replica, whole

SMALLEST_FLOAT32_DECAY = 1e-6
"""Below this step_size * weight_decay a float32 weight loses less per step than its rounding (theory.py, fact 10)."""

Trio = tuple[Problem, Any, Descent]


class Run(NamedTuple):
    """A finished run. `step` and each of `metrics` have one entry a record; NaN from the record of divergence on.

    `network` is the trained network on the problem's own measurements; `diverged` says whether any record was not
    finite, after which training stopped.
    """

    step: Integer[np.ndarray, " records"]
    metrics: dict[str, Float[np.ndarray, "records ..."]]
    network: Any
    diverged: bool


def train(
    problem: Problem,
    network: Any,
    descent: Descent,
    *,
    steps: int,
    records: int | Sequence[int] = 60,
    metrics: Sequence[str | Metric] | None = None,
    reduce: bool = True,
    progress: Callable[[int], None] | None = None,
) -> Run:
    """Train `network` for `steps` and record every metric `records` times, log-spaced, or after the steps given.

    `metrics`, names or Metrics of your own, records those alone (and the loss): where a step is cheap, all of them
    cost as much as a hundred steps. Runs in the float type of the network's weights. `reduce` allows the exact changes
    of coordinates that make a step cheap (theory.py, facts 1, 4, 5); the iterates are the same without. `progress` is
    called with the steps done.
    Raises ArgumentError where float32 cannot resolve the weight decay.
    """
    return train_block(
        [(problem, network, descent)], jax.local_devices()[:1], steps=steps, records=records, metrics=metrics,
        reduce=reduce, progress=progress,
    )[0]  # fmt: skip


def train_block(
    trios: Sequence[Trio],
    devices: Sequence[Any],
    *,
    steps: int,
    records: int | Sequence[int] = 60,
    metrics: Sequence[str | Metric] | None = None,
    reduce: bool = True,
    each: int = 1,
    width: int | None = None,
    progress: Callable[[int], None] | None = None,
) -> list[Run]:
    """`train` for replicas of one shape, `each` of them at a time on each of `devices`.

    Hidden widths may differ where `width` is given: all are padded to it with zeros, which changes no result. The
    last replica is repeated until the block is full. The numbers are those of one replica after the other: to the
    last bit on a CPU with `each` = 1, to rounding otherwise.
    """
    grid = record_steps(steps, records)
    chosen = choose(metrics, trios[0][1])
    with run_settings():
        block = load_block(trios, devices, reduce=reduce, each=each, width=width)
        factors = np.stack([_free_factors(t[2], r, grid) for t, r in zip(trios, block.replicas, strict=True)])
        state, table, diverged = _run(block, grid, factors[block.filled], chosen, progress)
        networks = [jax.tree.map(lambda leaf, i=i: np.asarray(leaf[i]), state.network) for i in range(len(trios))]
        with jax.default_device(host_device()):
            return [
                Run(
                    step=grid,
                    metrics={name: _until(diverged[:, i], rows[:, i]) for name, rows in table.items()},
                    network=_lifted(block.replicas[i], networks[i], factors[i, -1], like=trios[i][1]),
                    diverged=bool(diverged[-1, i]),
                )
                for i in range(len(trios))
            ]


@contextmanager
def run_settings() -> Iterator[None]:
    """What every run is computed under: float64 allowed, matrix products at the highest precision."""
    with jax.enable_x64(True), jax.default_matmul_precision("highest"):
        yield


class Block(NamedTuple):
    """Replicas on their devices, before the first step: `batch` and `state` are their stacked, sharded arrays.

    Row i of those is replica `filled[i]`: the last one is repeated until the block is full.
    """

    replicas: list[Replica]
    mesh: Mesh
    batch: Replica
    state: State
    filled: list[int]


def load_block(
    trios: Sequence[Trio], devices: Sequence[Any], *, reduce: bool = True, each: int = 1, width: int | None = None
) -> Block:
    """The replicas in the coordinates they are trained in, stacked over `devices`; call it within `run_settings`."""
    with jax.default_device(host_device()):
        replicas = [_prepare(trio, reduce, width) for trio in trios]
        states = [start(replica.descent, replica.network) for replica in replicas]
    filled = [min(i, len(trios) - 1) for i in range(len(devices) * each)]
    mesh = Mesh(np.array(devices), ("replica",))
    batch, state = (_stack([parts[i] for i in filled], mesh) for parts in (replicas, states))
    return Block(replicas, mesh, batch, state, filled)


def _run(block: Block, grid, factors, chosen: Chosen, progress):
    """Chunk after chunk until the grid is done or every replica has diverged: state, (records, block) arrays."""
    state = block.state
    rows: list[dict[str, np.ndarray]] = []
    diverged: list[Bool[np.ndarray, " block"]] = []
    for record, chunk in enumerate(np.diff(grid, prepend=0)):
        factor = factors[:, record].astype(block.batch.frame.targets.dtype)
        state, row = advance_block(block.mesh, block.batch, state, jnp.asarray(chunk), factor, chosen)
        rows.append({name: np.asarray(value, np.float64) for name, value in row.items()})
        failed = ~np.isfinite(rows[-1]["loss"])
        diverged.append(failed | diverged[-1] if diverged else failed)
        if progress is not None:
            progress(int(grid[record]))
        if diverged[-1].all():
            break
    missing = len(grid) - len(rows)
    rows += [rows[-1]] * missing
    diverged += [diverged[-1]] * missing
    return state, {name: np.stack([row[name] for row in rows]) for name in rows[0]}, np.stack(diverged)


def _until(diverged: Bool[np.ndarray, " records"], rows: np.ndarray) -> np.ndarray:
    """`rows`, one a record, NaN where the run had diverged."""
    return np.where(diverged.reshape(-1, *[1] * (rows.ndim - 1)), np.nan, rows)


@partial(jax.jit, static_argnames=("mesh", "chosen"), donate_argnames="state")
def advance_block(
    mesh: Mesh, batch: Replica, state: State, steps: Any, factor: Any, chosen: Chosen
) -> tuple[State, dict[str, Any]]:
    """`steps` steps of every replica, then its record of what is `chosen`.

    `factor` is what the free columns of W_1 have shrunk by when it is taken.
    """

    def one(replica: Replica, state: State, factor):
        frame = replica.frame
        evaluate = recorder(frame, replica.descent, chosen)

        def record(network):
            return evaluate(whole(replica, network, factor)) if chosen else {}

        return advance(replica.descent, frame.inputs[:, : frame.trained], frame.targets, state, steps, record)

    def local(batch, state, factor):
        # one replica at a time keeps its weights in the cache of a CPU; an accelerator has room for many
        if len(factor) > 1:
            return jax.vmap(one)(batch, state, factor)
        result = one(*jax.tree.map(lambda leaf: leaf[0], (batch, state, factor)))
        return jax.tree.map(lambda leaf: leaf[None], result)

    split = PartitionSpec("replica")
    return jax.shard_map(local, mesh=mesh, in_specs=split, out_specs=split, check_vma=False)(batch, state, factor)


def _prepare(trio: Trio, reduce: bool, width: int | None) -> Replica:
    """Coordinates are changed in f64, whatever the run's own float type; then everything is cast to that."""
    problem, network, descent = trio
    dtype = jax.tree.leaves(network)[0].dtype
    if dtype == jnp.float32:
        check_float32(float(descent.step_size) * float(descent.weight_decay))
    _check_fit(problem, network, dtype)
    problem, network, descent = _cast(trio, np.float64)
    if width is not None:
        network = pad_width(network, width)
    return _cast(reduce_replica(problem, network, descent, reduce), dtype)


def check_float32(product: float) -> None:
    """ArgumentError where a float32 weight would not decay: `product` is step_size * weight_decay."""
    if 0 < product < SMALLEST_FLOAT32_DECAY:
        raise ArgumentError(
            f"precision must be float64 where step_size * weight_decay is below {SMALLEST_FLOAT32_DECAY:g}, got "
            f"float32 at {product:.2g}; a float32 weight would not decay: use float64, or raise the weight decay"
        )


def _check_fit(problem: Problem, network: Any, dtype: Any) -> None:
    """ArgumentError unless the network maps measurements of the problem to its signals, in float32 or float64."""
    if dtype not in (jnp.float32, jnp.float64):
        raise fail("network", "of float32 or float64 weights", f"{dtype}", "cast its weights")
    if isinstance(network, Layers):
        sizes = [network.weights[0].shape[1], *(weight.shape[0] for weight in network.weights)]
        chain = all(weight.shape[1] == size for weight, size in zip(network.weights, sizes, strict=False))
        ends = problem.measurement_dim, problem.signal_dim
        if not chain or (sizes[0], sizes[-1]) != ends:
            shapes = ", ".join(str(weight.shape) for weight in network.weights)
            raise fail("network", f"a chain of layers from {ends[0]} measurements to {ends[1]} unknowns",
                       f"weights of shapes {shapes}", "build it for this problem")  # fmt: skip


def _free_factors(descent: Descent, replica: Replica, grid) -> Float[np.ndarray, " records"]:
    return descent.free_factor(grid) if replica.free.shape[1] else np.ones(len(grid))


def _lifted(replica: Replica, network, factor, like):
    """The trained network on the problem's own measurements, rotated back in f64."""
    dtype = network.weights[0].dtype
    replica, network = _cast((replica, network), np.float64)
    with np.errstate(all="ignore"):  # the weights of a diverged run are not finite
        lifted = cut_width(lift(replica, network, factor), like)
    return jax.tree.map(jnp.asarray, _cast(lifted, dtype))


def _cast(tree: Any, dtype: Any) -> Any:
    """`tree` with every leaf as a numpy array of `dtype`: set-up is numpy's, which compiles nothing."""
    return jax.tree.map(lambda leaf: np.asarray(leaf, dtype), tree)


def _stack(parts: list, mesh: Mesh):
    sharding = NamedSharding(mesh, PartitionSpec("replica"))
    return jax.tree.map(lambda *leaves: jax.device_put(np.stack([np.asarray(x) for x in leaves]), sharding), *parts)


def host_device() -> Any:
    """A CPU device for setting up, so that a problem is the same bits wherever it is then trained."""
    try:
        return jax.local_devices(backend="cpu")[0]
    except RuntimeError:  # no CPU backend was asked for (JAX_PLATFORMS)
        return jax.local_devices()[0]
