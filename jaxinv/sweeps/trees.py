"""Syntax trees of Python files, their digests, and where code comes from: this package, a library, or the user.

Only the standard library is used here, so that any Python can be asked for its trees.
"""

import ast
import functools
import hashlib
import importlib.metadata
import json
import os
import sys
import sysconfig
from collections.abc import Iterable, Iterator
from importlib.machinery import PathFinder
from pathlib import Path
from typing import Any

PACKAGE = "jaxinv"
SHIPPED = "_shipped"
"""The folder of a wheel that has the experiments and benchmarks."""

STDLIB = "stdlib"

ANNOTATIONS = {"annotation", "returns"}
"""Fields of a tree that hold annotations of arguments, variables and results."""

_LEFT_OUT = {"ctx", "kind", "type_comment", "type_ignores", *ANNOTATIONS}


def sha(content: str) -> str:
    """32 hexadecimal digits of the SHA-256 of `content`."""
    return hashlib.sha256(content.encode("utf-8", "surrogatepass")).hexdigest()[:32]


def digest_of_tree(tree: ast.AST) -> str:
    """A digest of a syntax tree, the same under every version of Python."""
    return sha(json.dumps(syntax(tree)))


def syntax(node: Any) -> Any:
    """`node` as nested lists: its class, then those of its fields that are not empty, by name.

    Left out: positions, docstrings and other strings that stand by themselves, the annotations of arguments, results
    and variables. Those in the body of a class stay: they may be fields of a dataclass.
    """
    if isinstance(node, list):
        return [syntax(entry) for entry in node if not _is_remark(entry)]
    if not isinstance(node, ast.AST):
        return [type(node).__name__, ascii(node)]
    if isinstance(node, ast.AnnAssign) and node.value is not None:
        node = ast.Assign([node.target], node.value)
    result: list[Any] = [type(node).__name__]
    for name in sorted(node._fields):
        field = getattr(node, name, None)
        if field is None or name in _LEFT_OUT:
            continue
        plain = syntax(_joined(field) if isinstance(node, ast.JoinedStr) else field)
        if plain:
            result.append([name, plain])
    if isinstance(node, ast.ClassDef):
        fields = [entry for entry in node.body if isinstance(entry, ast.AnnAssign)]
        result.append(["annotations", [[syntax(entry.target), syntax(entry.annotation)] for entry in fields]])
    return result


def _is_remark(node: Any) -> bool:
    return isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant) and isinstance(node.value.value, str)


def _joined(values: list[ast.expr]) -> list[ast.expr]:
    """The parts of an f-string with neighbouring constants as one: versions of Python cut them differently."""
    parts: list[ast.expr] = []
    for value in values:
        if parts and isinstance(value, ast.Constant) and isinstance(last := parts[-1], ast.Constant):
            parts[-1] = ast.Constant(f"{last.value}{value.value}")
        else:
            parts.append(value)
    return [part for part in parts if not (isinstance(part, ast.Constant) and part.value == "")]


def digest_of_source(paths: str | os.PathLike[str] | Iterable[str | os.PathLike[str]]) -> str:
    """A digest of Python files: of their trees, wherever they lie and under any version of Python."""
    files = [paths] if isinstance(paths, str | os.PathLike) else paths
    return sha(json.dumps(sorted(_tree_of_file(Path(file))[0] for file in files)))


@functools.cache
def package_source() -> str:
    """A digest of this package in all its folders, but for the command line, which changes no result.

    The experiments that a wheel brings in SHIPPED count each for itself.
    """
    folder, apart = Path(__file__).parents[1], ("command", SHIPPED)
    return digest_of_source(path for path in folder.rglob("*.py") if path.relative_to(folder).parts[0] not in apart)


def file_source(path: str | os.PathLike[str]) -> str:
    """A digest of a Python file and of the user's own modules that it imports, which import others in turn.

    They are found where they were imported from, beside the file, or on the path. This package and what is installed
    are left out.
    """
    trees, seen = {}, set()
    waiting = [("", Path(path))]
    while waiting:
        name, file = waiting.pop(0)
        if (place := os.path.realpath(file)) not in seen:
            seen.add(place)
            trees[name], tree = _tree_of_file(file)
            waiting += _imported(name, file, tree)
    return sha(json.dumps(sorted(trees.items())))


def _tree_of_file(path: Path) -> tuple[str, ast.AST]:
    """The digest of a file's tree, and the tree; of a file that is not Python, the digest of its bytes."""
    content = path.read_bytes()
    try:
        tree = ast.parse(content)
    except (SyntaxError, ValueError):
        return hashlib.sha256(content).hexdigest()[:32], ast.Module([], [])
    return digest_of_tree(tree), tree


def _imported(name: str, file: Path, tree: ast.AST) -> Iterator[tuple[str, Path]]:
    """Names and files of the user's modules that the module `name` in `file` imports."""
    found: set[tuple[str, int]] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            found |= {(alias.name, 0) for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            below = f"{node.module}." if node.module else ""
            found |= {(f"{below}{alias.name}", node.level) for alias in node.names}
    for dotted, level in sorted(found):
        parts = dotted.split(".")
        folders = [str(file.parents[level - 1])] if level else [str(file.parent), *sys.path]
        for count in range(1, len(parts) + 1):
            module = ".".join(parts[:count])
            place, folders = _locate(module, folders, level)
            if place is not None:
                yield (f"{name}/{'.' * level}{module}" if level else module), place


def _locate(module: str, folders: list[str], level: int) -> tuple[Path | None, list[str]]:
    """The file of one of the user's modules, and the folders where those below it lie."""
    known: Any = None if level else sys.modules.get(module)
    spec = PathFinder.find_spec(module.rpartition(".")[2], folders) if folders and known is None else None
    place = getattr(known, "__file__", None) if spec is None else spec.origin
    below = getattr(known, "__path__", ()) if spec is None else spec.submodule_search_locations or ()
    if not level and home(module, place):
        return None, []
    return (Path(place) if place and os.path.isfile(place) else None), list(below)


def home(module: str, file: str | None = None) -> str:
    """Where code comes from: PACKAGE, STDLIB, the name of an installed library, or "" for what is the user's own."""
    top = module.partition(".")[0]
    if top == PACKAGE:
        return PACKAGE
    if file is None or file.startswith("<"):
        found = sys.modules.get(module)
        file = getattr(found, "__file__", None) or next(iter(getattr(found, "__path__", ())), None)
    return _home(top, file)


@functools.cache
def _home(top: str, file: str | None) -> str:
    if file is None:
        return STDLIB if top in sys.stdlib_module_names else ""
    path = Path(os.path.realpath(file))
    if {"site-packages", "dist-packages"} & set(path.parts):
        return top if version(top) else ""
    standard = {os.path.realpath(sysconfig.get_path(name)) for name in ("stdlib", "platstdlib")}
    return STDLIB if standard & set(map(str, path.parents)) else ""


def label(where: str) -> str:
    """What stands for code that is not the user's: an installed library with its version."""
    return where if where in (PACKAGE, STDLIB) else f"{where} {version(where)}"


def public_name(value: Any) -> str | None:
    """The name of what stands under its own name in this package or in an installed one; None for all else."""
    module, name = getattr(value, "__module__", None), getattr(value, "__qualname__", None)
    name = getattr(value, "__name__", None) if name is None else name
    where = home(module) if isinstance(module, str) else ""
    if not (where and isinstance(module, str) and isinstance(name, str) and module in sys.modules):
        return None
    found: Any = sys.modules[module]
    for part in name.split("."):
        found = getattr(found, part, None)
    if found is not value:
        return None
    return full_name(where, module, name)


def full_name(where: str, module: str, name: str) -> str:
    """What stands for `name` in a `module` that is not the user's.

    Ours is without its module, so that modules can be moved; Python's without what is below its first part, which
    its versions move.
    """
    inside = {PACKAGE: "", STDLIB: f"{module.partition('.')[0].lstrip('_')}."}.get(where, f"{module}.")
    return f"{label(where)}:{inside}{name}"


@functools.cache
def version(top: str) -> str:
    """The version of the distribution that the installed module `top` belongs to; "" where there is none."""
    try:
        return importlib.metadata.version(top)
    except (importlib.metadata.PackageNotFoundError, ValueError):  # a ValueError for code in no module
        return " ".join(sorted({importlib.metadata.version(name) for name in _distributions().get(top, ())}))


@functools.cache
def _distributions() -> dict[str, list[str]]:
    return dict(importlib.metadata.packages_distributions())
