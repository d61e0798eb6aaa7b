"""Files, all written aside, synced and renamed: finished cells (a netCDF file for each batch), datasets, texts.

A netCDF file ends with a line that has the SHA-256 of all before it. HDF5 reads nothing there, so any library opens
the file; here the line is checked before HDF5 sees a byte, because HDF5 reads some damaged files as wrong numbers and
hangs on others.
"""

import hashlib
import io
import os
import secrets
import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ..checks import ArgumentError

if TYPE_CHECKING:
    import xarray

FORMAT = 3
"""Of a stored batch; part of its file's name, so that files of other formats are not read."""

HALF_WRITTEN: set[Path] = set()
"""What this process is writing now: files that an interrupt leaves behind."""


@dataclass(frozen=True)
class Batch:
    """Cells that finished together. `values` have the cells first, then (for what is recorded) the records.

    `step` is that of each record; None where the cells are no training runs, and have no records in common.
    `made_by` names code and machine, where that was asked for.
    """

    digests: list[str]
    arguments: list[str]
    step: np.ndarray | None
    values: dict[str, np.ndarray]
    made_by: str = ""

    def by_cell(self) -> list[dict[str, np.ndarray]]:
        """The values of each cell."""
        return [{name: np.asarray(a[i]) for name, a in self.values.items()} for i in range(len(self.digests))]


class Store:
    """A folder of finished batches. Raises ArgumentError where it cannot be written."""

    def __init__(self, folder: Path):
        self.folder = folder
        check_writable(folder)

    def save(self, batch: Batch) -> Path:
        """Write the batch so that its file is there whole or not at all, whatever happens meanwhile."""
        name = hashlib.sha256("".join(batch.digests).encode()).hexdigest()[:32]
        path = self.folder / f"{name}-{FORMAT}.nc"
        write(path, lambda aside: _write_batch(aside, batch))
        _sync(self.folder)
        return path

    def load(self, wanted: set[str], made_by: str | None = None) -> dict[str, dict[str, np.ndarray]]:
        """The values of those `wanted` cells that are there, by digest; with `made_by`, of those made by it alone.

        The newest file counts where a cell is in several. A corrupt file is named, set aside, and skipped.
        """
        found: dict[str, dict[str, np.ndarray]] = {}
        ours = self.folder.glob("[0-9a-f]" * 32 + f"-{FORMAT}.nc")  # what else lies here is not
        for path in sorted(ours, key=_age):
            try:
                batch = _read_batch(path)
            except FileNotFoundError:  # another process has just set it aside
                continue
            except (OSError, KeyError, ValueError) as error:
                _set_aside(path, error, "its cells run again")
                continue
            if made_by in (None, batch.made_by):
                pairs = zip(batch.digests, batch.by_cell(), strict=True)
                found |= {digest: cell for digest, cell in pairs if digest in wanted}
        return found


def check_writable(folder: Path) -> None:
    """Make `folder` where it is missing; ArgumentError unless files can be made in it."""
    probe = _own_name(folder / ".jaxinv")
    try:
        folder.mkdir(parents=True, exist_ok=True)
        probe.touch()
        probe.unlink()
    except OSError as error:
        raise ArgumentError(
            f"output folder must be writable, got {str(folder)!r} ({error.strerror}); pass another folder"
        ) from None


def write(path: Path, make: Callable[[Path], Any]) -> str:
    """Have `make` write a file beside `path`, then give it that name: it is there whole or not at all.

    Returns its digest, as `file_digest` does. The name beside is this writer's own: others may write the same file.
    """
    aside = _own_name(path)
    HALF_WRITTEN.add(aside)
    try:
        make(aside)
        _sync(aside)
        digest = file_digest(aside)
        aside.replace(path)
    finally:
        aside.unlink(missing_ok=True)
        HALF_WRITTEN.discard(aside)
    return digest


def write_text(path: Path, text: str) -> str:
    """Write a text file whole or not at all; returns its digest."""
    return write_bytes(path, text.encode())


def write_bytes(path: Path, content: bytes) -> str:
    """Write a file whole or not at all; returns its digest."""
    return write(path, lambda aside: aside.write_bytes(content))


def file_digest(path: Path) -> str:
    """A digest of the bytes of a file; "" where there is none."""
    return bytes_digest(path.read_bytes()) if path.is_file() else ""


def bytes_digest(content: bytes) -> str:
    """What `file_digest` is for a file of this content."""
    return hashlib.sha256(content).hexdigest()[:32]


def save_dataset(path: Path, dataset: "xarray.Dataset") -> str:
    """Write an xarray.Dataset as netCDF, whole or not at all; returns the file's digest."""
    return save_datasets(path, {"": dataset})


def save_datasets(path: Path, datasets: Mapping[str, "xarray.Dataset"]) -> str:
    """Write datasets by name as the groups of one netCDF file, whole or not at all; "" is the file's own.

    Returns the file's digest.
    """

    def make(aside: Path) -> None:
        for i, (name, dataset) in enumerate(datasets.items()):
            dataset.to_netcdf(aside, mode="a" if i else "w", group=name or None, engine="h5netcdf")
        sign(aside)

    return write(path, make)


def load_dataset(path: Path) -> "xarray.Dataset | None":
    """The xarray.Dataset that was saved; None where there is none, or a corrupt one, which is named and set aside."""
    found = load_datasets(path)
    return None if found is None else found[""]


def load_datasets(path: Path) -> "dict[str, xarray.Dataset] | None":
    """The datasets that were saved, by name; None where there are none, or corrupt ones, named and set aside.

    A file without its digest is corrupt.
    """
    try:
        return _datasets(_signed(path.read_bytes()))
    except FileNotFoundError:
        return None
    except (OSError, KeyError, ValueError) as error:
        _set_aside(path, error, "it is made anew")
        return None


def read_datasets(path: Path) -> "dict[str, xarray.Dataset]":
    """The datasets in a netCDF file, whoever wrote it, by the name of their group; the file's own as "".

    Raises OSError or ValueError for one that cannot be read, or whose digest, if it has one, is not its own.
    """
    content = path.read_bytes()
    return _datasets(_signed(content) if _LINE in content[-_LENGTH:] else content)


def sign(path: Path) -> None:
    """End a file with the line that has the digest of all before it."""
    with path.open("r+b") as file:
        file.write(_line(file.read()))


def _datasets(content: bytes) -> "dict[str, xarray.Dataset]":
    import xarray

    groups = xarray.open_groups(io.BytesIO(content), engine="h5netcdf")
    try:
        found = {name.strip("/"): dataset.load() for name, dataset in groups.items()}
    finally:
        for dataset in groups.values():
            dataset.close()
    alone = len(found) == 1
    return {name: dataset for name, dataset in found.items() if name or alone or dataset.variables}


_LINE = b"\njaxinv sha256 "


def _line(content: bytes) -> bytes:
    return _LINE + hashlib.sha256(content).hexdigest().encode() + b"\n"


_LENGTH = len(_line(b""))


def _signed(whole: bytes) -> bytes:
    """What stands before the line at the end of a file; ValueError unless that has its digest."""
    content = whole[:-_LENGTH]
    if whole[-_LENGTH:] != _line(content):
        raise ValueError(
            "its SHA-256 is not the one at its end" if _LINE in whole[-_LENGTH:] else "no SHA-256 at its end"
        )
    return content


def _own_name(path: Path) -> Path:
    """A name beside `path` that no other writer has, in this process or another, here or on another machine."""
    return path.with_name(f"{path.name}.{os.getpid()}-{secrets.token_hex(8)}.part")


def _age(path: Path) -> tuple[int, str]:
    try:
        return path.stat().st_mtime_ns, path.name
    except FileNotFoundError:
        return 0, path.name


def _set_aside(path: Path, error: Exception, then: str) -> None:
    kept = path.with_suffix(".corrupt")
    try:
        path.replace(kept)
    except FileNotFoundError:  # another process has just done it
        return
    reason = " ".join(str(error).split())
    warnings.warn(f"{path} is corrupt ({reason}); kept as {kept.name}, {then}", stacklevel=3)


_FLAG = np.dtype(np.int8)
"""What flags are in a file, which has no other values of this type: metrics are floating-point numbers."""


def _write_batch(path: Path, batch: Batch) -> None:
    import h5netcdf

    with h5netcdf.File(path, "w") as file:
        shared = {"cell": len(batch.digests)} | ({} if batch.step is None else {"record": len(batch.step)})
        file.dimensions = shared
        file.attrs["jaxinv_format"] = FORMAT
        file.attrs["made_by"] = batch.made_by
        if batch.step is not None:
            file.create_variable("step", ("record",), data=batch.step)
        for key, texts in (("digest", batch.digests), ("arguments", batch.arguments)):
            file.create_variable(key, ("cell",), data=np.array(texts, dtype=object), dtype=_text())
        for key, array in batch.values.items():
            data = array.astype(_FLAG) if array.dtype == bool else array
            own = {f"{key}_{axis}": array.shape[axis] for axis in range(len(shared), array.ndim)}
            file.dimensions.update(own)
            file.create_variable(key, (*[*shared][: array.ndim], *own), data=data)
    sign(path)


def _read_batch(path: Path) -> Batch:
    import h5netcdf

    with h5netcdf.File(io.BytesIO(_signed(path.read_bytes())), "r") as file:
        held = {name: variable for name, variable in file.variables.items() if variable.dimensions[0] == "cell"}
        values = {name: np.asarray(held[name][...]) for name in held if name not in ("digest", "arguments")}
        digests = [d.decode() if isinstance(d, bytes) else str(d) for d in file.variables["digest"][...]]
        values = {key: array.astype(bool) if array.dtype == _FLAG else array for key, array in values.items()}
        return Batch(digests, [], None, values, str(file.attrs["made_by"]))


def _text():
    import h5py

    return h5py.string_dtype()


def _sync(path: Path) -> None:
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
