"""Wider networks: do they converge faster, and do they generalize better? (arXiv 2502.15522)

Claims [paper]: overparameterization accelerates convergence; regularization and overparameterization improve
generalization. What is compared decides. The default step size eta falls like 1/d_w and lambda does not depend on d_w,
so off the subspace a wide network needs more steps, though the same eta lambda t. Verdicts compare equal numbers of
steps and, off the subspace, equal eta lambda t too. Generalization is the relative RMSE on fresh signals at relative
test noise 0.3, after all steps. Narrow networks may diverge at the default step size: widths are compared from the
narrowest at which most seeds train.

The sizes d=200, m=100, s=5 are [paper]. The widths, depth 3, Gaussian operator, fan-in initialization, step size, gamma
= 0.1, noise-free training samples, condition number 1 and the number of steps are [ours].

Refuted unless the widest network needs at least 5% fewer steps than the narrowest that trains, its test error is at
least 5% lower, and decay lowers the test error by that much at every width. An exact fact stands against the second
claim: the minimum of the regularised objective is the same at every width of at least s, as its optimum has no higher
rank, so what is reached after enough steps with decay should not depend on the width.
"""

import json

import numpy as np

import jaxinv as ji
from jaxinv import curves, figures, theory
from jaxinv.metrics import measured_extremes

FIT, OFF, NOISE = 1e-4, 0.1, 0.3
"""The regression error and the off-subspace error to reach; relative test noise."""

ENOUGH = 0.95
"""The ratio from which on down a difference counts as one."""


METRICS = ["regression_error", "off_subspace_error", "test_error", "noise_sensitivity",
           ji.Metric("measured_extremes", measured_extremes, ("extreme",))]  # fmt: skip

PAPER = ji.Sweep(
    axes={"width": [50, 100, 200, 400, 800], "gamma": [0.0, 0.1], "seed": range(16)},
    fixed={"signal_dim": 200, "measurement_dim": 100, "subspace_dim": 5, "samples": 1000, "depth": 3},
    steps=2500,
    records=100,
    metrics=METRICS,
)
QUICK = ji.Sweep(
    axes={"width": [16, 32, 64, 128, 256], "gamma": [0.0, 0.1], "seed": range(4)},
    fixed={"signal_dim": 64, "measurement_dim": 32, "subspace_dim": 3, "samples": 200, "depth": 3},
    steps=2000,
    records=60,
    metrics=METRICS,
)


def steps_to(results, metric, gamma, level):
    """Steps until `metric` is at most `level`, (width, seed); infinite where a run never gets there."""
    rows = results[metric].sel(gamma=gamma).transpose("width", "seed", "record").values
    steps = curves.steps_to(results.step.values, rows, level)
    return np.where(np.isnan(steps), np.inf, steps)


def decay(results, gamma):
    """eta lambda, (width, seed)."""
    rows = results.step_size * results.weight_decay
    return rows.sel(gamma=gamma).transpose("width", "seed").values


def final_error(results, gamma):
    """Test error at relative noise NOISE after all steps, (width, seed); infinite where a run diverged."""
    last = results.sel(gamma=gamma).isel(record=-1).transpose("width", "seed", ...)
    rows = ji.noisy_test_error(last.test_error.values, last.noise_sensitivity.values, NOISE)
    return np.where(np.isnan(rows), np.inf, rows)


def diverged(results):
    """Whether a run diverged at any gamma, (width, seed)."""
    return results.diverged.any("gamma").transpose("width", "seed").values


def wide_limit(results):
    """Steps to FIT without decay in the limit of infinite width, (width, seed); infinite where it diverges.

    The error then contracts by max |1 - eta mu|, mu between the extreme eigenvalues of ((L-1) d_w/m + 1) Y^T Y
    (theory.py, fact 7).
    """
    start = results.sel(gamma=0.0).isel(record=0).transpose("width", "seed", ...)
    arguments = json.loads(results.attrs["arguments"])
    depth, m = arguments["network"]["depth"], arguments["problem"]["measurement_dim"]
    factor = theory.wide_factor(results.width.values[:, None], depth, m)
    eigenvalues = factor[..., None] * start.measured_extremes.values**2
    contraction = np.abs(1 - start.step_size.values[..., None] * eigenvalues).max(axis=-1)
    with np.errstate(divide="ignore"):
        return np.log(start.regression_error.values / FIT) / np.maximum(-np.log(contraction), 0)


def width_labels(results, x):
    """Labels of the ticks of `x`, with the number of seeds that diverged where there are any."""
    failed = diverged(results)
    losses = [f"\n{row.sum()} of {len(row)}\ndiverged" if row.any() else "" for row in failed]
    return [f"{ratio:g}{loss}" for ratio, loss in zip(x, losses, strict=True)]


def draw_curves(axes, results, strongest):
    """Fit without decay against the step, off-subspace error with it against eta lambda t, one colour a width."""
    from matplotlib import colormaps

    shades = colormaps["viridis"](np.linspace(0.85, 0.05, results.sizes["width"]))
    step, products = np.maximum(results.step.values, 0.5), decay(results, strongest)
    for i, (width, failed) in enumerate(zip(results.width.values, diverged(results), strict=True)):
        if failed.all():
            continue
        point = results.sel(width=width).isel(seed=~failed).transpose("gamma", "seed", ...)
        label = f"$d_w$ = {width:g}"
        fit, off = point.regression_error.sel(gamma=0.0), point.off_subspace_error.sel(gamma=strongest)
        figures.band(axes["fit"], step, fit.values, colour=shades[i], label=label)
        figures.band(axes["off"], results.step.values * products[i, 0], off.values, colour=shades[i])
    figures.log_log(axes["fit"], "gradient descent step (0 drawn at 0.5)", "regression error", "a  fit, no decay")
    axes["fit"].set_ylim(FIT / 3, 3)
    axes["fit"].set_xlim(right=10 * np.nanmin(wide_limit(results)))
    axes["fit"].legend(*axes["fit"].get_legend_handles_labels(), loc="lower left")
    figures.log_log(
        axes["off"], "$\\eta\\lambda t$", "off-subspace error", f"b  off the subspace, $\\gamma$ = {strongest:g}"
    )
    axes["off"].set(xscale="linear", xlim=(0, 5), ylim=(1e-2, 5))


@figures.styled
def draw(results):
    """Training curves by width above, what the claims are about against the width below."""
    strongest = float(results.gamma.max())
    figure, axes = figures.panels(2 * figures.COLUMN_WIDTH, 4.8, [["fit", "off"], ["steps", "test"]])
    draw_curves(axes, results, strongest)
    x = results.width.values / json.loads(results.attrs["arguments"])["problem"]["measurement_dim"]
    colours = figures.decay_colours([0.0, strongest])
    fit, off = steps_to(results, "regression_error", 0.0, FIT), steps_to(results, "off_subspace_error", strongest, OFF)
    figures.finite_band(
        axes["steps"], x, off, colour=colours[strongest], label=f"off-subspace error {OFF:g}, with decay"
    )
    figures.finite_band(axes["steps"], x, fit, colour=colours[0.0], label=f"regression error {FIT:g}, no decay")
    wide = np.median(wide_limit(results), axis=1)
    axes["steps"].plot(x, wide, "--", color=figures.REFERENCE, label="the same, limit of infinite width")
    for gamma, label in ((0.0, "no decay"), (strongest, f"$\\gamma$ = {strongest:g}")):
        figures.finite_band(axes["test"], x, final_error(results, gamma), colour=colours[gamma], label=label)
    figures.log_log(axes["steps"], "width over measurements $d_w/m$", "steps to reach", "c  convergence")
    figures.log_log(axes["test"], "width over measurements $d_w/m$", "relative RMSE",
                    f"d  fresh signals, test noise {NOISE:g}")  # fmt: skip
    for panel, room in ((axes["steps"], 30), (axes["test"], 4)):
        panel.set_ylim(bottom=0.4 * panel.get_ylim()[0], top=room * panel.get_ylim()[1])
        panel.set_xlim(x[0] / 1.4, x[-1] * 1.4)
        panel.set_xticks(x, width_labels(results, x))
        panel.set_xticks([], minor=True)
        panel.legend(*panel.get_legend_handles_labels(), loc="upper right")
    return figure


def compare(rows, kept):
    """The ratio of the widest to the narrowest of the `kept` widths, median over seeds; NaN without two of them.

    Infinite where neither arrives, 0 where only the widest does.
    """
    if kept.sum() < 2:
        return np.nan
    narrowest, widest = rows[kept][[0, -1]]
    with np.errstate(invalid="ignore"):
        ratios = widest / narrowest
    return float(np.median(np.where(np.isnan(ratios), np.inf, ratios)))


def disagreement(rows):
    """How much more the largest of the masked `rows`, (width, seed), is than the least: worst seed; NaN for none."""
    return float(np.max(rows.max(axis=0) / rows.min(axis=0) - 1)) if rows.count() else np.nan


def judge(results):
    """Widest against narrowest of the widths at which most seeds train, and decay against none at each of them."""
    strongest = float(results.gamma.max())
    failed = diverged(results)
    kept = failed.mean(axis=1) < 0.5
    off = steps_to(results, "off_subspace_error", strongest, OFF)
    plain, decayed = final_error(results, 0.0), final_error(results, strongest)
    ends = results.regression_error.sel(gamma=strongest).isel(record=-1).transpose("width", "seed").values
    lost, spread = float(failed[-1].mean()), disagreement(np.ma.masked_array(ends, failed)[kept])
    faster = compare(steps_to(results, "regression_error", 0.0, FIT), kept)
    slower, scaled = compare(off, kept), compare(off * decay(results, strongest), kept)
    better, better_plain = compare(decayed, kept), compare(plain, kept)
    helped = float(np.max(decayed[~failed] / plain[~failed])) if not failed.all() else np.nan
    against, error = "widest over narrowest that trains", f"test error at noise {NOISE:g}"
    clearly = f"at most {ENOUGH:g} [paper: {{}}; 5% ours]".format
    return [
        ji.Verdict("share of seeds that diverge at the widest", lost, "0 [paper: wide enough converges]", lost == 0),
        ji.Verdict(f"steps to regression error {FIT:g} without decay, {against}", faster,
                   clearly("overparameterization accelerates convergence"), faster <= ENOUGH),
        ji.Verdict(f"steps to off-subspace error {OFF:g} with gamma = {strongest:g}, {against}", slower,
                   clearly("the same, of the last phase"), slower <= ENOUGH),
        ji.Verdict(f"eta lambda t to off-subspace error {OFF:g} with gamma = {strongest:g}, {against}", scaled,
                   "within 0.2 of 1 [ours: log(c / eps), c of one size at all widths]", abs(scaled - 1) <= 0.2),
        ji.Verdict(f"{error} with gamma = {strongest:g}, {against}", better,
                   clearly("overparameterization improves generalization"), better <= ENOUGH),
        ji.Verdict(f"{error} without decay, {against}", better_plain,
                   clearly("overparameterization improves generalization"), better_plain <= ENOUGH),
        ji.Verdict(f"{error}, gamma = {strongest:g} over none, largest over the runs that train", helped,
                   clearly("regularization improves generalization"), helped <= ENOUGH),
        ji.Verdict(f"final regression error, gamma = {strongest:g}, largest over smallest width less 1, worst seed",
                   spread, "at most 0.01 [exact: one optimum for all widths; 1% ours]", spread <= 0.01),
    ]  # fmt: skip


EXPERIMENT = ji.Experiment(
    name="overparameterization",
    claim="wider networks converge faster and, as regularized ones do, generalize better",
    source="claims of arXiv 2502.15522; signal, measurement and subspace dimensions the paper's, all else ours",
    grids={"quick": QUICK, "paper": PAPER},
    draw=draw,
    judge=judge,
    paper={"signal_dim": 200, "measurement_dim": 100, "subspace_dim": 5, "width": 400, "depth": 5},
)
