"""Wider networks converge faster and, as regularized ones do, generalize better.

Claims [paper, arXiv 2502.15522]: overparameterization accelerates convergence; regularization and overparameterization
improve generalization. What is compared decides. The default step size eta falls like 1/d_w and lambda does not depend
on d_w, so off the subspace a wide network needs more steps, though the same eta lambda t. Verdicts compare equal
numbers of steps and, off the subspace, equal eta lambda t too. Generalization is the relative RMSE on fresh signals at
relative test noise 0.3, after all steps. Widths are compared from the narrowest at which most seeds do not diverge.

The sizes d=200, m=100, s=5 are [paper]. The widths, depth 3, Gaussian operator, fan-in initialization, step size, gamma
= 0.1, noise-free training samples, condition number 1 and the number of steps are [ours].

Refuted unless the widest network needs at least 5% fewer steps than the narrowest that trains, its test error is at
least 5% lower, and decay lowers the test error by that much at every width. An exact fact stands against the second
claim: all widths from s on have the same regularised optimum, of rank s at most, so training should end alike.
"""

from functools import partial

import jaxinv as ji
from jaxinv import theory
from jaxinv.measures import curves, statistics, structure
from jaxinv.studies import plots

FIT, OFF, NOISE, ENOUGH = 1e-4, 0.1, 0.3, 0.95
"""Regression error and off-subspace error to reach; relative test noise; the ratio up to which a difference counts."""

SIZES = {
    "quick": {"signal_dim": 64, "measurement_dim": 32, "subspace_dim": 3, "samples": 200},
    "paper": {"signal_dim": 200, "measurement_dim": 100, "subspace_dim": 5, "samples": 1000},
}


def grids(preset):
    """Widths from half the number of measurements to eight times it, without and with weight decay."""
    widths, seeds, steps, records = {
        "quick": ([16, 32, 64, 128, 256], 4, 2000, 60),
        "paper": ([50, 100, 200, 400, 800], 16, 2500, 100),
    }[preset]
    return ji.Sweep(
        axes={"width": widths, "gamma": [0.0, 0.1], "seed": range(seeds)},
        fixed={**SIZES[preset], "depth": 3},
        steps=steps, records=records,
        metrics=["regression_error", "off_subspace_error", "test_error", "noise_sensitivity",
                 ji.Metric("measured_extremes", structure.measured_extremes, ("extreme",))],
    )  # fmt: skip


def analyse(runs):
    """Steps to FIT without decay and to OFF with it, infinite where a run never gets there.

    `wide_steps`: to FIT as the width goes to infinity (fact 7 of jaxinv.theory). With coordinates to draw against:
    `ratio`, d_w/m, and `eta_lambda_t`, the same for all seeds.
    """
    import xarray

    plain, decayed = (runs.data.sel(gamma=gamma, drop=True) for gamma in (0.0, runs["gamma"].max()))
    start, m = plain.isel(record=0, drop=True), runs.argument("measurement_dim")
    factor = theory.wide_factor(runs["width"], runs.argument("depth"), m)
    rate = theory.wide_log_rate(start["step_size"], start["measured_extremes"].transpose("extreme", ...), factor)
    eta_lambda = (decayed["step_size"] * decayed["weight_decay"]).isel(seed=0, drop=True)
    return xarray.Dataset({
        "fit_steps": curves.run_steps_to(plain["regression_error"], FIT),
        "wide_steps": theory.steps_at_log_rate(FIT, start["regression_error"], rate),
        "off_steps": curves.run_steps_to(decayed["off_subspace_error"], OFF),
    }, {"ratio": runs["width"] / m, "eta_lambda_t": eta_lambda * runs["step"]})  # fmt: skip


def draw(runs):
    """Training curves by width above, what the claims are about against the width below."""
    strongest, failed, ratio = runs["gamma"].max().item(), runs["diverged"].any("gamma"), runs["ratio"]
    plain, decayed = (plots.colours_of("gamma", [0.0, strongest])[gamma] for gamma in (0.0, strongest))
    fit, off = runs.select("regression_error", gamma=0.0), runs.select("off_subspace_error", gamma=strongest)
    error = ji.noisy_test_error(runs.end("test_error"), runs.end("noise_sensitivity"), NOISE)
    figure, axes = plots.panels(2 * plots.COLUMN_WIDTH, 4.8, [["fit", "off"], ["steps", "test"]])
    plots.bands(axes["fit"], fit.where(~failed), x="step", colour="width")
    plots.bands(axes["off"], off.where(~failed), x="eta_lambda_t", colour="width")
    for name, shade, style, label in (
        ("off_steps", decayed, "-", f"off-subspace error {OFF:g}, with decay"),
        ("fit_steps", plain, "-", f"regression error {FIT:g}, no decay"),
        ("wide_steps", plots.REFERENCE, "--", "the same, limit of infinite width"),
    ):
        plots.bands(axes["steps"], runs[name], x="ratio", shade=shade, style=style, label=label)
    plots.bands(axes["test"], error, x="ratio", colour="gamma")
    against, off_title = "width over measurements $d_w/m$", f"b  off the subspace, $\\gamma$ = {strongest:g}"
    plots.log_log(axes["fit"], plots.STEP, "regression error", "a  fit, no decay")
    plots.log_log(axes["off"], "$\\eta\\lambda t$", "off-subspace error", off_title)
    plots.log_log(axes["steps"], against, "steps to reach", "c  convergence")
    plots.log_log(axes["test"], against, "relative RMSE", f"d  fresh signals, test noise {NOISE:g}")
    axes["fit"].set(ylim=(FIT / 3, 3), xlim=(None, 10 * runs["wide_steps"].min()))
    axes["off"].set(xscale="linear", xlim=(0, 5), ylim=(1e-2, 5))
    plots.legend(axes["fit"], "lower left")
    for panel, room in ((axes["steps"], 30), (axes["test"], 4)):
        low, high = panel.get_ylim()
        panel.set(ylim=(0.4 * low, room * high), xlim=(ratio[0] / 1.4, ratio[-1] * 1.4))
        plots.ticks_with_diverged(panel, failed, x="ratio")
        plots.legend(panel, "upper right")
    return figure


def claims(runs):
    """Widest against narrowest of the widths at which most seeds train, and decay against none at each of them."""
    strongest, failed = runs["gamma"].max().item(), runs["diverged"].any("gamma")
    kept = (failed.mean("seed") < 0.5).cumsum("width") > 0
    compare = partial(statistics.last_over_first, axis="width", kept=kept)
    eta_lambda = (runs["step_size"] * runs["weight_decay"]).sel(gamma=strongest).where(~failed)
    error = ji.noisy_test_error(runs.end("test_error"), runs.end("noise_sensitivity"), NOISE).where(~failed)
    plain, decayed = error.sel(gamma=0.0), error.sel(gamma=strongest)
    ends = runs.end("regression_error", gamma=strongest).where(~failed).fillna(float("inf")).where(kept)
    spread = (ends.max("width") / ends.min("width") - 1).where(kept.sum("width") > 1)
    against, decay = "widest over narrowest that trains", f"with gamma = {strongest:g}"
    fit, off = f"regression error {FIT:g} without decay", f"off-subspace error {OFF:g} {decay}"
    loud, faster = f"test error at noise {NOISE:g}", "[paper: overparameterization accelerates convergence; 5% ours]"
    better = "[paper: {} improves generalization; 5% ours]".format
    return [
        ji.at_most(0, failed.isel(width=-1).mean(),
                   "share of seeds that diverge at the widest [paper: wide enough converges]"),
        ji.at_most(ENOUGH, compare(runs["fit_steps"].where(~failed)), f"steps to {fit}, {against} {faster}"),
        ji.at_most(ENOUGH, compare(runs["off_steps"].where(~failed)), f"steps to {off}, {against} {faster}"),
        ji.within(0.2, [compare(runs["off_steps"] * eta_lambda, lost=lost) for lost in (0.0, float("inf"))], 1,
                  f"eta lambda t to {off}, {against} [ours: log(c / eps), c of one size at all widths]"),
        ji.at_most(ENOUGH, compare(decayed), f"{loud} {decay}, {against} {better('overparameterization')}"),
        ji.at_most(ENOUGH, compare(plain), f"{loud} without decay, {against} {better('overparameterization')}"),
        ji.at_most(ENOUGH, statistics.values_where(decayed / plain, kept),
                   f"{loud} {decay} over none, largest over the widths compared and seeds {better('regularization')}"),
        ji.at_most(0.01, spread, f"final regression error {decay}, largest over smallest width less 1, worst "
                   "seed [exact: one optimum for all widths; 1% ours]"),
    ]  # fmt: skip


EXPERIMENT = ji.Experiment(grids, draw, claims, analyse, paper=ji.FIG_1A)
