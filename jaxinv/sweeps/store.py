"""Files, all written aside, synced and renamed: finished cells (a netCDF file for each batch), datasets, texts."""

import hashlib
import os
import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from ..checks import ArgumentError

if TYPE_CHECKING:
    import xarray

FORMAT = 2


@dataclass(frozen=True)
class Batch:
    """Cells that finished together. `values` have the cells first, then (for what is recorded) the records.

    `made_by` names code and machine, where that was asked for.
    """

    digests: list[str]
    arguments: list[str]
    step: np.ndarray
    values: dict[str, np.ndarray]
    made_by: str = ""

    def by_cell(self) -> list[dict[str, np.ndarray]]:
        """The values of each cell."""
        return [{name: array[i] for name, array in self.values.items()} for i in range(len(self.digests))]


class Store:
    """A folder of finished batches. Raises ArgumentError where it cannot be written."""

    def __init__(self, folder: Path):
        self.folder = folder
        check_writable(folder)

    def save(self, batch: Batch) -> Path:
        """Write the batch so that its file is there whole or not at all, whatever happens meanwhile."""
        import h5netcdf

        name = hashlib.sha256("".join(batch.digests).encode()).hexdigest()[:32]
        path, aside = self.folder / f"{name}.nc", self.folder / f"{name}.part"
        with h5netcdf.File(aside, "w") as file:
            file.dimensions = {"cell": len(batch.digests), "record": len(batch.step)}
            file.attrs["jaxinv_format"] = FORMAT
            file.attrs["made_by"] = batch.made_by
            file.create_variable("step", ("record",), data=batch.step)
            for key, texts in (("digest", batch.digests), ("arguments", batch.arguments)):
                file.create_variable(key, ("cell",), data=np.array(texts, dtype=object), dtype=_text())
            for key, array in batch.values.items():
                data = array.astype(np.int8) if array.dtype == bool else array
                own = {f"{key}_{axis}": array.shape[axis] for axis in range(2, array.ndim)}
                file.dimensions.update(own)
                # the checksum turns a damaged file into an error on reading
                file.create_variable(key, (*("cell", "record")[: array.ndim], *own), data=data, fletcher32=True)
        _sync(aside)
        aside.replace(path)
        _sync(self.folder)
        return path

    def load(self, wanted: set[str], made_by: str | None = None) -> dict[str, dict[str, np.ndarray]]:
        """The values of those `wanted` cells that are there, by digest; with `made_by`, of those made by it alone.

        The newest file counts where a cell is in several. A corrupt file is named, set aside, and skipped.
        """
        found: dict[str, dict[str, np.ndarray]] = {}
        ours = self.folder.glob("[0-9a-f]" * 32 + ".nc")  # what else lies here is not
        for path in sorted(ours, key=lambda path: (path.stat().st_mtime_ns, path.name)):
            try:
                batch = _read(path)
            except (OSError, KeyError, ValueError) as error:
                _set_aside(path, error, "its cells run again")
                continue
            if batch is not None and made_by in (None, batch.made_by):
                pairs = zip(batch.digests, batch.by_cell(), strict=True)
                found |= {digest: cell for digest, cell in pairs if digest in wanted}
        return found


def check_writable(folder: Path) -> None:
    """Make `folder` where it is missing; ArgumentError unless files can be made in it."""
    probe = folder / f".jaxinv-{os.getpid()}"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        probe.touch()
        probe.unlink()
    except OSError as error:
        raise ArgumentError(
            f"output folder must be writable, got {str(folder)!r} ({error.strerror}); pass another folder"
        ) from None


def write_text(path: Path, text: str) -> None:
    """Write a text file whole or not at all."""
    aside = path.with_name(path.name + ".part")
    aside.write_text(text, encoding="utf-8")
    _sync(aside)
    aside.replace(path)


def file_digest(path: Path) -> str:
    """A digest of the bytes of a file; "" where there is none."""
    return hashlib.sha256(path.read_bytes()).hexdigest()[:32] if path.is_file() else ""


def save_dataset(path: Path, dataset: "xarray.Dataset") -> None:
    """Write an xarray.Dataset as netCDF, whole or not at all."""
    save_datasets(path, {"": dataset})


def save_datasets(path: Path, datasets: Mapping[str, "xarray.Dataset"]) -> None:
    """Write datasets by name as the groups of one netCDF file, whole or not at all; "" is the file's own."""
    aside = path.with_name(path.name + ".part")
    for i, (name, dataset) in enumerate(datasets.items()):
        dataset.to_netcdf(aside, mode="a" if i else "w", group=name or None, engine="h5netcdf")
    _sync(aside)
    aside.replace(path)


def load_dataset(path: Path) -> "xarray.Dataset | None":
    """The xarray.Dataset that was saved; None where there is none, or a corrupt one, which is named and set aside."""
    found = load_datasets(path)
    return None if found is None else found[""]


def load_datasets(path: Path) -> "dict[str, xarray.Dataset] | None":
    """The datasets that were saved, by name; None where there are none, or corrupt ones, named and set aside."""
    if not path.exists():
        return None
    try:
        return read_datasets(path)
    except (OSError, KeyError, ValueError) as error:
        _set_aside(path, error, "it is made anew")
        return None


def read_datasets(path: Path) -> "dict[str, xarray.Dataset]":
    """The datasets in a netCDF file by the name of their group, the file's own as "". Raises OSError, ValueError."""
    import xarray

    groups = xarray.open_groups(path, engine="h5netcdf")
    try:
        found = {name.strip("/"): dataset.load() for name, dataset in groups.items()}
    finally:
        for dataset in groups.values():
            dataset.close()
    alone = len(found) == 1
    return {name: dataset for name, dataset in found.items() if name or alone or dataset.variables}


def _set_aside(path: Path, error: Exception, then: str) -> None:
    kept = path.with_suffix(".corrupt")
    path.replace(kept)
    reason = " ".join(str(error).split())
    warnings.warn(f"{path} is corrupt ({reason}); kept as {kept.name}, {then}", stacklevel=3)


def _read(path: Path) -> Batch | None:
    """The batch in a file; None for one of an older format, whose cells have other names."""
    import h5netcdf

    with h5netcdf.File(path, "r") as file:
        if file.attrs["jaxinv_format"] != FORMAT:
            return None
        texts = ("step", "digest", "arguments")
        values = {key: np.asarray(variable[...]) for key, variable in file.variables.items() if key not in texts}
        digests = [d.decode() if isinstance(d, bytes) else str(d) for d in file.variables["digest"][...]]
        values["diverged"] = values["diverged"].astype(bool)
        return Batch(digests, [], np.array([]), values, str(file.attrs["made_by"]))


def _text():
    import h5py

    return h5py.string_dtype()


def _sync(path: Path) -> None:
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
