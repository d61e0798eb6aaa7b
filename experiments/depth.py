"""Deeper networks: in which sense do they converge faster? (arXiv 2502.15522)

Claim [paper]: deeper networks accelerate convergence. The step size at which depths are compared decides, so two
rules are run: "default" is eta = m/(L d_w sigma_max(X)^2), which falls like 1/L (a single layer has no hidden width:
d_w = m); "shared" is one step size for all depths, half the default of depth 10 at d_w = 4m. Convergence is that of
the fit without decay and of the off-subspace error with it, early and late in each. Expected [ours]: in the limit of
infinite width the fit contracts by 1 - eta ((L-1) d_w/m + 1) sigma_min(Y)^2, and the off-subspace error falls at first
like (1 - eta lambda)^{L t}, both faster with depth at a shared step size; late it falls like (1 - eta lambda)^t, which
depth does not help, and which slows down where eta falls like 1/L. Generalization, which the paper does not tie to
depth, is the relative RMSE on fresh signals at relative test noise 0.3 after all steps.

The sizes d=200, m=100, s=5, d_w=400 and, of the depths, L=5 are [paper]. The other depths, step sizes, Gaussian
operator, fan-in initialization, gamma = 0.1, noise-free training samples, condition number 1 and the number of steps
are [ours].

Refuted, for each of these senses, unless the deepest network needs at least 5% fewer steps than the one with two
layers. Depth 1 is drawn, but has no hidden layer to compare.
"""

import json

import numpy as np

import jaxinv as ji
from jaxinv import curves, figures, theory
from jaxinv.metrics import measured_extremes

START, FIT, HALF, OFF, NOISE = 0.1, 1e-4, 0.5, 0.2, 0.3
"""Regression errors to reach, early and late; the share of the first off-subspace error, and the off-subspace error,
to reach; relative test noise."""

ENOUGH = 0.95
"""The ratio from which on down a difference counts as one."""

DEPTH_LABEL = "depth $L$ (below: diverged)"


def descent(problem, network, *, gamma: float, step_rule: str, shared_step: float):
    """The default descent ("default"), or with step size shared_step / sigma_max(X)^2 at every depth ("shared")."""
    if step_rule == "default":
        return ji.gradient_descent(problem, network, gamma=gamma)
    return ji.gradient_descent(problem, network, gamma=gamma, step_size=shared_step / problem.signal_extremes[0] ** 2)


METRICS = ["regression_error", "off_subspace_error", "test_error", "noise_sensitivity",
           ji.Metric("measured_extremes", measured_extremes, ("extreme",))]  # fmt: skip
RULES = ["default", "shared"]

PAPER = ji.Sweep(
    axes={"depth": [1, 2, 3, 5, 7, 10], "step_rule": RULES, "gamma": [0.0, 0.1], "seed": range(8)},
    fixed={"signal_dim": 200, "measurement_dim": 100, "subspace_dim": 5, "samples": 1000, "width": 400,
           "shared_step": 0.0125},
    steps=3000,
    records=60,
    metrics=METRICS,
    descent=descent,
)  # fmt: skip
QUICK = ji.Sweep(
    axes={"depth": [1, 2, 5, 10], "step_rule": RULES, "gamma": [0.0, 0.1], "seed": range(4)},
    fixed={"signal_dim": 64, "measurement_dim": 32, "subspace_dim": 3, "samples": 200, "width": 128,
           "shared_step": 0.0125},
    steps=3000,
    records=50,
    metrics=METRICS,
    descent=descent,
)  # fmt: skip


def curves_of(results, metric, gamma):
    """The recorded curves, (depth, seed, record)."""
    return results[metric].sel(gamma=gamma).transpose("depth", "seed", "record").values


def waits(results):
    """Steps of one rule's runs to each goal, (depth, seed); infinite where a run never gets there.

    "start" and "fit" are regression errors without decay, "half" and "off" off-subspace errors with it.
    """
    fit = curves_of(results, "regression_error", 0.0)
    off = curves_of(results, "off_subspace_error", float(results.gamma.max()))

    def first(rows, level):
        steps = curves.steps_to(results.step.values, rows, level)
        return np.where(np.isnan(steps), np.inf, steps)

    start, half = first(fit, START), first(off / off[..., :1], HALF)
    return {"start": start, "fit": first(fit, FIT), "half": half, "off": first(off, OFF)}


def final_error(results, gamma):
    """Test error of one rule's runs at relative noise NOISE after all steps, (depth, seed); infinite if diverged."""
    last = results.sel(gamma=gamma).isel(record=-1).transpose("depth", "seed", ...)
    rows = ji.noisy_test_error(last.test_error.values, last.noise_sensitivity.values, NOISE)
    return np.where(np.isnan(rows), np.inf, rows)


def diverged(results):
    """Whether a run of one rule diverged at any gamma, (depth, seed)."""
    return results.diverged.any("gamma").transpose("depth", "seed").values


def expected(results):
    """Steps of one rule's runs by theory.py, medians over seeds, (depth,): "fit" in the wide limit, "half" at first.

    Fact 7: the fit contracts by max |1 - eta mu|, mu the extreme eigenvalues of ((L-1) d_w/m + 1) Y^T Y. Fact 2: the
    off-subspace error falls by (1 - eta lambda)^L a step.
    """
    arguments = json.loads(results.attrs["arguments"])
    start = results.isel(record=0).transpose("depth", "seed", ...)
    plain, decayed = start.sel(gamma=0.0), start.sel(gamma=float(results.gamma.max()))
    depth = results.depth.values[:, None]
    factor = theory.wide_factor(arguments["network"]["width"], depth, arguments["problem"]["measurement_dim"])
    eigenvalues = factor[..., None] * plain.measured_extremes.values**2
    contraction = np.abs(1 - plain.step_size.values[..., None] * eigenvalues).max(axis=-1)
    with np.errstate(divide="ignore"):
        fit = np.log(plain.regression_error.values / FIT) / np.maximum(-np.log(contraction), 0)
    half = np.log(HALF) / (depth * np.log1p(-(decayed.step_size * decayed.weight_decay).values))
    return {"fit": np.median(fit, axis=1), "half": np.median(half, axis=1)}


def draw_curves(axes, results, strongest):
    """Fit without decay and off-subspace error with it against the step, one colour a depth; diverged runs left out."""
    from matplotlib import colormaps

    shades = colormaps["viridis"](np.linspace(0.85, 0.05, results.sizes["depth"]))
    step, failed = np.maximum(results.step.values, 0.5), diverged(results)
    for panel, metric, gamma in (("fit", "regression_error", 0.0), ("off", "off_subspace_error", strongest)):
        for i, depth in enumerate(results.depth.values):
            rows = curves_of(results, metric, gamma)[i, ~failed[i]]
            if len(rows):
                figures.band(axes[panel], step, rows, colour=shades[i], label=f"$L$ = {depth}")
    xlabel = "gradient descent step (0 drawn at 0.5)"
    figures.log_log(axes["fit"], xlabel, "regression error", "a  fit, one step size, no decay")
    title = f"b  off the subspace, one step size, $\\gamma$ = {strongest:g}"
    figures.log_log(axes["off"], xlabel, "off-subspace error", title)
    axes["fit"].set_ylim(FIT / 3, 5)
    axes["fit"].legend(*axes["fit"].get_legend_handles_labels(), loc="lower left", ncols=2)


def draw_waits(axes, results, colours, title):
    """Steps to the four goals against depth, with what theory expects of two of them."""
    found, limits, depth = waits(results), expected(results), results.depth.values
    strongest = float(results.gamma.max())
    goals = {
        "start": (f"regression error {START:g}, no decay", colours[0.0], ":"),
        "fit": (f"regression error {FIT:g}, no decay", colours[0.0], "-"),
        "half": ("half the off-subspace error, with decay", colours[strongest], ":"),
        "off": (f"off-subspace error {OFF:g}, with decay", colours[strongest], "-"),
    }
    for goal, (label, colour, style) in goals.items():
        figures.finite_band(axes, depth, found[goal], colour=colour, label=label, style=style)
    axes.plot(depth, limits["fit"], "--", color=figures.REFERENCE, lw=1, label=f"{FIT:g}, limit of infinite width")
    axes.plot(depth, limits["half"], ":", color=figures.REFERENCE, lw=1, label="half, rate $(1-\\eta\\lambda)^{L}$")
    figures.log_log(axes, DEPTH_LABEL, "steps to reach", title)


def depth_ticks(axes, results):
    """A tick a depth, with the number of seeds that diverged where there are any."""
    counts = [f"\n{row.sum()}/{len(row)}" if row.any() else "" for row in diverged(results)]
    depths = results.depth.values
    axes.set_xticks(depths, [f"{depth}{count}" for depth, count in zip(depths, counts, strict=True)])
    axes.set_xticks([], minor=True)


@figures.styled
def draw(results):
    """Training curves by depth at one step size above, what the claim is about against depth below."""
    strongest = float(results.gamma.max())
    layout = [["fit"] * 3 + ["off"] * 3, ["shared"] * 2 + ["default"] * 2 + ["test"] * 2]
    figure, axes = figures.panels(2 * figures.COLUMN_WIDTH, 5.0, layout)
    colours = figures.decay_colours([0.0, strongest])
    shared, default = results.sel(step_rule="shared"), results.sel(step_rule="default")
    draw_curves(axes, shared, strongest)
    draw_waits(axes["shared"], shared, colours, "c  one step size")
    draw_waits(axes["default"], default, colours, "d  default step sizes")
    limits = [axes[rule].get_ylim() for rule in RULES]
    for rule in RULES:
        axes[rule].set_ylim(np.min(limits), np.max(limits))
    for gamma, label in ((0.0, "no decay"), (strongest, f"$\\gamma$ = {strongest:g}")):
        figures.finite_band(
            axes["test"], default.depth.values, final_error(default, gamma), colour=colours[gamma], label=label
        )
    figures.log_log(axes["test"], DEPTH_LABEL, "relative RMSE", f"e  default, test noise {NOISE:g}")
    axes["test"].set_ylim(0.03, 2)
    axes["test"].legend(*axes["test"].get_legend_handles_labels(), loc="upper right")
    for panel, part in (("shared", shared), ("default", default), ("test", default)):
        depth_ticks(axes[panel], part)
    figure.legend(*axes["shared"].get_legend_handles_labels(), loc="outside lower center", ncols=3)
    return figure


def shallowest(results):
    """The index of the least depth that has a hidden layer; 0 where none has."""
    return int(np.argmax(results.depth.values > 1))


def compare(results, rows):
    """The ratio of the deepest network to the shallowest with a hidden layer, median over seeds.

    Infinite where neither arrives, 0 where only the deepest does.
    """
    with np.errstate(invalid="ignore"):
        ratios = rows[-1] / rows[shallowest(results)]
    return float(np.median(np.where(np.isnan(ratios), np.inf, ratios)))


def judge(results):
    """Deepest against two layers in each sense, and decay against none at each depth."""
    strongest = float(results.gamma.max())
    shared, default = results.sel(step_rule="shared"), results.sel(step_rule="default")
    lost = float(results.diverged.mean())
    against = f"depth {results.depth.values[-1]} over {results.depth.values[shallowest(results)]}"
    goals = {
        "start": f"steps to regression error {START:g} without decay",
        "fit": f"steps to regression error {FIT:g} without decay",
        "half": f"steps to half the off-subspace error with gamma = {strongest:g}",
        "off": f"steps to off-subspace error {OFF:g} with gamma = {strongest:g}",
    }
    verdicts = [
        ji.Verdict("share of runs that diverge", lost, "0 [ours: a practical step size trains]", lost == 0)
    ]  # fmt: skip
    bound = f"at most {ENOUGH:g} [paper: deeper networks accelerate convergence; 5% ours]"
    for part, rule in ((shared, "one step size"), (default, "default step sizes")):
        for goal, rows in waits(part).items():
            ratio = compare(part, rows)
            verdicts.append(ji.Verdict(f"{goals[goal]}, {rule}, {against}", ratio, bound, ratio <= ENOUGH))
    failed = diverged(default)
    plain, decayed = final_error(default, 0.0)[~failed], final_error(default, strongest)[~failed]
    helped = float(np.max(decayed / plain)) if len(plain) else np.nan
    claim = f"test error at noise {NOISE:g}, gamma = {strongest:g} over none, largest over the runs that train"
    bound = f"at most {ENOUGH:g} [paper: regularization improves generalization; 5% ours]"
    verdicts.append(ji.Verdict(claim, helped, bound, helped <= ENOUGH))
    return verdicts


EXPERIMENT = ji.Experiment(
    name="depth",
    claim="deeper networks converge faster",
    source="claim of arXiv 2502.15522; dimensions and width the paper's, depths, step sizes and all else ours",
    grids={"quick": QUICK, "paper": PAPER},
    draw=draw,
    judge=judge,
    paper={"signal_dim": 200, "measurement_dim": 100, "subspace_dim": 5, "width": 400, "depth": 5},
)
