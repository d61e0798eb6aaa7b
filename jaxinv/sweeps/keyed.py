"""Functions known by what they compute, not by their identity, and what was built lately: made once, used by many."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, fields, is_dataclass, replace
from typing import Any
from weakref import WeakKeyDictionary

import jax

from ..registry import REGISTRIES, all_registered
from ..training.descent import Descent
from .digests import Uncovered, canonical, digest


@dataclass(frozen=True)
class Keyed:
    """`function`, equal to any other with the same `key`."""

    key: str
    function: Callable[..., Any] = field(compare=False, repr=False)

    def __call__(self, *arguments: Any) -> Any:
        """What the function gives."""
        return self.function(*arguments)


def with_key(descent: Descent) -> Descent:
    """`descent` whose `transform` is known by what it computes: its source and all that it reads, as of now.

    One that no digest covers stays as it is, known by its identity.
    """
    if descent.transform is None or isinstance(descent.transform, Keyed):
        return descent
    try:
        keyed = Keyed(digest(descent.transform), descent.transform)
    except Uncovered:
        return descent
    return replace(descent, transform=keyed)


def same_call(arguments: Mapping[str, Any]) -> str:
    """A text that is equal within this process for equal arguments of functions, those that no digest covers too."""
    try:
        return canonical(arguments)
    except Uncovered:
        return repr([(name, id(value)) for name, value in sorted(arguments.items())])


class Built:
    """Problems and networks that were built lately: cells that differ in other arguments alone share them."""

    def __init__(self, most: int = 32):
        self.most = most
        self.kept: dict[Any, Any] = {}

    def get(self, key: Any, make: Callable[[], Any]) -> Any:
        """What was built under `key`, or is made now; the one that was not asked for longest is forgotten."""
        made = self.kept.pop(key, None)
        made = make() if made is None else made
        self.kept[key] = made
        while len(self.kept) > self.most:
            del self.kept[next(iter(self.kept))]
        return made


def forget_changed(called: Iterable[Any]) -> None:
    """Drop JAX's compiled programs where a function now reads other things than when it was compiled.

    Functions are those that are `called` or held there, and those registered. JAX knows them by identity: one that
    reads a changed global would go on as it was, and so would one that names what was registered anew. One that no
    digest covers may always read other things.
    """
    named = {(kind, name): given for kind, theirs in all_registered().items() for name, given in theirs.items()}
    if any(_named.get(name, given) is not given for name, given in named.items()):
        jax.clear_caches()
    _named.update(named)
    theirs = [given for registry in REGISTRIES.values() for given, _ in registry.added.values()]
    for function in (each for given in (*called, *theirs) for each in _functions(given)):
        try:
            now = digest(function)
        except Uncovered:
            now = object()
        try:
            before = _known.get(function, now)
            _known[function] = now
        except TypeError:  # it cannot be remembered
            continue
        if before != now:
            jax.clear_caches()


def _functions(given: Any) -> list[Any]:
    """The functions that something is, or that it holds: a Metric, an Activation, a Regularizer, an Optimizer."""
    held = [getattr(given, field.name, None) for field in fields(given)] if is_dataclass(given) else []
    return [each for each in (getattr(given, "function", given), *held) if callable(each)]


_known: WeakKeyDictionary[Any, Any] = WeakKeyDictionary()
"""The digest of each function that still exists, when a sweep last ran in this process."""

_named: dict[tuple[str, str], Any] = {}
"""What was registered under each kind and name then."""
