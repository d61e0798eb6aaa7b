"""`jaxinv list`: what can be run."""

import json
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class List:
    """Name, claim and size of every experiment and benchmark, one line each."""

    json: bool = False
    """As JSON, one object for each."""
    experiments: Path | None = None
    """Folder of your own experiments, beside those that jaxinv has."""
    benchmarks: Path | None = None
    """Folder of your own benchmarks, beside those that jaxinv has."""

    def __call__(self) -> None:
        """Print the list."""
        from ..studies.experiment import PRESETS, find, folders, size

        given = {"experiment": self.experiments, "benchmark": self.benchmarks}
        kinds = {kind: find((), *folders(f"{kind}s", own)) for kind, own in given.items()}
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
