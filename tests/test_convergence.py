"""The convergence benchmark on a tiny grid: measured against predicted, resuming, and comparing two results."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import xarray

import jaxinv as ji
from jaxinv.cli import main
from jaxinv.experiment import load_module

FOLDER = Path(__file__).parent.parent / "benchmarks"
PLAIN = {"seed", "off_seed", "step_rule"}
SMALL = {"signal_dim": 16, "measurement_dim": 8, "subspace_dim": 2, "samples": 5, "condition_number": 2.0}


@pytest.fixture(scope="module")
def bench():
    module = load_module(FOLDER / "convergence.py")
    module.PRESETS["quick"] = module.Preset(
        width=(10, 160), depth=(2, 3), seeds=4, steps=400, stable_width=160,
        off_width=(16, 240), off_depth=(2,), off_seeds=3, gamma=(0.03, 0.2), problem=SMALL,
    )  # fmt: skip
    return module


@pytest.fixture(scope="module")
def out(bench, tmp_path_factory):
    folder = tmp_path_factory.mktemp("results")
    bench.main("quick", folder)
    return folder


@pytest.fixture(scope="module")
def results(out):
    return xarray.load_dataset(out / "convergence" / "quick" / "results.nc", engine="h5netcdf")


def test_wide_networks_contract_as_predicted(results):
    wide = results.sel(width=160)
    assert (wide.fit_quality == "good").all()
    ratio = (wide.log_rate / wide.predicted_log_rate).median("seed")
    assert np.abs(ratio - 1).max() < 0.05
    steps = (wide.steps_to / wide.predicted_steps_to).median("seed")
    assert np.abs(steps - 1).max() < 0.1
    assert (wide.sharpness.sel(step_rule="stable") == pytest.approx(1.6, rel=1e-6)).all()
    assert results.sizes["round"] == 3
    assert (results.step_ms > 0).all()


def test_off_subspace_times_follow_the_law(results):
    ran, far = {"off_width": 16, "gamma": 0.2}, {"off_width": 240, "gamma": 0.2}
    measured, predicted = results.off_steps.sel(ran), results.off_predicted.sel(ran)
    assert np.abs(measured / predicted - 1).max() < 0.05
    assert results.extrapolated.sel(off_width=240).all()
    assert results.extrapolated.sel(gamma=0.03).all()
    assert not results.extrapolated.sel(ran).any()
    assert results.off_steps.sel(gamma=0.03).isnull().all()
    further = results.off_predicted.sel(far) / predicted.median("off_seed")
    np.testing.assert_allclose(further, 240 / 16, rtol=0.05)


def test_the_table_has_a_line_a_cell_and_counts_failures(bench, results):
    lines = list(bench.table(results))
    assert sum(line.split()[4:5] in (["default"], ["stable"]) for line in lines) == 2 * 2 * 2
    assert sum("extrapolated" in line for line in lines) == 3
    broken = results.copy(deep=True)
    broken.fit_quality[{"width": 1, "depth": 0, "step_rule": 0, "seed": 0}] = "diverged"
    broken.steps_to[{"width": 1, "depth": 0, "step_rule": 0, "seed": 0}] = np.nan
    row = next(line for line in bench.table(broken) if line.split()[:2] == ["2", "160"] and "default" in line)
    assert row.count("1/4") == 2
    assert row.count("0/4") == 1


def test_running_again_runs_nothing(bench, out, results, monkeypatch, capsys):
    monkeypatch.setattr(ji, "run_sweep", None)
    bench.main("quick", out)
    again = xarray.load_dataset(out / "convergence" / "quick" / "results.nc", engine="h5netcdf")
    assert again.identical(results)
    assert all(again[name].attrs["long_name"] for name in again.variables if name not in PLAIN)
    np.testing.assert_allclose(again.seconds_to, again.steps_to * again.step_ms.min("round") / 1e3)
    assert (out / "convergence" / "quick" / "convergence.pdf").exists()


def test_a_corrupt_group_is_set_aside_and_made_anew(bench, out, results, monkeypatch, capsys):
    path = next((out / "convergence" / "quick" / "groups").glob("off_group-2-16-0.2-*.nc"))
    path.write_bytes(path.read_bytes()[:3000])
    with pytest.warns(UserWarning, match="is corrupt .* it is made anew"):
        bench.main("quick", out)
    assert path.with_suffix(".corrupt").exists()
    again = xarray.load_dataset(out / "convergence" / "quick" / "results.nc", engine="h5netcdf")
    assert again.identical(results)


def test_a_comparison_without_a_common_point_says_so(bench, out, results, tmp_path, monkeypatch, capsys):
    results.assign_coords(width=[11, 161], off_width=[17, 241]).to_netcdf(tmp_path / "old.nc", engine="h5netcdf")
    monkeypatch.setattr(bench, "_here", lambda: "elsewhere")
    (out / "convergence" / "quick").rename(out / "convergence" / "quick-compared-elsewhere")
    bench.main("quick", out, compare=tmp_path / "old.nc")
    (out / "convergence" / "quick-compared-elsewhere").rename(out / "convergence" / "quick")
    assert "no point of the grid in common" in capsys.readouterr().out


def test_predicted_steps_of_less_than_half_of_the_seeds_are_not_shown(bench):
    rows = np.array([[1.0, np.nan], [2.0, np.nan], [3.0, 5.0], [np.nan, np.nan]])
    np.testing.assert_array_equal(bench._column_medians(rows, least=0.5), [2.0, np.nan])
    np.testing.assert_array_equal(bench._column_medians(rows), [2.0, 5.0])


def test_comparing_says_nothing_where_nothing_changed_and_what_changed(bench, out, tmp_path, monkeypatch, capsys):
    old = out / "convergence" / "quick" / "results.nc"
    # times of a machine that tests share are not what this is about
    monkeypatch.setattr(bench, "time_group", lambda *_: xarray.Dataset({"step_ms": ("round", np.ones(3))}))
    plain = xarray.load_dataset(old, engine="h5netcdf")
    plain.assign(step_ms=plain.step_ms * 0 + 1).to_netcdf(tmp_path / "old.nc", engine="h5netcdf")
    bench.main("quick", tmp_path, compare=tmp_path / "old.nc")
    assert "nothing changed beyond seed noise in" in capsys.readouterr().out

    descent = bench.descent

    def slower(problem, network, *, step_rule="default", gamma=0.0):
        made = descent(problem, network, step_rule=step_rule, gamma=gamma)
        return replace(made, step_size=0.9 * made.step_size)

    monkeypatch.setattr(bench, "descent", slower)
    monkeypatch.setattr(bench, "_here", lambda: "other")
    bench.main("quick", tmp_path, compare=tmp_path / "old.nc")
    said = capsys.readouterr().out.split("Compared with")[1]
    assert "nothing changed" not in said
    assert any(line.startswith("step_size at") and "(-10.0%)" in line for line in said.splitlines())
    assert any(line.startswith("log_rate at depth 2, width 160") for line in said.splitlines())
    assert "off_steps" not in said


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--set", "wdth=3"], "unknown setting 'wdth'; did you mean 'width'"),
        (["--set", "width=0"], "width must be a positive whole number, got 0"),
        (["--set", "gamma=0"], "gamma must be a finite number above 0, got 0"),
        (["--set", "width=50,50"], "--set width must be different values, got [50, 50]"),
        (["--set", "steps=10"], "--set steps must be at least 50, got 10"),
        (["--set", "seeds=1,2"], "--set seeds must be one value, got 2"),
        (["--set", "measurement_dim=300"], "measurement_dim must be at most signal_dim"),
        (["--set", "gamma=0.01,0.03"], "--set must be some off_width of at most 200 and gamma of at least 0.1"),
        (["--compare", "nowhere.nc"], "--compare must be a results.nc of this benchmark, got 'nowhere.nc'"),
    ],
)
def test_bad_input(options, words, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr("jaxinv.cli._configure", lambda: None)
    folder = tmp_path / "out"
    assert main(["bench", "convergence", "--benchmarks", str(FOLDER), "--out", str(folder), *options]) == 2
    error = capsys.readouterr().err
    assert words in error
    assert len(error.splitlines()) == 1
    assert not folder.exists()


def test_options_that_a_benchmark_does_not_take(monkeypatch, capsys):
    monkeypatch.setattr("jaxinv.cli._configure", lambda: None)
    assert main(["bench", "speed", "--benchmarks", str(FOLDER), "--set", "width=3"]) == 2
    assert "--set must be left out: benchmark speed does not take it" in capsys.readouterr().err
