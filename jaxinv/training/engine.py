"""What an engine is: it prepares setups of one kind, advances them, and shows where they stand."""

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, Protocol, runtime_checkable

import numpy as np

from ..measures.records import Chosen
from ..measures.view import View
from .setup import Setup

ENGINES = ("dense",)
"""The engines by name."""


@runtime_checkable
class Engine(Protocol):
    """How a block of setups is computed. A block is whatever the engine makes of them.

    An engine that does not hold the weights (`holds_weights`) refuses metrics that need them.
    """

    name: ClassVar[str]
    holds_weights: ClassVar[bool]

    def prepare(self, setups: Sequence[Setup]) -> Any:
        """The block of these setups before the first step."""
        ...

    def together(self, block: Any, steps: Sequence[int]) -> int:
        """How many of the next records, after so many more `steps` each, one call of `advance` takes."""
        ...

    def advance(self, block: Any, steps: Sequence[int], chosen: Chosen) -> tuple[Any, Mapping[str, np.ndarray]]:
        """The block after so many more `steps`, one number for each record, and what is `chosen` of the views at those.

        Arrays, records first, then setups.
        """
        ...

    def views(self, block: Any) -> list[View]:
        """Where each of its setups stands."""
        ...

    def networks(self, block: Any) -> list[Any]:
        """The networks as trained so far, on the measurements of their own problems."""
        ...
