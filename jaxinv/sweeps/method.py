"""A method of one's own: a function of the arguments of a cell that gives named arrays, and how cells are computed."""

import inspect
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, fields
from functools import cached_property, partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh, PartitionSpec

from ..arrays import is_traced
from ..checks import ArgumentError, check_known, fail, shown
from ..training.devices import COMPILER_OPTIONS, SPLIT, mesh_of, release_programs, stack
from ..training.precision import run_settings
from .keyed import Keyed, same_call

SELECTS = ("method", "tolerance", "drop")
"""Names that xarray's `sel` takes for itself: no axis of results can have them."""

STORED = ("digest", "arguments")
"""Names in stored files that no value can have."""

OF_ALL = ("axes", "fixed", "where", "method")
"""What a sweep says whatever its cells are; the rest is of training runs."""

MOST = 16
"""So many cells may one call take on a device, whatever their number: one program serves them all.

One after the other, not in a `vmap`, whose bits change with its size: measured on descents of 10 x k matrices (two
devices, CPU time), 1.7 times that of a `vmap` of 16 at k = 32, but 0.8 times at 512 and 0.55 times at 8192.
"""

Given = Mapping[str, Any]


@dataclass(frozen=True)
class Method:
    """What a cell computes where that is no training run: `function` of its arguments gives a dict of named arrays.

    It takes its arguments by name, from the axes and the fixed values of the sweep; to one that has a `key` or a `seed`
    jax.random.key(seed) and the seed are handed. Each array is real, of one shape in all cells; `dims` names the axes
    of those that have some, `labels` the values along those axes. A value `step` with the axis "record" becomes its
    coordinate, as in the results of training runs.

    Cells that agree in all arguments but the `batched` ones ("key" and "seed" may be among them) share a compiled
    program, in which those are traced: numbers as float64, a `seed` as int64. On a CPU it computes one cell after the
    other on each device, and a cell is the same bits whatever it is computed with; an accelerator computes many in one
    `vmap`, the same to rounding. All other arguments are plain values of Python; with nothing batched the function is
    called cell by cell, and may do anything. Both happen in the settings of a run: float64 allowed, matrix products at
    the highest precision. Raises ArgumentError for names that are not those of the function or clash.
    """

    function: Callable[..., Any]
    dims: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    labels: Mapping[str, Sequence[Any]] = field(default_factory=dict)
    batched: Sequence[str] = ()

    def __post_init__(self):
        if not callable(self.function):
            raise fail("function of a method", "a function", shown(self.function), "pass ji.Method(function)")
        if isinstance(self.batched, str):
            raise fail("batched", "a list of names", repr(self.batched), "put it into brackets")
        for name in self.batched:
            check_known("batched argument", name, self.parameters)
        for name, dims in self.dims.items():
            plain = isinstance(dims, tuple) and all(isinstance(dim, str) and dim.isidentifier() for dim in dims)
            if not plain or len(set(dims)) < len(dims):
                raise fail(f"dims of {name!r}", "a tuple of different names, each a word", repr(dims), 'pass ("name",)')
        self.check_apart(self.dims)
        for dim in self.labels:
            check_known("dim with labels", dim, self.own_dims)

    @cached_property
    def parameters(self) -> dict[str, inspect.Parameter]:
        """The arguments of the function by name."""
        return dict(inspect.signature(self.function).parameters)

    @property
    def own_dims(self) -> set[str]:
        """The names of the axes of its values."""
        return {dim for dims in self.dims.values() for dim in dims}

    def check_apart(self, names: Iterable[str]) -> None:
        """ArgumentError for an axis of a value that is called like one of the values, or as no axis can be."""
        if clash := self.own_dims.intersection({*names, *SELECTS}):
            raise fail("dims", "names that the results do not use", repr(min(clash)), "rename it")

    def split(self, arguments: Given, seed: int) -> tuple[Given, Given]:
        """The plain arguments of a cell, and the batched ones as arrays; as `key` stands its seed."""
        given = {**arguments, **({"key": seed} if "key" in self.parameters else {})}
        plain = {name: value for name, value in given.items() if name not in self.batched}
        return plain, {name: _traced_as(name, given[name]) for name in self.batched}

    def named(self, made: Any) -> dict[str, Any]:
        """What the function gave, as arrays of numbers by name, traced ones as they are; ArgumentError if it is not."""
        if not isinstance(made, Mapping) or not all(isinstance(name, str) and name.isidentifier() for name in made):
            raise fail("what a method returns", "a dict of named arrays", shown(made), 'return {"name": array}')
        arrays = {}
        for name, value in made.items():
            try:
                arrays[name] = value if is_traced(value) else np.asarray(value)
                _kept_as(arrays[name].dtype)
            except (TypeError, ValueError):
                raise fail(f"value {name!r}", "an array of real numbers or truth values", shown(value),
                           "convert it, or leave it out") from None  # fmt: skip
        return arrays


def check_alone(sweep: Any) -> None:
    """ArgumentError for a sweep with a method that is none, or beside which it says something of training runs."""
    if sweep.method is None:
        return
    if not isinstance(sweep.method, Method):
        raise fail("method", "a jaxinv.Method", shown(sweep.method), "pass jaxinv.Method(function)")
    for entry in fields(sweep):
        value = getattr(sweep, entry.name)
        if entry.name not in OF_ALL and value is not entry.default:
            raise fail(entry.name, "left out beside a method", shown(value), "axes and fixed are what it takes")


def checks_of(method: Method, axes: Iterable[str]) -> Callable[[Mapping[str, np.ndarray]], None]:
    """A function of the values of a cell: ArgumentError unless they fit the dims and labels of `method`, the axes of
    the grid, and in names and shapes the values of the cells that were looked at before.
    """
    first: dict[str, tuple[int, ...]] = {}

    def check(values: Mapping[str, np.ndarray]) -> None:
        shapes = {name: np.shape(value) for name, value in values.items()}
        if not first:
            _check_names(method, axes, shapes)
            first.update(shapes)
        if shapes.keys() != first.keys():
            raise fail("what a method returns", "of the same names in all cells", f"{sorted(first)} and "
                       f"{sorted(shapes)}", "fill with NaN")  # fmt: skip
        for name, shape in shapes.items():
            if shape != first[name]:
                raise fail(f"value {name!r}", "of one shape in all cells", f"{first[name]} and {shape}",
                           "pad it with NaN to the largest")  # fmt: skip

    return check


def _check_names(method: Method, axes: Iterable[str], shapes: Mapping[str, tuple[int, ...]]) -> None:
    """ArgumentError unless values of these shapes have the axes that `method` names, and no name stands for two."""
    for name in method.dims:
        check_known("value with dims", name, shapes)
    method.check_apart(shapes)
    sizes = {dim: (len(labels), "its labels") for dim, labels in method.labels.items()}
    for name, shape in shapes.items():
        dims = method.dims.get(name, ())
        if name in axes or name in STORED or (name == "step" and dims != ("record",)):
            must = 'of dims ("record",)' if name == "step" else f"called otherwise than {name}"
            raise fail(f"value {name!r}", must, f"dims {dims}", "rename it")
        if len(shape) != len(dims) or 0 in shape:
            raise fail(f"value {name!r}", f"an array with entries along its dims {dims}", f"shape {shape}",
                       f'name its axes: ji.Method(..., dims={{"{name}": (...)}})')  # fmt: skip
        for dim, size in zip(dims, shape, strict=True):
            known, owner = sizes.setdefault(dim, (size, name))
            if size != known:
                raise fail(f"dim {dim!r}", "of one size", f"{known} in {owner} and {size} in {name}", "rename it")


def compute(
    method: Method, given: Sequence[tuple[Given, Given]], devices: Sequence[Any], each: int, *, together: bool
) -> dict[str, np.ndarray]:
    """The values of cells that agree in their plain arguments, cells first.

    `given` are their arguments as `Method.split` gives them. With something batched, `each` of the cells (at most MOST,
    unless `together`) are computed on each of the `devices`, one after the other or `together`, in one `vmap`.
    """
    plain = given[0][0]

    def call(batched):
        arguments = {**plain, **batched}
        if "key" in arguments:
            arguments["key"] = jax.random.key(arguments["key"])
        try:
            made = method.function(**arguments)
        except Exception as error:  # its own
            error.add_note(f"in a cell with {', '.join(f'{name}={shown(value)}' for name, value in plain.items())}")
            raise
        return method.named(made)

    with run_settings():
        if not method.batched:
            made = {name: array[None] for name, array in call({}).items()}
        else:
            # what it names by identity lives as long as the program does: the call holds it
            known = same_call({"function": method.function, "batched": method.batched}
                              | {f"argument {name}": value for name, value in plain.items()})  # fmt: skip
            made = _batched(method, Keyed(known, call), given, devices, each, together)
    return {name: array.astype(_kept_as(array.dtype)) for name, array in made.items()}


def _batched(method: Method, call: Keyed, given, devices: Sequence[Any], each: int, together: bool):
    release_programs(_compute)
    rows = [batched for _, batched in given]
    count = -(-len(rows) // len(devices))
    mesh, room = mesh_of(devices), each if together else MOST
    # cells in turn to each device: row d * room + j is cell j * devices + d, the last one where there are no more
    at = [min(j * len(devices) + d, len(rows) - 1) for d in range(len(devices)) for j in range(room)]
    try:
        made = jax.device_get(_compute(call, mesh, count, stack([rows[i] for i in at], mesh), together))
    except jax.errors.JAXTypeError as error:
        got = f"{type(error).__name__} of JAX"
        names = f"traceable in {', '.join(method.batched)}"
        raise fail("a method", names, got, "compute with jax.numpy, or leave names out of batched") from error
    order = [(i % len(devices)) * room + i // len(devices) for i in range(len(rows))]
    return {name: np.asarray(array)[order] for name, array in made.items()}


@partial(jax.jit, static_argnames=("call", "mesh", "together"), compiler_options=COMPILER_OPTIONS)
def _compute(call: Keyed, mesh: Mesh, count: Any, batch: Any, together: bool) -> Any:
    """What `call` gives of the first `count` of the stacked arguments on each device, or of all of them `together`."""

    def local(count, batch):
        if together:
            return jax.vmap(call)(batch)
        first = jax.tree.map(lambda leaf: leaf[0], batch)
        table = jax.tree.map(lambda like: jnp.zeros((MOST, *like.shape), like.dtype), jax.eval_shape(call, first))

        def one(i, table):
            made = call(jax.tree.map(lambda leaf: leaf[i], batch))
            return jax.tree.map(lambda rows, value: rows.at[i].set(value), table, made)

        return jax.lax.fori_loop(0, count, one, table)

    split = jax.shard_map(local, mesh=mesh, in_specs=(PartitionSpec(), SPLIT), out_specs=SPLIT, check_vma=False)
    return split(count, batch)


def _traced_as(name: str, value: Any) -> np.ndarray:
    """A batched argument as an array, of a type that does not depend on the cells beside it."""
    array = np.asarray(value)
    if array.dtype.kind not in "biuf":
        raise fail(f"batched argument {name!r}", "numbers", shown(value), "leave it out of batched")
    if array.ndim or array.dtype.kind == "b":
        return array
    return array.astype(np.int64 if name in ("key", "seed") else np.float64)


def _kept_as(dtype: Any) -> Any:
    """The type that values are stored in: flags, whole numbers or numbers; TypeError for what is none of them."""
    for kind in (np.bool_, np.int64, np.float64):
        if np.can_cast(dtype, kind):
            return kind
    raise TypeError(dtype)


def no_build(method: Method) -> ArgumentError:
    """The error for a cell that has nothing to build."""
    name = getattr(method.function, "__name__", type(method.function).__name__)
    return fail("cell", "one whose sweep has builders", f"one of the method {name}",
                'call that itself: method(**cell.arguments["method"])')  # fmt: skip
