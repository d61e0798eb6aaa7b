"""`jaxinv list`: what can be run."""

import json
from dataclasses import dataclass
from pathlib import Path

from .run import BENCHMARKS, EXPERIMENTS


@dataclass(frozen=True)
class List:
    """Name, claim and size of every experiment and benchmark, one line each."""

    json: bool = False
    """As JSON, one object for each."""
    experiments: Path = EXPERIMENTS
    """Folder of experiments."""
    benchmarks: Path = BENCHMARKS
    """Folder of benchmarks."""

    def __call__(self) -> None:
        """Print the list."""
        from ..studies.experiment import PRESETS, find, size

        kinds = {"experiment": find((), self.experiments)}
        if self.benchmarks.is_dir():
            kinds["benchmark"] = find((), self.benchmarks)
        if not self.json:
            print("\n".join(experiment.line() for found in kinds.values() for experiment in found))
            return
        content = [
            {
                "name": experiment.name,
                "kind": kind,
                "claim": experiment.claim,
                "presets": {p: [size(grid) for grid in experiment.named_grids(p).values()] for p in PRESETS},
            }
            for kind, found in kinds.items()
            for experiment in found
        ]
        print(json.dumps(content, indent=1, ensure_ascii=False))
