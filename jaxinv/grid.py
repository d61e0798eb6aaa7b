"""Axes -> cells: the grid of a sweep, the arguments of each cell, its name, and its builders called."""

import hashlib
import inspect
import itertools
import json
import numbers
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property, partial
from types import CodeType
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from .checks import ArgumentError, fail, nearest
from .descent import gradient_descent, record_steps
from .metrics import NAMES, Metric, check_metrics
from .network import layer_product
from .problem import subspace_problem
from .train import Trio, host_device

NUMERICS = 1
"""Version of the numbers: raised when a change alters what a cell computes, so that stored cells are made anew."""

PRECISIONS = ("auto", "float32", "float64")
RESERVED = ("record", "step", "diverged", "precision_bits", *NAMES)
"""Names in the results that an axis cannot have."""

HANDED = ("key", "problem", "network")
"""Arguments that the builders get from each other, never from an axis."""


@dataclass(frozen=True)
class Sweep:
    """A grid of runs: every combination of `axes`, with `fixed` arguments beside.

    An axis or fixed value goes to the one of the three builders (`problem`, `network`, `descent`) that has an
    argument of that name; `seed` k (0 where it is not given) hands `jax.random.key(k)` to the builders that take a
    key, so that cells which differ elsewhere share their draws. `precision` is "float32", "float64" or "auto":
    float64 for the cells whose weight decay float32 cannot resolve. `records` is their number or the steps to record
    after, `metrics` what (None: all). `reduce` False trains in plain coordinates.
    Raises ArgumentError for an unknown or ambiguous name, an empty axis and a repeated value.
    """

    axes: Mapping[str, Sequence[Any]]
    fixed: Mapping[str, Any] = field(default_factory=dict)
    steps: int = 1000
    records: int | Sequence[int] = 60
    metrics: Sequence[str | Metric] | None = None
    precision: str = "auto"
    problem: Callable[..., Any] = subspace_problem
    network: Callable[..., Any] = layer_product
    descent: Callable[..., Any] = gradient_descent
    reduce: bool = True

    def __post_init__(self):
        if self.precision not in PRECISIONS:
            raise ArgumentError(f"unknown precision {self.precision!r}; {nearest(str(self.precision), PRECISIONS)}")
        record_steps(self.steps, self.records)
        check_metrics(self.metrics)
        own = [metric for metric in self.metrics or () if isinstance(metric, Metric)]
        taken = {name for metric in own for name in (metric.name, *metric.dims)}
        for name, values in self.axes.items():
            if name in taken.union(RESERVED):
                raise ArgumentError(f"axis {name!r} is a name of the results; rename the builder's argument")
            if isinstance(values, str) or not isinstance(values, Sequence | np.ndarray) or not len(values):
                raise fail(f"axis {name!r}", "a non-empty sequence of values", repr(values), "pass a list")
            for value in plain_values(values):
                if value is not None and not isinstance(value, bool | int | float | str):
                    raise fail(f"axis {name!r}", "of numbers or strings", type(value).__name__, "put arrays into fixed")
            if len({canonical(value) for value in values}) < len(values):
                raise fail(f"axis {name!r}", "without repeated values", repr(list(values)), "drop the repetitions")
            if name in self.fixed:
                raise ArgumentError(f"{name!r} must be an axis or a fixed value, got both; drop one of them")
        for name in (*self.axes, *self.fixed):
            _ = self._owner(name)
        for seed in [*self.axes.get("seed", ()), self.fixed.get("seed", 0)]:
            whole = isinstance(seed, numbers.Integral) and not isinstance(seed, bool)
            if not whole or not 0 <= int(seed) < 2**63:
                raise fail(
                    "seed", "a whole number of at least 0 and below 2^63", repr(seed), "pass range(N) for N seeds"
                )

    @cached_property
    def builders(self) -> dict[str, dict[str, inspect.Parameter]]:
        """The arguments of each builder by name."""
        functions = {"problem": self.problem, "network": self.network, "descent": self.descent}
        return {role: dict(inspect.signature(function).parameters) for role, function in functions.items()}

    def _owner(self, name: str) -> str:
        """The builder that takes argument `name`; "seed" belongs to all."""
        known = {a for arguments in self.builders.values() for a in arguments} - set(HANDED) | {"seed"}
        if name == "seed":
            return "seed"
        owners = [role for role, arguments in self.builders.items() if name in arguments and name not in HANDED]
        if not owners:
            raise ArgumentError(f"unknown axis or argument {name!r}; {nearest(name, known)}")
        if len(owners) > 1:
            raise ArgumentError(f"axis or argument {name!r} is ambiguous: {' and '.join(owners)} take it; rename it")
        return owners[0]

    def cells(self) -> list["Cell"]:
        """Every combination of the axes, the last axis running fastest."""
        names, values = tuple(self.axes), self.axes.values()
        return [
            Cell(self, dict(zip(names, point, strict=True))) for point in itertools.product(*map(plain_values, values))
        ]  # fmt: skip


@dataclass(frozen=True)
class Cell:
    """One run of a sweep: `point` holds its value on each axis."""

    sweep: Sweep
    point: dict[str, Any]

    @property
    def seed(self) -> int:
        """The number its key is made of."""
        return int({**self.sweep.fixed, **self.point}.get("seed", 0))

    @cached_property
    def arguments(self) -> dict[str, dict[str, Any]]:
        """All resolved arguments of each builder, defaults included."""
        given = {name: value for name, value in {**self.sweep.fixed, **self.point}.items() if name != "seed"}
        resolved: dict[str, dict[str, Any]] = {}
        for role, parameters in self.sweep.builders.items():
            values = {n: p.default for n, p in parameters.items() if p.default is not inspect.Parameter.empty}
            values |= {name: value for name, value in given.items() if name in parameters}
            missing = [n for n, p in parameters.items() if n not in values and n not in HANDED and p.kind in _NAMED]
            if missing:
                raise ArgumentError(f"{role} needs {', '.join(missing)}; add it to axes or fixed")
            resolved[role] = {name: value for name, value in values.items() if name not in HANDED}
        return resolved

    def hash(self, precision: str) -> str:
        """The name of its result: a digest of everything that decides its numbers at a resolved `precision`."""
        sweep = self.sweep
        functions = {"problem": sweep.problem, "network": sweep.network, "descent": sweep.descent}
        content = {
            "arguments": self.arguments,
            "seed": self.seed,
            "builders": functions,
            "steps": sweep.steps,
            "records": sweep.records,
            "metrics": sweep.metrics,
            "precision": precision,
            "reduce": sweep.reduce,
            "numerics": NUMERICS,
        }
        return hashlib.sha256(canonical(content).encode()).hexdigest()[:32]


_NAMED = (inspect.Parameter.POSITIONAL_OR_KEYWORD, inspect.Parameter.KEYWORD_ONLY)


def assemble(cell: Cell, key: Any) -> Trio:
    """Problem, network and descent from the builders, each handed what it asks for by name."""
    sweep, arguments = cell.sweep, cell.arguments

    def call(role: str, function, *handed):
        given = dict(zip(HANDED, handed, strict=False))
        return function(**{n: given[n] for n in HANDED if n in given and n in sweep.builders[role]}, **arguments[role])

    problem = call("problem", sweep.problem, key)
    network = call("network", sweep.network, key, problem)
    return problem, network, call("descent", sweep.descent, key, problem, network)


def build_at(cell: Cell, precision: str) -> Trio:
    """`assemble` in float64 on the host, problem and network then cast to `precision`."""
    with jax.enable_x64(True), jax.default_device(host_device()):
        problem, network, descent = assemble(cell, jax.random.key(cell.seed))
        problem, network = jax.tree.map(lambda leaf: jnp.asarray(leaf, precision), (problem, network))
        return problem, network, descent


def plain_values(values: Sequence[Any]) -> list[Any]:
    """Axis values as plain Python numbers and strings."""
    return [value.item() if isinstance(value, np.generic) else value for value in values]


def canonical(value: Any) -> str:
    """JSON that is equal for equal arguments: sorted, 0 == 0.0, arrays by digest, functions by name."""
    return json.dumps(_jsonable(value), sort_keys=True)


def _jsonable(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {str(key): _jsonable(entry) for key, entry in value.items()}
    if isinstance(value, np.ndarray | jax.Array) and np.ndim(value) > 0:
        array = np.ascontiguousarray(value)
        return {"shape": array.shape, "dtype": str(array.dtype), "sha256": hashlib.sha256(array.tobytes()).hexdigest()}
    if isinstance(value, np.generic | jax.Array):
        value = value.item()
    if isinstance(value, float) and value.is_integer():
        return int(value)
    if isinstance(value, list | tuple | range):
        return [_jsonable(entry) for entry in value]
    if isinstance(value, partial):
        return {"partial": _jsonable(value.func), "args": _jsonable(value.args), "keywords": _jsonable(value.keywords)}
    if inspect.isfunction(value):
        return _function(value)
    if callable(value) and hasattr(value, "__qualname__"):
        return f"{value.__module__}.{value.__qualname__}"
    if value is None or isinstance(value, bool | int | float | str):
        return value
    raise fail("an argument of a sweep", "a number, a string, an array or a function", repr(value), "pass plain data")


def _function(function: Any, callers: tuple[Any, ...] = ()) -> Any:
    """A function by its name; one of your own also by its code, the plain values and the helpers it reads around it.

    Helpers are functions of the same module. Our own functions are covered by NUMERICS.
    """
    name = f"{function.__module__}.{function.__qualname__}"
    if function.__module__.startswith(f"{__package__}."):
        return name
    code = function.__code__
    cells = zip(code.co_freevars, (cell.cell_contents for cell in function.__closure__ or ()), strict=True)
    around = {**{n: function.__globals__[n] for n in code.co_names if n in function.__globals__}, **dict(cells)}
    plain = int | float | str | list | tuple | dict | np.ndarray | np.generic | jax.Array
    reads = {n: _jsonable(value) for n, value in around.items() if value is None or isinstance(value, plain)}
    for n, value in around.items():
        ours = inspect.isfunction(value) and value.__module__ == function.__module__
        if ours and value not in (*callers, function):
            reads[n] = _function(value, (*callers, function))
    return {"name": name, "code": hashlib.sha256(_code_bytes(code)).hexdigest(), "reads": reads}


def _code_bytes(code: CodeType) -> bytes:
    """What a function does: its instructions, names and constants, nested functions included; not where it stands."""
    constants = b"".join(_code_bytes(c) if isinstance(c, CodeType) else repr(c).encode() for c in code.co_consts)
    return code.co_code + repr(code.co_names).encode() + constants
