"""What an engine is: it prepares setups of one kind, advances them, and shows where they stand."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, ClassVar, Protocol, runtime_checkable

import numpy as np
from jaxtyping import Integer

from ..measures.records import Chosen
from .setup import Setup

ENGINES = ("dense", "width_free", "gradient_flow", "auto")
"""The engines by name; "auto" is the cheaper of the first two, see `jaxinv.training.width_free.choice`."""

WIDTH_FREE = ("width_free", "gradient_flow")
"""Those that hold layer products in the few directions that their signals meet."""


Progress = Callable[[int], None]


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

    def follow(
        self, block: Any, step: Integer[np.ndarray, " records"], chosen: Chosen, progress: Progress | None
    ) -> tuple[Any, Mapping[str, np.ndarray]]:
        """The block after the last `step`, and what is `chosen` after each: arrays, records and setups first.

        `step` begins where the block stands. `progress` is called with the steps done.
        """
        ...

    def networks(self, block: Any) -> list[Any]:
        """The networks as trained so far, on the measurements of their own problems."""
        ...

    def reduction(self, block: Any) -> Sequence[Mapping[str, Any]]:
        """What the engine says of how each run was held: nothing where it is exact."""
        ...
