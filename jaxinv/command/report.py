"""`jaxinv report`: the page again, from what is stored."""

import sys
import warnings
from dataclasses import dataclass
from pathlib import Path

from .interrupt import note


@dataclass(frozen=True)
class Report:
    """Write the page again from what is stored: each claim, its figure and whether it held."""

    out: Path = Path("results")
    """Folder of results."""

    def __call__(self) -> None:
        """Write it and print where."""
        write(self.out)


def write(out: Path) -> None:
    """Write the page and say where."""
    from ..studies.page.render import write_report
    from ..sweeps.store import HALF_WRITTEN

    note("all results are kept", HALF_WRITTEN)
    with warnings.catch_warnings():
        warnings.showwarning = lambda message, *_, **__: print(f"jaxinv: {message}", file=sys.stderr)
        print(f"report: {write_report(out)}", flush=True)
