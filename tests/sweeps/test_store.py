"""The store: what it finds again, and damaged, older and foreign files."""

import subprocess
import sys
import warnings
from typing import Any

import h5netcdf
import jax.numpy as jnp
import numpy as np
import pytest
import xarray

import jaxinv as ji
from jaxinv.sweeps import store

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


def damaged(content):
    """Contents with one byte changed, or an end missing: some of all there are, those of the last line among them."""
    for at in sorted({*range(0, len(content), 397), *range(len(content) - 90, len(content))}):
        for bits in (1, 255):
            yield content[:at] + bytes([content[at] ^ bits]) + content[at + 1 :]
        yield content[:at]


def test_no_changed_byte_of_a_batch_goes_unnoticed(tmp_path):
    path = stored(small_sweep(axes={"seed": [0]}), tmp_path)
    with xarray.open_dataset(path) as batch:
        digest = batch.digest.item()
    cells, content = store.Store(tmp_path), path.read_bytes()
    assert set(cells.load({digest})) == {digest}
    for wrong in damaged(content):
        path.write_bytes(wrong)
        with pytest.warns(UserWarning, match="is corrupt .*, its cells run again") as said:
            assert cells.load({digest}) == {}
        assert len(said) == 1
        assert path.with_suffix(".corrupt").read_bytes() == wrong
    path.write_bytes(content)
    assert set(cells.load({digest})) == {digest}


def datasets():
    data = xarray.Dataset({"a": ("x", np.linspace(0, 1, 30))}, {"x": np.arange(30)}, {"words": "α"})
    return {"": data, "of": data * 2}


def test_no_changed_byte_of_datasets_goes_unnoticed(tmp_path):
    path = tmp_path / "results.nc"
    digest = store.save_datasets(path, datasets())
    assert digest == store.file_digest(path)
    content = path.read_bytes()
    for wrong in damaged(content):
        path.write_bytes(wrong)
        with pytest.warns(UserWarning, match="is corrupt .*, it is made anew"):
            assert store.load_datasets(path) is None
        assert not path.exists()
    path.write_bytes(content)
    for read in (store.load_datasets(path), store.read_datasets(path)):
        assert read is not None
        assert {name: data.identical(datasets()[name]) for name, data in read.items()} == {"": True, "of": True}
    assert store.load_datasets(tmp_path / "nowhere.nc") is None


def test_plain_xarray_opens_what_is_saved(tmp_path):
    path = tmp_path / "results.nc"
    store.save_datasets(path, datasets())
    with xarray.open_dataset(path) as data, xarray.open_dataset(path, group="of") as other:
        assert data.identical(datasets()[""])
        assert other.identical(datasets()["of"])
    with xarray.open_dataset(stored(small_sweep(axes={"seed": [0]}), tmp_path / "cells")) as batch:
        assert batch.loss.shape[0] == 1


def test_datasets_of_others_are_read_but_not_reused(tmp_path):
    path = tmp_path / "results.nc"
    datasets()[""].to_netcdf(path, engine="h5netcdf")
    assert store.read_datasets(path)[""].identical(datasets()[""])
    with pytest.warns(UserWarning, match=r"is corrupt \(no SHA-256 at its end\); kept as results.corrupt"):
        assert store.load_datasets(path) is None
    store.save_datasets(path, datasets())
    wrong = bytearray(path.read_bytes())
    wrong[len(wrong) // 2] ^= 1
    path.write_bytes(bytes(wrong))
    with pytest.raises(ValueError, match="its SHA-256 is not the one at its end"):
        store.read_datasets(path)


def test_writers_of_one_file_do_not_collide(tmp_path):
    path = tmp_path / "a"

    def slow(aside):
        aside.write_text("slow")
        assert store.write_text(path, "quick") == store.file_digest(path)
        assert store.HALF_WRITTEN == {aside}

    digest = store.write(path, slow)
    assert path.read_text() == "slow"
    assert digest == store.file_digest(path)

    with pytest.raises(OSError, match="full"):
        store.write(path, failing)
    assert list(tmp_path.iterdir()) == [path]
    assert not store.HALF_WRITTEN


def failing(aside):
    aside.write_text("half")
    raise OSError("full")


WRITER = """
import sys, warnings
import numpy as np
from pathlib import Path
from jaxinv.sweeps.store import Batch, Store
warnings.simplefilter("error")
store, name = Store(Path(sys.argv[1])), sys.argv[2]
for i in range(40):
    store.save(Batch(["cell"], [""], np.arange(2), {"loss": np.ones((1, 2)), "diverged": np.zeros(1, bool)}, name))
    (cell,) = store.load({"cell"}).values()
    assert (cell["loss"] == 1).all()
"""


def test_processes_that_store_the_same_batch_do_not_collide(tmp_path):
    line = [sys.executable, "-c", WRITER, str(tmp_path)]
    writers = [subprocess.Popen([*line, str(i)], stderr=subprocess.PIPE, text=True) for i in range(3)]
    for writer in writers:
        errors = writer.communicate(timeout=120)[1]
        assert writer.returncode == 0, errors
    assert len(list(tmp_path.iterdir())) == 1


def test_what_another_process_sets_aside_is_not_an_error(tmp_path, monkeypatch):
    path = stored(small_sweep(axes={"seed": [0]}), tmp_path)
    path.write_bytes(b"damaged")

    def gone(whole):
        path.unlink()
        raise ValueError("damaged")

    monkeypatch.setattr(store, "_signed", gone)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert store.Store(tmp_path).load({"any"}) == {}
    (tmp_path / ("0" * 32 + f"-{store.FORMAT}.nc")).symlink_to("nowhere")
    assert store.Store(tmp_path).load({"any"}) == {}


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
    path = stored(sweep, tmp_path)
    old = path.rename(path.with_name(f"{path.name.partition('-')[0]}.nc"))
    content = old.read_bytes()
    assert found(sweep, tmp_path)[1] == 0
    assert old.read_bytes() == content
    assert not list(tmp_path.glob("*.corrupt"))
    assert found(sweep, tmp_path)[1] == 1


def falsify(path):
    """Make every loss in a file -1, so that what was read can be told from what was computed."""
    with h5netcdf.File(path, "r+") as file:
        file.variables["loss"][...] = -np.ones(file.variables["loss"].shape)
    store.sign(path)


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


def test_what_is_found_has_the_types_of_what_was_computed(tmp_path):
    flag = ji.Metric("positive", lambda coordinates, network: network.weights[0][0, 0] > 0)
    metrics = [flag, ji.Metric("layers", lambda coordinates, network: jnp.int8(len(network.weights)))]
    sweep = small_sweep(axes={"seed": [0, 1]}, metrics=metrics, engine="auto")
    first, count = found(sweep, tmp_path)
    assert count == 0
    again, count = found(sweep, tmp_path)
    assert count == 2
    assert again.identical(first)
    flags = {name for name in again if again[name].dtype == bool}
    assert flags == {"diverged", "stable_step_size", "width_free", "filled"}
