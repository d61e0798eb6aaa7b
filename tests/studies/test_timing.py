"""Times are measured in turns, by a clock of the test's own, and kept for the machine and the code that made them."""

import sys
from dataclasses import replace
from types import SimpleNamespace

import jax
import numpy as np
import pytest
import xarray

import jaxinv as ji
from jaxinv.studies import timing
from jaxinv.studies.experiment import load_module
from jaxinv.studies.timing import dense_steps, machine, matrix_product, memory_passes, peak_memory, run_timing
from jaxinv.training.precision import run_settings
from tests import helpers

COST = {"slow": 0.02, "fast": 0.001}


class Workshop:
    """Things to be timed on a clock of its own: a step of size n takes n times the COST of its kind.

    What is prepared writes down its calls here, which its digest covers, as all that it reads: a Timing has one digest
    from before the first call.
    """

    def __init__(self, monkeypatch):
        self.now, self.calls = 0.0, []
        monkeypatch.setattr(timing, "time", SimpleNamespace(perf_counter=lambda: self.now))

    def timing(self, axes=None, **options):
        def prepare(kind, size=1, units=1):
            self.calls.append((kind, size, "set-up"))

            def advance(steps):
                self.calls.append((kind, size, steps))
                self.now += steps * size * COST[kind]

            return ji.Timed(advance, units, {"weight": 10.0 * size})

        return ji.Timing(axes or {"kind": ["slow", "fast"], "size": [1, 3]}, prepare, **options)


@pytest.fixture
def workshop(monkeypatch):
    return Workshop(monkeypatch)


def silent(done, total, what):
    pass


def test_milliseconds_for_a_step_of_one_unit_over_axes_and_rounds(workshop, tmp_path):
    data = run_timing(workshop.timing(fixed={"units": 4}, rounds=3), tmp_path, silent)
    assert data["ms"].dims == ("kind", "size", "round")
    assert data.sizes == {"kind": 2, "size": 2, "round": 3}
    expected = [[COST[kind] * size * 1e3 / 4 for size in (1, 3)] for kind in ("slow", "fast")]
    np.testing.assert_allclose(data["ms"].values, np.repeat(np.array(expected)[..., None], 3, axis=2), rtol=1e-12)
    assert data["weight"].sel(kind="fast").values.tolist() == [10, 30]
    assert data.attrs["devices"] == f"2 x {jax.local_devices()[0].device_kind}"
    assert data.attrs["jax"] == jax.__version__


def test_everything_is_prepared_first_and_then_timed_in_turns(workshop, tmp_path):
    run_timing(workshop.timing({"kind": ["slow", "fast"]}, rounds=2, seconds=0.3), tmp_path, silent)
    slow, fast = ("slow", 1), ("fast", 1)
    assert workshop.calls[:2] == [(*slow, "set-up"), (*fast, "set-up")]
    assert workshop.calls[2:6] == [(*slow, 1), (*slow, 5), (*fast, 1), (*fast, 5)]  # warm, and how long a step takes
    turns = workshop.calls[6:]
    assert [call[:2] for call in turns] == [slow, fast, slow, fast]
    for *_, kind, steps in [(c[0], c[2]) for c in turns]:
        assert steps == pytest.approx(0.3 / COST[kind], abs=1)


def test_a_step_that_takes_long_is_done_at_least_five_times(workshop, tmp_path):
    run_timing(workshop.timing({"kind": ["slow"]}, rounds=1, seconds=1e-3), tmp_path, silent)
    assert workshop.calls[-1] == ("slow", 1, 5)


def test_combinations_that_where_leaves_out_are_nan(workshop, tmp_path):
    given = workshop.timing(rounds=1, where=lambda kind, size, units: kind == "fast" or size < units + 1)
    assert [tuple(point.values()) for point in given.points()] == [("slow", 1), ("fast", 1), ("fast", 3)]
    data = run_timing(given, tmp_path, silent)
    assert np.isnan(data["ms"].sel(kind="slow", size=3)).all()
    assert np.isnan(data["weight"].sel(kind="slow", size=3))
    assert np.isfinite(data["ms"]).sum() == 3


def test_what_is_only_measured_has_no_times(tmp_path):
    def prepare(size):
        return ji.Timed(None, measured={"peak_MiB": 2.0 * size} if size > 1 else {})

    data = run_timing(ji.Timing({"size": [1, 2]}, prepare), tmp_path, silent)
    assert np.isnan(data["ms"]).all()
    np.testing.assert_array_equal(data["peak_MiB"], [np.nan, 4])


def test_everything_happens_in_the_settings_of_a_run(tmp_path):
    seen = []

    def note(*_):
        seen.append((jax.config.jax_enable_x64, jax.config.jax_default_matmul_precision))  # pyright: ignore

    def prepare(size):
        note()
        return ji.Timed(note)

    with jax.enable_x64(False):
        run_timing(ji.Timing({"size": [1]}, prepare, rounds=1, seconds=1e-6), tmp_path, silent)
    assert set(seen) == {(True, "highest")}


def test_times_are_kept_and_found_again(workshop, tmp_path):
    seen = []
    given = workshop.timing()
    first = run_timing(given, tmp_path, lambda done, total, what: seen.append((done, total)))
    assert seen[0] == (0, 4)
    assert seen[-1] == (4, 4)
    before, seen[:] = len(workshop.calls), []
    again = run_timing(given, tmp_path, lambda done, total, what: seen.append((done, total)))
    xarray.testing.assert_equal(again, first)
    assert again.attrs == first.attrs
    assert seen == [(4, 4)]  # from the first call on: nothing was computed
    assert len(workshop.calls) == before
    run_timing(given, tmp_path, silent, fresh=True)
    assert len(workshop.calls) == 2 * before


def test_a_corrupt_file_is_set_aside_and_measured_anew(workshop, tmp_path):
    given = workshop.timing()
    run_timing(given, tmp_path, silent)
    (path,) = tmp_path.glob("times-*.nc")
    path.write_bytes(path.read_bytes()[:100])
    before = len(workshop.calls)
    with pytest.warns(UserWarning, match="corrupt"):
        run_timing(given, tmp_path, silent)
    assert len(workshop.calls) == 2 * before


@pytest.mark.parametrize(
    ("name", "other"),
    [
        ("machine", lambda: {**machine(), "node": "elsewhere"}),
        ("machine", lambda: {**machine(), "timed_on": "1 x cpu"}),
        ("machine", lambda: {**machine(), "jax": "0.0"}),
        ("package_source", lambda: "another code"),
    ],
)
def test_times_of_another_machine_version_or_code_are_not_reused(workshop, tmp_path, monkeypatch, name, other):
    given = workshop.timing()
    run_timing(given, tmp_path, silent)
    before = len(workshop.calls)
    with monkeypatch.context() as patched:
        patched.setattr(timing, name, other)
        run_timing(given, tmp_path, silent)
    assert len(workshop.calls) == 2 * before
    run_timing(given, tmp_path, silent)  # and the first are still there
    assert len(workshop.calls) == 2 * before


@pytest.mark.parametrize(
    "changes",
    [
        {"axes": {"kind": ["fast", "slow"], "size": [1, 3]}},
        {"axes": {"kind": ["slow", "fast"], "size": [1, 2]}},
        {"fixed": {"units": 2}},
        {"rounds": 4},
        {"seconds": 0.1},
        {"where": lambda size: size < 3},
    ],
)
def test_the_digest_covers_all_that_decides_what_is_timed(workshop, changes):
    known = workshop.timing()
    assert workshop.timing().digest == known.digest
    assert workshop.timing(fixed={"units": 1}).digest == known.digest  # the default
    assert replace(known, **changes).digest != known.digest


SOURCE = """
import jaxinv as ji

FACTOR = 2

def work(steps):
    return FACTOR * steps

def prepare(size, extra=1):
    return ji.Timed(work, size)
"""


@pytest.mark.parametrize(
    ("old", "new", "same"),
    [
        ("return ji.Timed", '"""What is prepared."""\n    return ji.Timed', True),
        ("FACTOR = 2", "FACTOR = 2  # a comment", True),
        ("Timed(work, size)", "Timed(work, size + 1)", False),
        ("FACTOR * steps", "FACTOR + steps", False),
        ("FACTOR = 2", "FACTOR = 3", False),
        ("extra=1", "extra=2", False),
    ],
)
def test_the_digest_covers_the_source_of_prepare(tmp_path, monkeypatch, old, new, same):
    monkeypatch.setattr(sys, "dont_write_bytecode", True)

    def digest_of(folder, text):
        path = tmp_path / folder / "speed_of_work.py"
        path.parent.mkdir()
        path.write_text(text)
        return ji.Timing({"size": [1, 2]}, load_module(path).prepare).digest

    assert SOURCE.replace(old, new) != SOURCE
    assert (digest_of("old", SOURCE) == digest_of("new", SOURCE.replace(old, new))) is same


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"axes": {"kind": []}}, "axis 'kind' must be a non-empty sequence of values"),
        ({"axes": {"kind": "slow"}}, "axis 'kind' must be a non-empty sequence of values, got 'slow'; pass a list"),
        ({"axes": {"kind": ["slow", "slow"]}}, "axis 'kind' must be without repeated values"),
        ({"axes": {"knd": ["slow"]}}, "unknown axis or argument 'knd'; did you mean 'kind'"),
        ({"axes": {"size": [1]}}, "prepare needs kind; add it to axes or fixed"),
        ({"axes": {"kind": ["slow"], "round": [1]}}, "axis 'round' is a name of the results"),
        ({"fixed": {"sizes": 2}}, "unknown axis or argument 'sizes'; did you mean 'size'"),
        ({"fixed": {"kind": "slow"}}, "'kind' must be an axis or a fixed value, got both"),
        ({"rounds": 0}, "rounds must be a positive whole number, got 0"),
        ({"seconds": 0}, "seconds must be a finite number above 0, got 0"),
    ],
)
def test_bad_grids_are_refused(workshop, changes, message):
    with pytest.raises(ji.ArgumentError, match=message):
        workshop.timing(**{"axes": {"kind": ["slow"]}, **changes})
    assert not workshop.calls


def test_a_where_that_cannot_be_is_refused(workshop):
    with pytest.raises(ji.ArgumentError, match="unknown argument of where 'sise'; did you mean 'size'"):
        workshop.timing(where=lambda sise: True).points()
    with pytest.raises(ji.ArgumentError, match="where must be true for some point, got false for all 4"):
        workshop.timing(where=lambda size: size > 3).points()


def test_arguments_that_all_points_share(workshop):
    given = workshop.timing({"kind": ["slow"]}, fixed={"size": 3})
    assert given.shared == {"size": 3, "units": 1}
    assert given.arguments == {"kind", "size", "units"}
    assert given.owner("units") == "prepare"


@pytest.mark.parametrize("count", [1, 3])
def test_steps_of_the_engine_are_those_of_a_run(count):
    setups = [helpers.setup(seed) for seed in range(count)]
    with run_settings():
        timed, weights = dense_steps(setups, 7, records=True)
        assert timed.advance is not None
        timed.advance(5)
    assert timed.units == count
    assert set(timed.measured) == {"setup_s", "compile_s", "weights", "record_ms"}
    first = setups[0]
    sizes = [np.size(weight) for weight in first.network.weights[1:]]
    assert timed.measured["weights"] == first.network.width * first.problem.measurement_rank + sum(sizes)
    ((_, plain),) = helpers.numpy_descent(*first, [7])
    for own, expected in zip(weights, plain, strict=True):
        np.testing.assert_allclose(own, expected, rtol=0, atol=1e-12 * np.max(np.abs(expected)))


@pytest.mark.parametrize("units", [1, 2, 5])
def test_passes_over_memory_scale_an_array_on_each_device(units, monkeypatch):
    seen = []
    wait = jax.block_until_ready
    monkeypatch.setattr(jax, "block_until_ready", lambda array: seen.append(wait(array)))
    timed = memory_passes(4, 6, "float32", units)
    assert timed.advance is not None
    timed.advance(3)
    assert timed.units == 2 * -(-units // 2)  # whole devices
    (array,) = seen
    assert array.dtype == "float32"
    assert array.size == 6 * timed.units
    assert len(array.sharding.device_set) == 2
    np.testing.assert_allclose(array, np.float32(0.999**6), rtol=1e-6)  # 3 steps of 2 multiplications


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="reads /proc")
def test_peak_memory_is_that_of_the_code():
    little = peak_memory("x = 1")
    assert 1 < little < 100
    assert 55 < peak_memory("x = bytearray(60 * 2**20)\ndel x") - little < 70


def test_a_matrix_product_is_made_on_each_device(monkeypatch):
    seen = []
    wait = jax.block_until_ready
    monkeypatch.setattr(jax, "block_until_ready", lambda array: seen.append(wait(array)))
    timed = matrix_product(1000, "float32", 8)
    assert timed.advance is not None
    timed.advance(3)
    assert timed.units == 2 * 8**3 / 1000 * 2  # on two devices
    (array,) = seen
    assert (array.shape, array.dtype, len(array.sharding.device_set)) == ((2, 8, 8), "float32", 2)
    np.testing.assert_allclose(array, 1 / 8, rtol=1e-6)  # that matrix is its own square
