"""What theory predicts of the runs of a grid, as arrays with named axes."""

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from .. import theory
from ..checks import fail
from ..theory import contraction, wide_extremes, wide_linearisation
from .curves import each_run, run_steps_to_each, settled, steps_to

if TYPE_CHECKING:
    import xarray


def _at_weights(problem: Any, network: Any) -> Any:
    """The linearisation at the weights that the network has. ArgumentError unless it is their plain product."""
    if not network.is_product:
        raise fail("network", "a layer product", type(network).__name__, "pass linearise=")
    return theory.linearise(problem, network.weights)


def linearised(
    build: Callable[..., Any],
    step_size: "xarray.DataArray",
    steps: "xarray.DataArray",
    levels: Sequence[float],
    *,
    axes: Sequence[str],
    linearise: Callable[[Any, Any], Any] = _at_weights,
) -> "xarray.Dataset":
    """What training without decay, linearised at its start, predicts of each run (fact 7 of `jaxinv.theory`).

    `build` returns problem, network and descent, given the values of the `axes` along which networks differ; these are
    axes of `step_size`, which may have others. `steps`, over `axes`, is how far to predict. NaN where `step_size` is.
    `linearise` makes a `Linearisation` of problem and network: `jaxinv.linearisation_of` takes networks of any width,
    the default needs their weights.
    Variables: `log_rate`, -log of the contraction factor per step (below 0 where the linearised descent diverges);
    `wide_log_rate`, the same in the limit of infinite width; `sharpness`, step_size * mu_max(K), stable up to 2;
    `steps_to`, the steps to a regression_error of each of the `levels`, an axis "level"; NaN if never.
    """
    import xarray

    rules = [str(dim) for dim in step_size.dims if dim not in axes]

    def predict(*arguments):
        *point, count, rates = arguments
        problem, network, _ = build(**dict(zip(axes, point, strict=True)))
        linear = linearise(problem, network)

        def reached(rate):
            curve = linear.curve(rate, int(count), until=min(levels))
            return [steps_to(np.arange(len(curve)), curve, level) for level in levels]

        # rates of several step sizes: their axes come first
        there = np.array([reached(rate) for rate in np.ravel(rates)]).reshape(*np.shape(rates), -1)
        return *linear.extremes(), *wide_extremes(problem, network.width, network.depth), there

    *extremes, there = xarray.apply_ufunc(
        predict, *(step_size[axis] for axis in axes), steps, step_size, vectorize=True,
        input_core_dims=[*([] for _ in axes), [], rules], output_core_dims=[*[[]] * 4, [*rules, "level"]],
    )  # fmt: skip
    low, high, wide_low, wide_high = extremes
    made = xarray.Dataset({
        "log_rate": -np.log(contraction(step_size, (low, high))),
        "wide_log_rate": -np.log(contraction(step_size, (wide_low, wide_high))),
        "sharpness": step_size * high,
        "steps_to": there,
    })  # fmt: skip
    return made.transpose(*step_size.dims, ...).assign_coords(level=list(levels))


def off_subspace(build: Callable[..., Any], off: "xarray.Dataset", levels: Sequence[float]) -> "xarray.Dataset":
    """How long runs with decay take off the subspace, and where their fit settles, beside what theory says of both.

    `off` are runs over axes "depth", "width", "gamma" and "seed"; `build` returns the problem of a `seed`.
    """
    import xarray

    error, eta, decay = off["off_subspace_error"], off["step_size"], off["weight_decay"]
    steps_to = run_steps_to_each(error, levels)
    constant = each_run(theory.off_subspace_constant, error, eta, decay, 0.5)
    predicted = theory.steps_to_off_subspace(steps_to.level, constant, eta, decay)

    def plateau(depth, seed, decay):
        return theory.first_order(build(seed=seed).problem, int(depth), decay).plateau

    first_order = xarray.apply_ufunc(plateau, off["depth"], off["seed"], decay, vectorize=True)
    settles = each_run(settled, off["regression_error"])
    made = {
        "constant": (constant, "c of c (1 - eta lambda)^t, fitted on the first half of the run"),
        "steps_to": (steps_to, "steps to off-subspace error `level`, interpolated; NaN where never reached"),
        "predicted_steps_to": (predicted, "log(constant / level) / -log(1 - eta lambda)"),
        "plateau": (settles, "regression error where the run settles"),
        "predicted_plateau": (first_order, "plateau to first order in the weight decay (fact 3)"),
    }
    return xarray.Dataset({name: data.assign_attrs(long_name=words) for name, (data, words) in made.items()})


def wide_steps_to(
    build: Callable[..., Any], step_size: "xarray.DataArray", level: float, *, width: Any, depth: Any, most: int
) -> "xarray.DataArray":
    """Steps to a regression_error of `level` without decay as the width goes to infinity; infinite if not in `most`.

    At the `step_size`, `width` and `depth` of each run (fact 7 of `jaxinv.theory`): numbers, or axes of `step_size`, of
    which "seed" is one. `build` returns problem, network and descent, given a value of it.
    """
    import xarray

    problems = {seed: build(seed=seed).problem for seed in step_size["seed"].values.tolist()}

    def predict(seed, width, depth, rate):
        curve = wide_linearisation(problems[int(seed)], int(width), int(depth)).curve(rate, most, until=level)
        found = steps_to(np.arange(len(curve)), curve, level)
        return np.inf if np.isnan(found) else found

    made = xarray.apply_ufunc(predict, step_size["seed"], width, depth, step_size, vectorize=True)
    return made.transpose(*step_size.dims)
