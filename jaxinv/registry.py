"""What is known by name: activations, optimizers, regularizers and the like, ours and those that users register."""

import inspect
from collections.abc import Iterator, Mapping
from typing import Any, Generic, TypeVar

from .checks import check_known, fail, shown

Entry = TypeVar("Entry")


class Registry(Mapping[str, Entry], Generic[Entry]):
    """Entries of one `kind` by name. `kind` is also the argument of the builders that takes such a name.

    `entry` makes an entry of what a user registers, and raises ArgumentError where it cannot.
    """

    def __init__(self, kind: str, entry: Any, ours: Mapping[str, Entry]):
        self.kind, self.entry, self.ours = kind, entry, dict(ours)
        self.added: dict[str, tuple[Any, Entry]] = {}
        REGISTRIES[kind] = self

    def __getitem__(self, name: str) -> Entry:
        return self.ours[name] if name in self.ours else self.added[name][1]

    def __iter__(self) -> Iterator[str]:
        return iter([*self.ours, *self.added])

    def __len__(self) -> int:
        return len(self.ours) + len(self.added)

    def find(self, given: Any) -> Entry:
        """The entry of that name, which must be known; of anything else than a name, the entry that it makes."""
        if not isinstance(given, str):
            return self.entry(None, given)
        check_known(self.kind, given, self)
        return self[given]


REGISTRIES: dict[str, Registry[Any]] = {}
"""Every registry by its kind."""


def register(kind: str, name: str, given: Any) -> None:
    """Make `given` known as `name`, for arguments and axes called `kind`, in this process.

        activation    a function of arrays, entry by entry, or a ji.Activation
        architecture  a function (weights, activation, nonlinear_layers) -> network, weights those of a chain of layers
        init          a function (keys, sizes) -> [weights], a key and an (out, in) array for each layer
        misfit        a function (outputs, targets) -> number, samples being rows
        optimizer     a function (step_size, weight_decay) -> optax transformation, or a ji.Optimizer
        regularizer   a function of the network -> number, or a ji.Regularizer
        schedule      a function of the share of the horizon that has passed -> factor of the step size

    A name of one's own may be registered again: the last one holds. What a sweep stores covers the source of the entry.
    Raises ArgumentError for an unknown kind, a name of ours and an entry that is none.
    """
    check_known("kind", kind, REGISTRIES)
    registry = REGISTRIES[kind]
    if not isinstance(name, str) or not name.isidentifier():
        raise fail("name", f"a word that {kind} can be called", shown(name), "pass letters, digits and underscores")
    if name in registry.ours:
        raise fail("name", f"of a new {kind}", f"{name!r}, which is one of ours", "choose another")
    registry.added[name] = given, registry.entry(name, given)


def registered(arguments: Mapping[str, Any]) -> dict[str, Any]:
    """What users registered under the names that are among these arguments: what decides numbers beside the names."""
    kinds = {kind: REGISTRIES[kind].added for kind in REGISTRIES}
    return {
        kind: kinds[kind][value][0]
        for kind, value in arguments.items()
        if kind in kinds and isinstance(value, str) and value in kinds[kind]
    }


def all_registered() -> dict[str, dict[str, Any]]:
    """All that users registered, by kind and name; kinds without any are left out."""
    return {
        kind: {name: given for name, (given, _) in registry.added.items()}
        for kind, registry in REGISTRIES.items()
        if registry.added
    }


def check_function(kind: str, given: Any, takes: str, count: int = 1) -> None:
    """ArgumentError unless `given` can be called with `count` arguments; some functions do not tell."""
    must = f"a name or a function of {takes}"
    if not callable(given):
        raise fail(kind, must, shown(given), "pass one of them")
    try:
        signature = inspect.signature(given)
    except (TypeError, ValueError):
        return
    try:
        signature.bind(*range(count))
    except TypeError as error:
        raise fail(kind, must, f"one of {signature}: {error}", "pass one of them") from None
