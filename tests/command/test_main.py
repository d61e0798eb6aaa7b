"""The command line, and that importing the package changes nothing."""

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import tomllib
from pathlib import Path

import jax
import pytest
import xarray

import jaxinv as ji
from jaxinv.command.info import cores
from jaxinv.command.main import main
from jaxinv.sweeps.store import save_dataset

ROOT = Path(__file__).parents[2]
TINY = ["--set", "signal_dim=12", "measurement_dim=6", "subspace_dim=2", "samples=9", "width=40", "depth=2"]
EXPERIMENTS = ["--experiments", str(ROOT / "experiments")]
BENCHMARKS = ["--benchmarks", str(ROOT / "benchmarks")]


@pytest.fixture(autouse=True)
def _devices_are_set_by_the_tests(monkeypatch):
    monkeypatch.setattr("jaxinv.command.main._configure", lambda: None)


def test_list_has_a_line_for_each_experiment_and_benchmark(capsys):
    assert main(["list", *EXPERIMENTS, *BENCHMARKS]) == 0
    lines = capsys.readouterr().out.splitlines()
    files = [*(ROOT / "experiments").glob("*.py"), *(ROOT / "benchmarks").glob("*.py")]
    assert {line.partition(":")[0] for line in lines} == {path.stem for path in files}
    assert all("quick: " in line and "paper: " in line for line in lines)


def test_list_as_json_says_what_kind_each_is(capsys):
    assert main(["list", "--json", *EXPERIMENTS, *BENCHMARKS]) == 0
    content = {entry["name"]: entry for entry in json.loads(capsys.readouterr().out)}
    assert content["noise_robustness"]["kind"] == "experiment"
    assert content["speed"]["kind"] == "benchmark"
    assert set(content["depth"]["presets"]) == {"quick", "paper"}


def test_info_names_versions_and_devices(capsys):
    assert main(["info"]) == 0
    out = capsys.readouterr().out
    assert all(word in out for word in ("jax ", "devices", "precision"))
    assert main(["info", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["jax"] == jax.__version__


def test_version(capsys):
    assert main(["--version"]) == 0
    assert capsys.readouterr().out == f"jaxinv {ji.__version__}\n"


def test_run_draws_judges_reports_and_resumes(tmp_path, capsys):
    command = ["run", "noise_robustness", *EXPERIMENTS, *TINY, "--seeds", "2", "--out", str(tmp_path)]
    assert main(command) == 0
    out = capsys.readouterr().out
    assert "0 of 8 cells" in out
    assert "8 of 8 cells" in out
    assert "bound" in out
    (folder,) = (tmp_path / "noise_robustness").glob("quick-adjusted-*")
    for kind in ("png", "pdf"):
        assert (folder / f"noise_robustness.{kind}").stat().st_size > 10_000
    page = tmp_path / "report" / "index.html"
    assert out.splitlines()[-1] == f"report: {page}"
    assert "jaxinv run noise_robustness --preset quick --seeds 2 --set signal_dim=12" in page.read_text()
    page.unlink()
    assert main(command) == 0
    again = capsys.readouterr().out.splitlines()
    assert "claims held" in again[-2]
    assert again[-2].endswith("(unchanged)")
    assert not any("cells" in line for line in again)
    written = page.read_text()
    page.unlink()
    assert main(["report", "--out", str(tmp_path)]) == 0
    assert page.read_text() == written
    assert main([*command, "--fresh"]) == 0
    anew = capsys.readouterr().out
    assert "0 of 8 cells" in anew
    assert "8 of 8 cells" in anew


def test_report_of_nothing_is_one_line(tmp_path, capsys):
    assert main(["report", "--out", str(tmp_path / "out")]) == 2
    assert "no finished experiment in" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def test_a_grid_that_the_figure_cannot_show_keeps_its_results(tmp_path, capsys):
    arguments = ["run", "noise_robustness", *EXPERIMENTS, *TINY, "gamma=0.1", "--seeds", "1", "--out", str(tmp_path)]
    assert main(arguments) == 2
    error = capsys.readouterr().err
    assert "--set must leave noise_robustness what its figure compares" in error
    assert len(error.splitlines()) == 1
    assert list((tmp_path / "noise_robustness").glob("quick-adjusted-*/results.nc"))


@pytest.mark.usefixtures("unchecked")
@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["noise_robustnes"], "unknown experiment 'noise_robustnes'; did you mean 'noise_robustness'"),
        (["--preset", "quik"], "unknown preset 'quik' of noise_robustness; did you mean 'quick'"),
        (["--set", "widht=4"], "unknown axis or argument 'widht'; did you mean 'width'"),
        (["--set", "width=0"], "width must be a positive whole number, got 0"),
        (["--set", "depth=0"], "depth must be a positive whole number, got 0"),
        (["--set", "measurement_dim=500"], "measurement_dim must be at most signal_dim"),
        (["--set", "subspace_dim=50"], "subspace_dim must be at most measurement_dim"),
        (["--set", "noise=0,0.1"], "--set noise must be one value, got 2; only gamma, seed are axes"),
        (["--set", "gamma=-1"], "gamma must be"),
        (["--set", "weight_decay=0.1"], "exclude each other"),
        (["--set", "width"], "--set must be NAME=VALUE"),
        (["--seeds", "0"], "seeds must be a positive whole number, got 0"),
        (["--seeds", "-3"], "seeds must be a positive whole number, got -3"),
        (["nowhere.py"], "unknown experiment 'nowhere.py'"),
        (["--set", "momentum=abc"], "momentum must be a finite number of at least 0, got 'abc'"),
        (["--set", "momentum='0.5'"], "momentum must be a finite number of at least 0, got '0.5'"),
        (["--set", "operator=1"], "operator must be one of gaussian, orthogonal_rows, got 1"),
        (["--set", "init=1"], "init must be a name or a function of (keys, sizes), got 1; pass one of them"),
        (["--set", "gamma=0,None"], "--set gamma must be numbers or words, being an axis, got None"),
        (["--set", "noise=1e308"], "noise must be at most 1e+15"),
        (["--set", "scale=1e308"], "scale must be at most 1e+15 at depth 3"),
        (["--set", "width=3", "width=5"], "--set must be given once for each argument, got width twice"),
        (["--seeds", "1" + "0" * 30], "seeds must be at most 1,000,000"),
    ],
)
def test_bad_input_is_one_line_exit_code_2_and_nothing_written(arguments, words, tmp_path, capsys):
    out = tmp_path / "out"
    names = [] if arguments[0].endswith((".py", "robustnes")) else ["noise_robustness"]
    assert main(["run", *names, *arguments, *EXPERIMENTS, "--out", str(out)]) == 2
    error = capsys.readouterr().err
    assert words in error
    assert len(error.splitlines()) == 1
    assert not out.exists()


def test_a_benchmark_takes_the_options_of_an_experiment(tmp_path, capsys):
    folder, out = tmp_path / "mine", tmp_path / "out"
    folder.mkdir()
    (folder / "robust.py").write_text((ROOT / "experiments" / "noise_robustness.py").read_text())
    command = ["bench", "robust", "--benchmarks", str(folder), *TINY, "--seeds", "2", "--out", str(out)]
    assert main(command) == 0
    assert "claims held" in capsys.readouterr().out
    shown = "jaxinv bench robust --preset quick --seeds 2 --set signal_dim=12"
    assert shown in (out / "report" / "index.html").read_text()
    old = tmp_path / "old.nc"
    (results,) = (out / "robust").glob("quick-adjusted-*/results.nc")
    old.write_bytes(results.read_bytes())
    assert main([*command, "--compare", str(old)]) == 0
    assert "nothing changed beyond seed noise in" in capsys.readouterr().out


def test_comparing_wants_one_name(tmp_path, capsys):
    assert main(["run", *EXPERIMENTS, "--compare", "old.nc", "--out", str(tmp_path / "out")]) == 2
    assert "--compare must go with one name" in capsys.readouterr().err


def test_the_times_of_a_benchmark_are_no_seeds(tmp_path, capsys):
    assert main(["bench", "convergence", "--set", "seeds=3", "--out", str(tmp_path / "out")]) == 2
    assert "unknown axis or argument 'seeds'; did you mean 'seed'?" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def test_the_result_of_another_experiment_is_not_compared(tmp_path, capsys):
    old = tmp_path / "old.nc"
    save_dataset(old, xarray.Dataset(attrs={"experiment": "samples"}))
    assert main(["run", "depth", "--compare", str(old), "--out", str(tmp_path / "out")]) == 2
    assert "--compare must be the results of depth, got those of samples in" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def test_a_broken_experiment_is_one_line(tmp_path, capsys):
    (tmp_path / "broken.py").write_text("import nowhere_to_be_found")
    for command in ("list", "run"):
        assert main([command, "--experiments", str(tmp_path)]) == 2
        error = capsys.readouterr().err
        assert "broken.py must be a module that can be imported, got ModuleNotFoundError" in error
        assert len(error.splitlines()) == 1


def test_experiments_come_with_the_package_wherever_it_is_installed(tmp_path):
    """The folders as the build puts them into a wheel, used from an empty folder, with an experiment of one's own."""
    wheel = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["hatch"]["build"]["targets"]["wheel"]
    site, empty, own = tmp_path / "site-packages", tmp_path / "empty", tmp_path / "own"
    for name in wheel["only-include"]:
        copy = shutil.copytree if (ROOT / name).is_dir() else shutil.copy
        (site / wheel["sources"].get(name, name)).parent.mkdir(parents=True, exist_ok=True)
        copy(ROOT / name, site / wheel["sources"].get(name, name))
    empty.mkdir()
    own.mkdir()
    (own / "mine.py").write_text((ROOT / "experiments" / "samples.py").read_text())
    environment = {**os.environ, "PYTHONPATH": str(site)}

    def jaxinv(*arguments):
        line = [sys.executable, "-m", "_jaxinv", *arguments]
        return subprocess.run(line, cwd=empty, env=environment, capture_output=True, text=True, check=False)

    done = jaxinv("list", "--experiments", str(own))
    names = {line.partition(":")[0] for line in done.stdout.splitlines()}
    files = [*(ROOT / "experiments").glob("*.py"), *(ROOT / "benchmarks").glob("*.py")]
    assert names == {*(path.stem for path in files), "mine"}, done.stderr
    done = jaxinv("run", "noise_robustness", *TINY, "steps=20", "--seeds", "1")
    assert "noise_robustness: " in done.stdout, done.stderr
    assert (empty / "results" / "report" / "index.html").is_file()


@pytest.mark.parametrize(("given", "count"), [("1", 1), ("3", 3), (None, None)])
def test_the_number_of_devices_is_that_of_the_environment(given, count):
    environment = {name: value for name, value in os.environ.items() if name != "JAX_NUM_CPU_DEVICES"}
    environment |= {} if given is None else {"JAX_NUM_CPU_DEVICES": given}
    line = [sys.executable, "-m", "_jaxinv", "info", "--json"]
    done = subprocess.run(line, cwd=ROOT, env=environment, capture_output=True, text=True, check=True)
    facts = json.loads(done.stdout)
    assert len(facts["devices"].split(", ")) == (count or cores())
    assert facts["cores"].startswith(f"{cores()} of ")
    assert "taskset" in facts["beside other work"]
    assert "JAX_NUM_CPU_DEVICES" in facts["beside other work"]


@pytest.mark.parametrize("given", ["abc", "0", ""])
def test_a_number_of_devices_that_is_none_is_one_line(given):
    environment = {**os.environ, "JAX_NUM_CPU_DEVICES": given}
    line = [sys.executable, "-m", "_jaxinv", "info"]
    done = subprocess.run(line, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == f"jaxinv: JAX_NUM_CPU_DEVICES must be a positive whole number, got {given!r}; unset it\n"


def test_a_reader_that_stops_is_no_error(tmp_path):
    line = f"{sys.executable} -m _jaxinv list --json | head -c 1"
    done = subprocess.run(line, cwd=ROOT, shell=True, capture_output=True, text=True, check=False)
    assert (done.stdout, done.stderr) == ("[", "")


def test_unwritable_output(tmp_path, capsys):
    blocked = tmp_path / "file"
    blocked.write_text("")
    assert main(["run", "noise_robustness", *EXPERIMENTS, "--out", str(blocked)]) == 2
    error = capsys.readouterr().err
    assert "output folder must be writable" in error
    assert len(error.splitlines()) == 1


def test_an_unknown_flag_is_exit_code_2():
    with pytest.raises(SystemExit) as stop:
        main(["run", "--sedes", "3"])
    assert stop.value.code == 2


def test_a_file_in_place_of_a_name(tmp_path, capsys):
    bad = tmp_path / "mine.py"
    bad.write_text("x = 1\n")
    assert main(["run", str(bad), "--out", str(tmp_path / "out")]) == 2
    assert "must define EXPERIMENT" in capsys.readouterr().err


SLOW = '''"""Slow."""
import time
import jaxinv as ji
from jaxinv.arrays import is_traced
from jaxinv.studies import plots

def problem(key):
    made = ji.subspace_problem(key, signal_dim=9, measurement_dim=6, subspace_dim=2, samples=4)
    time.sleep(0 if is_traced(made.operator) else 0.2)
    return made

def draw(runs):
    print("drawing", flush=True)
    time.sleep(1)
    return plots.panels(3, 2, "a")[0]

SWEEP = ji.Sweep({"seed": range(400)}, {"width": 8, "depth": 2}, steps=5, metrics=["noise_gain"], problem=problem)
EXPERIMENT = ji.Experiment(lambda preset: {"quick": SWEEP}[preset], draw, lambda runs: [])
'''


class Command:
    """The command in a process of its own; its lines come back as it prints them."""

    def __init__(self, *arguments, python=()):
        line = [sys.executable, *python, "-m", "_jaxinv", *arguments]
        self.process = subprocess.Popen(
            line, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
            env={**os.environ, "JAX_PLATFORMS": "cpu"},
        )  # fmt: skip

    def interrupt_at(self, words, stream="stdout"):
        """Its errors and the exit code, after Ctrl-C where it has printed `words`."""
        for line in getattr(self.process, stream):
            if words in line:
                break
        self.process.send_signal(signal.SIGINT)
        _, errors = self.process.communicate(timeout=60)
        return errors, self.process.returncode


def test_an_interrupt_while_importing_is_one_line():
    command = Command("run", python=["-X", "importtime"])
    errors, code = command.interrupt_at("jaxtyping", "stderr")
    lines = [line for line in errors.splitlines() if not line.startswith("import time:")]
    assert code == 130
    assert len(lines) == 1
    assert lines[0].startswith("jaxinv: interrupted before anything was begun; go on with: ")
    assert lines[0].endswith(" run")


def test_an_interrupt_is_one_line_and_the_same_command_goes_on(tmp_path):
    (tmp_path / "slow.py").write_text(SLOW)
    out = tmp_path / "out"
    another = out / "slow" / "quick" / "cells" / "another process.part"
    another.parent.mkdir(parents=True)
    another.touch()
    arguments = ["run", "slow", "--experiments", str(tmp_path), "--out", str(out), "--seeds"]
    errors, code = Command(*arguments, "400").interrupt_at("4 of 400 cells")
    kept = re.fullmatch(
        r"jaxinv: interrupted; slow was running, (\d+) of its 400 cells and all earlier results are kept; "
        r"go on with: .* run slow --experiments .* --seeds 400\n", errors,
    )  # fmt: skip
    assert code == 130
    assert kept, errors
    found = int(kept[1])
    assert 4 <= found < 400
    assert list(out.rglob("*.part")) == [another]
    assert not list(out.rglob("results.nc"))

    errors, code = Command(*arguments, "6").interrupt_at("drawing")
    assert code == 130
    assert "6 of its 6 cells and all earlier results are kept" in errors
    assert len(errors.splitlines()) == 1
    assert list(out.rglob("*.part")) == [another]
    assert not (out / "report").exists()
    cells = sorted((out / "slow" / "quick" / "cells").iterdir())

    done = Command(*arguments, "6").process
    lines, errors = done.communicate(timeout=60)
    assert (done.returncode, errors) == (0, "")
    assert "slow: 6 of 6 cells" in lines
    assert "slow: 0 of 0 claims held" in lines
    assert sorted((out / "slow" / "quick" / "cells").iterdir()) == cells
    assert (out / "report" / "index.html").is_file()


def test_importing_changes_no_global_state():
    code = """
import sys, jax, numpy
from jax._src import xla_bridge
before = dict(jax.config.values)
import jaxinv
assert dict(jax.config.values) == before, "configuration"
assert not jax.config.jax_enable_x64
assert not xla_bridge.backends_are_initialized(), "devices"
loaded = {"matplotlib", "xarray", "h5netcdf", "h5py", "rich", "tyro"} & set(sys.modules)
assert not loaded, loaded
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
