"""Optimizers that a builder makes anew for each cell are known by what they compute: one compilation serves all."""

from typing import Any

import jax
import numpy as np
import optax
import pytest

import jaxinv as ji
from jaxinv.sweeps.keyed import Keyed
from jaxinv.sweeps.plan import plan_cells
from jaxinv.training import dense

from ..helpers import small_sweep

COMPILED: Any = dense.advance_block


def made_anew(problem, network, *, rate=1e-3, clip=1.0):
    return ji.Descent(rate, 0.0, transform=lambda eta, decay: optax.chain(optax.clip(clip), optax.adam(eta)))


def without_source(problem, network, *, rate=1e-3):
    return ji.Descent(rate, 0.0, transform=eval("lambda eta, decay: optax.adam(eta)", {"optax": optax}))


def compilations(run):
    COMPILED.clear_cache()
    run()
    return COMPILED._cache_size()


@pytest.mark.parametrize("devices", [1, 2])
def test_an_optimizer_made_by_a_lambda_in_a_builder_compiles_once_for_all_cells(devices):
    axes, fixed = {"rate": [1e-4, 1e-3], "seed": range(3)}, {"width": 29 + devices}
    sweep = small_sweep(axes=axes, fixed=fixed, descent=made_anew)
    assert compilations(lambda: ji.run_sweep(sweep, devices=jax.local_devices()[:devices])) == 1
    assert len({plan.shape for plan in plan_cells(sweep.cells())}) == 1


def test_what_the_lambda_reads_tells_optimizers_apart():
    sweep = small_sweep(axes={"clip": [1e-3, 1.0], "seed": range(2)}, fixed={"width": 33}, descent=made_anew)
    kept = []
    assert compilations(lambda: kept.append(ji.run_sweep(sweep))) == 2
    last = kept[0].loss.isel(record=-1)
    assert not np.isclose(last.sel(clip=1e-3), last.sel(clip=1.0), rtol=1e-6).any()


def test_a_cell_built_by_itself_trains_with_the_program_of_another():
    first, second = (ji.build(cell) for cell in small_sweep(axes={"seed": [0, 1]}, descent=made_anew).cells())
    assert isinstance(first.descent.transform, Keyed)
    assert first.descent.transform == second.descent.transform

    def train():
        for parts in (first, second):
            ji.train(*parts, steps=3, records=2, metrics=["loss"])

    assert compilations(train) == 1


def test_an_optimizer_that_no_digest_covers_is_known_by_its_identity():
    cell = small_sweep(axes={"seed": [0]}).cells()[0]
    descent = without_source(*ji.build(cell)[:2])
    sweep = small_sweep(axes={"seed": [0]}, descent=lambda problem, network: descent)
    assert ji.build(sweep.cells()[0]).descent.transform is descent.transform
