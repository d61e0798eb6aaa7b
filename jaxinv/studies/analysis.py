"""What an experiment derives from its results, kept while those and the code that derives it are what they were."""

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ..checks import ArgumentError
from ..sweeps.digests import digest, package_source
from ..sweeps.store import check_writable, load_datasets, save_datasets
from .experiment import Experiment
from .results import Runs
from .timing import Timing

if TYPE_CHECKING:
    import xarray

ALONE = "analysis"
"""The name under which one Dataset derived from several grids is read."""


def derive(
    experiment: Experiment, runs: Mapping[str, Runs], grids_digest: str, folder: Path, *, fresh: bool = False
) -> dict[str, "xarray.Dataset"]:
    """What `experiment` derives from `runs`, by the name of its grid; found in `folder`, or made and kept there."""
    if experiment.analyse is None:
        return {}
    source = [experiment.source, package_source()]
    # times are not decided by their grid
    times = [{str(n): v.values for n, v in run.data.items()} for run in runs.values() if isinstance(run.grid, Timing)]
    path = folder / f"analysis-{digest([grids_digest, times, source])}.nc"
    kept = None if fresh else load_datasets(path)
    if kept is None:
        kept = _named(experiment, runs, experiment.analyse(plain(runs)))
        check_writable(folder)
        save_datasets(path, kept)
        for older in set(folder.glob("analysis-*.nc")) - {path}:
            older.unlink(missing_ok=True)
    return kept


def plain(runs: Mapping[str, Runs]) -> Any:
    """The results as an experiment's functions take them: alone where there is one grid, else by name."""
    return runs[""] if set(runs) == {""} else dict(runs)


def with_derived(runs: Mapping[str, Runs], derived: Mapping[str, "xarray.Dataset"]) -> dict[str, Runs]:
    """The results with what was derived from them; a Dataset that goes with no grid is read as runs["analysis"]."""
    read = {name: Runs(run.grid, run.data, derived.get(name)) for name, run in runs.items()}
    if ALONE in derived and ALONE not in read:
        first = next(iter(runs.values()))
        read[ALONE] = Runs(first.grid, derived[ALONE])
    return read


def _named(experiment: Experiment, runs: Mapping[str, Runs], made: Any) -> dict[str, "xarray.Dataset"]:
    import xarray

    if isinstance(made, xarray.Dataset):
        made = {"" if set(runs) == {""} else ALONE: made}
    wrong = f"analyse of {experiment.name} must return an xarray.Dataset"
    if not isinstance(made, Mapping):
        raise ArgumentError(f"{wrong}, got {type(made).__name__}; wrap the arrays")
    for name, data in made.items():
        if name not in (*runs, ALONE) or not isinstance(data, xarray.Dataset):
            raise ArgumentError(f"{wrong}, or a dict of them by the names of its grids, got {name!r}")
        taken = set(data.data_vars) & set(runs[name].data.variables) if name in runs else set()
        if taken:
            raise ArgumentError(f"{wrong} of new names, got {sorted(map(str, taken))}; rename them")
        for dim in data.dims:
            known = runs[name].data.coords if name in runs else {}
            if dim in known and not (dim in data.coords and np.isin(data[dim].values, known[dim].values).all()):
                raise ArgumentError(f"{wrong} with the values of axis {str(dim)!r} of its grid; keep that coordinate")
    return dict(made)
