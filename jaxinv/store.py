"""Finished cells on disk: one netCDF file a batch, written aside, synced and renamed. Knows bytes, names and hashes."""

import hashlib
import os
import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from .checks import ArgumentError

FORMAT = 1


@dataclass(frozen=True)
class Batch:
    """Cells that finished together. `values` have the cells first, then (for what is recorded) the records."""

    hashes: list[str]
    arguments: list[str]
    step: np.ndarray
    values: dict[str, np.ndarray]

    def cells(self) -> dict[str, dict[str, np.ndarray]]:
        """The values of each cell, by its hash."""
        return {h: {name: array[i] for name, array in self.values.items()} for i, h in enumerate(self.hashes)}


class Store:
    """A folder of finished batches. Raises ArgumentError where it cannot be written."""

    def __init__(self, folder: Path):
        self.folder = folder
        check_writable(folder)

    def save(self, batch: Batch) -> Path:
        """Write the batch so that its file is there whole or not at all, whatever happens meanwhile."""
        import h5netcdf

        name = hashlib.sha256("".join(batch.hashes).encode()).hexdigest()[:32]
        path, aside = self.folder / f"{name}.nc", self.folder / f"{name}.part"
        with h5netcdf.File(aside, "w") as file:
            file.dimensions = {"cell": len(batch.hashes), "record": len(batch.step)}
            file.attrs["jaxinv_format"] = FORMAT
            file.create_variable("step", ("record",), data=batch.step)
            for key, texts in (("hash", batch.hashes), ("arguments", batch.arguments)):
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

    def load(self, wanted: set[str]) -> dict[str, dict[str, np.ndarray]]:
        """The values of those `wanted` cells that are there. A corrupt file is named, set aside, and skipped."""
        found: dict[str, dict[str, np.ndarray]] = {}
        for path in sorted(self.folder.glob("[0-9a-f]" * 32 + ".nc")):  # what else lies here is not ours
            try:
                cells = _read(path)
            except (OSError, KeyError, ValueError) as error:
                _set_aside(path, error, "its cells run again")
                continue
            found |= {key: cell for key, cell in cells.items() if key in wanted}
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


def save_dataset(path: Path, dataset) -> None:
    """Write an xarray.Dataset as netCDF, whole or not at all."""
    aside = path.with_name(path.name + ".part")
    dataset.to_netcdf(aside, engine="h5netcdf")
    _sync(aside)
    aside.replace(path)


def load_dataset(path: Path):
    """The xarray.Dataset that was saved; None where there is none, or a corrupt one, which is named and set aside."""
    import xarray

    if not path.exists():
        return None
    try:
        return xarray.load_dataset(path, engine="h5netcdf")
    except (OSError, KeyError, ValueError) as error:
        _set_aside(path, error, "it is made anew")
        return None


def _set_aside(path: Path, error: Exception, then: str) -> None:
    kept = path.with_suffix(".corrupt")
    path.replace(kept)
    reason = " ".join(str(error).split())
    warnings.warn(f"{path} is corrupt ({reason}); kept as {kept.name}, {then}", stacklevel=3)


def _read(path: Path) -> Mapping[str, dict[str, np.ndarray]]:
    import h5netcdf

    with h5netcdf.File(path, "r") as file:
        if file.attrs["jaxinv_format"] != FORMAT:
            raise ValueError(f"format {file.attrs['jaxinv_format']}, expected {FORMAT}")
        texts = ("step", "hash", "arguments")
        values = {key: np.asarray(variable[...]) for key, variable in file.variables.items() if key not in texts}
        hashes = [h.decode() if isinstance(h, bytes) else str(h) for h in file.variables["hash"][...]]
        values["diverged"] = values["diverged"].astype(bool)
    return Batch(hashes, [], np.array([]), values).cells()


def _text():
    import h5py

    return h5py.string_dtype()


def _sync(path: Path) -> None:
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
