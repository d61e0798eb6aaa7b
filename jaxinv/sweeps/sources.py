"""What was written: the definition that a function was compiled from, what it reads, the entries of a class.

Only the standard library is used here, so that any Python can be asked for its trees.
"""

import __future__

import ast
import builtins
import dis
import functools
import importlib
import importlib.util
import inspect
import linecache
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from enum import Enum
from importlib.machinery import SourceFileLoader
from pathlib import Path
from types import CodeType, FunctionType, GetSetDescriptorType, MemberDescriptorType, ModuleType
from typing import Any

from .trees import ANNOTATIONS, PACKAGE, digest_of_tree, home, label

Chains = tuple[tuple[str, ...], ...]
"""The attributes read from a name: `a` gives (), `a.b.c` gives ("b", "c")."""

_FUNCTIONS = (ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda)
_HIDING = (eval, exec, globals, __import__, importlib.import_module, sys.modules)
"""What reads or holds values by names that stand in no syntax tree."""

_SLOTS = (MemberDescriptorType, GetSetDescriptorType)
_MADE = {"_abc_impl", "_is_protocol", "_is_runtime_protocol", "_fields", "_field_defaults"}
"""What `abc`, `typing` and `collections` write on a class."""

_SCOPES = (*_FUNCTIONS, ast.ClassDef)
_BEGAN = time.time()


class NoSource(Exception):
    """The source of a function cannot be had; the message says why and what to do."""


class Undefined:
    """What stands for a name that has no value yet."""


@dataclass(frozen=True)
class Import:
    """An import inside a function: `attribute` of `module` (None: the module itself), and what is read from it."""

    module: str
    attribute: str | None
    level: int
    chains: Chains


@dataclass(frozen=True)
class Reading:
    """What a function says and reads: the digest of its tree, the names around it, the imports inside it."""

    tree: str
    names: dict[str, Chains]
    imports: dict[str, Import]


_READINGS: dict[int, tuple[CodeType, Reading]] = {}
"""By identity of the code, which is kept alive; code never changes, so neither does its reading."""


def reading(function: FunctionType) -> Reading:
    """The reading of a function of the user's; NoSource if its source cannot be had."""
    code = function.__code__
    known = _READINGS.get(id(code))
    if known is None:
        known = _READINGS[id(code)] = code, _read(_node_of(code, function.__globals__), code)
    return known[1]


def values_read(function: FunctionType) -> dict[str, Any]:
    """What `function` reads around itself, now: values by name, and by dotted name those read from modules.

    Builtins are left out: their names stand in the tree, and versions of Python load them in different ways.
    """
    read, around, found = reading(function), {**function.__globals__, **closure(function)}, {}
    for name, chains in read.names.items():
        value = around.get(name, vars(builtins).get(name, Undefined))
        if name in around or value is Undefined or _hides(value):
            found |= _through(name, value, chains)
    for name, step in read.imports.items():
        found |= _through(name, _imported(step, function.__globals__.get("__package__") or ""), step.chains)
    for name, value in found.items():
        if _hides(value):
            raise NoSource(f"it uses `{name}`, which reads what no source shows; write that out")
    return found


def closure(function: FunctionType) -> dict[str, Any]:
    """The free variables of `function` and their values."""
    found = {}
    for name, cell in zip(function.__code__.co_freevars, function.__closure__ or (), strict=True):
        try:
            found[name] = cell.cell_contents
        except ValueError:  # the function around it has not assigned it yet
            found[name] = Undefined
    return found


def home_of_module(module: ModuleType) -> str:
    """As `home`, for a module itself."""
    return home(module.__name__, getattr(module, "__file__", None))


def is_dunder(name: str) -> bool:
    """Whether a name is one of Python's own."""
    return name.startswith("__") and name.endswith("__")


def is_written(kind: type, name: str, entry: Any) -> bool:
    """Whether an entry of a class was written by its author, not by Python, a decorator or a metaclass."""
    held = vars(kind)
    if name in _MADE or isinstance(entry, _SLOTS) or name in held.get("_fields", ()):
        return False
    if not is_dunder(name) and not (name.startswith("_") and (issubclass(kind, Enum) or "_fields" in held)):
        return True
    function = inspect.unwrap(getattr(entry, "fget", None) or getattr(entry, "__func__", entry))
    if not isinstance(function, FunctionType):
        return name == "__call__"
    code = function.__code__
    generated = code.co_filename == "<string>" and ("__dataclass_fields__" in held or "_fields" in held)
    return not generated and not home(function.__globals__.get("__name__") or "", code.co_filename)


def _hides(value: Any) -> bool:
    return any(value is hiding for hiding in _HIDING)


def _through(name: str, value: Any, chains: Chains) -> dict[str, Any]:
    """`value` by `name`; where it is a module of the user's or ours, what is read from it by its dotted names."""
    found = {}
    for chain in chains:
        entry, path = value, name
        for attribute in chain:
            if not isinstance(entry, ModuleType):
                break
            inner = getattr(entry, attribute, Undefined)
            if home_of_module(entry) not in ("", PACKAGE) and not _hides(inner):
                break
            entry, path = inner, f"{path}.{attribute}"
        found[path] = entry
    return found


def _imported(step: Import, package: str) -> Any:
    """What an import inside a function gives; an installed module by its label alone, loaded or not."""
    top = step.module.partition(".")[0]
    if not step.level:
        spec = None if top in sys.modules else importlib.util.find_spec(top)
        where = home(top, spec.origin if spec and spec.has_location else None)
        if where not in ("", PACKAGE):
            return label(where)
    try:
        module = importlib.import_module("." * step.level + step.module, package)
        if step.attribute is None or hasattr(module, step.attribute):
            return module if step.attribute is None else getattr(module, step.attribute)
        return importlib.import_module(f"{module.__name__}.{step.attribute}")
    except (ImportError, TypeError):  # a TypeError where a relative import has no package
        return Undefined


def _read(node: Any, code: CodeType) -> Reading:
    used = _uses(node.body)
    names = {}
    for name in {*_loads(code), *code.co_freevars}:
        private = name[name.index("__", 1) :] if name.startswith("_") and "__" in name[1:] else name
        for spelled in {name, private} & used.keys():  # __x in class C is _C__x in its code
            names[name] = used[spelled]
    if "super" in used and "__class__" in code.co_freevars:
        names["__class__"] = ((),)
    return Reading(digest_of_tree(node), names, _imports(node, used))


def _uses(body: Any) -> dict[str, Chains]:
    """Every name in `body` outside annotations, and the attributes that are read from it."""
    found: dict[str, set[tuple[str, ...]]] = {}

    def visit(node: Any, chain: tuple[str, ...] = ()) -> None:
        if isinstance(node, list):
            for entry in node:
                visit(entry)
        elif isinstance(node, ast.Name):
            found.setdefault(node.id, set()).add(chain)
        elif isinstance(node, ast.Attribute):
            visit(node.value, (node.attr, *chain))
        elif isinstance(node, ast.AST):
            for name in set(node._fields) - ANNOTATIONS:
                visit(getattr(node, name, None))

    visit(body)
    return {name: tuple(sorted(chains)) for name, chains in found.items()}


def _loads(code: CodeType) -> set[str]:
    """Names that `code` and the functions inside it look up as globals."""
    lookups = {"LOAD_GLOBAL", "LOAD_NAME", "LOAD_FROM_DICT_OR_GLOBALS"}
    found = {step.argval for step in dis.get_instructions(code) if step.opname in lookups}
    return found.union(*(_loads(inner) for inner in code.co_consts if isinstance(inner, CodeType)))


def _imports(node: ast.AST, used: dict[str, Chains]) -> dict[str, Import]:
    found = {}
    for step in ast.walk(node):
        if isinstance(step, ast.Import):
            for alias in step.names:
                bound = alias.asname or alias.name.partition(".")[0]
                found[bound] = Import(alias.name if alias.asname else bound, None, 0, used.get(bound, ()))
        elif isinstance(step, ast.ImportFrom):
            for alias in step.names:
                bound = alias.asname or alias.name
                found[bound] = Import(step.module or "", alias.name, step.level, used.get(bound, ()))
    return found


def _node_of(code: CodeType, around: dict[str, Any]) -> Any:
    """The definition that `code` was compiled from: that of its name, on its line, which compiles to the same."""
    linecache.checkcache(code.co_filename)
    text = "".join(linecache.getlines(code.co_filename, around))
    if not text:
        raise NoSource("its source cannot be had; define it in a file")
    try:
        definitions, imports = _definitions(text)
    except SyntaxError as error:
        raise NoSource("its file has a syntax error; correct it and start again") from error
    named = definitions.get(code.co_name, [])
    here = [(node, owner) for node, owner in named if _first_line(node) == code.co_firstlineno]
    for node, owner in (*here, *named):
        if _compiles_to(code, node, owner, imports):
            return node
    # pytest and jaxtyping compile something else than what stands in the file: the line and the time must do there
    rewritten = type(around.get("__loader__")) is not SourceFileLoader
    path = Path(code.co_filename)
    if rewritten and len(here) == 1 and not (path.exists() and path.stat().st_mtime > _BEGAN):
        return here[0][0]
    raise NoSource("its file has changed since it was imported; start again")


@functools.lru_cache(maxsize=16)
def _definitions(text: str) -> tuple[dict[str, list[tuple[Any, str]]], list[ast.stmt]]:
    """The functions of a file by name, each with the class around it, and the imports that all of them see."""
    tree, found = ast.parse(text), {}
    for node, owner in _functions(tree):
        found.setdefault("<lambda>" if isinstance(node, ast.Lambda) else node.name, []).append((node, owner))
    return found, _imports_of_module(tree)


def _functions(node: ast.AST, owner: str = "") -> Iterator[tuple[Any, str]]:
    """Every function in `node` with the name of the class around it."""
    for child in ast.iter_child_nodes(node):
        if isinstance(child, _FUNCTIONS):
            yield child, owner
        yield from _functions(child, child.name if isinstance(child, ast.ClassDef) else owner)


def _imports_of_module(node: ast.AST) -> list[ast.stmt]:
    """The imports outside of functions and classes."""
    found: list[ast.stmt] = []
    for child in ast.iter_child_nodes(node):
        future = isinstance(child, ast.ImportFrom) and child.module == "__future__"
        if isinstance(child, ast.Import | ast.ImportFrom) and not future:
            found.append(child)
        elif not isinstance(child, _SCOPES):
            found += _imports_of_module(child)
    return found


def _first_line(node: Any) -> int:
    return min([node.lineno, *(decorator.lineno for decorator in getattr(node, "decorator_list", ()))])


def _compiles_to(code: CodeType, node: Any, owner: str, imports: list[ast.stmt]) -> bool:
    """Whether `node` compiles to `code` in the same class, with the same free variables and imported modules."""
    free = [name for name in code.co_freevars if name.isidentifier()]
    text = f"def _({', '.join(free)}):\n  pass"
    shell: Any = ast.parse(f"class {owner}:\n {text}" if owner else text)
    inside = ast.copy_location(ast.Return(node), node) if isinstance(node, ast.Lambda) else node
    outside = [] if code.co_name in (*free, "<lambda>") else ast.parse(f"global {code.co_name}").body
    (shell.body[0].body[0] if owner else shell.body[0]).body = [*outside, inside]
    shell.body = [*imports, *shell.body]
    flags = code.co_flags & __future__.annotations.compiler_flag
    try:
        compiled = compile(shell, "<shell>", "exec", flags, dont_inherit=True)
    except SyntaxError:
        return False
    return _gist(code) in (_gist(inner) for inner in _inside(compiled))


def _inside(code: CodeType) -> Iterator[CodeType]:
    for inner in code.co_consts:
        if isinstance(inner, CodeType):
            yield inner
            yield from _inside(inner)


def _gist(code: CodeType) -> tuple[Any, ...]:
    """What `code` does, wherever it stands: a class knows its place by a name among its constants."""
    place = f".{code.co_name}"
    kept = (c for c in code.co_consts if not (isinstance(c, str) and c.endswith(place)))
    constants = (_gist(c) if isinstance(c, CodeType) else _constant(c) for c in kept)
    arguments = code.co_argcount, code.co_posonlyargcount, code.co_kwonlyargcount, code.co_flags & 0x2AC
    names = code.co_name, code.co_names, code.co_varnames, code.co_freevars, code.co_cellvars
    return code.co_code, *arguments, *names, *constants


def _constant(value: Any) -> tuple[str, Any]:
    plain = sorted(map(repr, value)) if isinstance(value, frozenset) else repr(value)
    return type(value).__name__, plain
