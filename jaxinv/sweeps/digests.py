"""Digests of arguments and of all that a function of the user's reads: what the name of a stored result covers.

Our own functions and classes are covered by their public names, installed ones by name and version, the user's by
their syntax trees and the values that they read. Anything else is refused.
"""

import copyreg
import dataclasses
import functools
import hashlib
import inspect
import json
import struct
import types
from collections.abc import Callable, Iterator
from enum import Enum
from pathlib import PosixPath, PurePosixPath, PureWindowsPath, WindowsPath
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.tree_util import PyTreeDef

from ..arrays import is_traced
from ..checks import ArgumentError
from .sources import NoSource, closure, home_of_module, is_dunder, is_written, reading, values_read
from .trees import PACKAGE, full_name, home, label, public_name, sha
from .trees import digest_of_source as digest_of_source
from .trees import file_source as file_source
from .trees import package_source as package_source

_CHECKERS = {"beartype", "jaxtyping", "typeguard"}
"""Libraries that wrap a function to check its arguments, and change no number."""

_ELSEWHERE = {"h5py", "pandas", "torch", "xarray"}
"""Libraries whose objects keep their data outside of Python, or caches beside it."""

_WRAPPING = {"__module__", "__name__", "__qualname__", "__doc__", "__type_params__", "_jit_info"}
_WRAPPING |= {"__annotations__", "__annotate__"}
"""What `functools.wraps` and `jax.jit` write on a function: names and places."""

_CONTENTS: tuple[type[Any], ...] = (dict, list, tuple, set, frozenset, str, bytes, int, float, complex)


class Uncovered(ArgumentError):
    """A value that no digest can cover; the message names it, what reads it, and what to do."""


def canonical(value: Any) -> str:
    """JSON that is equal for equal values: keys sorted, 0 == 0.0, arrays by digest, functions by what they compute.

    Raises Uncovered for what would have to be guessed.
    """
    return json.dumps(_Cover().value(value), sort_keys=True)


def digest(value: Any) -> str:
    """The first 32 hexadecimal digits of the SHA-256 of `canonical(value)`."""
    return sha(canonical(value))


class _Cover:
    """One walk over a value and all that it reads.

    A function, class or module of the user's becomes the digest of a table: of itself and of all those that it reads,
    which have numbers and are `waiting` for their turn, so that circles end. `inside` holds the lists and objects that
    the walk is inside of, for the same reason.
    """

    def __init__(self, outer: "_Cover | None" = None, waiting: list[Any] | None = None):
        self.waiting = waiting
        self.numbers: dict[int, tuple[int, Any]] = {}
        self.inside: list[Any] = outer.inside if outer else []
        self.readers: list[str] = outer.readers if outer else []
        self.label = outer.label if outer else ""

    def value(self, value: Any) -> Any:
        """`value` as plain JSON."""
        if value is None or type(value) in (bool, int, str):
            return value
        if type(value) is float:
            return int(value) if value.is_integer() else value
        if isinstance(value, np.generic | np.ndarray | jax.Array):
            return self.array(value)
        if type(value) in _KINDS:
            return self.once(value, lambda: _KINDS[type(value)](self, value))
        if isinstance(value, types.ModuleType):
            return self.module(value)
        name = public_name(value)
        if name is not None:
            return name
        if isinstance(value, types.FunctionType):
            return self.function(value)
        return self.class_(value) if isinstance(value, type) else self.once(value, lambda: self.instance(value))

    def once(self, value: Any, cover: Callable[[], Any]) -> Any:
        """`cover()`; for a value that the walk is inside of, how far out it stands."""
        for steps, outer in enumerate(reversed(self.inside)):
            if outer is value:
                return {"circle": steps}
        self.inside.append(value)
        result = cover()
        self.inside.pop()
        return result

    def refuse(self, what: str, advice: str = "") -> Uncovered:
        """The error for what the walk is at."""
        name = f"`{self.label}` ({what})" if self.label not in ("", what) else f"`{what}`"
        readers = [reader for reader in self.readers if reader != self.label]
        read = f", read by `{readers[0]}`" if readers else ""
        through = f" through `{readers[-1]}`" if len(readers) > 1 else ""
        instead = "pass the value as an argument of the sweep" if readers else "pass numbers, arrays or a function"
        return Uncovered(f"{name}{read}{through} cannot be covered by a digest: {advice or instead}")

    def mapping(self, value: Any) -> Any:
        """A mapping, each entry called by its key in an error."""
        plain = all(type(key) is str for key in value)
        texts = {key: key if plain else json.dumps(_Cover(self).value(key), sort_keys=True) for key in value}
        before, entries = self.label, []
        for key, text in sorted(texts.items(), key=lambda entry: entry[1]):
            self.label = text
            entries.append([text, self.value(value[key])])
        self.label = before
        return dict(entries) if plain else {"entries": entries}

    def unordered(self, value: Any) -> Any:
        """A set, each entry with a table of its own."""
        return {"set": sorted(json.dumps(_Cover(self).value(entry), sort_keys=True) for entry in value)}

    def array(self, value: Any) -> Any:
        """An array by shape, dtype and the digest of its bytes; one without axes as a number."""
        if is_traced(value):
            raise self.refuse("traced array", "only its shape is known; take the digest outside of jit")
        if isinstance(value, jax.Array) and jnp.issubdtype(value.dtype, jax.dtypes.prng_key):
            return {"key": str(jax.random.key_impl(value)), "data": self.array(jax.random.key_data(value))}
        if isinstance(value, np.ndarray) and type(value) not in (np.ndarray, np.memmap):
            return {"object": self.value(type(value)), "array": self.array(value.view(np.ndarray)), **self.state(value)}
        if np.ndim(value) == 0 and not isinstance(item := value.item(), np.generic | np.ndarray):
            return self.value(item)
        array = np.ascontiguousarray(value)
        about = {"shape": list(array.shape), "dtype": str(array.dtype)}
        if array.dtype.hasobject:
            return {**about, "values": self.once(value, lambda: self.value(array.tolist()))}
        return {**about, "sha256": hashlib.sha256(array.tobytes()).hexdigest()}

    def thing(self, kind: str, name: str, value: Any, cover: Callable[["_Cover"], Any]) -> Any:
        """A function, class or module: its number in the table; outside of one, the digest of a table of its own."""
        if self.waiting is None:
            table, waiting = [], []
            below = _Cover(self, waiting)
            below.thing(kind, name, value, cover)
            for step in waiting:  # grows on the way, where a deep stack would meet its limit
                below.label, below.readers, entry = step
                table.append(entry(below))
            return {kind: name, "sha256": sha(json.dumps(table, sort_keys=True))}
        if id(value) not in self.numbers:
            self.numbers[id(value)] = len(self.numbers), value  # kept alive, so that its id stays its own
            self.waiting.append((self.label, [*self.readers, name], lambda below: {kind: cover(below)}))
        return {"number": self.numbers[id(value)][0]}

    def module(self, module: types.ModuleType) -> Any:
        """A module as a whole: an installed one by name and version, one of the user's by all that it holds."""
        where = home_of_module(module)
        if where:
            return label(where)
        entries = {n: entry for n, entry in vars(module).items() if not is_dunder(n) or n == "__getattr__"}
        return self.thing("module", module.__name__, module, lambda cover: cover.mapping(entries))

    def function(self, function: types.FunctionType) -> Any:
        """A function: one of a library or ours by its name and what is bound in it, the user's by all it reads."""
        code = function.__code__
        where = home(function.__globals__.get("__name__") or "", code.co_filename)
        if where == PACKAGE and code.co_name == "<lambda>":
            where = ""  # it has no name that could stand for it
        if hasattr(function, "__wrapped__") and (where in _CHECKERS or code.co_filename.startswith("<@beartype")):
            return self.value(vars(function)["__wrapped__"])
        marks = {name: mark for name, mark in vars(function).items() if name not in _WRAPPING}
        bound = {"defaults": function.__defaults__, "keywords": function.__kwdefaults__, "marks": marks}
        if where:
            place = f":{code.co_firstlineno}" if code.co_name == "<lambda>" else ""
            name = full_name(where, function.__globals__["__name__"], code.co_qualname) + place
            if where == PACKAGE and "<locals>" not in name:
                return name
            state = {**bound, "closure": closure(function)}
            return self.thing("function", name, function, lambda cover: [name, cover.mapping(state)])

        def own(cover: _Cover) -> Any:
            try:
                tree, around = reading(function).tree, values_read(function)
            except NoSource as error:
                cover.readers.pop()
                raise cover.refuse(function.__name__, str(error)) from error
            return {"tree": tree, "reads": cover.mapping(around), **cover.mapping(bound)}

        return self.thing("function", function.__name__, function, own)

    def class_(self, kind: type) -> Any:
        """A class by what it holds now, which is more than its source says."""
        where = home(kind.__module__)
        if where == PACKAGE or (where and "__module__" not in vars(kind)):  # ours, or one that is compiled
            return full_name(where, kind.__module__, kind.__qualname__)

        def own(cover: _Cover) -> Any:
            members = {name: member.value for name, member in getattr(kind, "__members__", {}).items()}
            entries = {n: e for n, e in vars(kind).items() if n not in members and is_written(kind, n, e)}
            metaclass = [] if home(type(kind).__module__) else [type(kind)]
            return {
                "bases": cover.value([*kind.__bases__, *metaclass]),
                "entries": cover.mapping(entries),
                "members": cover.mapping(members),
                "fields": cover.value(_fields(kind)),
            }

        return self.thing("class", kind.__name__, kind, own)

    def instance(self, value: Any) -> Any:
        """An object by its class and the state that it holds; a library's as the library writes it, if it does."""
        kind = type(value)
        where = home(kind.__module__)
        if where in _ELSEWHERE or (where not in ("", PACKAGE) and isinstance(value, Iterator)):
            raise self.refuse(kind.__name__, "take the values out of it, as a list or an array")
        about = {"object": self.value(kind)}
        if isinstance(value, Enum):
            return {**about, "member": [value.name, self.value(value.value)]}
        hidden = _holds_hidden_state(kind)
        if hidden and hasattr(value, "__wrapped__"):  # jax.jit, functools.cache
            return {**about, "of": self.value(value.__wrapped__)}
        plain = kind.__reduce__ is object.__reduce__ and kind.__reduce_ex__ is object.__reduce_ex__
        if not plain and where not in ("", PACKAGE):
            return {**about, "parts": self.written(value)}
        for base in _CONTENTS:
            if isinstance(value, base):
                return {**about, "content": self.value(base(value)), **self.state(value)}
        return {**about, "parts": self.written(value)} if hidden else {**about, **self.state(value)}

    def state(self, value: Any) -> Any:
        """The attributes of an object, but for names, places and what it computes once from the others."""
        kind, found = type(value), dict(getattr(value, "__dict__", {}))
        entries = [entry for base in kind.__mro__ for entry in vars(base).items()]
        slots = [name for name, entry in entries if isinstance(entry, types.MemberDescriptorType)]
        computed = {name for name, entry in entries if isinstance(entry, functools.cached_property)}
        found |= {name: getattr(value, name) for name in slots if hasattr(value, name)}
        return {"state": self.mapping({name: found[name] for name in found.keys() - _WRAPPING - computed})}

    def written(self, value: Any) -> Any:
        """An object of a library as its library writes it to be copied."""
        reduce = copyreg.dispatch_table.get(type(value))
        try:
            parts = reduce(value) if reduce else value.__reduce_ex__(4)
        except (TypeError, AttributeError, NotImplementedError) as error:
            raise self.refuse(type(value).__name__) from error
        if isinstance(parts, str):
            raise self.refuse(type(value).__name__)
        return [self.value(list(part) if isinstance(part, Iterator) else part) for part in parts]

    def compiled(self, value: Any) -> Any:
        """A function without a tree: an installed one by its name, a method of an object with the object."""
        name = public_name(value)
        if name is None and (value.__self__ is None or isinstance(value.__self__, types.ModuleType)):
            raise self.refuse(value.__name__, "it is compiled; install it, so that it has a version")
        return name or {"method": value.__name__, "self": self.value(value.__self__)}


def _fields(kind: type) -> list[Any]:
    """The fields of a named tuple or a dataclass, in their order, with what is said of them."""
    held = vars(kind)
    about = ("default", "default_factory", "init", "kw_only", "metadata")
    fields = [(n, {a: getattr(f, a) for a in about}) for n, f in held.get("__dataclass_fields__", {}).items()]
    given = [[n, {a: v for a, v in said.items() if v is not dataclasses.MISSING}] for n, said in fields]
    return [*given, *held.get("_fields", ()), held.get("_field_defaults")]


def _holds_hidden_state(kind: type) -> bool:
    """Whether objects of `kind` are larger than what Python can see of them: some of it is kept by compiled code."""
    entries = [entry for base in kind.__mro__ for entry in vars(base).values()]
    slots = sum(isinstance(entry, types.MemberDescriptorType) for entry in entries)
    pointers = slots + (kind.__dictoffset__ > 0) + (kind.__weakrefoffset__ > 0)
    return bool(kind.__itemsize__) or kind.__basicsize__ > object.__basicsize__ + struct.calcsize("P") * pointers


def _in_names(*names: str) -> Callable[[_Cover, Any], Any]:
    """A cover of an object by some of its attributes."""
    return lambda cover, value: {type(value).__name__: cover.mapping({name: getattr(value, name) for name in names})}


_KINDS: dict[type, Callable[[_Cover, Any], Any]] = {
    **dict.fromkeys((list, tuple, range), lambda cover, value: [cover.value(entry) for entry in value]),
    **dict.fromkeys((dict, types.MappingProxyType), _Cover.mapping),
    **dict.fromkeys((set, frozenset), _Cover.unordered),
    **dict.fromkeys((bytes, bytearray), lambda cover, value: {"bytes": value.hex()}),
    **dict.fromkeys(
        (PosixPath, PurePosixPath, WindowsPath, PureWindowsPath), lambda cover, path: {"path": path.as_posix()}
    ),
    **dict.fromkeys((types.BuiltinFunctionType, types.MethodWrapperType), _Cover.compiled),
    **dict.fromkeys(
        (types.MethodDescriptorType, types.WrapperDescriptorType, types.ClassMethodDescriptorType),
        _in_names("__name__", "__objclass__"),
    ),
    **dict.fromkeys((functools.partial, jax.tree_util.Partial), _in_names("func", "args", "keywords")),
    **dict.fromkeys((staticmethod, classmethod), _in_names("__func__")),
    **dict.fromkeys((inspect.Signature, PyTreeDef, type(...)), lambda cover, value: {"only": type(value).__name__}),
    types.MethodType: _in_names("__func__", "__self__"),
    property: _in_names("fget", "fset", "fdel"),
    functools.cached_property: _in_names("func"),
    complex: _in_names("real", "imag"),
}
"""How values of exactly these types are covered."""
