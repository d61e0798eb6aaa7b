"""The README does what it says: its commands are single lines and its Python runs."""

import re
from pathlib import Path

import jax

import jaxinv as ji
from jaxinv.command.main import main
from jaxinv.registry import REGISTRIES

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


def run(*code):
    names = {"jax": jax, "ji": ji}
    with jax.numpy_rank_promotion("allow"):
        exec("\n".join(code), names)
    return names


def section(title):
    """The Python blocks under a heading, up to the next one."""
    (text,) = re.findall(rf"^#+ {title}\n(.*?)(?=^##|\Z)", README, flags=re.DOTALL | re.MULTILINE)
    return re.findall(r"```python\n(.*?)```", text, flags=re.DOTALL)


def test_the_python_runs(tmp_path, monkeypatch):
    (code,) = section("From Python")
    monkeypatch.chdir(tmp_path)
    names = run(code.replace("steps=2_000", "steps=20").replace("steps=1_000", "steps=20"))
    assert not names["run"].diverged
    assert not names["results"].diverged.any()
    assert list((tmp_path / "results" / "my_sweep").glob("*.nc"))


def test_the_experiment_runs(tmp_path, monkeypatch, capsys):
    (code,) = section("An experiment")
    (tmp_path / "wider.py").write_text(code)
    monkeypatch.setattr("jaxinv.command.main._configure", lambda: None)
    assert main(["run", str(tmp_path / "wider.py"), "--seeds", "2", "--out", str(tmp_path / "out")]) == 0
    assert "wider: 1 of 1 claims held" in capsys.readouterr().out
    assert len(list((tmp_path / "out" / "wider").glob("quick-adjusted-*/wider.png"))) == 1


def test_a_network_a_descent_and_a_metric_of_ones_own_run():
    own = run(*section("A network"), *section("A descent"), *section("A metric"))["own"]
    assert not own.diverged.any()
    last, first = own.regression_error.isel(record=-1), own.regression_error.isel(record=0)
    assert (last < first).all()
    assert own.spectrum.dims == ("width", "seed", "record", "index")
    assert (own.spectrum.isel(index=0) > 0).all()


def test_a_method_of_ones_own_runs():
    stopped = run("import jax.numpy as jnp", *section("A method of your own"))["stopped"]
    assert stopped.error.dims == ("noise", "seed", "iteration")
    assert (stopped.error.isel(iteration=-1).sel(noise=0) < 0.2).all()
    assert (stopped.best.sel(noise=1) < stopped.best.sel(noise=0)).all()


def test_optimizers_run():
    named = run("import optax", *section("An optimizer"))["named"]
    assert (named.regression_error.isel(record=-1) < 0.2).all()
    first, last = (named.off_subspace_error.isel(record=place).sel(optimizer="gradient_descent") for place in (0, -1))
    assert (last < 0.1 * first).all()


def test_regularizers_and_starts_run():
    starts = run(*section("A regularizer, a start"))["starts"]
    first, last = (starts.off_subspace_error.isel(record=place) for place in (0, -1))
    assert (last.sel(regularizer="mostly_first") < 1e-3 * first.sel(regularizer="mostly_first")).all()
    assert (last.sel(init="halves") < last.sel(init="fan_in")).all()
    assert (starts.strength > 0).all()


def test_networks_by_name_run():
    named = run(*section("Networks by name"))["named"].isel(record=-1)
    assert not named.diverged.any()
    assert (named.noise_gain.sel(gamma=0.1) < named.noise_gain.sel(gamma=0)).all()
    assert (named.noise_gain_worst > named.noise_gain).sel(activation="relu").all()


def test_names_of_ones_own_run():
    try:
        registered = run("import jax.numpy as jnp", *section("A name of your own"))["registered"]
    finally:
        for registry in REGISTRIES.values():
            registry.added.clear()
    assert not registered.diverged.any()
    ends = registered.regression_error.isel(record=-1)
    assert len({float(end) for end in ends.values.ravel()}) == 4


def test_any_width_runs():
    wide = run(*section("Any width"))["wide"]
    assert wide.width_free.all()
    assert not (wide.diverged | wide.filled).any()
    assert (wide.leak <= 1e-4).all()
    assert (wide.regression_error.isel(record=-1) < 0.01).all()


def test_every_python_block_is_run():
    titles = ["From Python", "An experiment", "Networks by name", "A network", "A descent", "An optimizer"]
    titles += ["A regularizer, a start", "A metric", "A method of your own", "A name of your own", "Any width"]
    assert blocks("python") == [code for title in titles for code in section(title)]
