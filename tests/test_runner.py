"""One experiment on disk: what is done again, what is not, and the time it took."""

import json
from dataclasses import replace
from pathlib import Path

import pytest

from jaxinv import runner
from jaxinv.experiment import find
from jaxinv.runner import Clock, Job, digest_of_grid
from jaxinv.summary import Summary

SOURCE = '''"""Tiny.

Refuted if it is not.
"""
import jaxinv as ji
from jaxinv import figures

SIZES = {"signal_dim": 8, "measurement_dim": 5, "subspace_dim": 2, "samples": 4, "width": 6, "depth": 2}
SWEEP = ji.Sweep({"seed": range(6)}, SIZES, steps=4, records=2, metrics=["noise_gain"])

def draw(results):
    """A line."""
    figure, axes = figures.panels(2, 1, "a")
    axes["a"].plot(results.noise_gain.isel(seed=0))
    return figure

def judge(results):
    gain = float(results.noise_gain.min())
    return [ji.Verdict("gain", gain, "above 0 [ours]", gain > 0)]

EXPERIMENT = ji.Experiment("tiny", "tiny", "ours", {"quick": SWEEP}, draw, judge, paper={"depth": 2})
'''


@pytest.fixture(autouse=True)
def _small_figures(monkeypatch):
    monkeypatch.setattr("jaxinv.figures.STYLE", {"savefig.dpi": 30})


def job_of(tmp_path, **changes):
    """The job of the experiment in `tmp_path`, freshly read."""
    file = tmp_path / "tiny.py"
    if not file.exists():
        file.write_text(SOURCE)
    experiment = find(["tiny"], tmp_path)[0]
    sweep = replace(experiment.grid("quick"), **changes)
    return Job(experiment, "quick", sweep, tmp_path / "out", "jaxinv run tiny --preset quick")


def silent(done, total, what):
    pass


def stop_at(count):
    def progress(done, total, what):
        if done >= count:
            raise KeyboardInterrupt

    return progress


def kept(job):
    """What an undisturbed folder holds."""
    return {path.name: path.stat().st_mtime_ns for path in job.folder.iterdir()}


def test_what_is_there_is_not_done_again(tmp_path, monkeypatch):
    job = job_of(tmp_path)
    summary, fresh = runner.run(job, silent)
    assert fresh
    assert (summary.held, summary.cells, summary.computed, summary.about) == (1, 6, 6, "Tiny.\n\nRefuted if it is not.")
    assert summary.seconds > 0
    assert {p.name for p in summary.parameters if p.paper} == {"depth"}
    before = kept(job)
    assert set(before) == {"cells", "clock.json", "results.nc", "summary.json", "tiny.pdf", "tiny.png"}
    monkeypatch.setattr(runner, "run_sweep", lambda *_, **__: pytest.fail("computed again"))
    assert runner.run(job_of(tmp_path), silent) == (summary, False)
    assert kept(job) == before


@pytest.mark.parametrize("change", ["figure", "data", "summary", "source"])
def test_what_has_changed_is_done_again_without_computing(tmp_path, change):
    job = job_of(tmp_path)
    first, _ = runner.run(job, silent)
    figure = (job.folder / "tiny.png").read_bytes()
    if change == "figure":
        (job.folder / "tiny.png").unlink()
    elif change == "data":
        (job.folder / "results.nc").write_bytes(b"damaged")
    elif change == "summary":
        (job.folder / "summary.json").write_text("{")
    else:
        (tmp_path / "tiny.py").write_text(SOURCE.replace('"gain"', '"the gain"'))
    cells = list(job.cells.iterdir())
    again, fresh = runner.run(job_of(tmp_path), silent)
    assert fresh
    assert list(job.cells.iterdir()) == cells
    assert (again.seconds, again.computed) == (pytest.approx(first.seconds, abs=0.01), 6)
    assert (job.folder / "tiny.png").read_bytes() == figure
    assert again.verdicts[0].claim == ("the gain" if change == "source" else "gain")
    assert Summary.read(job.folder) == again


def test_time_adds_up_over_interrupted_runs(tmp_path):
    for count in (2, 4):
        with pytest.raises(KeyboardInterrupt):
            runner.run(job_of(tmp_path), stop_at(count))
    job = job_of(tmp_path)
    spent = json.loads((job.folder / "clock.json").read_text())
    assert spent["computed"] == 4
    summary, _ = runner.run(job, silent)
    assert summary.computed == 6
    assert summary.seconds > spent["seconds"] > 0


def test_another_grid_has_a_folder_and_a_clock_of_its_own(tmp_path):
    runner.run(job_of(tmp_path), silent)
    job = job_of(tmp_path, axes={"seed": [0, 1, 2, 3, 4, 5, 6, 7]})
    summary, _ = runner.run(job, silent)
    assert (job.folder.name, summary.adjusted) == ("quick-adjusted", True)
    assert (summary.cells, summary.computed) == (8, 2)


def test_equal_grids_have_equal_digests(tmp_path):
    sweep = job_of(tmp_path).sweep
    digest = digest_of_grid(sweep)
    assert digest_of_grid(replace(sweep, axes={"seed": [0, 1, 2, 3, 4, 5]})) == digest
    assert not job_of(tmp_path, axes={"seed": [0, 1, 2, 3, 4, 5]}).adjusted
    for change in ({"steps": 5}, {"records": 3}, {"metrics": None}, {"precision": "float64"}, {"axes": {"seed": [1]}}):
        assert digest_of_grid(replace(sweep, **change)) != digest


def test_time_of_cells_that_are_gone_does_not_count(tmp_path):
    (tmp_path / "clock.json").write_text('{"grid": "g", "seconds": 50, "computed": 6}')
    clock = Clock(tmp_path / "clock.json", "g", silent)
    for done in (0, 2):
        clock(done, 6, "")
    assert clock.computed == 2
    assert clock.seconds < 50
    assert Clock(tmp_path / "clock.json", "another", silent).seconds == 0


def test_a_failing_judge_of_a_preset_is_not_hidden(tmp_path):
    Path(tmp_path / "tiny.py").write_text(SOURCE.replace("results.noise_gain.min()", "results.nowhere"))
    with pytest.raises(AttributeError):
        runner.run(job_of(tmp_path), silent)
    assert not list((tmp_path / "out").rglob("summary.json"))
