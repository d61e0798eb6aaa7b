"""The engine: reductions, padding, vmapped blocks and devices give the numbers of the plain loop; one compilation."""

import importlib

import jax
import numpy as np
import pytest

import jaxinv as ji
from jaxinv import metrics
from jaxinv.reduction import pad_width
from jaxinv.sweep import Layout, bucket
from jaxinv.train import train_block

from .helpers import trio

SIZES = {"signal_dim": 12, "measurement_dim": 6, "subspace_dim": 2, "samples": 9, "depth": 3}


def assert_close(ours, plain, tolerance):
    for name in metrics.NAMES:
        a, b = np.asarray(ours[name]), np.asarray(plain[name])
        assert np.max(np.abs(a - b)) <= tolerance * np.max(np.abs(b)), name


@pytest.mark.parametrize("momentum", [0.0, 0.6])
@pytest.mark.parametrize("noise", [0.0, 0.1])
@pytest.mark.parametrize("samples", [4, 40])
def test_reduced_and_plain_agree(momentum, noise, samples):
    parts = trio(momentum=momentum, noise=noise, samples=samples)
    reduced, plain = (ji.train(*parts, steps=500, reduce=flag) for flag in (True, False))
    assert_close(reduced.metrics, plain.metrics, 1e-10)
    for a, b in zip(reduced.network.weights, plain.network.weights, strict=True):
        np.testing.assert_allclose(a, b, atol=1e-11)


@pytest.mark.parametrize("momentum", [0.0, 0.6])
@pytest.mark.parametrize("depth", [1, 2, 4])
def test_padded_and_unpadded_agree(momentum, depth):
    parts = trio(momentum=momentum, depth=depth)
    (padded,) = train_block([parts], jax.local_devices()[:1], steps=300, width=14)
    plain = ji.train(*parts, steps=300)
    assert_close(padded.metrics, plain.metrics, 1e-12)
    for a, b in zip(padded.network.weights, plain.network.weights, strict=True):
        np.testing.assert_allclose(a, b, atol=1e-12)


def test_padding_keeps_the_map():
    _, network, _ = trio()
    wide = pad_width(network, 20)
    assert wide.width == 20
    np.testing.assert_allclose(wide.end_to_end(), network.end_to_end(), atol=1e-14)


@pytest.mark.parametrize("devices", [1, 2])
@pytest.mark.parametrize("width", [None, 24])
def test_a_vmapped_block_is_the_loop_over_its_members(devices, width):
    widths = [20, 20, 20, 20, 20] if width is None else [20, 17, 24, 9, 20]
    parts = [trio(seed=k, width=w, gamma=0.02 * k) for k, w in enumerate(widths)]
    each = -(-len(parts) // devices)
    block = train_block(parts, jax.local_devices()[:devices], steps=300, each=each, width=width)
    for one, run in zip(parts, block, strict=True):
        alone = ji.train(*one, steps=300)
        assert_close(run.metrics, alone.metrics, 1e-12)
        assert [w.shape for w in run.network.weights] == [w.shape for w in alone.network.weights]


def test_a_sweep_in_an_accelerators_layout_gives_the_same_results():
    axes = {"width": [40, 33, 20], "gamma": [0.0, 0.1], "seed": range(3)}
    sweep = ji.Sweep(axes=axes, fixed=SIZES, steps=60, records=8, precision="float64")
    plain = ji.run_sweep(sweep)
    seen = []
    layout = Layout(most=4, memory=1e9, buckets=True)
    wide = ji.run_sweep(sweep, layout=layout, progress=lambda done, total, what: seen.append((done, what)))
    assert_close(wide, plain, 1e-12)
    assert len({done for done, what in seen if what == "done"}) == 3  # 18 cells: 12 share width 48 in two blocks of 6


def test_memory_bounds_the_block():
    layout = Layout(most=512, memory=1e6, buckets=True)
    assert layout.replicas(10) == 512
    assert layout.replicas(250_000) == 4
    assert layout.replicas(10**9) == 1
    assert Layout.of(jax.local_devices()[0]).replicas(1) == 1


@pytest.mark.parametrize(
    ("width", "padded"), [(1, 1), (2, 2), (3, 3), (5, 6), (33, 48), (48, 48), (49, 64), (400, 512)]
)
def test_buckets(width, padded):
    assert bucket(width) == padded


def test_a_second_grid_of_the_same_shape_does_not_compile_again():
    engine = importlib.import_module("jaxinv.train")

    def run(gammas, seeds):
        sweep = ji.Sweep(
            axes={"gamma": gammas, "seed": seeds}, fixed={**SIZES, "width": 31}, steps=30, precision="float64"
        )
        ji.run_sweep(sweep)
        return engine.advance_block._cache_size()

    before = engine.advance_block._cache_size()
    first = run([0.0, 0.1], range(2))
    assert first == before + 1
    assert run([0.0, 0.02, 0.3], range(5, 8)) == first


def test_one_diverged_replica_does_not_stop_its_neighbours():
    calm = trio(seed=1)
    problem, network, descent = trio(seed=2)
    wild = problem, network, ji.Descent(descent.step_size * 1e3, 0.0)
    runs = train_block([calm, wild], jax.local_devices()[:1], steps=200, each=2)
    assert [run.diverged for run in runs] == [False, True]
    assert_close(runs[0].metrics, ji.train(*calm, steps=200).metrics, 1e-12)
