"""What is kept of an experiment: it comes back as it was, and parameters carry their marks."""

import json

import numpy as np
import pytest

import jaxinv as ji
from jaxinv.studies.summary import Parameter, Summary, parameters


def summary():
    texts = ("name", "claim", "about", "shows", "preset", "command", "date")
    return Summary(
        **dict.fromkeys(texts, '‖ < & "'),
        adjusted=True,
        cell_count=8,
        timings=2,
        diverged=1,
        seconds=1.5,
        computed=4,
        verdicts=(ji.Verdict("c", float("-inf"), "b", False), ji.Verdict("d", np.float64(2), "b", True)),
        parameters=(Parameter("depth", ("5",), ("1", "2")),),
        environment={"jax": "0"},
        digests={"grid": "a"},
    )


def test_a_summary_comes_back_as_it_was(tmp_path):
    kept = summary()
    kept.write(tmp_path)
    json.loads((tmp_path / "summary.json").read_text(), parse_constant=pytest.fail)
    assert Summary.read(tmp_path) == kept
    (tmp_path / "summary.json").write_text("{")
    assert Summary.read(tmp_path) is None


def test_no_changed_bit_of_a_summary_changes_what_it_says(tmp_path):
    kept = summary()
    kept.write(tmp_path)
    path = tmp_path / "summary.json"
    content = path.read_bytes()
    for at in range(len(content)):
        for bit in range(8):
            path.write_bytes(content[:at] + bytes([content[at] ^ 1 << bit]) + content[at + 1 :])
            assert Summary.read(tmp_path) in (None, kept)
    path.write_bytes(content.replace(b'"measured": 2.0', b'"measured": 9.0'))
    assert path.read_bytes() != content
    assert Summary.read(tmp_path) is None


def test_parameters_are_marked_by_their_values():
    import xarray

    sweep = ji.Sweep(
        axes={"depth": [1, 2, 5], "gamma": np.geomspace(1e-3, 1, 20).tolist(), "seed": range(8)},
        fixed={"signal_dim": 200.0, "width": 40, "operator": "gaussian"},
        steps=2000,
    )
    axes = {"precision_bits": ("depth", [64, 32, 64]), "step_size": ("depth", [0.5, np.nan, 2.0])}
    results = xarray.Dataset({**axes, "loss": ("record", np.zeros(7))}, {"depth": [1, 2, 5]})
    paper = {"depth": 5, "signal_dim": 200, "width": 400}
    found = {p.name: (p.paper, p.ours) for p in parameters(paper, {"": ji.Runs(sweep, results)})}
    assert found["depth"] == (("5",), ("1", "2"))
    assert found["signal_dim"] == (("200",), ())
    assert found["width"] == ((), ("40",))
    assert found["gamma"] == ((), ("20 values from 0.001 to 1",))
    assert found["seed"] == ((), ("0 to 7",))
    assert found["step_size"] == ((), ("0.5 to 2",))
    assert found["precision"] == ((), ("float32", "float64"))
    assert found["steps"] == ((), ("2,000",))
    assert found["init"] == ((), ("fan_in",))
    assert "weight_decay" not in found  # left to its builder, and not in these results
