"""Functions that are equal where they compute the same, and what was built lately: made once, used by many cells."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

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
