"""Wider networks converge in fewer steps, as fast as training linearised at the start predicts.

Claim [paper]: overparameterization accelerates convergence. How fast is [ours]: without weight decay the error
contracts like training linearised at the start (fact 7 of jaxinv.theory); with it the error off the subspace of the
measurements falls like c (1 - eta lambda)^t (fact 2), and the fit settles at a plateau known to first order (fact 3).

Without decay: the rate of the linear phase and the steps to a relative error of 1e-1, 1e-3, 1e-6, with the default step
size m / (L d_w sigma_max(X)^2) and with 0.8 of 2 / mu_max(K), the largest that is stable at the start. Narrow networks
are trained densely, wide ones, to d_w = 2^20, by the directions that they meet (docs/any_width.md), some both ways.
With decay, on plain float64 iterates and, to d_w = 2^20, by the gradient flow that stands in for slow steps
(`ji.gradient_flow`): the steps to an off-subspace error of 1e-3 and 1e-6, c being fitted on the first half of the run.
Sizes of problem and networks are [ours].

Refuted if wider networks need no fewer steps, or if rates, steps or plateaus are not those predicted.
"""

import itertools

import numpy as np

import jaxinv as ji
from jaxinv import theory
from jaxinv.checks import check_known
from jaxinv.measures import curves, predictions, statistics
from jaxinv.studies import plots

PROBLEM = {"signal_dim": 100, "measurement_dim": 50, "subspace_dim": 4, "samples": 20, "condition_number": 2.0}
LEVELS, LOWEST, STABLE = [1e-1, 1e-3, 1e-6], 1e-6, 0.8
STABLE_WIDTH, TOLERANCE = 128, 1e-6  # the widest, dense, of the stable step size; of a signal in wide networks
REGIME = 100  # times m: the width from which on deeper networks are judged


def grids(preset):
    """Runs without decay ("fit", some again densely: "dense") and with it ("off", "flow"; "paired": flows of "off")."""
    (depth, width, seeds, most), dense, off, flow = {
        "quick": (((2, 3, 5), (64, 128, 256, 512, 4096, 65536, 2**20), 8, 800), ((2, 3), (512,)),
                  ((3,), (50, 100), (0.1, 0.2), 4), ((3,), (100, 4096, 2**20), (0.03, 0.1, 0.2), 2)),
        "paper": (((2, 3, 5, 10), tuple(2**k for k in range(6, 21)), 32, 3000), ((2, 3, 5), (512, 1024)),
                  ((2, 3), (50, 100, 200), (0.1, 0.14, 0.2), 4),
                  ((2, 3), (100, 1024, 2**15, 2**20), (0.01, 0.03, 0.1, 0.2), 4)),
    }[preset]  # fmt: skip
    plain = {"metrics": ["regression_error"], "precision": "float64"}
    slow = {"metrics": ["regression_error", "off_subspace_error"], "precision": "float64"}
    flows = {"engine": "gradient_flow", "tolerance": 1e-4, **slow}

    def decayed(depth, width, gamma, seeds):
        return {"depth": depth, "width": width, "gamma": gamma, "seed": range(seeds)}

    def steps(width):  # twice as many as the slowest depth takes to the lowest level, or more
        return min(most, max(300, 300_000 // max(width, 1)))

    def records(steps):
        return np.unique(np.rint([*range(0, 40, 2), *np.geomspace(40, steps, 60)]).astype(int)).tolist()

    return {
        "fit": ji.Sweep(
            {"depth": depth, "width": width, "step_rule": ["default", "stable"], "seed": range(seeds)}, PROBLEM, steps,
            records, where=lambda width, step_rule: step_rule == "default" or width <= STABLE_WIDTH,
            engine="auto", tolerance=TOLERANCE, descent=descent, **plain,
        ),
        "dense": ji.Sweep({"depth": dense[0], "width": dense[1], "seed": range(8)}, PROBLEM, steps, records, **plain),
        "off": ji.Sweep(decayed(*off), PROBLEM, off_steps, even_records, reduce=False, **slow),
        "flow": ji.Sweep(decayed(*flow), PROBLEM, off_steps, even_records, **flows),
        "paired": ji.Sweep(decayed(off[0], off[1], (0.2,), 4), PROBLEM, off_steps, even_records, network=same, **flows),
    }  # fmt: skip


def same(key, problem, *, depth, width):
    """The network of the descent, for the flow to start from the same weights."""
    return ji.layer_product(key, problem, depth=depth, width=width)


def descent(problem, network, *, step_rule="default"):
    """Gradient descent without decay at the default step size, or at STABLE of the largest that is stable."""
    check_known("step_rule", step_rule, ("default", "stable"))
    made = ji.gradient_descent(problem, network)
    if step_rule == "default":
        return made
    return ji.Descent(ji.linearisation_of(problem, network).stable_step_size(STABLE), made.weight_decay)


def off_steps(gamma, depth, width, signal_dim, measurement_dim, condition_number):
    """A quarter more steps than the off-subspace error takes from 10 to the lowest level."""
    product = theory.default_decay_per_step(gamma, depth, width, signal_dim, measurement_dim, condition_number)
    return int(np.ceil(1.25 * np.log(10 / LOWEST) / product))


def even_records(steps):
    """101 records, evenly spaced."""
    return np.unique(np.linspace(0, steps, 101).astype(int)).tolist()


def analyse(runs):
    """Measured and predicted rates, steps to levels and plateaus; `long_name` says what each is."""
    import xarray

    reach = curves.run_steps_to_each(runs["dense"]["regression_error"], LEVELS)
    made = {"fit": read_fit(runs["fit"]), "dense": {"steps_to": (reach, "steps to regression error `level`, or NaN")}}
    decayed = {name: predictions.off_subspace(run.build, run.data, LEVELS[1:])
               for name, run in runs.items() if name not in ("fit", "dense")}  # fmt: skip
    return decayed | {
        grid: xarray.Dataset({name: data.assign_attrs(long_name=words) for name, (data, words) in found.items()})
        for grid, found in made.items()
    }  # fmt: skip


def read_fit(fit):
    """The linear phase of every run, and what training linearised at its network predicts."""
    error, step_size = fit["regression_error"], fit["step_size"]
    steps = fit["step"].broadcast_like(error).max(["record", "step_rule"])
    predicted = predictions.linearised(fit.build, step_size, steps, LEVELS, axes=("depth", "width", "seed"),
                                       linearise=ji.linearisation_of)  # fmt: skip
    phases, steps_to = curves.run_phases(error), curves.run_steps_to_each(error, LEVELS)
    return dict(
        log_rate=(phases.log_rate, "-log of the contraction factor of the linear phase, per step"),
        fit_quality=(phases.quality.where(step_size.notnull(), ""), "of the linear phase (jaxinv.measures.curves)"),
        predicted_log_rate=(predicted.log_rate, "log_rate of the linearisation at the start; below 0 if it diverges"),
        wide_log_rate=(predicted.wide_log_rate, "its limit of infinite width"),
        ratio=((phases.log_rate / predicted.log_rate).where((phases.quality == "good") & (predicted.sharpness <= 2)),
               "log_rate over predicted_log_rate, of runs with a clean linear phase that are stable at the start"),
        sharpness=(predicted.sharpness, "step_size * mu_max(K) at the start; stable up to 2"),
        steps_to=(steps_to, "steps to relative regression error `level`, interpolated; NaN where never reached"),
        predicted_steps_to=(predicted.steps_to, "steps_to of the descent linearised at the start"),
    )  # fmt: skip


def claims(runs):
    """Wider is faster; rates, steps and plateaus are as predicted; nothing diverges below the largest stable step."""
    fit, dense = runs["fit"].data, runs["dense"].data
    off, flow, paired = (runs[name].data.where(~runs[name].data.diverged) for name in ("off", "flow", "paired"))
    default = fit.sel(step_rule="default", level=LOWEST).sortby("width")
    m, deepest, shallowest = runs["fit"].argument("measurement_dim"), int(fit.depth.max()), int(fit.depth.min())
    wide, widest = default.sel(width=default.width >= 8 * m, depth=default.depth <= 3), default.isel(width=-1)
    of, bounds = statistics.values_where, statistics.median_bounds
    least, steps = bounds(default.steps_to.fillna(np.inf), default.diverged, "seed").clip(min=0)
    first = least.isel(width=np.isfinite(steps).argmax("width"))
    deeper = (steps.sel(depth=deepest) / least.sel(depth=shallowest)).sel(width=steps.width >= REGIME * m)
    both = dense.sel(level=LOWEST).steps_to / default.where(default.width_free).steps_to
    stable, clean = wide.sharpness <= 2, ((wide.fit_quality == "good") | wide.diverged).mean("seed") >= 0.5
    each = (off, "descent"), (flow, f"gradient flow, d_w to {int(flow.width.max()):,}")
    return [
        ji.at_most(1, steps.isel(width=-1) / first, "steps to 1e-6, the widest network over the narrowest of which "
                   "half of the seeds get there, diverged against it, worst of the depths [paper]", strict=True),
        ji.at_most(1, deeper, f"steps to 1e-6, L = {deepest} over {shallowest}, every d_w >= {REGIME} m [paper: deeper "
                   "networks accelerate convergence]", strict=True),
        ji.within(0.1, of(bounds(wide.ratio, wide.diverged & stable, "seed"), clean), 1, "log-rate over predicted, "
                  "d_w >= 8 m, L <= 3, median of seeds stable at the start, where half have a clean phase [ours]"),
        ji.within(0.1, bounds(wide.steps_to / wide.predicted_steps_to, wide.diverged & stable, "seed"), 1,
                  "steps to 1e-6 over those of the linearised descent, same networks or law, median over seeds [ours]"),
        ji.within(0.05, bounds(widest.predicted_log_rate / widest.wide_log_rate, widest.diverged, "seed"), 1,
                  f"predicted log-rate over its limit of infinite width, d_w = {int(widest.width):,}, median [ours]"),
        ji.within(0.1, bounds(both, default.diverged | dense.diverged, "seed"), 1,
                  "steps to 1e-6, dense over width-free, other weights of one law, median over seeds [ours: exact]"),
        ji.at_most(0, of(fit.diverged, fit.step_size.notnull() & (fit.step_rule == "stable")),
                   "whether a run diverged (1) at 0.8 * 2 / mu_max(K) [ours]"),
        *(ji.within(0.01, run.steps_to / run.predicted_steps_to, 1, f"steps off the subspace over log(c / eps) / (eta "
                    f"lambda), {words} [ours, fact 2: exact but for drift]") for run, words in each),
        *(ji.within(0.1, (run.plateau / run.predicted_plateau).sel(gamma=run.gamma <= 0.1), 1, "plateau over its "
                    f"first order, gamma <= 0.1, {words} [ours, fact 3]") for run, words in each),
        ji.within(0.01, paired.steps_to / off.steps_to, 1,
                  "steps off the subspace, gradient flow over descent, from the same weights [ours]"),
    ]  # fmt: skip


def draw(runs):
    """Steps to 1e-6 against width (a: median and quartiles over seeds), contraction of each run against that of its
    linearisation (b), steps to an off-subspace error of 1e-6 against weight decay (c)."""
    fit, dense, off, flow, _ = (run.data.sel(level=LOWEST).sortby("width") for run in runs.values())
    figure, axes = plots.panels(2 * plots.COLUMN_WIDTH, 5.4, [["steps", "steps"], ["rate", "off"]])
    colours, m = plots.colours_of("depth", fit.depth.values.tolist()), runs["fit"].argument("measurement_dim")
    draw_steps(axes["steps"], fit.sel(step_rule="default"), dense, colours, m)
    draw_rates(axes["rate"], fit.where(fit.fit_quality == "good"), colours)
    draw_off(axes["off"], off, flow, int(flow.depth[-1]))
    return figure


def draw_steps(axes, fit, dense, colours, measurement_dim):
    """Crosses: run again densely; open markers: step size above 2 / mu_max; how many seeds failed stands above."""
    lines, median = {"x": "width", "colour": "depth", "colours": colours}, statistics.quantile
    plots.bands(axes, fit.steps_to, span=(0.25, 0.75), **lines)
    plots.bands(axes, median(fit.predicted_steps_to, least=0.5), style="--", label="", **lines)
    plots.bands(axes, median(fit.steps_to).where(median(fit.sharpness) <= 2), style="o", marker=5, label="", **lines)
    for row, (depth, colour) in enumerate(colours.items()):
        one = fit.sel(depth=depth)
        unstable = median(one.steps_to).where(median(one.sharpness) > 2)
        plots.dots(axes, one.width, unstable, colour=colour, size=5, face="white")
        failed = zip(one.steps_to.isnull().sum("seed"), one.diverged.sum("seed"), strict=True)
        plots.words_above(axes, one.width, [f"×{k:d} ({j:d})" if k else "" for k, j in failed], row, colour)
    plots.dots(axes, dense.width, statistics.quantile(dense.steps_to), colour="black", marker="+", size=7)
    against, title = "hidden width $d_w$, and $d_w/m$ below it", "a  fit, no weight decay, default step size"
    plots.log_log(axes, against, "steps to relative error $10^{-6}$", title)
    axes.set_ylim(top=axes.get_ylim()[1] * 3.5)  # room for the counts
    ticks = [at for at in fit.width.values if round(np.log2(at)) % 2 == 0] or fit.width.values
    plots.ticks_at(axes, ticks, [f"{at:,}\n{float(f'{at / measurement_dim:.3g}'):,g}" for at in ticks])
    axes.axvline(REGIME * measurement_dim, color=plots.REFERENCE, linewidth=0.8, linestyle=":")
    meanings = {"--": "linearised at the start", "o": r"$\eta\mu_{max} > 2$ at the start", "+": "again, densely"}
    meanings |= {":": f"$d_w = {REGIME} m$", "": "×k (j): k seeds never there, j diverged"}
    plots.explain(axes, meanings, ncols=2, handlelength=1.4, columnspacing=0.6, bbox_to_anchor=(1, 0.72))


def draw_rates(axes, fit, colours):
    """Each run with a clean linear phase, and the diagonal; at the side those without a prediction."""
    measured, predicted = fit.log_rate, fit.predicted_log_rate.where(fit.sharpness <= 2)
    least = min(float(rates.where(rates > 0).min().fillna(0.1)) for rates in (predicted, measured))
    aside = (0 * measured + 0.6 * least).where(fit.sharpness > 2)
    for (depth, colour), (rule, marker) in itertools.product(colours.items(), (("default", "o"), ("stable", "^"))):
        at, rates, unpredicted = (each.sel(depth=depth, step_rule=rule) for each in (predicted, measured, aside))
        plots.dots(axes, at, rates, colour=colour, marker=marker, size=2.5)
        plots.dots(axes, unpredicted, rates, colour=colour, marker="x")
    axes.plot([0.8 * least, 1], [0.8 * least, 1], color=plots.REFERENCE, linewidth=0.8)
    plots.log_log(axes, "predicted log-rate per step", "measured log-rate per step", "b  contraction, every run")
    axes.set(xlim=(0.45 * least, 1.2), ylim=(0.45 * least, 1.2))
    plots.explain(axes, {"o": "default step size", "^": f"{STABLE:g} · 2/$\\mu_{{max}}$",
                         "x": r"$\eta\mu_{max} > 2$: none predicted"}, loc="upper left", handletextpad=0.2)  # fmt: skip


def draw_off(axes, off, flow, depth):
    """Filled markers for the descent, open ones for the gradient flow."""
    off, flow = off.sel(depth=depth), flow.sel(depth=depth)
    colours = plots.colours_of("width", sorted({*off.width.values.tolist(), *flow.width.values.tolist()}), "plasma")
    lines, title = {"x": "gamma", "colour": "width", "colours": colours}, f"c  off the subspace, L = {depth}"
    predicted = statistics.quantile(flow.combine_first(off).predicted_steps_to)
    plots.bands(axes, predicted, style="--", label=lambda width: f"$d_w$ = {width:,}", **lines)
    plots.bands(axes, off.steps_to, style="o", marker=4, label="", **lines)
    for width, one in flow.groupby("width"):
        plots.dots(axes, one.gamma, statistics.quantile(one.steps_to), face="white", colour=colours[width])
    plots.log_log(axes, r"weight decay $\gamma$", "steps to off-subspace error $10^{-6}$", title)
    plots.ticks_at(axes, flow.gamma.values)
    axes.set_ylim(top=axes.get_ylim()[1] * 3000)  # room for the legend
    meanings = {"--": r"$\log(c/\varepsilon)\,/\,\eta\lambda$, c fitted", ".": "descent", "o": "gradient flow"}
    plots.explain(axes, meanings, ncols=2, handletextpad=0.4, columnspacing=1)


def table(runs):
    """Medians over the seeds that got there, and how many did not."""
    fit = runs["fit"].data.sel(level=LOWEST)
    m, s, kappa = (runs["fit"].argument(name) for name in ("measurement_dim", "subspace_dim", "condition_number"))
    quartiles, count, median = statistics.quartiles_in_words, statistics.count_in_words, statistics.quantile
    clean = fit.fit_quality == "good"
    yield "Fit, no decay: median [quartiles] over seeds; ratio measured / predicted [95% bootstrap interval] (seeds)"
    yield from statistics.as_table({
        "d_w/m": fit.width / m, "d_w/s kappa^2": fit.width / (s * kappa**2), "div.": count(fit.diverged),
        "no fit": count(~clean), "short": count(fit.steps_to.isnull()), "rate": quartiles(fit.log_rate.where(clean)),
        "wide": median(fit.wide_log_rate), "ratio": statistics.interval_in_words(fit.ratio),
        "steps to 1e-6": quartiles(fit.steps_to), "predicted": median(fit.predicted_steps_to, least=0.5),
    }, ("depth", "width", "step_rule"), fit.step_size.notnull().any("seed"))  # fmt: skip
    yield "div.: diverged; no fit: no clean linear phase; short: never at 1e-6; wide: log-rate in the limit of infinite"
    yield "width; ratio: of clean seeds stable at the start; predicted: if half of the seeds have it; s: subspace_dim"
    yield "Off the subspace, with decay: steps to 1e-6; predicted: log(c / 1e-6) / (eta lambda), c of the first half"
    for name, words in (("off", "By descent"), ("flow", "By the gradient flow that stands in for slow steps")):
        off = runs[name].data.sel(level=LOWEST)
        yield words
        yield from statistics.as_table({
            "short": count(off.steps_to.isnull()), "measured": quartiles(off.steps_to),
            "predicted": median(off.predicted_steps_to), "ratio": median(off.steps_to / off.predicted_steps_to),
            "plateau": median(off.plateau), "first order": median(off.predicted_plateau),
        }, ("depth", "width", "gamma"))  # fmt: skip


EXPERIMENT = ji.Experiment(grids, draw, claims, analyse, table)
