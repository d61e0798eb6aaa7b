"""What is known before cells run: precision, the size of blocks, padded widths, bad values."""

import jax
import optax
import pytest

import jaxinv as ji
from jaxinv.sweeps.plan import Layout, blocks, bucket, plan_cells

from ..helpers import small_sweep


def test_precision_is_resolved_for_each_cell():
    results = ji.run_sweep(small_sweep(axes={"weight_decay": [0.0, 1e-5, 0.1]}, precision="auto", steps=3))
    assert results.precision_bits.values.tolist() == [32, 64, 32]
    with pytest.raises(ValueError, match="precision must be float64"):
        ji.run_sweep(small_sweep(axes={"weight_decay": [1e-5]}, precision="float32"))


@pytest.mark.parametrize(
    ("axes", "words"),
    [
        ({"width": [8, 0]}, "width must be a positive whole number, got 0"),
        ({"gamma": [0.1, -1]}, "gamma must be"),
        ({"measurement_dim": [6, 13]}, "measurement_dim must be at most signal_dim"),
        ({"gamma": [0.1], "weight_decay": [0.1]}, "exclude each other"),
        ({"weight_decay": [1.0, 1e-6]}, "precision must be float64"),
    ],
)
def test_bad_values_are_found_before_anything_runs(axes, words, tmp_path):
    folder = tmp_path / "store"
    with pytest.raises(ValueError, match=words):
        ji.run_sweep(small_sweep(axes={**axes, "seed": [0]}, precision="float32"), folder)
    assert not folder.exists()


def test_memory_bounds_the_block():
    layout = Layout(most=512, memory=1e6, buckets=True)
    assert layout.fitting(10) == 512
    assert layout.fitting(250_000) == 4
    assert layout.fitting(10**9) == 1
    assert Layout.of(jax.local_devices()[0]).fitting(1) == 1


@pytest.mark.parametrize(
    ("width", "padded"), [(1, 1), (2, 2), (3, 3), (5, 6), (33, 48), (48, 48), (49, 64), (400, 512)]
)
def test_a_bucket_is_the_next_power_of_two_or_three_quarters_of_it(width, padded):
    assert bucket(width) == padded


ACCELERATOR = Layout(most=4, memory=1e9, buckets=True)


class Unpadded(ji.LayerProduct):
    """A network that does not say that padding holds."""

    pads = False


def unpadded(key, problem, *, width=40, depth=2):
    return Unpadded(ji.layer_product(key, problem, width=width, depth=depth).weights)


def adam(problem, network, *, rate=1e-3):
    return ji.Descent(rate, 0.0, transform=lambda eta, decay: optax.adam(eta))


@pytest.mark.parametrize(
    ("changes", "widths"),
    [
        ({}, [48, 48, 24]),
        ({"network": ji.relu_network}, [48, 48, 24]),
        ({"network": unpadded}, [None] * 3),
        ({"descent": adam}, [None] * 3),
        ({"fixed": {"depth": 1}}, [None] * 3),
    ],
)
def test_widths_are_padded_where_network_and_optimizer_say_that_padding_holds(changes, widths):
    sweep = small_sweep(axes={"width": [40, 33, 20]}, **changes)
    plans = plan_cells(sweep.cells(), ACCELERATOR)
    assert [plan.width for plan in plans] == widths
    assert (plans[0].shape == plans[1].shape) == (widths[0] == 48 or sweep.fixed["depth"] == 1)
    assert [plan.width for plan in plan_cells(sweep.cells())] == [None] * 3


def test_cells_of_other_steps_are_not_in_one_block():
    sweep = small_sweep(axes={"gamma": [0, 0.1], "seed": range(4)}, steps=lambda gamma: 30 if gamma else 20)
    made = list(blocks(plan_cells(sweep.cells(), ACCELERATOR), 1, ACCELERATOR))
    assert [({plan.cell.steps for plan in block}, each) for block, each in made] == [({20}, 4), ({30}, 4)]


def test_digests_are_made_only_where_they_are_needed():
    cells = small_sweep().cells()
    assert {plan.digest for plan in plan_cells(cells, named=False)} == {""}
    assert [plan.digest for plan in plan_cells(cells)] == [cell.digest("float64") for cell in cells]
