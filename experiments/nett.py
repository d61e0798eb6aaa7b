"""Network Tikhonov explains the data at every noise level, where the same network used once does not.

Claims of Li, Schwab, Antholzer and Haltmeier (arXiv 1803.00092) [read: the abstract]: minimisers of ||A x - y||^2 / 2 +
alpha ||N(x)||^2, N a network trained to give the artifacts of an image, converge as the noise delta and alpha ~ delta
fall; they enforce consistency with the data; and they are good even for unknowns of another type than in training.

What we make of it [ours]: the error falls with delta, over four decades (near what it is without noise, not to it, as
the last of our noises shows); ||A x - y|| stays below 1.5 delta, while the post-processing network of the same weights
is above three times that at delta <= 1e-3; the distance from the images without noise falls at least like sqrt(delta)
in the middle decades (their rates are for another distance; no norm has one without a source condition, and singular
values of A are down to 3e-5); on rectangles NETT beats the post-processing network, and loses fewer dB from ellipses to
rectangles; on ellipses it beats filtered back-projection and tuned total variation, though flat phantoms are what that
is made for. Three of these fail (at the quick size the misfit, too): the distance levels off below delta = 3e-3, NETT
loses more dB than the network used once, and total variation is nearer.

Noises are relative to ||A x||, in norm. Alpha = c delta, c chosen on held-out phantoms at delta = 0.01, where methods
are compared, for each network, for total variation alike. The scheme, the network, its training (with white noise, else
minimisers are far worse) and all sizes are [ours]; a seed is a network, its phantoms and its noise.

Refuted if the error does not fall with the noise, if NETT leaves data unexplained or the network alone explains them,
or if NETT is worse than another method where it is said to be better.
"""

import numpy as np

import jaxinv as ji
from jaxinv.measures import statistics
from jaxinv.neighbours import nett
from jaxinv.problems import imaging
from jaxinv.studies import plots

NOISE, BETWEEN, QUIET = nett.PICTURED, (1e-4, 1e-2), 1e-3
"""The noise at which methods are compared; the middle decades; up to which noise the network alone must fail."""

ALLOWED = 1.5
"""The misfit that counts as an explanation, over the norm of the noise."""

NAMES = {"fbp": "back-projection", "tv": "total variation", "post": "network once", "nett": "NETT"}
COLOURS = {"fbp": "0.45", "tv": "#E69F00", "post": "#009E73", "nett": "#0072B2"}


def grids(preset):
    """One network a seed, and its reconstructions at all noise levels."""
    sizes, per_decade, seeds = {
        "quick": ({"size": 16, "angles": 5, "blocks": 2, "training": 200, "steps": 300, "iterations": 40, "tests": 4,
                   "channels": 8}, 1, 4),
        "paper": ({"size": 32, "angles": 11, "blocks": 3, "training": 500, "steps": 1500, "iterations": 40, "tests": 8,
                   "channels": 16}, 2, 8),
    }[preset]  # fmt: skip
    levels = (0.0, *(10.0 ** (i / per_decade) for i in range(-5 * per_decade, -per_decade + 1)))
    table = ("shape", "solver", "level")
    method = ji.Method(
        nett.study,
        {**dict.fromkeys(("error", "psnr", "misfit"), table), "distance": ("level",), "factor": ("regularized",),
         "picture": ("shown", "row", "column")},
        {"shape": imaging.SHAPES, "solver": nett.SOLVERS, "level": levels, "regularized": ("tv", "nett"),
         "shown": ("phantom", *nett.SOLVERS)},
        batched=("key",),
    )  # fmt: skip
    return ji.Sweep({"seed": range(seeds)}, {**sizes, "levels": levels}, method=method)


def draw(runs):
    """A phantom of the first seed and what is made of it at one noise level, then errors, distances and misfits against
    the noise, and what changes from ellipses to rectangles. Lines: medians over seeds; bands and dots: all seeds.
    """
    rows = [[name for name in ("phantom", *nett.SOLVERS) for _ in range(2)],
            *([left] * 5 + [right] * 5 for left, right in (("error", "distance"), ("misfit", "drop")))]  # fmt: skip
    figure, axes = plots.panels(2 * plots.COLUMN_WIDTH, 6.2, rows, height_ratios=[0.85, 1, 1])
    pictures = runs["picture"].isel(seed=0)
    for name in pictures["shown"].values:
        axes[name].imshow(pictures.sel(shown=name), cmap="gray", vmin=0, vmax=pictures.sel(shown="phantom").max())
        axes[name].set(xticks=[], yticks=[])
        score = "" if name == "phantom" else f"\n{runs.select('psnr', solver=name, level=NOISE)[0, 0]:.1f} dB"
        axes[name].set_title(NAMES.get(name, f"phantom, $\\delta$ = {NOISE:g}") + score)
    noisy = {"level": slice(1, None)}
    error, misfit = (runs[name].isel(shape=0) for name in ("error", "misfit"))
    for name in nett.SOLVERS:
        looks = {"x": "level", "shade": COLOURS[name], "label": NAMES[name], "marker": 3}
        plots.bands(axes["error"], error.sel(solver=name).isel(noisy), **looks)
        plots.bands(axes["misfit"], (misfit.sel(solver=name) / misfit["level"]).isel(noisy), **looks)
    limit = error.sel(solver="nett", level=0).median()
    axes["error"].axhline(limit, color=COLOURS["nett"], linewidth=0.9, linestyle=":", label="NETT without noise")
    distance = runs["distance"].isel(noisy)
    plots.bands(axes["distance"], distance, x="level", shade=COLOURS["nett"], label="NETT", marker=3)
    at = np.array(BETWEEN)
    axes["distance"].plot(at, distance.sel(level=at[1], method="nearest").median().item() * (at / at[1]) ** 0.5, "--",
                          color=plots.REFERENCE, label="falls like $\\sqrt{\\delta}$ [ours]")  # fmt: skip
    axes["misfit"].axhline(ALLOWED, color=plots.REFERENCE, linestyle="--", label=f"NETT below {ALLOWED:g} [ours]")
    drops = loss_of(runs)
    for i, name in enumerate(nett.SOLVERS):
        values = drops.sel(solver=name).values
        axes["drop"].plot(i + np.linspace(-0.2, 0.2, len(values)), values, "o", color=COLOURS[name], markersize=3.5)
        axes["drop"].plot([i - 0.3, i + 0.3], [np.nanmedian(values)] * 2 if np.isfinite(values).any() else [np.nan] * 2,
                          color=COLOURS[name])  # fmt: skip
    plots.log_log(axes["error"], "relative noise $\\delta$", "relative error", "a  ellipses: it converges [theirs]")
    plots.log_log(
        axes["distance"],
        "relative noise $\\delta$",
        "distance / $||\\bar x||$",
        "b  from the limit $\\delta = 0$ [ours]",
    )
    plots.log_log(axes["misfit"], "relative noise $\\delta$", "misfit / $\\delta$", "c  data are explained [theirs]")
    axes["drop"].set_title(f"d  to rectangles, $\\delta$ = {NOISE:g} [ours]", loc="left", fontweight="bold")
    axes["drop"].set(ylabel="loss of PSNR (dB)")
    low, high = interval(drops.sel(solver="post") - drops.sel(solver="nett"))
    axes["drop"].set_xlabel(f"network once $-$ NETT, 95%: {low:.2f} to {high:.2f} dB")
    axes["drop"].axhline(0, color="k", linewidth=0.6)
    plots.ticks_at(axes["drop"], range(4), ["FBP", "TV", "network\nonce", "NETT"])
    axes["error"].set_ylim(top=4 * axes["error"].get_ylim()[1])
    for name in ("error", "distance", "misfit"):
        plots.legend(axes[name], fontsize=6)
    return figure


def loss_of(runs):
    """By how many dB rectangles are worse than ellipses at NOISE."""
    psnr = runs.select("psnr", level=NOISE)
    return psnr.sel(shape="ellipses") - psnr.sel(shape="rectangles")


def interval(values):
    """The 95% bootstrap interval of the median over seeds; NaN where a seed is lost."""
    return statistics.median_interval(values.values)[1:] if np.isfinite(values).all() else (np.nan, np.nan)


def claims(runs):
    """Convergence as the noise falls, the data, another type of images, and two methods without a network."""
    inside, level = {"shape": "ellipses", "solver": "nett"}, runs["level"]
    error, misfit = runs.select("error", **inside), runs.select("misfit", shape="ellipses")
    above = misfit.where(level > 0, drop=True) / level
    middle = (level >= 0.99 * BETWEEN[0]) & (level <= 1.01 * BETWEEN[1])
    power = statistics.exponent(level.where(middle, drop=True), runs["distance"].where(middle, drop=True), "level")
    drops = loss_of(runs)
    psnr, square = (runs.select("psnr", shape=shape, level=NOISE) for shape in imaging.SHAPES)
    gain = psnr.sel(solver="nett") - psnr
    rise = error.isel(level=slice(None, -1)).drop_vars("level") / error.isel(level=slice(1, None)).drop_vars("level")
    few, by = error.max("level", skipna=False) / error.isel(level=0), "lower end of the 95% interval over seeds"
    return [
        ji.at_most(1.01, rise, "error of NETT over that at the next higher noise, largest over levels and seeds [read: "
                   "convergence; 1% ours]"),
        ji.at_least(1.2, few, "error at the highest noise over that without, least over seeds [ours: there is a fall]"),
        ji.at_least(0.5, power.where(np.isfinite(power)), "distance from the images without noise as a power of the "
                    f"noise, {BETWEEN[0]:g} to {BETWEEN[1]:g}, least over seeds [ours]"),
        ji.at_most(ALLOWED, above.sel(solver="nett"),
                   "misfit of NETT over the noise, largest over levels and seeds [read: consistent; the 1.5 is ours]"),
        ji.at_least(3 * ALLOWED, above.sel(solver="post").where(above["level"] <= 1.01 * QUIET, drop=True),
                    f"that of the network used once, at noise {QUIET:g} and below, least [ours: 3 times as much]"),
        ji.at_least(0, interval(square.sel(solver="nett") - square.sel(solver="post"))[0], strict=True,
                    words=f"dB of NETT above the network used once, on rectangles at noise {NOISE:g}, {by} [read: good "
                          "for other types; the measure is ours]"),
        ji.at_least(0, interval(drops.sel(solver="post") - drops.sel(solver="nett"))[0], strict=True,
                    words="dB that the network used once loses from ellipses to rectangles beyond what NETT does, "
                          f"{by} [ours]"),
        ji.at_least(0, interval(gain.sel(solver="fbp"))[0], strict=True,
                    words=f"dB of NETT above filtered back-projection at noise {NOISE:g}, {by} [ours]"),
        ji.at_least(0, interval(gain.sel(solver="tv"))[0], strict=True,
                    words=f"dB of NETT above tuned total variation, {by} [ours]"),
    ]  # fmt: skip


EXPERIMENT = ji.Experiment(grids, draw, claims)
