"""What is recorded during training, and after which steps: small arrays by name, never weights."""

from collections.abc import Callable, Hashable, Mapping, Sequence
from typing import Any, Protocol, runtime_checkable

import numpy as np
from jaxtyping import Integer

from ..checks import ArgumentError, check_count, check_known, fail, shown
from ..networks.own import as_given
from ..problems.problem import Problem
from .metrics import BALANCEDNESS, EVERY_METRIC, IN_SAMPLE, available, in_sample_name, known
from .objective import Objective
from .view import View


@runtime_checkable
class Recordable(Hashable, Protocol):
    """What can be recorded beside the metrics with a name: `Metric`, `NoisyError`."""

    @property
    def needs_weights(self) -> bool:
        """Whether an engine must hold the weights to record it."""
        ...

    @property
    def name(self) -> str:
        """Its name in the results."""
        ...

    @property
    def dims(self) -> tuple[str, ...]:
        """The names of the axes of its value."""
        ...

    def record(self, view: View) -> Any:
        """Its value where a run stands."""
        ...


TAKEN = ("step", "record", "diverged", "step_size", "weight_decay", "strength", "precision_bits", "digest", "arguments",
         "stable_step_size", "width_free", "coordinates", "leak", "filled")  # fmt: skip
"""Names in the results and in stored files that a metric of your own cannot have."""

Chosen = tuple[str | Recordable, ...]


def choose(wanted: Sequence[str | Recordable] | None, problem: Problem, network: Any) -> Chosen:
    """What to record of `network`: all it has where `wanted` is None, else those, and the loss (it tells divergence).

    Metrics of fresh signals are called in-sample where `problem` knows no others than those trained on.
    Raises ArgumentError for a metric that the network does not have on that problem.
    """
    if wanted is None:
        return available(network, problem)
    names = known(network, problem)
    chosen: list[str | Recordable] = ["loss"]
    for metric in wanted:
        name = in_sample_name(metric, problem) if isinstance(metric, str) else metric
        chosen.append(name if name in names else metric)
        if metric == "test_error" and not network.is_linear and problem.held_out is None:
            raise fail("metric 'test_error'", "of a problem with held-out pairs, for a network that is not linear",
                       "one without", "pass held_out=(signals, measurements) to ji.Problem")  # fmt: skip
        if metric == BALANCEDNESS and not network.is_product:
            raise fail(f"metric {metric!r}", "of a layer product", type(as_given(network)).__name__,
                       "leave it out")  # fmt: skip
        if isinstance(metric, str):
            check_known("metric", str(chosen[-1]), names)
    return tuple(dict.fromkeys(chosen))


def in_sample(wanted: Sequence[str | Recordable] | None, chosen: Chosen, problem: Problem) -> tuple[str, ...]:
    """The names of what is `chosen`, though not by that name, that is of the training signals instead of fresh ones."""
    if not problem.in_sample:
        return ()
    names = [metric if isinstance(metric, str) else metric.name for metric in chosen]
    halves = set(IN_SAMPLE.values()).difference(name for name in wanted or () if isinstance(name, str))
    own = {metric.name for metric in chosen if not isinstance(metric, str) and hasattr(metric, "of_fresh_signals")}
    return tuple(name for name in names if name in halves | own)


def check_metrics(wanted: Sequence[str | Recordable] | None) -> None:
    """ArgumentError unless each is the name of a metric, or a Metric whose name is its own."""
    if isinstance(wanted, str | Recordable):
        raise fail("metrics", "a list of names and Metrics", shown(getattr(wanted, "name", wanted)),
                   "put it into brackets")  # fmt: skip
    for metric in wanted or ():
        if not isinstance(metric, str | Recordable):
            raise fail("metrics", "names and Metrics", shown(metric), f"known: {', '.join(sorted(EVERY_METRIC))}")
    names = [metric if isinstance(metric, str) else metric.name for metric in wanted or ()]
    own_coordinates(wanted)
    for metric, name in zip(wanted or (), names, strict=True):
        if isinstance(metric, str):
            check_known("metric", name, EVERY_METRIC)
        elif name in EVERY_METRIC or names.count(name) > 1:
            raise fail("metrics", "of different names", f"{name!r} twice", "rename your metric")
        elif name in TAKEN or not str(name).isidentifier():
            raise fail("the name of a metric", "a word that the results do not use themselves", f"{name!r}",
                       "rename your metric")  # fmt: skip


def own_dims(wanted: Sequence[str | Recordable] | None) -> dict[str, tuple[str, ...]]:
    """The names of the axes of each metric that has some beside the records."""
    return {metric.name: metric.dims for metric in wanted or () if not isinstance(metric, str)}


def own_coordinates(wanted: Sequence[str | Recordable] | None) -> dict[str, tuple[Any, ...]]:
    """The values along those axes, of the metrics that name them.

    Raises ArgumentError where two metrics share the name of an axis, but not its values.
    """
    own = [metric for metric in wanted or () if not isinstance(metric, str)]
    named: dict[str, tuple[Any, ...]] = {}
    for metric in own:
        named |= getattr(metric, "labels", {})
    for metric in own:
        labels = getattr(metric, "labels", {})
        for dim in metric.dims:
            if dim in named and labels.get(dim) != named[dim]:
                raise fail(f"axis {dim!r} of metric {metric.name!r}", f"that of the others, {named[dim]}",
                           f"{labels.get(dim, 'without values')}", "rename it")  # fmt: skip
    return named


def recorder(objective: Objective, chosen: Chosen) -> Callable[[View], Mapping[str, Any]]:
    """The function of a view that records what is `chosen`."""

    def record(view):
        own = {metric.name: real_value(metric, view) for metric in chosen if not isinstance(metric, str)}
        return {name: EVERY_METRIC[name](view, objective) for name in EVERY_METRIC if name in chosen} | own

    return record


def real_value(metric: Recordable, view: View) -> Any:
    """The value of a metric of your own; ArgumentError where it is complex: real numbers are stored."""
    value = metric.record(view)
    if np.issubdtype(dtype := getattr(value, "dtype", np.dtype(float)), np.complexfloating):
        raise fail(f"metric {metric.name!r}", "real", f"an array of {dtype}", "take .real, .imag or abs of it")
    return value


def record_steps(steps: int, records: Any) -> Integer[np.ndarray, " records"]:
    """Steps at which to record: 0, then unique rounded geomspace(1, steps, records - 1); 0 and `steps` for two.

    Or those given, which must rise from 0 to `steps`.
    """
    check_count("steps", steps)
    if isinstance(records, Sequence | np.ndarray):
        given = np.asarray(records)
        if given.dtype.kind not in "iuf" or (given != np.floor(given)).any():
            raise fail("records", "whole numbers of steps", repr(records), "round them")
        given = given.astype(np.int64)
        if given.ndim != 1 or len(given) < 2 or given[0] != 0 or given[-1] != steps or (np.diff(given) < 1).any():
            raise fail("records", f"a number, or steps that rise from 0 to {steps}", repr(records), "mend the list")
        return given
    if check_count("records", records) < 2:
        raise ArgumentError(f"records must be at least 2, the first and the last step, got {records}; pass 2 or more")
    spaced = np.geomspace(1, steps, records - 1) if records > 2 else np.array([steps])
    return np.concatenate([[0], np.unique(np.rint(spaced).astype(np.int64))])


def record_steps_after(begin: int, steps: int, records: int | Sequence[int]) -> Integer[np.ndarray, " records"]:
    """Where a run that goes on from step `begin` records: there, and at those of `record_steps` after it.

    Steps that are given may rise from `begin`, too.
    """
    if begin >= check_count("steps", steps):
        raise fail("steps", f"above {begin}, the steps that `after` has done", f"{steps}", "count from the first step")
    if isinstance(records, Sequence | np.ndarray) and len(records) and records[0] == begin:
        records = [0, *records]
    made = record_steps(steps, records)
    return np.concatenate([[begin], made[made > begin]])
