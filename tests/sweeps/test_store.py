"""The store: what it finds again, and damaged, older and foreign files."""

from typing import Any

import h5netcdf
import numpy as np
import pytest

import jaxinv as ji

from ..helpers import found, small_sweep


def test_a_corrupt_file_is_named_set_aside_and_recomputed(tmp_path):
    sweep = small_sweep(axes={"seed": [0, 1]})
    first = ji.run_sweep(sweep, tmp_path)
    (path,) = tmp_path.glob("*.nc")
    path.write_bytes(path.read_bytes()[:1000])
    with pytest.warns(UserWarning, match=f"{path.name} is corrupt .* kept as"):
        again = ji.run_sweep(sweep, tmp_path)
    assert np.array_equal(first.loss, again.loss)
    assert path.exists()
    assert path.with_suffix(".corrupt").exists()


def test_a_changed_byte_of_data_is_noticed(tmp_path):
    sweep = small_sweep(axes={"seed": [0]})
    first = ji.run_sweep(sweep, tmp_path)
    (path,) = tmp_path.glob("*.nc")
    content, needle = bytearray(path.read_bytes()), first.loss.values[0].tobytes()
    at = content.find(needle)
    assert at > 0
    content[at] ^= 1
    path.write_bytes(bytes(content))
    with pytest.warns(UserWarning, match="is corrupt"):
        again = ji.run_sweep(sweep, tmp_path)
    assert np.array_equal(first.loss, again.loss)


def test_files_that_are_not_cells_are_left_alone(tmp_path):
    results = ji.run_sweep(small_sweep(axes={"seed": [0]}), tmp_path)
    results.to_netcdf(tmp_path / "results.nc", engine="h5netcdf")
    ji.run_sweep(small_sweep(axes={"seed": [0]}), tmp_path)
    assert (tmp_path / "results.nc").exists()


def stored(sweep, folder):
    """The file of a sweep whose cells are one batch."""
    ji.run_sweep(sweep, folder)
    (path,) = folder.glob("*.nc")
    return path


def test_a_file_of_an_older_format_is_left_alone_without_a_warning(tmp_path):
    sweep = small_sweep(axes={"seed": [0]})
    old = stored(sweep, tmp_path).rename(tmp_path / f"{'0' * 32}.nc")
    assert found(sweep, tmp_path)[1] == 1  # under whatever name
    for path in tmp_path.glob("*.nc"):
        if path != old:
            path.unlink()
    with h5netcdf.File(old, "r+") as file:
        file.attrs["jaxinv_format"] = 1
    content = old.read_bytes()
    assert found(sweep, tmp_path)[1] == 0
    assert old.read_bytes() == content
    assert not list(tmp_path.glob("*.corrupt"))
    assert found(sweep, tmp_path)[1] == 1


def falsify(path):
    """Make every loss in a file -1, so that what was read can be told from what was computed."""
    with h5netcdf.File(path, "r+") as file:
        file.variables["loss"][...] = -np.ones(file.variables["loss"].shape)


def test_fresh_computes_again_and_replaces_what_is_stored(tmp_path):
    sweep = small_sweep(axes={"seed": [0]})
    first = ji.run_sweep(sweep)
    falsify(stored(sweep, tmp_path))
    again, count = found(sweep, tmp_path)
    assert count == 1
    assert (again.loss == -1).all()
    again, count = found(sweep, tmp_path, fresh=True)
    assert count == 0
    assert again.identical(first)
    again, count = found(sweep, tmp_path)
    assert count == 1
    assert again.identical(first)


@pytest.mark.parametrize("seeds", [[0, 1], [0, 5], [3, 0], [7, 0]])
def test_what_was_made_last_is_found(seeds, tmp_path):
    # the cells of seed 0 are in two files, whose names are digests
    sweep = small_sweep(axes={"seed": [0]})
    falsify(stored(sweep, tmp_path))
    ji.run_sweep(small_sweep(axes={"seed": seeds}), tmp_path, fresh=True)
    assert len(list(tmp_path.glob("*.nc"))) == 2
    again, count = found(sweep, tmp_path)
    assert count == 1
    assert again.identical(ji.run_sweep(sweep))


def test_only_what_is_marked_as_ones_own_is_found_where_that_is_asked_for(tmp_path):
    sweep = small_sweep(axes={"seed": [0, 1]})
    this: dict[str, Any] = {"made_by": "this machine", "own": True}
    another: dict[str, Any] = {"made_by": "another", "own": True}
    assert found(sweep, tmp_path, **this)[1] == 0
    assert found(sweep, tmp_path, **this)[1] == 2
    assert found(sweep, tmp_path)[1] == 2  # whoever made them
    assert found(sweep, tmp_path, made_by="another")[1] == 2
    assert found(sweep, tmp_path, **this)[1] == 2  # finding them marks nothing
    assert found(sweep, tmp_path, **another)[1] == 0
    assert found(sweep, tmp_path, **another)[1] == 2


def test_cells_without_a_mark_are_nobodys_own(tmp_path):
    sweep = small_sweep(axes={"seed": [0, 1]})
    ji.run_sweep(sweep, tmp_path)
    assert found(sweep, tmp_path, made_by="this machine", own=True)[1] == 0


def test_cells_with_steps_of_their_own_are_found_again(tmp_path):
    sweep = small_sweep(steps=lambda gamma: 20 if gamma else 10, where=lambda seed: seed < 2)
    first, count = found(sweep, tmp_path)
    assert count == 0
    again, count = found(sweep, tmp_path)
    assert count == 4
    assert again.identical(first)
    assert found(small_sweep(steps=20), tmp_path)[1] == 2  # those of gamma = 0.1 and seeds 0, 1
