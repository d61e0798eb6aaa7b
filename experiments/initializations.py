"""With weight decay every start finds the subspace; without it a start finds it only by being small or asymmetric.

The paper proves it from a practical (fan-in) start and leaves others to future work. Claims:
- With decay the part off the subspace goes, whatever the start: W_1(t) P_perp = (1 - eta lambda)^t W_1(0) P_perp
  [exact, fact 1]. All starts end in one map [exact: where the objective is least], unless they are so small that decay
  wins: from L = 3 on W = 0 is a local minimum [exact, fact 8], in each direction by itself. So at L = 5 the verdict
  fails: small starts lose one or two of the five directions with three of four seeds.
- Without decay W_1(t) P_perp stays [exact], and with it most of the error off the subspace, from fan-in, fan-out,
  orthogonal, balanced and identity layers [ours]. Of a small start with layers of size c it leaves an error in
  proportion to c, not to the product's c^L [derived, to first order in c], and it is slow [ours].
- Identity layers with a last layer of zeros (Wu, Wang, Ma, arXiv 1911.00645, there for square ones) never have an error
  off the subspace if d_w >= m: rows of W_L stay in the image of range(Y), the layers between are identities off it. So
  without decay they end at the oracle R (A R)^+ [exact, derived by us].

Sizes, L = 5 in the paper preset, are those of Fig. 1 [paper]. Gaussian operator, step size (the default formula, which
reads shapes alone), 10 noise-free samples, condition number 1, gamma = 0.1, scales and steps are [ours].

Refuted if a start keeps an error with decay or ends elsewhere, or if one of those without decay does not end as said.
"""

from typing import Any

import jaxinv as ji
from jaxinv.measures import curves, statistics
from jaxinv.networks.initializations import INITIALIZERS
from jaxinv.studies import plots

NOISE, FIT = 0.3, 0.1
"""Relative test noise; the regression error whose first step is compared."""

SHADES = "black", "#0072B2", "#56B4E9", "#009E73", "#E69F00", "#CC79A7", "#D55E00"
COLOURS = dict(zip(INITIALIZERS.ours, SHADES, strict=True))
KEEPING, COINCIDING = ["fan_in", "fan_out", "orthogonal", "balanced", "identity"], ("orthogonal", "balanced")


def grids(preset):
    """Every start, and fan-in at several scales of its layers, without and with decay."""
    sizes, seeds, steps, scales = {
        "quick": ({"signal_dim": 40, "measurement_dim": 20, "subspace_dim": 2, "width": 80, "depth": 3}, 3, 4000,
                  [0.03, 0.1, 0.3, 1.0]),
        "paper": (ji.FIG_1A, 4, 6000, [0.15, 0.2, 0.3, 1.0]),
    }[preset]  # fmt: skip
    options = {
        "fixed": {**sizes, "samples": 10}, "steps": steps, "records": 50, "precision": "float64",
        "metrics": ["regression_error", "off_subspace_error", "oracle_distance",
                    ji.NoisyError([NOISE], maps=["network", "oracle"])],
    }  # fmt: skip
    beside = {"gamma": [0.0, 0.1], "seed": range(seeds)}
    return {
        "starts": ji.Sweep({"init": list(COLOURS), **beside}, **options),
        "scales": ji.Sweep({"scale": scales, **beside}, **options),
    }


def draw(runs):
    """Off-subspace error without and with decay and the fit by start; then where small fan-in starts end.

    Bands are over seeds. Zero asymmetric lies below a and b.
    """
    starts, scales = runs["starts"], runs["scales"]
    strongest = starts["gamma"].max().item()
    figure, axes = plots.panels(2 * plots.COLUMN_WIDTH, 5.2, [["plain", "decayed"], ["fit", "scales"]])
    for name, shade in COLOURS.items():
        looks: Any = {"x": "step", "shade": shade, "style": "--" if name in COINCIDING else "-"}
        off, fit = (starts.select(metric, init=name) for metric in ("off_subspace_error", "regression_error"))
        plots.bands(axes["plain"], off.sel(gamma=0.0), label=name.replace("_", " "), **looks)
        plots.bands(axes["decayed"], off.sel(gamma=strongest), **looks)
        plots.bands(axes["fit"], fit.sel(gamma=0.0), **looks)
    off, fit = scales.end("off_subspace_error", gamma=0.0), scales.end("regression_error", gamma=strongest)
    marks: Any = {"x": "scale", "marker": 3}
    plots.bands(axes["scales"], off, shade=plots.NO_DECAY, label="off-subspace error, no decay", **marks)
    words = f"regression error, $\\gamma$ = {strongest:g}"
    plots.bands(axes["scales"], fit, shade="#0072B2", style=":", label=words, **marks)
    least = scales["scale"].values[:-1]
    axes["scales"].plot(least, 0.6 * least, color=plots.REFERENCE, linewidth=0.8, label="slope 1")
    plots.log_log(axes["plain"], plots.STEP, "off-subspace error", "a  no decay")
    plots.log_log(axes["decayed"], plots.STEP, "off-subspace error", f"b  $\\gamma$ = {strongest:g}")
    plots.log_log(axes["fit"], plots.STEP, "regression error", "c  fit, no decay")
    plots.log_log(axes["scales"], "scale of the fan-in layers", "after all steps", "d  small starts")
    axes["plain"].set_ylim(1e-3, 5)
    axes["decayed"].set_ylim(1e-9, 5)
    axes["fit"].set_ylim(1e-6, 10)
    axes["scales"].set_ylim(1e-2, 1e2)
    axes["plain"].text(0.02, 0.03, "zero asymmetric: 0 to rounding at every step", transform=axes["plain"].transAxes,
                       fontsize=7, color=COLOURS["zero_asymmetric"])  # fmt: skip
    plots.ticks_at(axes["scales"], scales["scale"].values)
    plots.legend(axes["scales"], "upper left")
    plots.shared_legend(figure, [axes["plain"]], ncols=4)
    return figure


def claims(runs):
    """Where every start ends, with decay and without; a run that diverged fails what it enters."""
    starts, scales = runs["starts"], runs["scales"]
    strongest, smallest = starts["gamma"].max().item(), scales["scale"].min().item()
    decayed, plain = (starts.end("off_subspace_error", gamma=gamma) for gamma in (strongest, 0.0))
    kept = (plain / starts.start("off_subspace_error", gamma=0.0)).sel(init=KEEPING)
    fit = starts.end("regression_error", gamma=strongest)
    noisy, oracle = (starts.end("noisy_error", map=name, noise=NOISE, gamma=0.0) for name in ("network", "oracle"))
    never = starts["off_subspace_error"].sel(init="zero_asymmetric")
    small = scales.end("off_subspace_error", gamma=0.0).isel(scale=slice(None, -1))
    steps = curves.run_steps_to(starts.select("regression_error", gamma=0.0), FIT)
    steps = steps.where(~starts.select("diverged", gamma=0.0))
    with_decay = f"with gamma = {strongest:g}"
    return [
        ji.at_most(0, sum(run["diverged"].sum().item() for run in runs.values()), "runs that diverged [ours]"),
        ji.at_most(1e-6, decayed, f"{with_decay} the off-subspace error vanishes from every start, largest "
                   "[paper for fan-in; exact, fact 1, for others; bound ours]"),
        ji.at_most(0.01, abs(fit / fit.sel(init="fan_in") - 1), f"{with_decay} all end in one map: regression error "
                   "over that from fan-in, less 1, largest [exact in the end; slack ours]"),
        ji.at_least(0.5, kept, "without decay fan-in, fan-out, orthogonal, balanced and identity keep it: error over "
                    "its start, least [ours]"),
        ji.at_most(1e-12, never, "zero-asymmetric: off-subspace error at any step, with decay and without, largest "
                   "[exact; slack for rounding]"),
        ji.at_most(1e-6, starts.end("oracle_distance", gamma=0.0, init="zero_asymmetric"),
                   "zero-asymmetric without decay ends at the oracle: distance, largest [exact in the end]"),
        ji.within(0.1, statistics.exponent(small["scale"], small, "scale"), 1,
                  "small starts without decay: off-subspace error at the end as a power of the layers' scale, farthest "
                  "[derived, first order; slack ours]"),
        ji.within(0.01, scales.end("regression_error", gamma=strongest, scale=smallest), 1,
                  f"{with_decay} a start at scale {smallest:g} dies: regression error, farthest [exact that W = 0 is a "
                  "local minimum; that it is reached, ours]"),
        ji.at_most(1.25, (noisy / oracle).sel(init="small"), f"small start without decay: error at noise {NOISE:g} "
                   "over the oracle's, largest [ours]"),
        ji.at_least(2, (noisy / oracle).sel(init="fan_in"), "the same from fan-in, least [ours]"),
        ji.at_least(3, steps.sel(init="small") / steps.sel(init="fan_in"), f"steps to regression error {FIT:g} without "
                    "decay from a small start over those from fan-in, least [ours]"),
    ]  # fmt: skip


EXPERIMENT = ji.Experiment(grids, draw, claims, paper=ji.FIG_1A)
