"""Wider networks converge faster and, as regularized ones do, generalize better.

Claims [paper, arXiv 2502.15522]: overparameterization accelerates convergence; regularization and overparameterization
improve generalization. What is compared decides. Without decay networks of d_w >= 100 m, up to 1,048,576, are held
against the narrowest that trains, and against their limit of infinite width (fact 7 of jaxinv.theory [ours]). The
default step size eta falls like 1/d_w and lambda does not depend on d_w, so off the subspace a wide network needs more
steps, though the same eta lambda t: claims with decay are judged up to d_w = 8 m, at equal numbers of steps and, off
the subspace, at equal eta lambda t too. Generalization is the relative RMSE on fresh signals at relative test noise
0.3, after all steps. Widths are compared from the narrowest at which most seeds do not diverge.

The sizes d=200, m=100, s=5 are [paper]. The widths, depth 3, Gaussian operator, fan-in initialization, step size, gamma
= 0.1, noise-free training samples, condition number 1 and the number of steps are [ours].

Refuted unless wide networks need at least 5% fewer steps than the narrowest that trains, the test error of the widest
with decay is at least 5% lower, and decay lowers the test error by that much at every width. An exact fact stands
against the second claim: all widths from s on have the same regularised optimum, of rank s at most, so training should
end alike.
"""

from functools import partial

import jaxinv as ji
from jaxinv.measures import curves, predictions, statistics
from jaxinv.studies import plots

FIT, OFF, NOISE, ENOUGH, WIDE = 1e-4, 0.1, 0.3, 0.95, 100
"""Regression error and off-subspace error to reach; test noise; ratio that counts as different; d_w/m that is wide."""

SIZES = {
    "quick": {"signal_dim": 64, "measurement_dim": 32, "subspace_dim": 3, "samples": 200},
    "paper": {"signal_dim": 200, "measurement_dim": 100, "subspace_dim": 5, "samples": 1000},
}


def grids(preset):
    """Widths from m/2 to 8 m without and with weight decay ("narrow"), and to 10^6 without ("wide")."""
    narrow, wide, seeds, steps, records = {
        "quick": ([16, 32, 64, 128, 256], [16, 32, 64, 128, 3200, 2**20], 4, 2000, 60),
        "paper": ([50, 100, 200, 400, 800], [50, 100, 200, 400, 800, 3200, 10_000, 100_000, 2**20], 16, 2500, 100),
    }[preset]
    fixed, seed = {**SIZES[preset], "depth": 3}, range(seeds)
    return {
        "narrow": ji.Sweep({"width": narrow, "gamma": [0.0, 0.1], "seed": seed}, fixed, steps, records,
                           ["regression_error", "off_subspace_error", "test_error", "noise_sensitivity"]),
        "wide": ji.Sweep({"width": wide, "seed": seed}, fixed, 600, 60, ["regression_error"], engine="auto",
                         tolerance=1e-4),
    }  # fmt: skip


def analyse(runs):
    """Steps to FIT without decay and to OFF with it, infinite where a run never gets there.

    `limit`: to FIT as the width goes to infinity (fact 7). With coordinates to draw against: `ratio`, d_w/m, and
    `eta_lambda_t`, the same for all seeds.
    """
    import xarray

    narrow, wide = runs["narrow"], runs["wide"]
    plain, decayed = (narrow.data.sel(gamma=gamma, drop=True) for gamma in (0.0, narrow["gamma"].max()))
    eta_lambda = (decayed["step_size"] * decayed["weight_decay"]).isel(seed=0, drop=True)
    ratios = [each["width"] / each.argument("measurement_dim") for each in (narrow, wide)]
    fixed = {"width": wide["width"], "depth": wide.argument("depth"), "most": 9000}
    return {
        "narrow": xarray.Dataset({
            "fit_steps": curves.run_steps_to(plain["regression_error"], FIT),
            "off_steps": curves.run_steps_to(decayed["off_subspace_error"], OFF),
        }, {"ratio": ratios[0], "eta_lambda_t": eta_lambda * narrow["step"]}),
        "wide": xarray.Dataset({
            "steps": curves.run_steps_to(wide["regression_error"], FIT),
            "limit": predictions.wide_steps_to(wide.build, wide["step_size"], FIT, **fixed),
        }, {"ratio": ratios[1]}),
    }  # fmt: skip


def draw(runs):
    """Steps of the fit against width to 10^6 above; below training curves by width, and what decay does up to 8 m."""
    layout = [["wide", "wide"], ["fit", "off"], ["steps", "test"]]
    figure, axes = plots.panels(2 * plots.COLUMN_WIDTH, 6.8, layout)
    draw_widths(axes["wide"], runs["wide"])
    draw_narrow(axes, runs["narrow"])
    return figure


def draw_widths(axes, wide):
    """Measured, and in the limit of infinite width (dashed); a line at WIDE."""
    plots.bands(axes, wide["steps"], x="ratio", shade=plots.NO_DECAY, marker=3, label="median and range over seeds")
    plots.bands(axes, wide["limit"], x="ratio", style="--", label="limit of infinite width", span=(0.5, 0.5))
    axes.axvline(WIDE, color=plots.REFERENCE, lw=1, ls=":", label=f"$d_w$ = {WIDE} m")
    title = f"a  fit to regression error {FIT:g}, no decay"
    plots.log_log(axes, "width over measurements $d_w/m$ (below: diverged)", "steps to reach", title)
    plots.ticks_with_diverged(axes, wide["diverged"], x="ratio", words="{}/{}")
    plots.plain_ticks(axes.yaxis)
    plots.legend(axes, "upper right")


def draw_narrow(axes, runs):
    """Training curves by width, and steps off the subspace and test error against the width."""
    strongest, failed, ratio = runs["gamma"].max().item(), runs["diverged"].any("gamma"), runs["ratio"]
    decayed = plots.colours_of("gamma", [0.0, strongest])[strongest]
    fit, off = runs.select("regression_error", gamma=0.0), runs.select("off_subspace_error", gamma=strongest)
    error = ji.noisy_test_error(runs.end("test_error"), runs.end("noise_sensitivity"), NOISE)
    plots.bands(axes["fit"], fit.where(~failed), x="step", colour="width")
    plots.bands(axes["off"], off.where(~failed), x="eta_lambda_t", colour="width")
    plots.bands(axes["steps"], runs["off_steps"], x="ratio", shade=decayed)
    plots.bands(axes["test"], error, x="ratio", colour="gamma")
    against, with_decay = "width over measurements $d_w/m$", f"$\\gamma$ = {strongest:g}"
    plots.log_log(axes["fit"], plots.STEP, "regression error", "b  fit, no decay")
    plots.log_log(axes["off"], "$\\eta\\lambda t$", "off-subspace error", f"c  off the subspace, {with_decay}")
    plots.log_log(axes["steps"], against, "steps to reach", f"d  off-subspace error {OFF:g}, {with_decay}")
    plots.log_log(axes["test"], against, "relative RMSE", f"e  fresh signals, test noise {NOISE:g}")
    axes["fit"].set(ylim=(FIT / 3, 3), xlim=(None, 10 * runs["fit_steps"].min()))
    axes["off"].set(xscale="linear", xlim=(0, 5), ylim=(1e-2, 5))
    plots.legend(axes["fit"], "lower left")
    for panel, room in ((axes["steps"], 2), (axes["test"], 4)):
        low, high = panel.get_ylim()
        panel.set(ylim=(0.4 * low, room * high), xlim=(ratio[0] / 1.4, ratio[-1] * 1.4))
        plots.ticks_with_diverged(panel, failed, x="ratio")
    plots.legend(axes["test"], "upper right")


def claims(runs):
    """Wide networks, and the widest with decay, against the narrowest that trains; decay against none at each width."""
    wide, runs = runs["wide"], runs["narrow"]
    strongest, failed = runs["gamma"].max().item(), runs["diverged"].any("gamma")
    kept, trained = ((lost.mean("seed") < 0.5).cumsum("width") > 0 for lost in (failed, wide["diverged"]))
    compare = partial(statistics.last_over_first, axis="width", kept=kept)
    eta_lambda = (runs["step_size"] * runs["weight_decay"]).sel(gamma=strongest).where(~failed)
    error = ji.noisy_test_error(runs.end("test_error"), runs.end("noise_sensitivity"), NOISE).where(~failed)
    plain, decayed = error.sel(gamma=0.0), error.sel(gamma=strongest)
    ends = runs.end("regression_error", gamma=strongest).where(~failed).fillna(float("inf")).where(kept)
    spread = (ends.max("width") / ends.min("width") - 1).where(kept.sum("width") > 1)
    many, wide_steps = wide["ratio"] >= WIDE, wide["steps"].where(~wide["diverged"])
    from_narrowest = {"values": wide_steps.sel(width=trained), "kept": many.sel(width=trained)}
    to_limit = (wide_steps / wide["limit"]).isel(width=-1)
    decay, regime = f"with gamma = {strongest:g}", f"d_w >= {WIDE} m"
    against = f"d_w = {runs['ratio'].values[-1]:g} m over the narrowest that trains"
    fit, off = f"regression error {FIT:g} without decay", f"off-subspace error {OFF:g} {decay}"
    loud, faster = f"test error at noise {NOISE:g}", "[paper: overparameterization accelerates convergence; 5% ours]"
    better = "[paper: {} improves generalization; 5% ours]".format
    return [
        ji.at_most(0, wide["diverged"].where(many, drop=True).mean(),
                   f"share of seeds that diverge, {regime} [paper: wide enough converges]"),
        ji.at_most(ENOUGH, statistics.each_over_first(axis="width", **from_narrowest),
                   f"steps to {fit}, {regime} over the narrowest that trains, median over seeds, largest of widths "
                   f"{faster}"),
        ji.within(0.1, to_limit, 1, f"steps to {fit}, d_w = {wide['width'].values[-1]:,}, over their limit of infinite "
                  "width, farthest of seeds [ours: fact 7]"),
        ji.at_most(ENOUGH, compare(runs["fit_steps"].where(~failed)),
                   f"steps to {fit}, {against} [ours: observation, 5%]"),
        ji.at_most(ENOUGH, compare(runs["off_steps"].where(~failed)), f"steps to {off}, {against} {faster}"),
        ji.within(0.2, [compare(runs["off_steps"] * eta_lambda, lost=lost) for lost in (0.0, float("inf"))], 1,
                  f"eta lambda t to {off}, {against} [ours: log(c / eps), c of one size at all widths]"),
        ji.at_most(ENOUGH, compare(decayed), f"{loud} {decay}, {against} {better('overparameterization')}"),
        ji.at_most(ENOUGH, compare(plain), f"{loud} without decay, {against} {better('overparameterization')}"),
        ji.at_most(ENOUGH, statistics.values_where(decayed / plain, kept), f"{loud} {decay} over none, largest over "
                   f"the widths compared, to {runs['ratio'].values[-1]:g} m, and seeds {better('regularization')}"),
        ji.at_most(0.01, spread, f"final regression error {decay}, largest over smallest width less 1, worst "
                   "seed [exact: one optimum for all widths; 1% ours]"),
    ]  # fmt: skip


EXPERIMENT = ji.Experiment(grids, draw, claims, analyse, paper=ji.FIG_1A)
