"""What a person sees of a running experiment, and what an interrupt tells them."""

import sys
import time
from typing import Any

from ..sweeps.store import HALF_WRITTEN
from .interrupt import note


class Progress:
    """A bar on a terminal, plain lines elsewhere: what is running, cells done, time left."""

    def __init__(self, name: str):
        self.name = name
        self.printed = -1
        self.begun = time.perf_counter()
        self.first: int | None = None
        self.bar: Any = None
        self.task: Any = None

    def __enter__(self) -> "Progress":
        self._note()
        if sys.stdout.isatty():
            from rich import progress

            self.bar = progress.Progress(
                progress.TextColumn(f"{self.name}: {{task.description}}"), progress.BarColumn(),
                progress.MofNCompleteColumn(), progress.TextColumn("cells"), progress.TimeElapsedColumn(),
                progress.TextColumn("left"), progress.TimeRemainingColumn(),
            )  # fmt: skip
            self.bar.start()
            self.task = self.bar.add_task("set-up", total=None)
        return self

    def __exit__(self, *_: object) -> None:
        if self.bar is not None:
            self.bar.stop()

    def __call__(self, done: int, total: int, what: str) -> None:
        """Show that `done` of `total` cells are finished and `what` is going on."""
        self.first = done if self.first is None else self.first
        self._note(done, total)
        if self.bar is not None:
            self.bar.update(self.task, completed=done, total=total, description=what)
        elif done != self.printed:
            self.printed = done
            self.say(f"{self.name}: {done} of {total} cells{self._left(done, total)}")

    def say(self, line: str) -> None:
        """Print a line above the bar."""
        (self.bar.console.print if self.bar is not None else lambda text: print(text, flush=True))(line)

    def _note(self, done: int | None = None, total: int | None = None) -> None:
        """What an interrupt says from now on."""
        what = "its finished cells" if done is None else f"{done} of its {total} cells"
        note(f"{self.name} was running, {what} and all earlier results are kept", HALF_WRITTEN)

    def _left(self, done: int, total: int) -> str:
        here = done - (self.first or 0)
        if here == 0 or done == total:
            return ""
        return f", about {(time.perf_counter() - self.begun) / here * (total - done):.0f} s left"
