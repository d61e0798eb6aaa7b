"""A sweep as it is asked for: axes and fixed arguments, the cells they make, and what the builders make of each."""

import inspect
import itertools
import numbers
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import jax
import numpy as np

from ..arrays import cast, host_device, plain_values
from ..checks import ArgumentError, check_count, check_flag, check_known, fail, nearest
from ..measures.metrics import EVERY_METRIC
from ..measures.records import Recordable, check_metrics, own_coordinates, own_dims, record_steps
from ..networks.builders import layer_product
from ..networks.own import as_network
from ..networks.unsampled import UnsampledProduct
from ..problems.generators import subspace_problem
from ..registry import all_registered, registered
from ..training.engine import ENGINES, WIDTH_FREE
from ..training.optimizers.builder import gradient_descent
from ..training.setup import Setup
from ..training.width_free.scope import check_tolerance
from .digests import canonical, digest
from .keyed import Built, same_call, with_key
from .method import SELECTS, Method, check_alone
from .trees import PACKAGE, public_name

NUMERICS = 4
"""Version of the numbers: raised when a change alters what a cell computes, so that stored cells are made anew."""

PRECISIONS = ("auto", "float32", "float64")
RESERVED = ("record", "step", "diverged", "precision_bits", "stable_step_size", "width_free", "coordinates", "leak",
            "filled", *SELECTS, *EVERY_METRIC)  # fmt: skip
"""Names that an axis cannot have: those of the results, and those that xarray's `sel` takes for itself."""

HANDED = ("key", "problem", "network", "engine")
"""Arguments that the builders get from the sweep and from each other, never from an axis."""


@dataclass(frozen=True)
class Sweep:
    """A grid of runs: every combination of `axes`, with `fixed` arguments beside.

    An axis or fixed value goes to the one of the three builders (`problem`, `network`, `descent`) that has an
    argument of that name; `seed` k (0 where it is not given) hands `jax.random.key(k)` to the builders that take a
    `key`, and k to those that take a `seed`, so that cells which differ elsewhere share their random numbers. `steps`
    and `records` (their number or the steps to record after) may be functions of arguments of the cell, taken by name,
    `records` of `steps` too; `where`, such a function, leaves out the cells for which it is false. `metrics` says what
    to record (None: all). `precision` is "float32", "float64" or "auto": float64 for the cells whose weight decay
    float32 cannot resolve. `engine` is "dense", which holds every weight, "width_free", which holds layer products of
    any width in the few directions that their signals meet, each to a relative `tolerance`, in float64,
    "gradient_flow", the same with the flow in place of slow steps (see `ji.gradient_flow`), or "auto", the cheaper of
    the first two where both hold; a builder that takes `engine` is told. `reduce` False trains in plain
    coordinates. With `method`, a `Method`, cells are no training runs but what its function gives of the arguments: all
    axes and fixed values are its own, and nothing is said of training.
    Raises ArgumentError for an unknown or ambiguous name, an empty axis and a repeated value.
    """

    axes: Mapping[str, Sequence[Any]]
    fixed: Mapping[str, Any] = field(default_factory=dict)
    steps: int | Callable[..., int] = 1000
    records: int | Sequence[int] | Callable[..., Any] = 60
    metrics: Sequence[str | Recordable] | None = None
    precision: str = "auto"
    engine: str = "dense"
    tolerance: float = 1e-6
    where: Callable[..., bool] | None = None
    problem: Callable[..., Any] = subspace_problem
    network: Callable[..., Any] = layer_product
    descent: Callable[..., Any] = gradient_descent
    reduce: bool = True
    method: Method | None = None

    def __post_init__(self):
        check_alone(self)
        check_known("precision", str(self.precision), PRECISIONS)
        check_known("engine", self.engine, ENGINES)
        check_tolerance(self.tolerance)
        if self.engine in WIDTH_FREE and self.precision == "float32":
            raise fail("precision", f"float64 or auto for engine {self.engine!r}", "float32", "pass precision='auto'")
        check_flag("reduce", self.reduce)
        if not (callable(self.steps) or callable(self.records)):
            record_steps(self.steps, self.records)
        check_metrics(self.metrics)
        for name, values in self.axes.items():
            self._check_axis(name, values)
        for name in (*self.axes, *self.fixed):
            _ = self.owner(name)
        for seed in [*self.axes.get("seed", ()), self.fixed.get("seed", 0)]:
            valid = isinstance(seed, numbers.Integral) and not isinstance(seed, bool)
            if not valid or not 0 <= int(seed) < 2**63:
                raise fail(
                    "seed", "a whole number of at least 0 and below 2^63", repr(seed), "pass range(N) for N seeds"
                )

    def _check_axis(self, name: str, values: Any) -> None:
        own = self.own_dims
        if name in {*own, *(dim for dims in own.values() for dim in dims), *(SELECTS if self.method else RESERVED)}:
            raise ArgumentError(f"axis {name!r} is a name of the results; rename the argument")
        if isinstance(values, str) or not isinstance(values, Sequence | np.ndarray) or not len(values):
            raise fail(f"axis {name!r}", "a non-empty sequence of values", repr(values), "pass a list")
        for value in plain_values(values):
            if value is not None and not isinstance(value, bool | int | float | str):
                raise fail(f"axis {name!r}", "of numbers or strings", type(value).__name__, "put arrays into fixed")
        kinds = {"truth values" if isinstance(v, bool) else "text" if isinstance(v, str) else "numbers"
                 for v in plain_values(values) if v is not None}  # fmt: skip
        if len(kinds) > 1:
            raise fail(f"axis {name!r}", "of one kind of values", " and ".join(sorted(kinds)), "write them alike")
        if len({canonical(value) for value in values}) < len(values):
            raise fail(f"axis {name!r}", "without repeated values", repr(list(values)), "drop the repetitions")
        if name in self.fixed:
            raise ArgumentError(f"{name!r} must be an axis or a fixed value, got both; drop one of them")

    @cached_property
    def builders(self) -> dict[str, dict[str, inspect.Parameter]]:
        """The arguments of each builder by name, or those of the method."""
        if self.method is not None:
            return {"method": self.method.parameters}
        functions = {"problem": self.problem, "network": self.network, "descent": self.descent}
        return {role: dict(inspect.signature(function).parameters) for role, function in functions.items()}

    @property
    def handed(self) -> tuple[str, ...]:
        """Arguments that no axis or fixed value gives."""
        return HANDED if self.method is None else HANDED[:1]

    @property
    def arguments(self) -> set[str]:
        """The names that an axis or a fixed value can have."""
        return {name for arguments in self.builders.values() for name in arguments} - set(self.handed) | {"seed"}

    def owner(self, name: str) -> str:
        """The builder that takes argument `name`; "seed" belongs to all. ArgumentError where none or several do."""
        if name == "seed":
            return "seed"
        owners = [role for role, arguments in self.builders.items() if name in arguments and name not in self.handed]
        if not owners:
            raise ArgumentError(f"unknown axis or argument {name!r}; {nearest(name, self.arguments)}")
        if len(owners) > 1:
            raise ArgumentError(f"axis or argument {name!r} is ambiguous: {' and '.join(owners)} take it; rename it")
        return owners[0]

    def points(self) -> list[dict[str, Any]]:
        """Every combination of the axes, the last axis running fastest; those left out by `where` too."""
        values = itertools.product(*map(plain_values, self.axes.values()))
        return [dict(zip(self.axes, point, strict=True)) for point in values]

    def cells(self) -> list["Cell"]:
        """The cells of the grid, the last axis running fastest."""
        cells = [Cell(self, point) for point in self.points()]
        kept = [cell for cell in cells if self.where is None or cell.call(self.where, "where")]
        if not kept:
            raise fail("where", "true for some cell", f"false for all {len(cells)}", "leave fewer out")
        return kept

    @cached_property
    def own_dims(self) -> dict[str, tuple[str, ...]]:
        """The names of the axes of its metrics, beside the records, or of the values of its method."""
        return own_dims(self.metrics) if self.method is None else dict(self.method.dims)

    @cached_property
    def own_coordinates(self) -> dict[str, tuple[Any, ...]]:
        """The values along those axes, where they are named."""
        if self.method is not None:
            return {dim: tuple(labels) for dim, labels in self.method.labels.items()}
        return own_coordinates(self.metrics)

    @property
    def digest(self) -> str:
        """A digest of everything that decides the numbers of all its cells, equal for equal grids."""
        cells = self.cells()
        axes = [(name, list(values)) for name, values in self.axes.items()]
        points = None if self.where is None else [cell.point for cell in cells]
        steps = [cell.record_steps for cell in cells] if callable(self.steps) or callable(self.records) else None
        plain = {} if steps else {"steps": self.steps, "records": self.records}
        shared = [self.shared_content(), self.precision, *([] if self.method is None else [self.method])]
        if theirs := {digest(own): own for cell in cells if (own := cell.registered)}:
            shared.append(sorted(theirs))
        return digest([axes, points, dict(self.fixed), cells[0].arguments, steps, plain, shared])

    def shared_content(self) -> dict[str, str]:
        """What decides the numbers of every cell alike, as digests: taken once a plan, of the functions as they are."""
        random = str(jax.random.key_impl(jax.random.key(0))), bool(jax.config.jax_threefry_partitionable)  # pyright: ignore[reportAttributeAccessIssue]
        if self.method is not None:  # what its axes are called changes no number
            called: dict[str, Any] = {"method": self.method.function}
            parts: dict[str, Any] = {"method": (self.method.function, sorted(self.method.batched))}
        else:
            called = {"problem": self.problem, "network": self.network, "descent": self.descent}
            parts = {"builders": called, "metrics": None if self.metrics is None else list(self.metrics),
                     "engine": self.engine, "reduce": self.reduce}  # fmt: skip
        parts |= {"random": random, "numerics": NUMERICS}
        ours = (str(public_name(function)).startswith(f"{PACKAGE}:") for function in called.values())
        if (theirs := all_registered()) and not all(ours):  # a function of the user's may name any of them
            parts["registered"] = theirs
        return {name: digest(part) for name, part in parts.items()}


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
            values |= {"seed": self.seed} if "seed" in parameters else {}
            handed = self.sweep.handed
            missing = [n for n, p in parameters.items() if n not in values and n not in handed and p.kind in _NAMED]
            if missing:
                raise ArgumentError(f"{role} needs {', '.join(missing)}; add it to axes or fixed")
            resolved[role] = {name: value for name, value in values.items() if name not in handed}
        return resolved

    @cached_property
    def built_from(self) -> tuple[int | str, ...]:
        """Equal for cells that share problem and network, but for the last entry for those that share the problem."""
        return self.seed, *(same_call(arguments) for arguments in [*self.arguments.values()][:2])

    @property
    def registered(self) -> list[dict[str, Any]]:
        """What users registered under names that are among its arguments."""
        return [own for arguments in self.arguments.values() if (own := registered(arguments))]

    def call(self, function: Callable[..., Any], what: str, **more: Any) -> Any:
        """`function` of those of the cell's arguments, and of `more`, that it asks for by name."""
        given = {n: v for arguments in self.arguments.values() for n, v in arguments.items()}
        known = {"seed": self.seed, **given, **more}
        asked = inspect.signature(function).parameters
        for name in asked:
            check_known(f"argument of {what}", name, known)
        try:
            return function(**{name: known[name] for name in asked})
        except (ArithmeticError, TypeError) as error:
            got = ", ".join(f"{name}={known[name]!r}" for name in asked)
            raise fail(what, "a function of the cell's arguments", f"{error} at {got}", "check them") from None

    @cached_property
    def steps(self) -> int:
        """The number of steps of its run; 0 where it is none."""
        if self.sweep.method is not None:
            return 0
        steps = self.sweep.steps
        return check_count("steps", self.call(steps, "steps") if callable(steps) else steps)

    @cached_property
    def record_steps(self) -> list[int]:
        """The steps after which its run is recorded; none where it is none."""
        if self.sweep.method is not None:
            return []
        records = self.sweep.records
        given = self.call(records, "records", steps=self.steps) if callable(records) else records
        return record_steps(self.steps, given).tolist()

    def digest(self, precision: str, shared: Mapping[str, str] | None = None, engine: str = "dense") -> str:
        """The name of its result: a digest of all that decides its numbers, at a resolved `precision` and `engine`.

        What all cells of the sweep share enters as `shared`, its `shared_content`.
        """
        content = {"arguments": self.arguments, "seed": self.seed, "record_steps": self.record_steps}
        shared = self.sweep.shared_content() if shared is None else shared
        by = digest(engine if engine == "dense" else [engine, float(self.sweep.tolerance)])
        if self.registered:
            content["registered"] = self.registered
        return digest({**content, **shared, "engine": by, "precision": precision})


_NAMED = (inspect.Parameter.POSITIONAL_OR_KEYWORD, inspect.Parameter.KEYWORD_ONLY)


def assemble(cell: Cell, key: Any, built: Built | None = None, engine: str = "dense") -> Setup:
    """Problem, network and descent from the builders, each handed what it asks for by name, `engine` too."""
    sweep, arguments = cell.sweep, cell.arguments
    built = Built() if built is None else built

    def call(role: str, function, *handed):
        given = {**dict(zip(HANDED, handed, strict=False)), "engine": engine}
        return function(**{n: given[n] for n in HANDED if n in given and n in sweep.builders[role]}, **arguments[role])

    problem = built.get(cell.built_from[:2], lambda: call("problem", sweep.problem, key))
    network = built.get((engine, *cell.built_from), lambda: as_network(call("network", sweep.network, key, problem)))
    descent = call("descent", sweep.descent, key, problem, network)
    return Setup(problem, network, with_key(descent.resolved(problem, network)))


def build_at(cell: Cell, precision: str, built: Built | None = None, engine: str = "dense") -> Setup:
    """`assemble` in float64 on the host, the arrays of problem and network then numpy's of `precision`."""
    built = Built() if built is None else built
    with jax.enable_x64(True), jax.default_device(host_device()):
        problem, network, descent = assemble(cell, jax.random.key(cell.seed), built, engine)
    # rounded by numpy, which compiles nothing for each shape
    problem = built.get((precision, *cell.built_from[:2]), lambda: cast(problem, precision))
    if not isinstance(network, UnsampledProduct):
        network = built.get((precision, *cell.built_from), lambda: cast(network, precision))
    return Setup(problem, network, descent)
