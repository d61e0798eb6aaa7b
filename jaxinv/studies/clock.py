"""How long the computing of a grid took, over all the runs of the command that it needed."""

import json
import time
from pathlib import Path

from ..sweeps.running import Progress
from ..sweeps.store import write_text


class Clock:
    """A progress callback that keeps in a file, after each batch, how long the computing of a grid took so far.

    `seconds` and `computed` are the time and the number of cells it was spent on, interrupted runs included;
    `computing` says whether any of them was computed now.
    """

    def __init__(self, path: Path, grid: str, progress: Progress):
        self.path, self.grid, self.progress = path, grid, progress
        self.begun = time.perf_counter()
        self.before, self.already = self._read()
        self.seconds, self.computed = self.before, self.already
        self.found: int | None = None
        self.done = self.total = 0

    @property
    def computing(self) -> bool:
        """Whether a cell was computed in this run."""
        return self.found is not None and self.done > self.found

    def __call__(self, done: int, total: int, what: str) -> None:
        """Note the time where a batch has finished, then tell of the progress."""
        self.total = total
        if self.found is None:
            self.found = self.done = done
            if self.already > done:  # cells are gone, and the time they took with them
                self.before, self.already = self.seconds, self.computed = 0.0, 0
        if done > self.done:
            self.done = done
            self.seconds = self.before + time.perf_counter() - self.begun
            self.computed = self.already + done - self.found
            self._write()
        self.progress(done, total, what)

    def _read(self) -> tuple[float, int]:
        try:
            kept = json.loads(self.path.read_text(encoding="utf-8"))
            return (float(kept["seconds"]), int(kept["computed"])) if kept["grid"] == self.grid else (0.0, 0)
        except (OSError, ValueError, TypeError, KeyError):
            return 0.0, 0

    def _write(self) -> None:
        self.path.parent.mkdir(parents=True, exist_ok=True)
        content = {"grid": self.grid, "seconds": round(self.seconds, 2), "computed": self.computed}
        write_text(self.path, json.dumps(content) + "\n")
