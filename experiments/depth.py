"""Deeper networks converge faster.

Claim [paper, arXiv 2502.15522]: deeper networks accelerate convergence, once they are overparameterized. So the fit
without decay is judged at widths d_w >= 100 m, beyond L = 5 from 4 L^2 m on (our reading of "overparameterized":
networks are told from their limit of infinite width by about L sqrt(m/d_w)), up to d_w = 1,048,576. In that limit the
fit contracts by 1 - eta ((L-1) d_w/m + 1) sigma_min(Y)^2 [ours]. The step size at which depths are compared decides, so
two rules are run: "default", eta = m/(L d_w sigma_max(X)^2), falls like 1/L (a single layer has no hidden width: d_w =
m); "shared" is one for all depths, half the default of depth 10. What networks of d_w = 4 m do is an observation of
ours: there deeper is slower at default step sizes, and at one step size far from what it is in the limit.

Claims with decay, which takes steps in proportion to d_w, are judged at d_w = 4 m: on the off-subspace error (expected
[ours]: it falls at first like (1 - eta lambda)^{L t}, late like (1 - eta lambda)^t), and on generalization, which the
paper does not tie to depth: the relative RMSE on fresh signals at relative test noise 0.3 after all steps.

The sizes d=200, m=100, s=5, d_w=400 and, of the depths, L=5 are [paper]. The other depths and widths, step sizes,
Gaussian operator, fan-in initialization, gamma = 0.1, noise-free samples, condition number 1 and the steps are [ours].

Refuted unless every network that is deeper and wide enough needs at least 5% fewer steps than one of two layers; with
decay, unless the deepest does. Depth 1 is drawn, but has no hidden layer to compare.
"""

from functools import partial

import numpy as np

import jaxinv as ji
from jaxinv import theory
from jaxinv.checks import check_known
from jaxinv.measures import curves, predictions, statistics
from jaxinv.studies import plots

START, FIT, HALF, OFF, NOISE, ENOUGH, WIDE = 0.1, 1e-4, 0.5, 0.2, 0.3, 0.95, 100
"""The levels of GOALS; relative test noise; the ratio up to which a difference counts; d_w/m of a wide network."""

GOALS = [f"regression error {START:g} without decay", f"regression error {FIT:g} without decay",
         "half the off-subspace error with decay", f"off-subspace error {OFF:g} with decay"]  # fmt: skip
RULES = {"shared": "one step size", "default": "default step sizes"}
SIZES = {
    "quick": {"signal_dim": 64, "measurement_dim": 32, "subspace_dim": 3, "samples": 200},
    "paper": {"signal_dim": 200, "measurement_dim": 100, "subspace_dim": 5, "samples": 1000},
}


def descent(problem, network, *, gamma: float, step_rule: str, shared_step: float):
    """The default descent ("default"), or with step size shared_step m / (max(d_w, 4 m) sigma_max(X)^2) ("shared")."""
    per_width = problem.measurement_dim / max(network.width, 4 * problem.measurement_dim)
    rules = {"default": None, "shared": shared_step * per_width / problem.signal_extremes[0] ** 2}
    check_known("step_rule", step_rule, rules)
    return ji.gradient_descent(problem, network, gamma=gamma, step_size=rules[step_rule])


def grids(preset):
    """Depths to ten at d_w = 4 m ("narrow"), without and with decay; and at widths to 10^6 ("wide"), without."""
    depths, width, wide_depths, widths, seeds, records = {
        "quick": ([1, 2, 5, 10], 128, [2, 3], [128, 3200, 2**20], 4, 50),
        "paper": ([1, 2, 3, 5, 7, 10], 400, [2, 3, 5, 10], [400, 3200, 10_000, 100_000, 2**20], 8, 60),
    }[preset]
    fixed, axes = {**SIZES[preset], "shared_step": 0.05}, {"step_rule": ["default", "shared"], "seed": range(seeds)}
    return {
        "narrow": ji.Sweep({"depth": depths, "gamma": [0.0, 0.1], **axes}, {**fixed, "width": width}, 3000, records,
                           ["regression_error", "off_subspace_error", "test_error", "noise_sensitivity"],
                           descent=descent),
        "wide": ji.Sweep({"depth": wide_depths, "width": widths, **axes}, {**fixed, "gamma": 0.0}, 600, 60,
                         ["regression_error"], engine="auto", tolerance=1e-4, descent=descent),
    }  # fmt: skip


def analyse(runs):
    """`steps` to each of GOALS, infinite where a run never gets there, and what jaxinv.theory expects.

    `limit`: to FIT as the width goes to infinity (fact 7); `early_steps`: to HALF at the first rate (fact 2).
    """
    import xarray

    narrow, wide = runs["narrow"], runs["wide"]
    plain, decayed = (narrow.data.sel(gamma=gamma, drop=True) for gamma in (0.0, narrow["gamma"].max()))
    fit, off = plain["regression_error"], decayed["off_subspace_error"]
    reached = [(fit, START), (fit, FIT), (off / off.isel(record=0, drop=True), HALF), (off, OFF)]
    half = theory.steps_to_off_subspace(HALF, 1.0, decayed["step_size"], decayed["weight_decay"])
    limits = [predictions.wide_steps_to(each.build, step_size, FIT, width=width, depth=each["depth"], most=9000)
              for each, step_size, width in ((narrow, plain["step_size"], narrow.argument("width")),
                                             (wide, wide["step_size"], wide["width"]))]  # fmt: skip
    return {
        "narrow": xarray.Dataset({
            "steps": xarray.concat([curves.run_steps_to(*each) for each in reached], xarray.Variable("goal", GOALS)),
            "limit": limits[0], "early_steps": half / narrow["depth"],
        }, {"goal": GOALS}),
        "wide": xarray.Dataset({"steps": curves.run_steps_to(wide["regression_error"], FIT), "limit": limits[1]}),
    }  # fmt: skip


def draw(runs):
    """Steps of the fit against width above; below networks of d_w = 4 m: training curves, steps against depth."""
    layout = [["wide"] * 3 + ["one"] * 3, ["fit"] * 3 + ["off"] * 3, ["shared"] * 2 + ["default"] * 2 + ["test"] * 2]
    figure, axes = plots.panels(2 * plots.COLUMN_WIDTH, 7.4, layout)
    for panel, rule, letter in (("wide", "default", "a"), ("one", "shared", "b")):
        draw_widths(axes[panel], runs["wide"], rule, f"{letter}  fit, no decay, {RULES[rule]}")
    draw_narrow(axes, runs["narrow"])
    plots.shared_legend(figure, [axes["shared"]], ncols=3)
    return figure


def draw_widths(axes, wide, rule, title):
    """Measured, and in the limit of infinite width (dashed); a line at WIDE. The panels share their legends."""
    by_depth = partial(plots.bands, axes, x="width", colour="depth")
    by_depth(wide.select("steps", step_rule=rule), marker=3, label="" if rule == "shared" else None)
    by_depth(wide.select("limit", step_rule=rule), label="", style="--", span=(0.5, 0.5))
    axes.axvline(WIDE * wide.argument("measurement_dim"), color=plots.REFERENCE, lw=1, ls=":")
    plots.log_log(axes, "hidden width $d_w$ (runs that get there)", f"steps to error {FIT:g}", title)
    axes.set_ylim(top=2.5 * axes.get_ylim()[1])  # room for the legend
    plots.plain_ticks(axes.yaxis)
    if rule == "shared":
        plots.explain(axes, {"--": "limit of infinite width", ":": f"$d_w$ = {WIDE} m"})
    else:
        plots.legend(axes, "upper right", ncols=2)


def draw_narrow(axes, runs):
    """Training curves by depth at one step size, and steps and errors against depth."""
    strongest, failed = runs["gamma"].max().item(), runs["diverged"].any("gamma")
    plain, decayed = (plots.colours_of("gamma", [0.0, strongest])[gamma] for gamma in (0.0, strongest))
    for panel, metric, gamma in (("fit", "regression_error", 0.0), ("off", "off_subspace_error", strongest)):
        trained = runs.select(metric, step_rule="shared", gamma=gamma).where(~failed.sel(step_rule="shared"))
        plots.bands(axes[panel], trained, x="step", colour="depth")
    limit_label, early_label = f"{FIT:g}, limit of infinite width", "half, rate $(1-\\eta\\lambda)^{L}$"
    for rule in RULES:
        for goal, shade, style in zip(GOALS, [plain, plain, decayed, decayed], ":-:-", strict=True):
            steps = runs.select("steps", step_rule=rule, goal=goal)
            plots.bands(axes[rule], steps, x="depth", shade=shade, style=style, label=goal)
        for name, style, label in (("limit", "--", limit_label), ("early_steps", ":", early_label)):
            median = runs.select(name, step_rule=rule).median("seed")
            axes[rule].plot(median["depth"], median, style, color=plots.REFERENCE, lw=1, label=label)
    error = ji.noisy_test_error(runs.end("test_error"), runs.end("noise_sensitivity"), NOISE)
    plots.bands(axes["test"], error.sel(step_rule="default"), x="depth", colour="gamma")
    width = f"$d_w$ = {runs.argument('width') / runs.argument('measurement_dim'):g} m"
    against, off_title = "depth $L$ (below: diverged)", f"d  off the subspace, {width}, $\\gamma$ = {strongest:g}"
    plots.log_log(axes["fit"], plots.STEP, "regression error", f"c  fit, {width}, one step size, no decay")
    plots.log_log(axes["off"], plots.STEP, "off-subspace error", off_title)
    plots.log_log(axes["shared"], against, "steps to reach", f"e  {width}, {RULES['shared']}")
    plots.log_log(axes["default"], against, "steps to reach", f"f  {width}, {RULES['default']}")
    plots.log_log(axes["test"], against, "relative RMSE", f"g  default, test noise {NOISE:g}")
    for panel, rule in (("shared", "shared"), ("default", "default"), ("test", "default")):
        plots.ticks_with_diverged(axes[panel], failed.sel(step_rule=rule), words="{}/{}")
    axes["default"].sharey(axes["shared"])
    axes["shared"].autoscale_view()
    axes["fit"].set_ylim(FIT / 3, 5)
    axes["test"].set_ylim(0.03, 2)
    plots.legend(axes["fit"], "lower left", ncols=2)
    plots.legend(axes["test"], "upper right")


def claims(runs):
    """Deeper against two layers where networks are wide; in each other sense the deepest, at d_w = 4 m."""
    wide, narrow = runs["wide"], runs["narrow"]
    ratio = wide["width"] / wide.argument("measurement_dim")
    steps, of = wide["steps"].where(~wide["diverged"]), f"steps to {GOALS[1]}"
    enough, regime = ratio >= np.maximum(WIDE, 4 * wide["depth"] ** 2), f"d_w >= {WIDE} m (beyond L = 5: 4 L^2 m)"
    faster, trains = "paper: deeper networks accelerate convergence; 5% ours", "[ours: a practical step size trains]"
    farthest = f"d_w = {wide['width'].values[-1]:,}, over its limit of infinite width, farthest of runs"
    strongest, hidden, lost = narrow["gamma"].max().item(), narrow["depth"] > 1, narrow["diverged"].any("gamma")
    deepest, shallowest = narrow["depth"].max().item(), narrow["depth"].where(hidden).min().item()
    at = f"d_w = {narrow.argument('width') / narrow.argument('measurement_dim'):g} m"
    error = ji.noisy_test_error(narrow.end("test_error"), narrow.end("noise_sensitivity"), NOISE)
    gain = (error.sel(gamma=strongest) / error.sel(gamma=0.0)).sel(step_rule="default")
    over_limit = (narrow["steps"].sel(goal=GOALS[1]) / narrow["limit"]).where(~lost).fillna(0).isel(depth=-1)

    def last(rule, goal, whose, diverged=float("inf")):
        found = narrow["steps"].where(~lost).sel(step_rule=rule, goal=goal)
        words = f"steps to {goal}, {at}, {RULES[rule]}, depth {deepest:g} over {shallowest:g} [{whose}]"
        return statistics.last_over_first(found, "depth", hidden, diverged), words

    return [
        *(ji.at_most(ENOUGH, statistics.each_over_first(steps.sel(step_rule=rule), "depth", enough),
                     f"{of}, {regime}, {words}, deeper over two layers, median over seeds, largest of depths and "
                     f"widths [{faster}]") for rule, words in RULES.items()),
        ji.at_most(0, wide["diverged"].where(ratio >= WIDE, drop=True).mean(),
                   f"share of runs that diverge, d_w >= {WIDE} m {trains}"),
        ji.within(0.1, (steps / wide["limit"]).isel(width=-1), 1, f"{of}, {farthest} [ours: fact 7]"),
        ji.at_most(0, narrow["diverged"].mean(), f"share of runs that diverge, {at} {trains}"),
        *(ji.at_least(1 / ENOUGH, *last("default", goal, "ours: observation; diverged: 0", 0.0)) for goal in GOALS[:2]),
        ji.at_least(2, over_limit.sel(step_rule="shared").median("seed"), f"{of}, {at}, {RULES['shared']}, depth "
                    f"{deepest:g}, over its limit of infinite width, median over seeds [ours: observation]"),
        *(ji.at_most(ENOUGH, *last(rule, goal, faster)) for rule in RULES for goal in GOALS[2:]),
        ji.at_most(ENOUGH, gain.fillna(float("inf")).median("seed"), f"test error at noise {NOISE:g}, {at}, gamma = "
                   f"{strongest:g} over none, median over seeds (diverged: infinite), largest of depths "
                   "[paper: regularization improves generalization; 5% ours]"),
    ]  # fmt: skip


EXPERIMENT = ji.Experiment(grids, draw, claims, analyse, paper=ji.FIG_1A)
