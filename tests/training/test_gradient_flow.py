"""The gradient flow stands in for slow steps of the descent: held against it, against exact facts, and refused."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.linalg

import jaxinv as ji
from jaxinv import theory
from jaxinv.sweeps.plan import plan_cells
from jaxinv.training.width_free import engine
from jaxinv.training.width_free.flow import largest_rate, rkc

from ..helpers import small_sweep

METRICS = ["off_subspace_error", "regression_error", "noise_gain", "test_error"]


def setup(width, depth=3, gamma=0.1, seed=0, engine="dense", **descent):
    key = jax.random.key(seed)
    problem = ji.subspace_problem(key, signal_dim=14, measurement_dim=8, subspace_dim=2, condition_number=2.0)
    network = ji.layer_product(key, problem, width=width, depth=depth, engine=engine)
    return problem, network, ji.gradient_descent(problem, network, gamma=gamma, **descent)


def decay_per_step(descent):
    return float(descent.step_size) * float(descent.weight_decay)


@pytest.mark.parametrize(("width", "depth", "gamma"), [(150, 3, 0.1), (100, 2, 0.2)])
def test_within_one_per_cent_of_the_dense_descent(width, depth, gamma, monkeypatch):
    """From the same weights, down to 1e-6 off the subspace, with every record and the steps to a level."""
    monkeypatch.setattr(engine, "CAPACITIES", (32, 96))
    made = setup(width, depth, gamma)
    steps = int(16 / decay_per_step(made[2]))
    descent = ji.train(*made, steps=steps, records=40, metrics=METRICS)
    flow = ji.gradient_flow(*made, steps=steps, records=40, metrics=METRICS, tolerance=1e-5)
    assert flow.reduction["flowed"] > 0.9 * steps
    assert depth == 2 or flow.reduction["coordinates"] > 32  # it went on with more room
    assert descent.metrics["off_subspace_error"][-1] < 1e-6
    for name in METRICS:
        np.testing.assert_allclose(flow.metrics[name], descent.metrics[name], rtol=5e-3, err_msg=name)
    late = descent.step > steps / 10
    np.testing.assert_allclose(
        flow.metrics["off_subspace_error"][late], descent.metrics["off_subspace_error"][late], rtol=1e-3
    )
    for mine, other in zip(flow.network.weights, descent.network.weights, strict=True):
        np.testing.assert_allclose(mine, other, atol=1e-3 * np.abs(other).max())


def test_width_of_a_million():
    """It settles where the convex problem says, and off the subspace falls by the decay of a step late (fact 2)."""
    problem, network, descent = setup(10**6, depth=2, engine="gradient_flow")
    decay = decay_per_step(descent)
    steps = [round(share / decay) for share in (0, 10, 12, 14)]
    run = ji.gradient_flow(problem, network, descent, steps=steps[-1], records=steps, metrics=METRICS, tolerance=1e-4)
    errors = run.metrics["off_subspace_error"][1:]
    np.testing.assert_allclose(errors[1:] / errors[:-1], (1 - decay) ** np.diff(steps[1:]), rtol=1e-3)
    plateau = theory.plateau(problem, 2, descent.weight_decay)
    np.testing.assert_allclose(run.metrics["regression_error"][1:], plateau, rtol=1e-3)
    assert run.reduction["flowed"] > 0.999 * steps[-1]


def test_not_used_where_steps_are_large():
    made = setup(60, depth=2, gamma=2.0)
    run = ji.gradient_flow(*made, steps=200, records=10, tolerance=1e-4)
    descent = ji.train(*made, steps=200, records=10, engine="width_free", tolerance=1e-4)
    assert decay_per_step(made[2]) > 0.01
    assert run.reduction["flowed"] == 0
    np.testing.assert_array_equal(run.metrics["loss"], descent.metrics["loss"])


def test_rkc_carries_a_stiff_linear_motion():
    """Against the exponential: stable far beyond the reach of Euler steps, of second order, its error estimated."""
    key = np.random.default_rng(0)
    frame = np.linalg.qr(key.normal(size=(6, 6)))[0]
    matrix = frame @ np.diag([1e5, 3e4, 1e3, 2.0, 1.0, 0.5]) @ frame.T
    start = frame @ np.array([0, 0, 0, 1.0, 1.0, 1.0])  # what is stiff has settled

    def motion(tree):
        return {"place": -matrix @ tree["place"]}

    rate = largest_rate(motion, {"place": jnp.array(key.normal(size=6))})
    assert 1e5 <= rate <= 1.3e5
    off = {}
    for time in (0.1, 0.05):
        end, error = rkc(motion, {"place": jnp.array(start)}, jnp.array(time), rate)
        off[time] = np.linalg.norm(end["place"] - scipy.linalg.expm(-time * matrix) @ start)
        assert 0.5 * off[time] < np.linalg.norm(error["place"]) < 10 * off[time]
    assert off[0.1] < 1e-3
    assert 6 < off[0.1] / off[0.05] < 10  # a local error of third order


def test_rkc_damps_what_is_stiff():
    end, _ = rkc(lambda place: -jnp.array([1e6, 0.0]) * place, jnp.ones(2), jnp.array(1.0), jnp.array(1e6))
    assert abs(end[0]) < 0.96
    assert end[1] == pytest.approx(1)


def test_sweep_has_it_as_an_engine():
    fixed = {"width": 10**5, "gamma": 0.1}
    sweep = small_sweep(axes={"seed": [3, 4]}, fixed=fixed, steps=10**6, records=5, engine="gradient_flow",
                        tolerance=1e-4, metrics=METRICS)  # fmt: skip
    table = ji.run_sweep(sweep)
    assert table["width_free"].all()
    run = ji.gradient_flow(*ji.build(sweep.cells()[1]), steps=10**6, records=5, metrics=METRICS, tolerance=1e-4)
    assert run.reduction["flowed"] > 0.99 * 10**6
    for name in METRICS:
        np.testing.assert_array_equal(table[name].sel(seed=4), run.metrics[name])


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"momentum": 0.5}, 'momentum must be exactly 0 for engine "gradient_flow".*got 0.5.*pass 0'),
        ({"gamma": 0}, 'weight_decay must be above 0 for engine "gradient_flow".*pass gamma'),
        ({"width": 3}, 'engine "gradient_flow" gains nothing.*a layer is 3 wide'),
    ],
)
def test_refused_in_one_line_before_anything_runs(changes, words):
    arguments = {"width": 100, "gamma": 0.1, **changes}
    with pytest.raises(ji.ArgumentError, match=words):
        ji.gradient_flow(*setup(**arguments), steps=10)
    fixed = {name: value for name, value in arguments.items() if name != "gamma"}
    sweep = small_sweep(axes={"gamma": [arguments["gamma"]]}, fixed=fixed, engine="gradient_flow")
    with pytest.raises(ji.ArgumentError, match=words):
        plan_cells(sweep.cells())
