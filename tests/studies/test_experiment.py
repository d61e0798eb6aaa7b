"""Experiments: what they must be, and how they are found."""

import sys

import pytest

import jaxinv as ji
from jaxinv.studies.experiment import find, folders, size

BODY = """
import jaxinv as ji

def grids(preset):
    return {"quick": ji.Sweep({"seed": [0]}, steps=5), "paper": ji.Sweep({"seed": range(3)}, steps=4000)}[preset]

EXPERIMENT = ji.Experiment(grids, lambda runs: None, lambda runs: [])
"""


def written(folder, name="mine", text='"""Seeds matter.\n\nRefuted if not."""\n' + BODY):
    (folder / f"{name}.py").write_text(text)
    return folder


def test_name_and_claim_are_those_of_the_file(tmp_path):
    (found,) = find((), written(tmp_path))
    assert (found.name, found.claim) == ("mine", "Seeds matter")
    assert found.about == "Seeds matter.\n\nRefuted if not."
    assert found.line() == "mine: Seeds matter [quick: 1 runs x 5 steps; paper: 3 runs x 4,000 steps]"


def test_sizes_in_words():
    sweep = ji.Sweep({"width": [4, 8], "seed": [0]}, {"depth": 2}, steps=lambda width: 100 * width)
    assert size(sweep) == "2 runs x 400 to 800 steps"
    assert size(ji.Timing({"n": [1, 2]}, lambda n: ji.Timed(None))) == "2 timings"


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("x = 1\n", "must define EXPERIMENT = jaxinv.Experiment"),
        (BODY, "must begin with a docstring whose first line is the claim"),
        ("def (", "must be a module that can be imported, got SyntaxError"),
        ("import nowhere_to_be_found", "must be a module that can be imported, got ModuleNotFoundError"),
        (BODY + "ji.Experiment(grid=1)", "must be a module that can be imported, got TypeError"),
    ],
)
def test_a_file_that_is_no_experiment_is_refused(tmp_path, text, words):
    with pytest.raises(ji.ArgumentError, match=words):
        find(["mine"], written(tmp_path, text=text))


def test_a_file_that_changes_while_it_is_read_is_refused(tmp_path):
    text = '"""Claim."""\n' + BODY + "\nimport pathlib\npathlib.Path(__file__).write_text('x = 1')\n"
    with pytest.raises(ji.ArgumentError, match="must stay as it is while it is read"):
        find(["mine"], written(tmp_path, text=text))


def test_unknown_names_and_presets_are_refused_with_the_nearest(tmp_path):
    folder = written(tmp_path)
    with pytest.raises(ji.ArgumentError, match="unknown experiment 'mime'; did you mean 'mine'"):
        find(["mime"], folder)
    with pytest.raises(ji.ArgumentError, match="unknown preset 'quik' of mine; did you mean 'quick'"):
        find(["mine"], folder)[0].named_grids("quik")
    with pytest.raises(ji.ArgumentError, match="no experiments in"):
        find((), tmp_path / "nowhere")


def test_grids_that_are_none_are_refused(tmp_path):
    text = '"""Claim."""\n' + BODY + '\nEXPERIMENT = ji.Experiment(lambda preset: {"a": 3}, print, print)\n'
    with pytest.raises(
        ji.ArgumentError, match="grids of mine must return a Sweep, a Timing or a dict of them, got int"
    ):
        find(["mine"], written(tmp_path, text=text))[0].named_grids("quick")


@pytest.mark.parametrize("names", ['{"a/b": SWEEP}', "{}", '{"": SWEEP, "a": SWEEP}', "{3: SWEEP}"])
def test_grids_of_names_that_no_file_takes_are_refused(tmp_path, names):
    text = '"""Claim."""\n' + BODY + '\nSWEEP = grids("quick")\n'
    text += f"EXPERIMENT = ji.Experiment(lambda preset: {names}, print, print)\n"
    words = "grids of mine must be a Sweep, a Timing or a dict of them by words"
    with pytest.raises(ji.ArgumentError, match=words):
        find(["mine"], written(tmp_path, text=text))[0].named_grids("quick")


NEIGHBOUR = '"""Claim."""\nimport _helper\nfrom _tools.more import size\n' + BODY.replace(
    "steps=5", "steps=_helper.steps() + size"
)


def test_a_file_can_import_its_neighbours_which_count_in_its_source(tmp_path, monkeypatch):
    monkeypatch.setattr("sys.path", [*sys.path])
    one, two = tmp_path / "one", tmp_path / "two"
    for folder, body in ((one, "return 5"), (two, "return 7  # other")):
        (folder / "_tools").mkdir(parents=True)
        (folder / "_helper.py").write_text(f"def steps():\n    {body}\n")
        (folder / "_tools" / "__init__.py").write_text("")
        (folder / "_tools" / "more.py").write_text("size = 1")
        written(folder, text=NEIGHBOUR)

    def steps_and_source(folder):
        (found,) = find((), folder)
        sweep = found.named_grids("quick")[""]
        assert isinstance(sweep, ji.Sweep)
        return sweep.steps, found.source

    first, second = steps_and_source(one), steps_and_source(two)
    assert (first[0], second[0]) == (6, 8)
    assert first[1] != second[1]
    assert steps_and_source(one) == first
    (one / "_helper.py").write_text("def steps():\n    return 5  # a comment\n")
    assert steps_and_source(one) == first
    (one / "_tools" / "more.py").write_text("size = 1000")
    changed = steps_and_source(one)
    assert changed[0] == 1005
    assert changed[1] != first[1]


def test_folders_of_ones_own_stand_beside_those_that_come_with_the_package(tmp_path):
    own = written(tmp_path)
    (shipped,) = folders("experiments")
    names = {path.stem for path in shipped.glob("*.py")}
    assert len(names) == 20
    assert {found.name for found in find((), *folders("experiments", own))} == {*names, "mine"}
    assert {found.name for found in find((), shipped, shipped.parent / "experiments")} == names
    with pytest.raises(ji.ArgumentError, match=r"--experiments must be a folder, got '.*nowhere', which is none"):
        folders("experiments", tmp_path / "nowhere")
    written(own, name="depth")
    with pytest.raises(ji.ArgumentError, match=r"must be of different names, got .*depth\.py and .*depth\.py"):
        find(["depth"], *folders("experiments", own))
    assert [found.name for found in find(["mine"], *folders("experiments", own))] == ["mine"]


def test_an_error_inside_grids_is_said_as_what_it_is(tmp_path):
    text = '"""Claim."""\n' + BODY + '\nEXPERIMENT = ji.Experiment(lambda preset: {}["nowhere"], print, print)\n'
    with pytest.raises(ji.ArgumentError, match="must return the grids of 'quick', got KeyError: 'nowhere'"):
        find(["mine"], written(tmp_path, text=text))[0].named_grids("quick")


def test_two_files_of_one_name_are_refused(tmp_path):
    other = tmp_path / "other"
    other.mkdir()
    files = [str(written(folder) / "mine.py") for folder in (tmp_path, other)]
    with pytest.raises(ji.ArgumentError, match="experiments must be of different names, got 'mine' twice"):
        find(files, tmp_path)
