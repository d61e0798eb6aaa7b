"""Benchmarks run at a small size: the methods they time follow the same iterates."""

import json
from pathlib import Path

import numpy as np
import pytest

from jaxinv.cli import main
from jaxinv.experiment import load_module

FOLDER = Path(__file__).parent.parent / "benchmarks"


@pytest.fixture(scope="module")
def speed():
    return load_module(FOLDER / "speed.py")


@pytest.mark.parametrize("precision", ["float32", "float64"])
def test_every_timed_loop_follows_the_same_iterates(speed, precision, monkeypatch):
    monkeypatch.setitem(speed.FIG_1A, "samples", 30)
    parts = [speed.trio(seed, precision, width=100, depth=2, samples=30) for seed in range(3)]
    methods = [speed.plain_jax(parts[0], False), speed.plain_jax(parts[0], True), speed.ours(parts)]
    for method in methods:
        method.advance(40)
    full, compressed, engine = (method.weights()[1] for method in methods)
    tolerance = 1e-4 if precision == "float32" else 1e-11
    for other in (compressed, engine):
        assert other.dtype == precision
        assert np.max(np.abs(other - full)) <= tolerance * np.max(np.abs(full))
    times = speed.time_in_turns({"engine": methods[2]}, rounds=1, budget_s=0.01)
    assert times["engine"] > 0


def test_speed_writes_its_table(speed, tmp_path, monkeypatch, capsys):
    tiny = speed.Preset(rounds=1, precisions=("float32",), axes={"depth": [2]}, memory=())
    monkeypatch.setitem(speed.PRESETS, "quick", tiny)
    monkeypatch.setattr(speed, "compare", lambda preset, precision: {"rows": []})
    monkeypatch.setattr(speed, "show", lambda table: None)
    speed.main("quick", tmp_path)
    table = json.loads((tmp_path / "speed-quick.json").read_text())
    assert table["scale"]["depth"][0]["ms"] > 0
    assert "speed-quick.json" in capsys.readouterr().out


def test_bad_benchmark(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr("jaxinv.cli._configure", lambda: None)
    assert main(["bench", "sped", "--benchmarks", str(FOLDER)]) == 2
    assert "unknown benchmark 'sped'; did you mean 'speed'" in capsys.readouterr().err
    out = tmp_path / "out"
    assert main(["bench", "speed", "--preset", "quik", "--benchmarks", str(FOLDER), "--out", str(out)]) == 2
    assert "unknown preset 'quik'" in capsys.readouterr().err
    assert not out.exists()
