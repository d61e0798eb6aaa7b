"""Training with weight decay has three phases: fast fit, stabilisation, and a slow forgetting of the initialization.

Claim [paper]: gradient descent first reconstructs the training data fast, then stabilises, and at last the error off
the subspace of the measurements converges. Exactly, in our setting: the part of W_1 off the range of the data only
decays, W_1(t) P_perp = (1 - eta lambda)^t W_1(0) P_perp [exact, fact 1 of jaxinv.theory]; so the off-subspace error
||W_{L:1} P_perp||_2 falls like (1 - eta lambda)^(L t) at first, while all layers shrink, and like (1 - eta lambda)^t
late, when the data hold the others in place [fact 2: early ours, late exact but for drift]; the regression error falls,
dips, and rises to a plateau proportional to gamma, known to first order [ours, fact 3].

The sizes d=200, m=100, s=5, L=5, d_w=400 of the paper preset are [paper, Fig. 1]. Gaussian operator, fan-in
initialization, step size, 10 noise-free samples (in exact arithmetic their number changes no step), condition number 1,
the gamma grid and the number of steps are [ours]. Training runs in plain coordinates, so that fact 1 is measured, not
assumed.

Refuted if W_1 P_perp decays otherwise; if the two rates of the off-subspace error or the plateau are not the predicted
ones; if the fit does not dip; or if the off-subspace error converges before the fit does.
"""

import numpy as np

import jaxinv as ji
from jaxinv import theory
from jaxinv.measures import curves, statistics, structure
from jaxinv.studies import plots

RESOLVED = 1e-6
"""Fact 1 to 1e-9 can be seen down to here: W_1 P_perp carries rounding errors of about 1e-15 of its start."""

EARLY, LATE = 10, 5.0
"""At first: the first 10 steps. Late: from eta lambda t = 5 on, where shrunk layers have lost a factor e^5 each."""

FORGOTTEN = 1e-3
"""The last phase is over when the off-subspace error is this share of its start."""


def grids(preset):
    """Weight decays and seeds, in plain coordinates."""
    seeds, steps, sizes = {
        "paper": (4, 10_000, ji.FIG_1A),
        "quick": (3, 6000, {"signal_dim": 64, "measurement_dim": 32, "subspace_dim": 3, "width": 128, "depth": 3}),
    }[preset]
    off_range = ji.Metric("off_range", structure.first_layer_off_subspace)
    return ji.Sweep(
        axes={"gamma": [0.0, 0.03, 0.1, 0.3], "seed": range(seeds)},
        fixed={**sizes, "samples": 10},
        steps=steps,
        metrics=["regression_error", "off_subspace_error", off_range],
        precision="float64",
        reduce=False,
    )


def analyse(runs):
    """For each run: its deviations from facts 1 and 2, the plateau of fact 3, and the step at which each phase ends.

    A run that diverged has the plateau alone, the rest is NaN.
    """
    import xarray

    measured = "regression_error", "off_subspace_error", "off_range"
    step, (fit, off, layer) = runs["step"], (runs[name].where(~runs["diverged"]) for name in measured)
    depth, seeds = runs.argument("depth"), runs["seed"].values.tolist()
    eta_lambda = runs["step_size"] * runs["weight_decay"]
    once, decay = (theory.off_range_decay(t, eta_lambda, 1.0) for t in (1, step))
    share = off / runs.start("off_subspace_error")
    early = (step > 0) & (step <= EARLY)
    late = (eta_lambda * step >= LATE) & (share > 1e-9)
    first_layer = layer / (decay * runs.start("off_range"))
    # what the data do to the error at first is common to a run and the one from the same start without decay
    plain = off.reindex(gamma=[0.0]).isel(gamma=0, drop=True)
    early_rates = np.log((off / plain).where(early)) / (depth * step * np.log(once))
    late_rates = statistics.slope(step, np.log(share.where(late)), "record", least=3) / np.log(once)
    plateaus = [theory.first_order(runs.build(seed=seed).problem, depth, runs["weight_decay"].sel(seed=seed)).plateau
                for seed in seeds]  # fmt: skip
    return xarray.Dataset({
        "eta_lambda": eta_lambda,
        "first_layer_deviation": abs(first_layer - 1).where(decay >= RESOLVED, 0).max("record", skipna=False),
        "early_deviation": abs(early_rates - 1).where(early, 0).max("record", skipna=False).where(early.any()),
        "late_deviation": abs(late_rates - 1),
        "late_constant": (share / decay).where(late).median("record"),
        "plateau": xarray.concat(plateaus, "seed").transpose("gamma", "seed"),
        "dip_end": curves.each_run(curves.lowest, fit),
        "settle_end": curves.each_run(curves.comes_to_rest, fit, 0.05),
        "forget_end": curves.each_run(curves.reached, off, FORGOTTEN * runs.start("off_subspace_error")),
    })  # fmt: skip


def draw(runs):
    """Fit and off-subspace error against step, and the latter against eta lambda t, a colour for each gamma.

    Shades are the phases at one gamma: they end with the dip of the fit and where it stays within 5% of its last value.
    """
    figure, axes = plots.panels(2 * plots.COLUMN_WIDTH, 3.9, [["fit", "rate"], ["off", "rate"]])
    gammas = runs["gamma"].values.tolist()
    colours = plots.colours_of("gamma", gammas)
    off, kept = runs["off_subspace_error"], ~runs["diverged"]
    plots.bands(axes["fit"], runs["regression_error"], x="step", colour="gamma")
    plots.bands(axes["off"], off, x="step", colour="gamma")
    share = (off / runs.start("off_subspace_error")).where(kept & (runs["gamma"] > 0))
    scaled = (runs["eta_lambda"] * runs["step"]).median("seed")
    plots.bands(axes["rate"], share.assign_coords(scaled=scaled), x="scaled", colour="gamma", label="")
    fine = np.linspace(0, 6, 50)
    for gamma in filter(None, gammas):
        plateau, rate = (runs.select(name, gamma=gamma).median().item() for name in ("plateau", "eta_lambda"))
        axes["fit"].axhline(plateau, linestyle="-.", color=colours[gamma], linewidth=0.8)
        constant = runs["late_constant"].where(kept).sel(gamma=gamma).median().item()
        axes["rate"].plot(fine, theory.off_subspace_late(fine / rate, constant, rate, 1.0), ":", color=colours[gamma])
    early = np.exp(-runs.argument("depth") * fine)
    axes["rate"].plot(fine, early, "--", color=plots.REFERENCE, label=r"early rate, $(1 - \eta\lambda)^{Lt}$")
    axes["rate"].plot([], [], ":", color=plots.REFERENCE, label=r"late rate, $c\,(1 - \eta\lambda)^{t}$")
    axes["fit"].plot([], [], "-.", color=plots.REFERENCE, label="predicted plateau")
    plots.log_log(axes["fit"], "", "regression error", "a  fit of the training data")
    plots.log_log(axes["off"], plots.STEP, "off-subspace error", "b  off the subspace")
    plots.log_log(axes["rate"], r"$\eta\lambda \times$ step", "off-subspace error over its start", "c  two rates")
    axes["rate"].set(xscale="linear", xlim=(0, 6), ylim=(3e-4, 2))
    axes["fit"].set_ylim(bottom=3e-3)
    axes["off"].set_ylim(bottom=1e-9)
    draw_phases(axes, runs, colours)
    plots.shared_legend(figure, [axes[name] for name in ("off", "rate", "fit")], ncols=4)
    return figure


def draw_phases(axes, runs, colours):
    """The phases of the middle gamma as shades of grey, by their medians over seeds."""
    ends = [runs[name].where(~runs["diverged"]).median("seed") for name in ("dip_end", "settle_end")]
    known = [gamma for gamma in ends[0]["gamma"].values.tolist() if gamma > 0 and ends[0].sel(gamma=gamma).notnull()]
    if not known:
        return
    chosen = known[len(known) // 2]
    edges = [0.5, *(max(end.sel(gamma=chosen).item(), 1.0) for end in ends), runs["step"].values[-1]]
    phases = zip(edges[:-1], edges[1:], ("0.91", "0.96", "0.91"), ("1 fit", "2 settle", "3 forget"), strict=True)
    for start, end, grey, word in phases:
        for name in ("fit", "off"):
            axes[name].axvspan(start, end, color=grey, linewidth=0, zorder=0)
            axes[name].set_xlim(edges[0], edges[-1])
        axes["fit"].text((start * end) ** 0.5, 0.97, word, transform=axes["fit"].get_xaxis_transform(), ha="center",
                         va="top", fontsize=7, color=colours[chosen])  # fmt: skip
    axes["off"].text(0.02, 0.04, f"shades: phases at $\\gamma$ = {chosen:g}", transform=axes["off"].transAxes,
                     fontsize=7, color=colours[chosen])  # fmt: skip


def claims(runs):
    """Facts 1, 2 and 3 and the order of the phases, over every run; one that diverged fails what it enters."""
    gamma, of = runs["gamma"], statistics.values_where
    decayed, plain = gamma > 0, gamma == 0
    fit, off = runs.end("regression_error"), runs.end("off_subspace_error") / runs.start("off_subspace_error")
    dip, settle, forget = (runs[f"{phase}_end"].clip(min=1) for phase in ("dip", "settle", "forget"))
    return [
        ji.at_most(0, runs["diverged"].sum(), "runs that diverged [ours]"),
        ji.at_most(1e-9, runs["first_layer_deviation"],
                   f"||W_1 P_perp||_F against (1 - eta lambda)^t, while that is above {RESOLVED:g}, largest relative "
                   "deviation [exact, fact 1; slack for rounding]"),
        ji.at_most(0.1, of(runs["early_deviation"], decayed),
                   f"rate of the off-subspace error against L log(1 - eta lambda), steps 1 to {EARLY}, relative to the "
                   "run without decay, largest deviation [fact 2; slack ours]"),
        ji.at_most(0.01, of(runs["late_deviation"], decayed),
                   f"its rate against log(1 - eta lambda) from eta lambda t = {LATE:g} on, largest deviation "
                   "[exact up to drift, fact 2; slack ours]"),
        ji.at_most(0.1, of(abs(fit / runs["plateau"] - 1), decayed & (gamma <= 0.1)),
                   "regression error at the end against the plateau of fact 3, gamma <= 0.1, largest deviation "
                   "[first order in gamma; slack ours]"),
        ji.at_least(1.1, of(fit / runs["regression_error"].min("record"), decayed),
                    "the fit dips below its plateau: plateau over least regression error, least [fact 3; slack ours]"),
        ji.at_least(1, of(np.minimum(settle / dip, forget / settle), decayed),
                    f"phases in order (dip, settled to 5%, off-subspace error at {FORGOTTEN:g} of its start): step at "
                    "the end of one over the one before, least [paper]", strict=True),
        ji.at_least(0.8, of(off, plain),
                    "without decay the off-subspace error stays: end over start, least [ours]"),
    ]  # fmt: skip


EXPERIMENT = ji.Experiment(grids, draw, claims, analyse, paper=ji.FIG_1A)
