"""An untrained network fits any measurement once it is wide enough, long before the theorem that says so applies.

The system of Buskulic, Fadili and Queau (arXiv 2403.05395): y = A xbar + e, x = V phi(W u)/sqrt(k), gradient descent on
||A x - y||^2 / 2 for W, V fixed. Claim [theirs, by its abstract; re-derived, fact 3 of jaxinv.neighbours.deep_prior]: a
network that is wide enough fits at a linear rate. Exactly [derived]: where 4 ||r_0|| / (s_A s_0) < s_0 / (2 C), the
premise, W stays as near to its start as the left side, and L(t) <= (1 - eta s_A^2 s_0^2 / 4)^t L(0).

What we see [ours]: the share of starts that succeed, by the loss alone, rises with the width k; half of them do at a
width that rises with the number m of measurements up to that of unknowns, n; the premise begins at many times that
width. At m = n those fail whose A is badly conditioned, at any width. Success is no recovery: with m < n the loss
vanishes and the signal stays unknown, with m > n it is found. Under noise the error is in proportion to it for m > n,
and where that is loud it is least long before the last step. All sizes, Gaussian A and xbar, signs V, the sigmoid, the
step size 1/B of fact 3 and what success is are [ours] (their experiments, as we recall, have that shape).

Refuted if the loss is above its bound where the premise holds; if success does not follow width and measurements so; if
signals are recovered with m < n, or not with m > n; or if stopping early does not help under loud noise.
"""

import numpy as np

import jaxinv as ji
from jaxinv.measures import statistics
from jaxinv.neighbours import deep_prior
from jaxinv.studies import plots

SOLVED = 1e-7
"""Of the first loss: a run that gets there has succeeded, and ends."""

METHOD = ji.Method(deep_prior.descend, deep_prior.DIMS, batched=("key", "measurement_dim", "noise"))


def grids(preset):
    """Widths and measurements without noise until success, then noise and measurements for all steps."""
    n, m, k, levels, seeds, steps = {
        "quick": (5, [1, 3, 5, 8], [8, 32, 256, 8192], [0.01, 0.1, 1.0], 8, 2000),
        "paper": (10, [1, 2, 4, 6, 8, 10, 14, 20], [2**i for i in range(2, 18)], [.003, .01, .03, .1, .3, 1], 32, 3000),
    }[preset]  # fmt: skip
    seeds, shared = range(seeds), {"signal_dim": n, "rows": max(m)}
    return {
        "map": ji.Sweep({"width": k, "measurement_dim": m, "seed": seeds}, {**shared, "steps": steps, "until": SOLVED},
                        method=METHOD),
        "noise": ji.Sweep({"noise": levels, "measurement_dim": [each for each in m if each >= n], "seed": seeds},
                          {**shared, "width": 512, "steps": 3 * steps, "records": 60}, method=METHOD),
    }  # fmt: skip


def analyse(runs):
    """Of the map: each run against its bound, the share of successes, and the widths at which things begin.

    NaN wherever a run diverged. `excess`: the largest loss over its bound, after the start; `way`: the largest
    ||W - W(0)|| over what the premise allows for. Widths from which on half of the seeds succeed (`half`), the premise
    holds for half (`begin`), all losses keep to their bounds (`follow`), between those run; infinite beyond them.
    """
    import xarray

    data, noisy, first = runs["map"].data, runs["noise"].data, runs["map"].start("loss")
    over = data["loss"] / (first * np.exp(data["step"] * np.log1p(-data["share"])))
    excess = over.isel(record=slice(1, None)).max("record", skipna=False)
    solved = (runs["map"].end("loss") <= SOLVED * first).where(~data["diverged"])
    share, premise = solved.mean("seed", skipna=False), data["needed"] < data["allowed"]
    follow, kept = (excess <= 1 + 1e-9).mean("seed"), solved.notnull().all(["seed", "width"])
    error = noisy["error"].where(~noisy["diverged"]).drop_vars("step")
    least_at = noisy["step"].isel(record=error.fillna(np.inf).argmin("record")).drop_vars("step")
    return {
        "map": xarray.Dataset({
            "excess": excess, "premise": premise, "solved": solved, "share_solved": share,
            "way": (data["moved"] / data["needed"]).max("record", skipna=False),
            "half": statistics.reaches(share, "width", 0.5).where(kept),
            "begin": statistics.reaches(premise.mean("seed"), "width", 0.5),
            "follow": statistics.reaches(follow, "width", 1).where(kept),
        }),
        "noise": xarray.Dataset({
            "least_error": error.min("record", skipna=False), "last_error": error.isel(record=-1),
            "least_at": least_at.where(~noisy["diverged"]),
        }),
    }  # fmt: skip


def draw(runs):
    """Successes over width k and measurements m, and where premise and conclusion of the theorem begin (a); how far W
    may have to go and goes, over how far the theorem reaches (b); the signal at the end (c); early stopping at m = n,
    dots at the least error (d); errors against noise (e). Medians over seeds; bands: all seeds. Everything is ours.
    """
    found, noisy, n = runs["map"], runs["noise"], runs["map"].argument("signal_dim")
    figure, axes = plots.panels(2 * plots.COLUMN_WIDTH, 5.2, [["map", "map", "way"], ["signal", "stop", "noise"]])
    draw_map(figure, axes["map"], found)
    m, widths = (found[name].values.tolist() for name in ("measurement_dim", "width"))
    for each, colour in plots.colours_of("measurement_dim", [each for each in m if each <= n][::2]).items():
        for name, style, words in (("needed", "--", None), ("moved", "-", f"$m$ = {each}")):
            over = found.end(name, measurement_dim=each) / found.select("allowed", measurement_dim=each)
            axes["way"].plot(widths, over.median("seed"), style, color=colour, label=words)
    axes["way"].axhline(1, color="k", linewidth=0.8)
    plots.log_log(axes["way"], "width $k$", "distance over that allowed", "b  how far W goes")
    plots.explain(axes["way"], {"--": "needed", "-": "gone"}, fontsize=6)
    few = len(widths) // 4
    for i, colour, style in ((few, plots.NO_DECAY, ":"), (2 * few, "#0072B2", "--"), (-1, "k", "-")):
        plots.bands(axes["signal"], found.end("error", width=widths[i]), x="measurement_dim", shade=colour, style=style,
                    label=f"$k$ = {widths[i]:,}")  # fmt: skip
    plots.log_log(axes["signal"], "measurements $m$", "error of the signal", f"c  signal, $n$ = {n}")
    axes["signal"].set_xscale("linear")
    axes["signal"].legend(loc="lower left", fontsize=6, handlelength=1.4)
    square, colours = noisy.data.sel(measurement_dim=n), plots.colours_of("noise", noisy["noise"].values.tolist())
    plots.bands(axes["stop"], square["error"], x="step", colour="noise", colours=colours)
    for level, colour in colours.items():
        one = square.sel(noise=level)
        at = one.isel(record=one["error"].median("seed").argmin("record").item())
        axes["stop"].plot(max(at["step"].max(), 0.5), at["error"].median(), "o", color=colour, mec="k", markersize=4)
    plots.log_log(axes["stop"], "step", "error of the signal", "d  early stopping, $m = n$")
    axes["stop"].legend(loc="lower left", fontsize=6)
    for each, colour in plots.colours_of("measurement_dim", noisy["measurement_dim"].values.tolist()).items():
        for name, style, words in (("least_error", "-", f"$m$ = {each}"), ("last_error", ":", None)):
            middle = noisy.select(name, measurement_dim=each).median("seed")
            axes["noise"].plot(noisy["noise"], middle, style, color=colour, label=words)
    plots.log_log(axes["noise"], "noise $\\|e\\| / \\|A\\bar x\\|$", "error of the signal", "e  noise")
    plots.explain(axes["noise"], {"-": "least", ":": "at the end"}, loc="upper left", fontsize=6)
    return figure


def draw_map(figure, panel, found):
    """The share of successes by width and measurements, and the widths at which things begin."""
    rows, share = np.arange(found.sizes["measurement_dim"]), found["share_solved"].transpose("measurement_dim", "width")
    image = panel.pcolormesh(found["width"], rows, share, cmap="cividis", vmin=0, vmax=1, shading="nearest")
    figure.colorbar(image, ax=panel, label="share of seeds that succeed", pad=0.01)
    for name, look, size, colour, words in (("half", "o", 8, "w", "half of them succeed"),
                                            ("follow", "s", 5, "#56B4E9", "all losses below bound"),
                                            ("begin", "D", 5, plots.NO_DECAY, "premise holds for half")):  # fmt: skip
        at = found[name].values
        panel.plot(at[at < np.inf], rows[at < np.inf], look, color=colour, mec="k", markersize=size, label=words)
    plots.log_log(panel, "width $k$", "measurements $m$", "a  success [ours], and where the theorem begins [derived]")
    panel.set(yscale="linear", yticks=rows, yticklabels=[f"{m}" for m in found["measurement_dim"].values])
    panel.grid(visible=False)
    panel.legend(loc="upper center", bbox_to_anchor=(0.5, -0.2), ncols=3, fontsize=6, handletextpad=0.2)


def claims(runs):
    """The theorem where it applies, then what happens everywhere."""
    found, noisy, n = runs["map"], runs["noise"], runs["map"].argument("signal_dim")
    m, widest, of = found["measurement_dim"], found["width"].max().item(), statistics.values_where
    share, begin, premise = (found[name] for name in ("share_solved", "begin", "premise"))
    half, ends = found["half"].where(found["half"] < np.inf), found.end("error", width=widest)
    rises, (quiet, loud) = np.exp(np.diff(np.log(half.values[m.values < n]))), noisy["noise"].values[[0, -1]]
    middle = noisy.data[["least_error", "least_at"]].median("seed", skipna=False)
    slopes = statistics.exponent(noisy["noise"], middle["least_error"], "noise")
    times, lost = middle["least_at"].sel(measurement_dim=n), noisy["last_error"] / noisy["least_error"]
    solved, condition = (found.select(name, measurement_dim=n, width=widest) for name in ("solved", "condition"))
    badly, well = (condition.where((solved == each) & solved.notnull().all()).median() for each in (0, 1))
    return [
        ji.at_most(1 + 1e-9, of(found["excess"], premise), "loss over its bound under the premise, largest [derived]"),
        ji.at_most(1, of(found["way"], premise), "||W - W(0)|| over what the premise allows, there, largest [derived]"),
        ji.at_most(0.1, of(statistics.largest_fall(share, "width"), m != n),
                   "share of the seeds that succeed, m != n: its largest fall from one width to any larger [ours]"),
        ji.at_least(0.9, of(share.sel(width=widest), m != n), f"that share at k = {widest:,}, m != n, least [ours]"),
        ji.at_least(1.2, rises, "width where half of the seeds succeed, m < n: over that one m before, least [ours]"),
        ji.at_least(1.5, badly / well,
                    "condition of A at m = n, there: of those that fail over the others, medians over seeds [ours]"),
        ji.at_least(10, of(begin / half, begin < np.inf),
                    "width at which the premise holds for half of the seeds over that, least over m [ours]"),
        ji.at_least(0.3, of(ends.median("seed", skipna=False), m < n),
                    f"error of the signal at k = {widest:,}, m < n, median over seeds, least [ours]"),
        ji.at_most(0.02, of(ends, m > n), "the same, m > n, largest over seeds [ours: condition times misfit]"),
        ji.within(0.2, of(slopes, slopes["measurement_dim"] > n), 1,
                  "least error under noise as a power of the noise, m > n, median over seeds [ours]"),
        ji.at_least(1.2, lost.sel(noise=loud).median("seed", skipna=False),
                    f"last error over least at noise {loud:g}, median over seeds, least over m >= n [ours]"),
        ji.at_most(0.1, times.sel(noise=loud) / times.sel(noise=quiet),
                   f"step of the least error at m = n, noise {loud:g} over {quiet:g}, medians over seeds [ours]"),
    ]  # fmt: skip


EXPERIMENT = ji.Experiment(grids, draw, claims, analyse)
