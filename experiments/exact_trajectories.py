"""On whitened data training follows closed forms and recursions of a few numbers, exactly.

Claim [exact], of data whose Y^T Y is a projector, with C = X^T Y. Two layers that start balanced, without decay:
gradient descent converges to the closed form of the gradient flow to first order in the step size, from layers
aligned with C (Saxe et al., arXiv 1312.6120: each mode follows a sigmoid) and from any others (Braun et al., NeurIPS
2022: a matrix Riccati equation, here for layers of any shapes). Any depth, with decay, from orthogonal layers (Yaras
et al., arXiv 2306.01154): from an aligned start each singular value of a layer follows a scalar recursion; from any
other 2 s of them those of a network of 2 s units, and all others one recursion: decay alone, (1 - eta lambda)^t, where
measurements lie on the measured subspace [derived], with a term more where they fill measurement space [theirs].

All sizes, starts, step sizes and lambda are [ours]; the singular values of C are log-spaced from 1 to 1/3.

Refuted if the distance to the closed form does not halve with the step size, if iterates differ from a recursion by
more than rounding, or if more than 2 s singular values of a layer leave the common recursion.
"""

from functools import partial

import numpy as np

import jaxinv as ji
from jaxinv import theory
from jaxinv.measures import structure
from jaxinv.studies import plots

TIMES, BOUND = np.arange(17), 1e-9
"""Times of the flow at which maps are compared; the largest relative difference to a recursion, which is rounding."""

TERMS = {"quick": (3, 6, [2, 3, 5], 12, 8), "paper": (8, 8, [2, 3, 5, 8], 40, 20)}
ANY = "#D55E00"
STARTS = {True: ("aligned start", "#0072B2", "the scalar recursion"),
          False: ("any start", ANY, "a network of 2 s units and the common recursion")}  # fmt: skip
"""Seeds, step sizes, depths, d and m; words and colours of starts aligned with C and of others, and their laws."""


def whitened_problem(key, *, signal_dim, measurement_dim, subspace_dim, fills=False):
    """A generated problem whose measurements are whitened; `fills`: they fill measurement space beside the subspace."""
    sizes = {"signal_dim": signal_dim, "measurement_dim": measurement_dim, "subspace_dim": subspace_dim}
    made = ji.subspace_problem(key, **sizes, samples=2 * measurement_dim, condition_number=3.0)
    return theory.whitened(made, fills=fills)


def start_layers(key, problem, *, width, depth, start, aligned, scale):
    """`scale` times balanced layers, or matrices with orthonormal columns, turned to C or as they were generated."""
    weights = ji.layer_product(key, problem, width=width, depth=depth, init=start).weights
    unit = [np.linalg.norm(w, 2) if start == "orthogonal" else 1 for w in weights]
    layers = [scale * np.asarray(w) / size for w, size in zip(weights, unit, strict=True)]
    return ji.LayerProduct(tuple(theory.aligned_layers(problem, layers) if aligned else layers))


def halved_descent(problem, network, *, halvings):
    """Step size 0.2, halved that often; the largest singular value of C is 1."""
    return ji.gradient_descent(problem, network, step_size=0.2 / 2**halvings)


def grids(preset):
    """The flow of two layers by step size, and layers with weight decay by depth, each from two starts."""
    seeds, halvings, depths, d, m = TERMS[preset]
    sizes, each = {"signal_dim": d, "measurement_dim": m}, {"aligned": [True, False], "seed": range(seeds)}
    shared = {"network": start_layers, "problem": whitened_problem, "precision": "float64", "reduce": False}
    balanced = {**sizes, "subspace_dim": m, "width": m + 3, "depth": 2, "start": "balanced", "scale": 0.1}
    orthogonal = {**sizes, "subspace_dim": 3, "width": m, "start": "orthogonal", "scale": 0.5}
    orthogonal |= {"step_size": 0.1, "weight_decay": 0.02}
    flow = ji.Sweep(
        axes={"halvings": range(halvings), **each}, fixed=balanced, descent=halved_descent,
        steps=lambda halvings: 5 * 2**halvings * int(TIMES[-1]),
        records=lambda halvings: [5 * 2**halvings * int(time) for time in TIMES],
        metrics=[ji.Metric("map", structure.end_to_end, ("row", "column")),
                 ji.Metric("modes", structure.map_values, ("mode",))], **shared,
    )  # fmt: skip
    own, each["fills"] = [ji.Metric("layer_values", structure.layer_values, ("layer", "index"))], [False, True]
    deep = {f"depth_{n}": ji.Sweep(each, {**orthogonal, "depth": n}, 3000, 40, own, **shared) for n in depths}
    return {"flow": flow, **deep}


def analyse(runs):
    """What theory says: `flow`, maps; by depth `recursion`, singular values, `common`, what most are. And beside it:

    `apart`: the largest distance of a map to the flow (C has norm 1), the relative difference of each singular value to
    the recursion; `left`: how many values of a layer are not the common one.
    """
    import xarray

    def maps(aligned, seed):
        setup = runs["flow"].build(aligned=aligned, seed=seed)
        return theory.balanced_flow(setup.problem, setup.network.weights, TIMES)

    def values(run, fills, aligned, seed):
        problem, network, descent = run.build(fills=fills, aligned=aligned, seed=seed)
        few = theory.parsimony(problem, network.weights)
        given = run["step"].values.astype(int), descent.step_size, descent.weight_decay
        return few.values(*given), few.common(*given)

    def over(run, follow, axes, dims):
        return xarray.apply_ufunc(follow, *(run[axis] for axis in axes), vectorize=True, output_core_dims=dims)

    flow = over(runs["flow"], maps, ["aligned", "seed"], [["record", "row", "column"]])
    squares = ((runs["flow"]["map"] - flow) ** 2).sum(["row", "column"], skipna=False).max("record", skipna=False)
    made = {"flow": xarray.Dataset({"flow": flow, "apart": squares**0.5})}
    for name, run in [*runs.items()][1:]:
        dims, found = [["record", "layer", "index"], ["record", "layer"]], run["layer_values"]
        every, common = over(run, partial(values, run), ["fills", "aligned", "seed"], dims)
        beside = {"apart": abs(found / every - 1), "left": (~(abs(found / common - 1) <= BOUND)).sum("index")}
        made[name] = xarray.Dataset({"recursion": every, "common": common, **beside})
    return made


def draw(runs):
    """Maps of two balanced layers without decay (a: the first seed) and their distance to the flow (b: all seeds).

    Orthogonal layers with decay: singular values over the one that most have (c: the first seed; most in grey), and the
    largest relative difference of all to the recursions (d). Lines are theory, markers gradient descent.
    """
    free, *deep = runs.values()
    first, looks = {"aligned": False, "seed": free["seed"].values[0]}, {"markersize": 4, "fillstyle": "none"}
    figure, axes = plots.panels(2 * plots.COLUMN_WIDTH, 4.8, [["maps", "order"], ["values", "apart"]])
    few, maps = slice(0, None, free.sizes["mode"] // 6 or 1), free.select("flow", **first)
    axes["maps"].plot(TIMES, np.linalg.svd(maps, compute_uv=False)[:, few], color=plots.REFERENCE)
    apart = free["apart"].assign_coords(size=0.2 / 2.0 ** free["halvings"])
    for marker, number in (("o", 0), ("x", -1)):
        lines = axes["maps"].plot(TIMES, free.select("modes", **first)[number, :, few], marker, color=ANY, **looks)
        lines[0].set_label(f"$\\eta$ = {apart['size'][number]:.2g}")
    plots.log_log(axes["maps"], "time, steps times $\\eta$", "singular values of $W_2W_1$", "a  two layers, any start")
    axes["maps"].set(xscale="linear", yscale="linear")
    for aligned, (words, colour, _) in STARTS.items():
        plots.bands(axes["order"], apart.sel(aligned=aligned), x="size", shade=colour, label=words, marker=3)
    axes["order"].plot(apart["size"], apart["size"] * apart.max() / 0.8, ":", color=plots.REFERENCE, label="slope 1")
    plots.log_log(axes["order"], "step size $\\eta$", "largest distance to the flow", "b  first order")
    one, step = deep[len(deep) // 2], deep[0]["step"].clip(min=0.5)
    cell = one.data.sel(fills=False, **first).isel(layer=1)
    found, made = cell["layer_values"] / cell["common"], cell["recursion"] / cell["common"]
    moved = (abs(found - 1) > BOUND).any("record")
    axes["values"].plot(step, made, color=plots.REFERENCE)
    for colour, there in ((ANY, moved), ("0.6", ~moved)):
        axes["values"].plot(step, found.where(there), "o", color=colour, **looks)
    plots.log_log(axes["values"], plots.STEP, "values of $W_2$ over the common one",
                  f"c  L = {one.argument('depth')} with decay, any start")  # fmt: skip
    axes["values"].set(yscale="linear", ylim=(0.5, 4.5))
    for run, colour in plots.colours_of("depth", deep).items():
        worst = run["apart"].max(["fills", "aligned", "seed", "layer", "index"]).clip(min=1e-17)
        axes["apart"].plot(step, worst, color=colour, label=f"L = {run.argument('depth')}")
    axes["apart"].axhline(BOUND, linestyle="--", color=plots.REFERENCE, label="bound")
    plots.log_log(axes["apart"], plots.STEP, "relative difference", "d  recursions, all layers and starts")
    for name in ("maps", "order", "apart"):
        plots.legend(axes[name])
    return figure


def claims(runs):
    """First order in the step size from both starts, and recursions that hold to rounding."""
    free, *deep = runs.values()
    two = np.log2(free["apart"]).isel(halvings=slice(-2, None))
    order = -two.diff("halvings") / two["halvings"].diff("halvings")
    apart = [run["apart"].max(["fills", "seed", "record", "layer", "index"], skipna=False) for run in deep]
    return [
        ji.at_most(0, [run["diverged"].mean() for run in runs.values()], "share of runs that diverge [ours]"),
        *(ji.within(0.05, order.sel(aligned=aligned), 1,
                    f"power of the step size with which the distance to the gradient flow falls, {words}, between the "
                    "two smallest, farthest over seeds [exact: first order; slack ours]")
          for aligned, (words, *_) in STARTS.items()),
        *(ji.at_most(BOUND, [each.sel(aligned=aligned) for each in apart],
                     f"singular values of orthogonal layers with decay, {words}, against {law}, largest relative "
                     "difference [exact; rounding ours]")
          for aligned, (words, _, law) in STARTS.items()),
        ji.at_most(2 * deep[0].argument("subspace_dim"), [run["left"].max() for run in deep],
                   "singular values of a layer that leave the common one, largest number [exact: 2 s]"),
    ]  # fmt: skip


EXPERIMENT = ji.Experiment(grids, draw, claims, analyse)
