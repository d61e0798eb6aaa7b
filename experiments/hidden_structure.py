"""With weight decay every layer becomes of rank s and lines up with its neighbours and with the subspace.

Claim [paper]: the network trained with weight decay encodes the latent subspace. In each layer [ours]: all but s
singular values vanish, the s that stay are the same in every layer, the L-th roots of those of the end-to-end map
[exact at the optimum, whose layers are balanced]; the leading right singular vectors of W_1 span the measured subspace
range(A R), the left ones of W_L the subspace range(R), and those of neighbouring layers each other's spaces. Without
decay the layers keep the full rank of their initialization and no such alignment.

The sizes d=200, m=100, s=5, L=5, d_w=400 of the paper preset are [paper, Fig. 1]. Gaussian operator, fan-in
initialization, step size, 50 noise-free samples, condition number 1, gamma = 0.1 and the number of steps are [ours].

Refuted if with decay the effective rank of the map or of a layer does not come down to s, a layer keeps an angle to its
neighbour or to the subspace, or its leading values differ from the roots; or if all this happens without decay.
"""

from typing import Any

import numpy as np

import jaxinv as ji
from jaxinv.measures import statistics, structure
from jaxinv.studies import plots

JOINTS = {
    "W$_1$ and range(AR)": ("-", slice(0, 1)),
    "neighbours, worst": ("--", slice(1, -1)),
    "W$_L$ and range(R)": (":", slice(-1, None)),
}
"""Joints in the figure: line style, and which of `misalignment`; the largest of them is drawn."""


def grids(preset):
    """With and without weight decay, several seeds."""
    seeds, steps, records, sizes = {
        "paper": (4, 4000, 30, ji.FIG_1A),
        "quick": (3, 2000, 25, {"signal_dim": 48, "measurement_dim": 24, "subspace_dim": 3, "width": 48, "depth": 4}),
    }[preset]
    own = [ji.Metric("layer_values", structure.layer_values, ("layer", "index")),
           ji.Metric("layer_rank", structure.layer_rank, ("layer",)),
           ji.Metric("misalignment", structure.misalignment, ("joint",)),
           ji.Metric("map_values", structure.map_values, ("pair",))]  # fmt: skip
    return ji.Sweep(
        axes={"gamma": [0.0, 0.1], "seed": range(seeds)},
        fixed={**sizes, "samples": 50},
        steps=steps,
        records=records,
        metrics=["effective_rank", *own],
        precision="float64",
    )


def draw(runs):
    """Singular values of each layer (a), a row for each gamma; effective rank (b) and misalignment (c) of all of them.

    Lines are medians over seeds. In a the s leading values are in colour, the range of the others is grey.
    """
    from matplotlib.figure import Figure

    rank, kept, at = runs.argument("subspace_dim"), ~runs["diverged"], runs["step"].clip(min=0.5)
    gammas = sorted(runs["gamma"].values.tolist(), reverse=True)
    # one lighter shade is left to the weaker decays of other figures
    colours = plots.colours_of("gamma", [*gammas, min(filter(None, gammas), default=1.0) / 2])
    heights = [1.2 * len(gammas) + 0.3, 2.4]
    figure: Any = Figure(figsize=(2 * plots.COLUMN_WIDTH, sum(heights)), layout="constrained")
    top, bottom = figure.subfigures(2, 1, height_ratios=heights)
    strips = top.subplots(len(gammas), runs.sizes["layer"], squeeze=False, sharex=True, sharey=True)
    leading, rest = (runs["layer_values"].where(kept).isel(index=part) for part in (slice(rank), slice(rank, None)))
    least, largest = rest.min(["seed", "index"]), rest.max(["seed", "index"])
    for (row, layer), panel in np.ndenumerate(strips):
        one = {"gamma": gammas[row], "layer": layer}
        panel.fill_between(at, least.sel(one), largest.sel(one), color="0.7", linewidth=0, label="values beyond s")
        shades = dict.fromkeys(range(rank), colours[gammas[row]])
        plots.bands(panel, leading.sel(one), x="step", colour="index", colours=shades, label="")
        panel.set(xscale="log", yscale="log", ylim=(1e-3, 6))
        panel.minorticks_off()
        if row == 0:
            panel.set_title(f"{'' if layer else 'a  '}W$_{layer + 1}$", loc="left", fontweight="bold")
        if layer == 0:
            panel.set_ylabel(f"singular values\n$\\gamma$ = {gammas[row]:g}" + (" (none)" if gammas[row] == 0 else ""))
    top.supxlabel(plots.STEP, fontsize=8)
    axes = bottom.subplot_mosaic([["rank", "angle"]])
    by_gamma: Any = {"x": "step", "colour": "gamma", "colours": colours}
    plots.bands(axes["rank"], runs["effective_rank"], **by_gamma)
    layer_rank = runs["layer_rank"].where(kept).median("seed")
    for gamma in gammas:
        axes["rank"].plot(at, layer_rank.sel(gamma=gamma), color=colours[gamma], linewidth=0.6)
    axes["rank"].axhline(rank, color=plots.REFERENCE, linestyle="-.", linewidth=0.8, label=f"s = {rank}")
    for label, (style, part) in JOINTS.items():
        joints = runs["misalignment"].isel(joint=part)
        if joints.size:
            plots.bands(axes["angle"], joints.max("joint"), style=style, label="", **by_gamma)
        axes["angle"].plot([], [], style, color=plots.REFERENCE, label=label)
    plots.log_log(axes["rank"], plots.STEP, "effective rank", "b  the map (thick), its layers (thin)")
    plots.log_log(axes["angle"], plots.STEP, "sine of largest angle", "c  misalignment")
    axes["rank"].set_ylim(bottom=1)
    plots.plain_ticks(axes["rank"].yaxis)
    axes["angle"].set_ylim(bottom=1e-9)
    plots.shared_legend(bottom, [*axes.values(), strips[0, 0]], ncols=4)
    return figure


def claims(runs):
    """Rank, alignment and leading values at the end of every run; one that diverged is NaN and fails what it enters."""
    rank, depth = runs.argument("subspace_dim"), runs.argument("depth")
    strongest, of = runs["gamma"].max().item(), statistics.values_where
    decayed, plain = runs["gamma"] == strongest, runs["gamma"] == 0
    shares, layer_shares = runs.end("effective_rank") / rank, runs.end("layer_rank") / rank
    roots = (runs.end("map_values") ** (1 / depth)).rename(pair="index")
    leading = runs.end("layer_values").isel(index=slice(rank))
    misalignment, with_decay = runs.end("misalignment"), f"gamma = {strongest:g}:"
    return [
        ji.at_most(0, runs["diverged"].sum(), "runs that diverged [ours]"),
        ji.at_most(0.1, of(abs(shares - 1), decayed),
                   f"{with_decay} effective rank of the map over s less 1, largest "
                   "[ours: unequal values keep it a little below s]"),
        ji.at_most(0.1, of(abs(layer_shares - 1), decayed),
                   f"{with_decay} effective rank of a layer over s less 1, largest [ours, likewise]"),
        ji.at_most(0.01, of(misalignment, decayed),
                   f"{with_decay} sine of the largest angle between neighbours or to the subspace, largest [ours]"),
        ji.at_most(0.01, of(abs(leading / roots - 1), decayed),
                   f"{with_decay} leading values of a layer against the roots of the map's, largest relative deviation "
                   "[exact at the optimum; slack ours]"),
        ji.at_least(2, of(shares, plain),
                    "without decay the map keeps a high effective rank, over s, least [ours]"),
        ji.at_least(0.5, of(misalignment, plain),
                    "without decay no neighbours line up: sine of the largest angle, least over joints [ours]"),
    ]  # fmt: skip


EXPERIMENT = ji.Experiment(grids, draw, claims, paper=ji.FIG_1A)
