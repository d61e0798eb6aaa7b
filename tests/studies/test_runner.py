"""One experiment on disk: what is done again, what is not, and the time it took."""

import json
from dataclasses import replace
from pathlib import Path

import pytest
import xarray

import jaxinv as ji
from jaxinv.studies import runner
from jaxinv.studies.clock import Clock
from jaxinv.studies.experiment import find
from jaxinv.studies.runner import Job, digest_of_grids
from jaxinv.studies.summary import Summary
from jaxinv.sweeps import store

SOURCE = '''"""Tiny.

Refuted if it is not.
"""
import jaxinv as ji
from jaxinv.studies import plots

SIZES = {"signal_dim": 8, "measurement_dim": 5, "subspace_dim": 2, "samples": 4, "width": 6, "depth": 2}

def grids(preset):
    return {"quick": ji.Sweep({"seed": range(6)}, SIZES, steps=4, records=2, metrics=["noise_gain"])}[preset]

def analyse(runs):
    print("analysed")
    return (runs["noise_gain"] * 2).rename("twice").to_dataset()

def draw(runs):
    """A line."""
    figure, axes = plots.panels(2, 1, "a")
    axes["a"].plot(runs["twice"].isel(seed=0))
    return figure

def claims(runs):
    return [ji.at_least(0, runs["noise_gain"], "gain [ours]", strict=True)]

EXPERIMENT = ji.Experiment(grids, draw, claims, analyse, table=lambda runs: ["a line"], paper={"depth": 2})
'''


@pytest.fixture(autouse=True)
def _small_figures(monkeypatch):
    monkeypatch.setattr("jaxinv.studies.plots.STYLE", {"savefig.dpi": 30})


def job_of(tmp_path, compare=None, fresh=False, **changes):
    """The job of the experiment in `tmp_path`, freshly read."""
    file = tmp_path / "tiny.py"
    if not file.exists():
        file.write_text(SOURCE)
    experiment = find(["tiny"], tmp_path)[0]
    grids = {name: replace(grid, **changes) for name, grid in experiment.named_grids("quick").items()}
    return Job(experiment, "quick", grids, tmp_path / "out", "jaxinv run tiny --preset quick", fresh, compare)


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
    summary, fresh, table, _ = runner.run(job, silent)
    assert fresh
    assert table == "a line\n"
    assert (summary.name, summary.claim, summary.about) == ("tiny", "Tiny", "Tiny.\n\nRefuted if it is not.")
    assert (summary.held, summary.cell_count, summary.computed) == (1, 6, 6)
    assert summary.seconds > 0
    assert {p.name for p in summary.parameters if p.paper} == {"depth"}
    before = kept(job)
    (analysis,) = (name for name in before if name.startswith("analysis-"))
    files = {"cells", "clock.json", "results.nc", "summary.json", "table.txt", "tiny.pdf", "tiny.png"}
    assert set(before) == {*files, analysis}
    assert set(store.read_datasets(job.folder / "results.nc")[""].data_vars) >= {"noise_gain", "twice"}
    monkeypatch.setattr(runner, "run_sweep", lambda *_, **__: pytest.fail("computed again"))
    assert runner.run(job_of(tmp_path), silent) == (summary, False, table, ())
    assert kept(job) == before


@pytest.mark.parametrize("change", ["figure", "data", "summary", "verdict", "source"])
def test_what_has_changed_is_done_again_without_computing(tmp_path, change):
    job = job_of(tmp_path)
    first = runner.run(job, silent).summary
    figure = (job.folder / "tiny.png").read_bytes()
    if change == "figure":
        (job.folder / "tiny.png").unlink()
    elif change == "data":
        (job.folder / "results.nc").write_bytes(b"damaged")
    elif change == "summary":
        (job.folder / "summary.json").write_text("{")
    elif change == "verdict":
        path = job.folder / "summary.json"
        path.write_text(path.read_text().replace('"measured": ', '"measured": 9'))
    else:
        (tmp_path / "tiny.py").write_text(SOURCE.replace('"gain [', '"the gain ['))
    cells = list(job.cell_folder.iterdir())
    again, fresh, *_ = runner.run(job_of(tmp_path), silent)
    assert fresh
    assert list(job.cell_folder.iterdir()) == cells
    assert (again.seconds, again.computed) == (pytest.approx(first.seconds, abs=0.01), 6)
    assert (job.folder / "tiny.png").read_bytes() == figure
    assert again.verdicts[0].claim == ("the gain" if change == "source" else "gain")
    assert Summary.read(job.folder) == again


def test_a_file_edited_after_it_was_read_is_judged_again(tmp_path):
    early = job_of(tmp_path)
    edited = SOURCE.replace("claims(runs):", "claims(runs):\n    gain = 'the gain [ours]'").replace(
        '"gain [ours]"', "gain"
    )
    (tmp_path / "tiny.py").write_text(edited)  # while another one draws
    assert runner.run(early, silent).summary.verdicts[0].claim == "gain"
    (first,) = early.folder.glob("analysis-*.nc")
    again = runner.run(job_of(tmp_path), silent)
    assert again.fresh
    assert again.summary.verdicts[0].claim == "the gain"
    assert not runner.run(job_of(tmp_path), silent).fresh
    assert [path.name != first.name for path in early.folder.glob("analysis-*.nc")] == [True]


def test_what_another_run_wrote_while_the_judge_sat_is_not_called_unchanged(tmp_path, monkeypatch):
    few, more = (job_of(tmp_path, axes={"seed": list(range(count))}) for count in (2, 4))
    monkeypatch.setattr(Job, "folder", tmp_path / "one folder for all")
    judge = runner._draw_and_judge

    def slow(*arguments):
        monkeypatch.setattr(runner, "_draw_and_judge", judge)
        found = judge(*arguments)
        runner.run(few, silent)
        return found

    monkeypatch.setattr(runner, "_draw_and_judge", slow)
    assert runner.run(more, silent).summary.cell_count == 4
    assert store.read_datasets(more.folder / "results.nc")[""].sizes["seed"] == 2
    assert runner.run(more, silent).fresh
    assert store.read_datasets(more.folder / "results.nc")[""].sizes["seed"] == 4
    assert not runner.run(more, silent).fresh


def test_time_adds_up_over_interrupted_runs(tmp_path):
    for count in (2, 4):
        with pytest.raises(KeyboardInterrupt):
            runner.run(job_of(tmp_path), stop_at(count))
    job = job_of(tmp_path)
    spent = json.loads((job.folder / "clock.json").read_text())
    assert spent["computed"] == 4
    summary = runner.run(job, silent).summary
    assert summary.computed == 6
    assert summary.seconds > spent["seconds"] > 0


def test_another_grid_has_a_folder_and_a_clock_of_its_own(tmp_path):
    runner.run(job_of(tmp_path), silent)
    job = job_of(tmp_path, axes={"seed": [0, 1, 2, 3, 4, 5, 6, 7]})
    summary = runner.run(job, silent).summary
    assert (job.folder.name, summary.adjusted) == (f"quick-adjusted-{job.grids_digest[:8]}", True)
    assert (summary.cell_count, summary.computed) == (8, 2)
    before = kept(job)
    third = job_of(tmp_path, axes={"seed": [0, 1, 2]})
    assert runner.run(third, silent).summary.cell_count == 3
    assert third.folder != job.folder
    assert kept(job) == before
    assert not runner.run(job_of(tmp_path, axes={"seed": list(range(8))}), silent).fresh


def test_equal_grids_have_equal_digests(tmp_path):
    (sweep,) = job_of(tmp_path).grids.values()
    digest = digest_of_grids({"": sweep})
    assert digest_of_grids({"": replace(sweep, axes={"seed": [0, 1, 2, 3, 4, 5]})}) == digest
    assert digest_of_grids({"other": sweep}) != digest
    assert not job_of(tmp_path, axes={"seed": [0, 1, 2, 3, 4, 5]}).adjusted
    for change in ({"steps": 5}, {"records": 3}, {"metrics": None}, {"precision": "float64"}, {"axes": {"seed": [1]}}):
        assert digest_of_grids({"": replace(sweep, **change)}) != digest


def test_an_analysis_is_made_again_only_where_its_code_or_the_results_changed(tmp_path, capsys):
    runner.run(job_of(tmp_path), silent)
    assert capsys.readouterr().out.count("analysed") == 1
    (tmp_path / "out" / "tiny" / "quick" / "tiny.png").unlink()
    runner.run(job_of(tmp_path), silent)
    assert "analysed" not in capsys.readouterr().out
    (tmp_path / "tiny.py").write_text(SOURCE.replace('print("analysed")', 'print("analysed")  # a comment'))
    runner.run(job_of(tmp_path), silent)
    assert "analysed" not in capsys.readouterr().out
    (tmp_path / "tiny.py").write_text(SOURCE.replace("* 2", "* 3"))
    job = job_of(tmp_path)
    runner.run(job, silent)
    assert capsys.readouterr().out.count("analysed") == 1
    data = store.read_datasets(job.folder / "results.nc")[""]
    xarray.testing.assert_allclose(data.twice, 3 * data.noise_gain)
    assert len(list(job.folder.glob("analysis-*.nc"))) == 1


def test_fresh_computes_everything_anew(tmp_path, capsys):
    first = runner.run(job_of(tmp_path), silent).summary
    assert capsys.readouterr().out.count("analysed") == 1
    done = []
    again = runner.run(job_of(tmp_path, fresh=True), lambda done_now, total, what: done.append(done_now))
    assert again.fresh
    assert done[0] == 0
    assert capsys.readouterr().out.count("analysed") == 1
    assert again.summary.verdicts == first.verdicts


def test_a_comparison_says_what_changed_and_trusts_no_cell_of_other_code(tmp_path, monkeypatch):
    job = job_of(tmp_path)
    runner.run(job, silent)
    old = tmp_path / "old.nc"
    data = store.read_datasets(job.folder / "results.nc")[""]
    store.save_dataset(old, data)
    compared = runner.run(job_of(tmp_path, compare=old), silent)
    assert compared.comparison[-1].startswith("nothing changed beyond seed noise in ")
    data["noise_gain"] *= 1.5
    store.save_dataset(old, data)
    compared = runner.run(job_of(tmp_path, compare=old), silent)
    assert any(line.startswith("noise_gain") for line in compared.comparison)
    done = []
    monkeypatch.setattr(runner, "package_source", lambda: "other code")
    runner.run(job_of(tmp_path, compare=old), lambda now, total, what: done.append(now))
    assert done[0] == 0, "cells of other code were trusted"


def test_an_older_result_that_cannot_be_read_is_refused_before_anything_runs(tmp_path):
    for path in (tmp_path / "nowhere.nc", tmp_path / "tiny.py"):
        job = job_of(tmp_path, compare=path)
        with pytest.raises(ji.ArgumentError, match=r"--compare must be the results\.nc of an earlier run"):
            runner.run(job, silent)
    assert not (tmp_path / "out").exists()


def test_an_older_result_of_another_experiment_is_refused_before_anything_runs(tmp_path):
    runner.run(job_of(tmp_path), silent)
    old = tmp_path / "out" / "tiny" / "quick" / "results.nc"
    data = store.read_datasets(old)[""]
    store.save_dataset(tmp_path / "another.nc", data.assign_attrs(experiment="another"))
    store.save_dataset(tmp_path / "unsigned.nc", data.rename(seed="width").assign_attrs(experiment="tiny"))
    store.save_dataset(tmp_path / "older.nc", data.drop_attrs())  # of before results said whose they are
    for name, words in (("another", "those of another"), ("unsigned", "those of other grids")):
        job = replace(job_of(tmp_path, compare=tmp_path / f"{name}.nc"), out=tmp_path / "new")
        with pytest.raises(ji.ArgumentError, match=f"--compare must be the results of tiny, got {words} in"):
            runner.run(job, silent)
    assert not (tmp_path / "new").exists()
    assert "nothing changed" in runner.run(job_of(tmp_path, compare=tmp_path / "older.nc"), silent).comparison[-1]


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ("[ji.at_least(0, runs[", "(ji.at_least(0, runs[", "claims of tiny must be .* a list of Verdict, got Verdict"),
        ('return [ji.at_least(0, runs["noise_gain"], "gain [ours]", strict=True)]', "return [True]",
         "claims of tiny must be a function that returns a list of Verdict, got True; return a list"),
        ('return [ji.at_least(0, runs["noise_gain"], "gain [ours]", strict=True)]', "pass",
         "claims of tiny must be a function that returns a list of Verdict, got None"),
        ("return figure", "return axes", "draw of tiny must be a function that returns a figure, got {'a': <Axes"),
        ("return figure", "pass", "draw of tiny must be a function that returns a figure, got None"),
        ('["a line"]', '"a line"', "table of tiny must be a function that returns a list of str, got 'a line'"),
    ],
)  # fmt: skip
@pytest.mark.parametrize("seeds", [6, 2])
def test_a_function_that_returns_something_else_is_said_in_one_line(tmp_path, old, new, words, seeds):
    source = SOURCE.replace(old, new)
    (tmp_path / "tiny.py").write_text(source.replace("strict=True)]", "strict=True))") if "(ji." in new else source)
    with pytest.raises(ji.ArgumentError, match=words) as caught:
        runner.run(job_of(tmp_path, axes={"seed": list(range(seeds))}), silent)
    assert len(str(caught.value).splitlines()) == 1
    assert not list((tmp_path / "out").rglob("summary.json"))


def test_verdicts_and_lines_may_be_yielded(tmp_path):
    (tmp_path / "tiny.py").write_text(SOURCE.replace("return [ji.at", "yield from [ji.at"))
    assert runner.run(job_of(tmp_path), silent).summary.held == 1


PREPARE = """def prepare(n):
    return ji.Timed(lambda steps: sum(range(n * steps)), measured={"size": n})

def both(preset):
    return {"a": grids(preset), "b": ji.Timing({"n": [1, 2]}, prepare)}

EXPERIMENT = ji.Experiment(both,"""
TWO = SOURCE.replace("EXPERIMENT = ji.Experiment(grids,", PREPARE).replace(
    'runs["noise_gain"]', 'runs["a"]["noise_gain"]'
).replace('runs["twice"]', 'runs["analysis"]["twice"]')  # fmt: skip


def test_several_grids_are_read_by_name_and_kept_as_groups_of_one_file(tmp_path):
    (tmp_path / "tiny.py").write_text(TWO)
    job = job_of(tmp_path)
    summary = runner.run(job, silent).summary
    assert (summary.held, summary.cell_count, summary.computed, summary.timings) == (1, 6, 6, 2)
    groups = store.read_datasets(job.folder / "results.nc")
    assert set(groups) == {"a", "b", "analysis"}
    assert groups["b"].ms.dims == ("n", "round")
    assert groups["b"]["size"].values.tolist() == [1, 2]
    assert not runner.run(job_of(tmp_path), silent).fresh


def test_time_of_cells_that_are_gone_does_not_count(tmp_path):
    (tmp_path / "clock.json").write_text('{"grid": "g", "seconds": 50, "computed": 6}')
    clock = Clock(tmp_path / "clock.json", "g", silent)
    for done in (0, 2):
        clock(done, 6, "")
    assert clock.computed == 2
    assert clock.seconds < 50
    assert Clock(tmp_path / "clock.json", "another", silent).seconds == 0


def test_a_failing_judge_of_a_preset_is_not_hidden(tmp_path):
    Path(tmp_path / "tiny.py").write_text(SOURCE.replace('0, runs["noise_gain"]', "0, runs.nowhere"))
    with pytest.raises(AttributeError):
        runner.run(job_of(tmp_path), silent)
    assert not list((tmp_path / "out").rglob("summary.json"))


METHOD = """
import jax

def gain(key, depth, shift=1.0):
    return {"noise_gain": shift + depth * jax.random.uniform(key)}

def grids(preset):
    method = ji.Method(gain, batched=("key", "shift"))
    return {"quick": ji.Sweep({"seed": range(6)}, {"depth": 2}, method=method)}[preset]
"""


def test_an_experiment_of_a_method_of_ones_own_is_stored_resumed_and_judged(tmp_path):
    before, after = SOURCE.split("EXPERIMENT")
    (tmp_path / "tiny.py").write_text(f"{before}{METHOD}\nEXPERIMENT{after}")
    with pytest.raises(KeyboardInterrupt):
        runner.run(job_of(tmp_path), stop_at(2))
    outcome = runner.run(job_of(tmp_path), silent)
    summary = outcome.summary
    assert (summary.held, summary.cell_count, summary.computed, summary.diverged) == (1, 6, 6, 0)
    shown = {p.name: (p.paper, p.ours) for p in summary.parameters}
    assert shown == {"depth": (("2",), ()), "shift": ((), ("1",)), "seed": ((), ("0 to 5",))}
    results = tmp_path / "out" / "tiny" / "quick" / "results.nc"
    assert set(store.read_datasets(results)[""].variables) == {"noise_gain", "twice", "seed"}
    assert not runner.run(job_of(tmp_path), silent).fresh
    assert "nothing changed" in runner.run(job_of(tmp_path, compare=results), silent).comparison[1]
