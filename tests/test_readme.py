"""The README does what it says: its commands are single lines and its Python runs."""

import re
from pathlib import Path

import jax

from jaxinv.command.main import main

README = (Path(__file__).parent.parent / "README.md").read_text()


def blocks(language):
    return re.findall(rf"```{language}\n(.*?)```", README, flags=re.DOTALL)


def test_the_first_two_blocks_are_one_line_each():
    first, second = re.findall(r"```\w+\n(.*?)```", README, flags=re.DOTALL)[:2]
    assert first.count("\n") == second.count("\n") == 1
    assert "jaxinv run --preset quick" in first
    assert "pytest" in second


def test_pictures_are_there():
    pictures = re.findall(r"!\[.*?\]\((.*?)\)", README)
    assert pictures
    assert all((Path(__file__).parent.parent / picture).is_file() for picture in pictures)


def test_the_python_runs(tmp_path, monkeypatch):
    code, _ = blocks("python")
    monkeypatch.chdir(tmp_path)
    names = {}
    with jax.numpy_rank_promotion("allow"):
        exec(code.replace("steps=2_000", "steps=20"), names)
    assert not names["run"].diverged
    assert not names["results"].diverged.any()
    assert list((tmp_path / "results" / "my_sweep").glob("*.nc"))


def test_the_experiment_runs(tmp_path, monkeypatch, capsys):
    (tmp_path / "wider.py").write_text(blocks("python")[1])
    monkeypatch.setattr("jaxinv.command.main._configure", lambda: None)
    assert main(["run", str(tmp_path / "wider.py"), "--seeds", "2", "--out", str(tmp_path / "out")]) == 0
    assert "wider: 1 of 1 claims held" in capsys.readouterr().out
    assert len(list((tmp_path / "out" / "wider").glob("quick-adjusted-*/wider.png"))) == 1
