"""The house: imports point one way, folders and files stay small."""

import ast
from graphlib import TopologicalSorter
from pathlib import Path
from statistics import median

import pytest

ROOT = Path(__file__).parents[1]
PACKAGE = ROOT / "jaxinv"
FLOW = ("problems", "networks", "measures", "training", "sweeps", "studies", "command")
GROUND = ("arrays", "checks", "draws", "registry")
BESIDE = {"theory"}
"""What folders from measures on may import, too."""

ALLOWED: dict[str, set[str]] = {module: set(GROUND) for module in GROUND}
for _i, _folder in enumerate(FLOW):
    ALLOWED[_folder] = {*GROUND, *FLOW[: _i + 1], *(BESIDE if _i >= FLOW.index("measures") else ())}
ALLOWED |= {"theory": {*GROUND, "problems", "theory"}, "baselines": {"problems"}}
ALLOWED |= {"neighbours": {*GROUND, "problems", "networks", "measures", "theory", "neighbours"}}
MODULES = sorted(path for path in PACKAGE.rglob("*.py") if path != PACKAGE / "__init__.py")


def parts_of(path):
    """The dotted name of a module below the package, as a list."""
    parts = path.relative_to(PACKAGE).with_suffix("").parts
    return [*parts[:-1]] if parts[-1] == "__init__" else [*parts]


def imports_of(path):
    """The modules of ours that a module imports, wherever in it, as dotted names below the package."""
    here = list(path.relative_to(PACKAGE).parts[:-1])
    found = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ImportFrom):
            if node.level:
                base = here[: len(here) - node.level + 1]
            elif (node.module or "").split(".")[0] == "jaxinv":
                base = []
            else:
                continue
            module = (node.module or "").removeprefix("jaxinv").strip(".")
            base = [*base, *(module.split(".") if module else [])]
            for alias in node.names:
                inner = PACKAGE.joinpath(*base, alias.name)
                deeper = inner.with_suffix(".py").exists() or (inner / "__init__.py").exists()
                found.add(".".join([*base, alias.name] if deeper else base))
        elif isinstance(node, ast.Import):
            found |= {alias.name.removeprefix("jaxinv.") for alias in node.names if alias.name.startswith("jaxinv.")}
    return found


def lines_of(path):
    return len(path.read_text().splitlines())


@pytest.mark.parametrize("path", MODULES, ids=lambda path: ".".join(parts_of(path)))
def test_no_module_imports_from_a_folder_on_its_right(path):
    mine = parts_of(path)[0]
    for name in imports_of(path):
        assert name.split(".")[0] in ALLOWED[mine], f"{mine} imports {name}"


def test_there_is_no_circle():
    graph = {".".join(parts_of(path)): imports_of(path) - {".".join(parts_of(path))} for path in MODULES}
    assert len(list(TopologicalSorter(graph).static_order())) >= len(MODULES)


def test_every_folder_is_part_of_the_flow():
    folders = {path.name for path in PACKAGE.iterdir() if path.is_dir() and path.name != "__pycache__"}
    assert folders == {*FLOW, "theory", "neighbours"}
    assert {path.stem for path in PACKAGE.glob("*.py")} == {"__init__", "baselines", *GROUND}


def test_folders_and_files_stay_small():
    for folder in {path.parent for path in MODULES}:
        assert len([path for path in folder.glob("*.py") if path.name != "__init__.py"]) <= 10, folder
    lengths = {path: lines_of(path) for path in MODULES if path.name != "__init__.py"}
    assert max(lengths.values()) <= 320, max(lengths, key=lambda path: lengths[path])
    assert median(lengths.values()) <= 150
    experiments = {path: lines_of(path) for path in (ROOT / "experiments").glob("*.py")}
    assert max(experiments.values()) <= 190, max(experiments, key=lambda path: experiments[path])
    assert median(experiments.values()) <= 150
    assert lines_of(ROOT / "benchmarks" / "convergence.py") <= 260


def test_the_judge_of_every_experiment_is_tried_under_divergence():
    for path in [*(ROOT / "experiments").glob("*.py"), ROOT / "benchmarks" / "convergence.py"]:
        test = ROOT / "tests" / path.parent.name / f"test_{path.name}"
        assert "    assert_divergence_helps_no_claim(" in test.read_text(), path


def test_tests_mirror_the_folders():
    for path in (ROOT / "tests").rglob("test_*.py"):
        folder = path.parent.relative_to(ROOT / "tests").parts
        if folder and folder[0] not in ("experiments", "benchmarks"):
            assert PACKAGE.joinpath(*folder).is_dir(), path


def test_modules_begin_with_a_line_about_themselves():
    for path in [*MODULES, PACKAGE / "__init__.py"]:
        about = ast.get_docstring(ast.parse(path.read_text()))
        assert about, path
        assert about.splitlines()[0].endswith((".", ":", "?")), path
