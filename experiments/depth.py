"""Deeper networks converge faster.

Claim [paper, arXiv 2502.15522]: deeper networks accelerate convergence. The step size at which depths are compared
decides, so two rules are run: "default" is eta = m/(L d_w sigma_max(X)^2), which falls like 1/L (a single layer has no
hidden width: d_w = m); "shared" is one step size for all depths, half the default of depth 10 at d_w = 4m. Convergence
is that of the fit without decay and of the off-subspace error with it, early and late in each. Expected [ours]: in the
limit of infinite width the fit contracts by 1 - eta ((L-1) d_w/m + 1) sigma_min(Y)^2, and the off-subspace error falls
at first like (1 - eta lambda)^{L t}, both faster with depth at a shared step size; late it falls like (1 - eta
lambda)^t, which depth does not help, and which slows down where eta falls like 1/L. Generalization, which the paper
does not tie to depth, is the relative RMSE on fresh signals at relative test noise 0.3 after all steps.

The sizes d=200, m=100, s=5, d_w=400 and, of the depths, L=5 are [paper]. The other depths, step sizes, Gaussian
operator, fan-in initialization, gamma = 0.1, noise-free samples, condition number 1 and the number of steps are [ours].

Refuted, for each of these senses, unless the deepest network needs at least 5% fewer steps than the one with two
layers. Depth 1 is drawn, but has no hidden layer to compare.
"""

import jaxinv as ji
from jaxinv import theory
from jaxinv.checks import check_known
from jaxinv.measures import curves, statistics, structure
from jaxinv.studies import plots

START, FIT, HALF, OFF, NOISE, ENOUGH = 0.1, 1e-4, 0.5, 0.2, 0.3, 0.95
"""The levels of GOALS; relative test noise; the ratio up to which a difference counts."""

GOALS = [f"regression error {START:g} without decay", f"regression error {FIT:g} without decay",
         "half the off-subspace error with decay", f"off-subspace error {OFF:g} with decay"]  # fmt: skip
RULES = {"shared": "one step size", "default": "default step sizes"}
SIZES = {
    "quick": {"signal_dim": 64, "measurement_dim": 32, "subspace_dim": 3, "samples": 200, "width": 128},
    "paper": {"signal_dim": 200, "measurement_dim": 100, "subspace_dim": 5, "samples": 1000, "width": 400},
}


def descent(problem, network, *, gamma: float, step_rule: str, shared_step: float):
    """The default descent ("default"), or with step size shared_step / sigma_max(X)^2 at every depth ("shared")."""
    rules = {"default": None, "shared": shared_step / problem.signal_extremes[0] ** 2}
    check_known("step_rule", step_rule, rules)
    return ji.gradient_descent(problem, network, gamma=gamma, step_size=rules[step_rule])


def grids(preset):
    """Depths from a single layer to ten, at both rules of the step size, without and with weight decay."""
    depths, seeds, records = {"quick": ([1, 2, 5, 10], 4, 50), "paper": ([1, 2, 3, 5, 7, 10], 8, 60)}[preset]
    return ji.Sweep(
        axes={"depth": depths, "step_rule": ["default", "shared"], "gamma": [0.0, 0.1], "seed": range(seeds)},
        fixed={**SIZES[preset], "shared_step": 0.0125}, steps=3000, records=records, descent=descent,
        metrics=["regression_error", "off_subspace_error", "test_error", "noise_sensitivity",
                 ji.Metric("measured_extremes", structure.measured_extremes, ("extreme",))],
    )  # fmt: skip


def analyse(runs):
    """`steps` to each of GOALS, infinite where a run never gets there, and what jaxinv.theory expects of two of them.

    `wide_steps`: to FIT as the width goes to infinity (fact 7); `early_steps`: to HALF at the first rate (fact 2).
    """
    import xarray

    plain, decayed = (runs.data.sel(gamma=gamma, drop=True) for gamma in (0.0, runs["gamma"].max()))
    start, fit, off = plain.isel(record=0, drop=True), plain["regression_error"], decayed["off_subspace_error"]
    reached = [(fit, START), (fit, FIT), (off / off.isel(record=0, drop=True), HALF), (off, OFF)]
    factor = theory.wide_factor(runs.argument("width"), runs["depth"], runs.argument("measurement_dim"))
    rate = theory.wide_log_rate(start["step_size"], start["measured_extremes"].transpose("extreme", ...), factor)
    half = theory.steps_to_off_subspace(HALF, 1.0, decayed["step_size"], decayed["weight_decay"])
    return xarray.Dataset({
        "steps": xarray.concat([curves.run_steps_to(*each) for each in reached], xarray.Variable("goal", GOALS)),
        "wide_steps": theory.steps_at_log_rate(FIT, start["regression_error"], rate),
        "early_steps": half / runs["depth"],
    }, {"goal": GOALS})  # fmt: skip


def draw(runs):
    """Training curves by depth at one step size above, what the claim is about against depth below."""
    strongest, failed = runs["gamma"].max().item(), runs["diverged"].any("gamma")
    plain, decayed = (plots.colours_of("gamma", [0.0, strongest])[gamma] for gamma in (0.0, strongest))
    layout = [["fit"] * 3 + ["off"] * 3, ["shared"] * 2 + ["default"] * 2 + ["test"] * 2]
    figure, axes = plots.panels(2 * plots.COLUMN_WIDTH, 5.0, layout)
    for panel, metric, gamma in (("fit", "regression_error", 0.0), ("off", "off_subspace_error", strongest)):
        trained = runs.select(metric, step_rule="shared", gamma=gamma).where(~failed.sel(step_rule="shared"))
        plots.bands(axes[panel], trained, x="step", colour="depth")
    wide_label, early_label = f"{FIT:g}, limit of infinite width", "half, rate $(1-\\eta\\lambda)^{L}$"
    for rule in RULES:
        for goal, shade, style in zip(GOALS, [plain, plain, decayed, decayed], ":-:-", strict=True):
            steps = runs.select("steps", step_rule=rule, goal=goal)
            plots.bands(axes[rule], steps, x="depth", shade=shade, style=style, label=goal)
        for name, style, label in (("wide_steps", "--", wide_label), ("early_steps", ":", early_label)):
            median = runs.select(name, step_rule=rule).median("seed")
            axes[rule].plot(median["depth"], median, style, color=plots.REFERENCE, lw=1, label=label)
    error = ji.noisy_test_error(runs.end("test_error"), runs.end("noise_sensitivity"), NOISE)
    plots.bands(axes["test"], error.sel(step_rule="default"), x="depth", colour="gamma")
    against, off_title = "depth $L$ (below: diverged)", f"b  off the subspace, one step size, $\\gamma$ = {strongest:g}"
    plots.log_log(axes["fit"], plots.STEP, "regression error", "a  fit, one step size, no decay")
    plots.log_log(axes["off"], plots.STEP, "off-subspace error", off_title)
    plots.log_log(axes["shared"], against, "steps to reach", f"c  {RULES['shared']}")
    plots.log_log(axes["default"], against, "steps to reach", f"d  {RULES['default']}")
    plots.log_log(axes["test"], against, "relative RMSE", f"e  default, test noise {NOISE:g}")
    for panel, rule in (("shared", "shared"), ("default", "default"), ("test", "default")):
        plots.ticks_with_diverged(axes[panel], failed.sel(step_rule=rule), words="{}/{}")
    axes["default"].sharey(axes["shared"])
    axes["shared"].autoscale_view()
    axes["fit"].set_ylim(FIT / 3, 5)
    axes["test"].set_ylim(0.03, 2)
    plots.legend(axes["fit"], "lower left", ncols=2)
    plots.legend(axes["test"], "upper right")
    plots.shared_legend(figure, [axes["shared"]], ncols=3)
    return figure


def claims(runs):
    """Deepest against two layers in each sense, and decay against none at each depth."""
    strongest, hidden, lost = runs["gamma"].max().item(), runs["depth"] > 1, runs["diverged"].any("gamma")
    steps = runs["steps"].where(~lost)
    deepest, shallowest = runs["depth"].max().item(), runs["depth"].where(hidden).min().item()
    error = ji.noisy_test_error(runs.end("test_error"), runs.end("noise_sensitivity"), NOISE).sel(step_rule="default")
    helped = (error.sel(gamma=strongest) / error.sel(gamma=0.0)).fillna(float("inf")).median("seed")
    return [
        ji.at_most(0, runs["diverged"].mean(), "share of runs that diverge [ours: a practical step size trains]"),
        *(ji.at_most(ENOUGH, statistics.last_over_first(steps.sel(step_rule=rule, goal=goal), "depth", hidden),
                     f"steps to {goal}, {words}, depth {deepest:g} over {shallowest:g} "
                     "[paper: deeper networks accelerate convergence; 5% ours]")
          for rule, words in RULES.items() for goal in GOALS),
        ji.at_most(ENOUGH, helped, f"test error at noise {NOISE:g}, gamma = {strongest:g} over none, median over seeds "
                   "(diverged: infinite), largest of depths [paper: regularization improves generalization; 5% ours]"),
    ]  # fmt: skip


EXPERIMENT = ji.Experiment(grids, draw, claims, analyse, paper=ji.FIG_1A)
