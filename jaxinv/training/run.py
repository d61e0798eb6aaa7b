"""One run, or a block of runs of one shape: setups, steps and metrics in, records and trained networks out."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import jax
import numpy as np
from jaxtyping import Bool, Float, Integer

from ..checks import ArgumentError, check_flag, check_known, fail
from ..measures.metrics import warn_in_sample
from ..measures.records import Chosen, Recordable, check_metrics, choose, in_sample, record_steps, record_steps_after
from ..networks.own import as_network
from ..problems.problem import Problem
from .dense import Dense
from .descent import Descent
from .engine import ENGINES, WIDTH_FREE, Engine
from .precision import run_settings
from .setup import Setup, Standing, check_same
from .width_free.choice import choose_engine
from .width_free.engine import WidthFree
from .width_free.scope import check_scope, check_tolerance


class Run(NamedTuple):
    """A finished run. `step` and each of `metrics` have an entry for each record; NaN from the record of divergence on.

    `network` is the trained network on the problem's own measurements; `diverged` says whether any record was not
    finite, after which training stopped. `standing` is what `train(..., after=run)` goes on from: None in a block.
    `reduction` is what the width-free engine says of itself: `coordinates`, the most in use in a layer, `leak`, the
    largest relative error of a signal in a step, `filled`, whether there was no room (all metrics are NaN then), and
    `flowed`, the steps that the gradient flow stood in for.
    """

    step: Integer[np.ndarray, " records"]
    metrics: dict[str, Float[np.ndarray, "records ..."]]
    network: Any
    diverged: bool
    standing: Standing | None = None
    reduction: Mapping[str, Any] = {}


def train(
    problem: Problem,
    network: Any,
    descent: Descent,
    *,
    steps: int,
    records: int | Sequence[int] = 60,
    metrics: Sequence[str | Recordable] | None = None,
    reduce: bool = True,
    engine: str = "dense",
    tolerance: float = 1e-6,
    after: Run | None = None,
    progress: Callable[[int], None] | None = None,
) -> Run:
    """Train `network` for `steps` and record every metric `records` times, log-spaced, or after the steps given.

    `metrics`, names or Metrics of your own, records those alone (and the loss): where a step is cheap, all of them
    cost as much as a hundred steps. Runs in the float type of the network's weights. `reduce` allows the exact changes
    of coordinates that make a step cheap (facts 1, 4, 5 of `jaxinv.theory`); the iterates are the same without.
    `engine` "dense" holds every weight; "width_free" holds layer products in the coordinates of the few directions that
    their signals meet, each signal to a relative `tolerance` (docs/any_width.md): given weights as they are, those of
    an `UnsampledProduct` in law; "auto" takes the cheaper; for "gradient_flow" see `gradient_flow`.
    `progress` is called with the steps done.

    `after` goes on with a run of the same problem, network (as it was before that run), descent and `reduce`. `steps`
    and `records` still count from the first step of all: the records are those of the run of `steps` in one go, from
    where `after` stands, bit for bit on a CPU. Metrics may be others. A run that diverged stays diverged.
    Functions of your own are compiled as they are when they first run: where a global that one reads has changed, call
    `jax.clear_caches()` before, which `ji.run_sweep` does by itself.
    Raises ArgumentError for a bad argument, and where float32 cannot resolve the weight decay.
    """
    check_known("engine", engine, ENGINES)
    check_flag("reduce", reduce)
    check_metrics(metrics)
    network = as_network(network)
    setup = Setup(problem, network, descent.resolved(problem, network))
    engine = choose_engine(engine, setup, metrics, reduce)
    if engine in WIDTH_FREE:
        if after is not None:
            raise fail("after", f'None with engine "{engine}"', "a run", "train for all steps at once")
        check_tolerance(tolerance)
        check_scope(setup, tuple(metrics or ()), reduce, engine)
        free = WidthFree(jax.local_devices()[:1], tolerance=tolerance, flow=engine == "gradient_flow")
        return train_block(free, [setup], steps=steps, records=records, metrics=metrics, progress=progress)[0]
    dense = Dense(jax.local_devices()[:1], reduce=reduce)
    standing = None if after is None else _standing(after, setup, reduce)
    step = record_steps_after(standing.steps, steps, records) if standing else record_steps(steps, records)
    chosen = choose(metrics, problem, network)
    warn_in_sample(in_sample(metrics, chosen, problem))
    with run_settings():
        block = dense.prepare([setup])
        if standing:
            block = dense.resume(block, [standing])
        block, (run,) = _train(dense, block, 1, step, chosen, progress, diverged=after is not None and after.diverged)
        return run._replace(standing=dense.standing(block)[0])


def gradient_flow(
    problem: Problem,
    network: Any,
    descent: Descent,
    *,
    steps: int,
    records: int | Sequence[int] = 60,
    metrics: Sequence[str | Recordable] | None = None,
    tolerance: float = 1e-6,
    progress: Callable[[int], None] | None = None,
) -> Run:
    """`train` with engine "gradient_flow": the width-free engine, with the gradient flow in place of slow steps.

    With weight decay the error off the subspace falls like (1 - step_size weight_decay)^t, which takes millions of
    steps where networks are wide. The descent is followed step by step until its next step changes the slopes of no
    layer by more than 1%. From there on the gradient flow of the same objective is followed, in coordinates, t steps
    in the time -t log(1 - step_size weight_decay) / weight_decay, in which what has no gradient decays as in the
    descent. Measured from the same weights (depths 2, 3 and 5, widths 400 to 1000, gamma 0.03 to 0.2): within 0.05% of
    the descent in the error off the subspace, 0.3% in the regression error. Where steps stay larger than that, the flow
    is not used: `reduction["flowed"]` is the number of steps that it stood in for.

    Arguments and result are those of `train`; `steps` and records are steps of the descent. Raises ArgumentError for a
    bad argument, momentum and no weight decay among them.
    """
    return train(
        problem, network, descent, steps=steps, records=records, metrics=metrics, engine="gradient_flow",
        tolerance=tolerance, progress=progress,
    )  # fmt: skip


def train_block(
    engine: Engine,
    setups: Sequence[Setup],
    *,
    steps: int,
    records: int | Sequence[int] = 60,
    metrics: Sequence[str | Recordable] | None = None,
    progress: Callable[[int], None] | None = None,
    networks: bool = True,
) -> list[Run]:
    """`train` for setups that one block of `engine` can hold; without `networks` the trained ones are None."""
    step = record_steps(steps, records)
    chosen = choose(metrics, setups[0].problem, setups[0].network)
    check_weights(engine, chosen)
    with run_settings():
        block = engine.prepare(setups)
        return _train(engine, block, len(setups), step, chosen, progress, networks=networks)[1]


def check_weights(engine: Engine, chosen: Chosen) -> None:
    """ArgumentError for a metric that needs the weights where the engine does not hold them."""
    for metric in chosen:
        if not isinstance(metric, str) and metric.needs_weights and not engine.holds_weights:
            raise ArgumentError(
                f"metric {metric.name!r} needs the weights, which engine {engine.name!r} does not hold; use engine "
                '"dense", or leave the metric out'
            )


def _standing(after: Run, setup: Setup, reduce: bool) -> Standing:
    """Where the run `after` stands; ArgumentError unless it is a run of this setup."""
    standing = getattr(after, "standing", None)
    if standing is None:
        raise fail(
            "after", "a run that `train` returned", type(after).__name__ + " without its state", "train it first"
        )
    check_same(standing, setup, reduce)
    return standing


def _train(
    engine: Engine, block: Any, count: int, step, chosen: Chosen, progress, *, diverged=False, networks=True
) -> tuple[Any, list[Run]]:
    """The block of `count` setups after the last step, and their runs; `diverged`: whether they had before."""
    block, table = engine.follow(block, step, chosen, progress)
    failed = np.logical_or.accumulate(~np.isfinite(table["loss"]) | diverged, axis=0)
    trained = engine.networks(block) if networks else [None] * count
    reductions = engine.reduction(block)
    return block, [
        Run(
            step=step,
            metrics={name: _until(failed[:, i], rows[:, i]) for name, rows in table.items()},
            network=trained[i],
            diverged=bool(failed[-1, i]) and not reductions[i].get("filled", False),
            reduction=reductions[i],
        )
        for i in range(count)
    ]


def _until(diverged: Bool[np.ndarray, " records"], rows: np.ndarray) -> np.ndarray:
    """`rows`, a row for each record, NaN where the run had diverged."""
    return np.where(diverged.reshape(-1, *[1] * (rows.ndim - 1)), np.nan, rows)
