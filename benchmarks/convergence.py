"""Wider networks converge in fewer steps, as fast as training linearised at the start predicts.

Claim [paper]: overparameterization accelerates convergence. How fast is [ours]: without weight decay the error
contracts like training linearised at the start (fact 7 of jaxinv.theory); with it the error off the subspace of the
measurements falls like c (1 - eta lambda)^t (fact 2), and the fit settles at a plateau known to first order (fact 3).

Without decay: the rate of the linear phase and the steps to a relative error of 1e-1, 1e-3, 1e-6, with the default step
size m / (L d_w sigma_max(X)^2) and with 0.8 of 2 / mu_max(K), the largest that is stable at the start. The engine is the
cheaper of two: narrow networks are trained densely, wide ones, to d_w = 2^20, by the directions that they meet
(docs/any_width.md), some both ways. With decay, on plain float64 iterates: the steps to an off-subspace error of 1e-3 and 1e-6, where c is fitted on the first half of the
run; where eta lambda is too small to wait, c is that of the nearest run. Sizes of problem and networks are [ours].

Refuted if wider networks need no fewer steps, or if rates, steps or plateaus are not those predicted.
"""

import itertools

import jax
import numpy as np

import jaxinv as ji
from jaxinv import theory
from jaxinv.checks import check_known
from jaxinv.measures import curves, predictions, statistics
from jaxinv.studies import plots
from jaxinv.studies.timing import dense_steps

PROBLEM = {"signal_dim": 100, "measurement_dim": 50, "subspace_dim": 4, "samples": 20, "condition_number": 2.0}
LEVELS, LOWEST, STABLE = [1e-1, 1e-3, 1e-6], 1e-6, 0.8
STABLE_WIDTH, TOLERANCE = 512, 1e-6  # the widest of the stable step size; of a signal in the width-free engine
REGIME = 100  # times m: the width from which on deeper networks are judged
DENSE_WIDTH, DENSE_GAMMA = 200, 0.1  # with decay: up to this width and from this gamma on is run, the rest extrapolated


def grids(preset):
    """Runs without decay ("fit", some densely: "dense") and with it ("off"), and the times of a dense step.

    Wide networks need fewer steps.
    """
    (depth, width, seeds, most), dense, (off_depth, off_width, gamma, off_seeds) = {
        "quick": (((2, 3, 5), (64, 128, 256, 512, 4096, 65536, 2**20), 8, 800), ((2, 3), (512,)),
                  ((3,), (50, 100, 400), (0.03, 0.1, 0.2), 4)),
        "paper": (((2, 3, 5, 10), tuple(2**k for k in range(6, 21)), 32, 3000), ((2, 3, 5), (512, 1024)),
                  ((2, 3, 5), (50, 100, 200, 400, 1600), (0.01, 0.03, 0.1, 0.14, 0.2), 8)),
    }[preset]  # fmt: skip
    plain = {"metrics": ["regression_error"], "precision": "float64"}

    def steps(width):
        return min(most, max(300, most * 200 // max(width, 1)))

    def records(steps):
        return np.unique(np.rint([*range(40), *np.geomspace(40, steps, 90)]).astype(int)).tolist()

    return {
        "fit": ji.Sweep(
            {"depth": depth, "width": width, "step_rule": ["default", "stable"], "seed": range(seeds)}, PROBLEM, steps,
            records, where=lambda width, step_rule: step_rule == "default" or width <= STABLE_WIDTH,
            engine="auto", tolerance=TOLERANCE, descent=descent, **plain,
        ),
        "dense": ji.Sweep({"depth": dense[0], "width": dense[1], "seed": range(8)}, PROBLEM, steps, records, **plain),
        "off": ji.Sweep(
            {"depth": off_depth, "width": off_width, "gamma": gamma, "seed": range(off_seeds)}, PROBLEM, off_steps,
            even_records, where=lambda width, gamma: width <= DENSE_WIDTH and gamma >= DENSE_GAMMA,
            metrics=["regression_error", "off_subspace_error"], precision="float64", reduce=False,
        ),
        "step_times": ji.Timing({"depth": depth, "width": [at for at in width if at <= STABLE_WIDTH]}, time_steps,
                                PROBLEM, rounds=3),
    }  # fmt: skip


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


def time_steps(depth, width, signal_dim, measurement_dim, subspace_dim, samples, condition_number):
    """Elapsed time of a step, one network on each device."""
    sweep = ji.Sweep({"seed": range(jax.local_device_count())}, locals(), precision="float64")
    return dense_steps([ji.build(cell) for cell in sweep.cells()])[0]._replace(units=1)


def analyse(runs):
    """Measured and predicted rates, steps to levels and plateaus; `long_name` says what each is."""
    import xarray

    reach = curves.run_steps_to_each(runs["dense"]["regression_error"], LEVELS)
    made = {
        "fit": read_fit(runs["fit"], runs["step_times"]["ms"].min("round")), "off": read_off(runs["off"]),
        "dense": dict(steps_to=(reach, "steps to relative regression error `level`; NaN where never reached")),
    }  # fmt: skip
    return {grid: xarray.Dataset({name: data.assign_attrs(long_name=words) for name, (data, words) in found.items()})
            for grid, found in made.items()}  # fmt: skip


def read_fit(fit, ms):
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
        seconds_to=((steps_to * ms.reindex_like(fit["width"]) / 1e3).where(~fit["width_free"]).assign_attrs(units="s"),
                    "steps_to in elapsed seconds, densely, of the fastest round; one network on each device"),
    )  # fmt: skip


def read_off(off):
    """Steps off the subspace, measured, predicted and, where none were run, extrapolated; the plateau of the fit."""
    import xarray

    error, eta, decay = off["off_subspace_error"], off["step_size"], off["weight_decay"]
    steps_to = curves.run_steps_to_each(error, LEVELS[1:])
    constant = curves.each_run(theory.off_subspace_constant, error, eta, decay, 0.5)
    predicted = theory.steps_to_off_subspace(steps_to.level, constant, eta, decay)
    nearest = statistics.filled_from_nearest(constant.median("seed"), ("width", "gamma"))
    sizes = {name: off.argument(name) for name in ("signal_dim", "measurement_dim", "condition_number")}
    product = theory.default_decay_per_step(off["gamma"], off["depth"], off["width"], **sizes)
    elsewhere = theory.steps_to_off_subspace(steps_to.level, nearest, product, 1.0).where(eta.isnull().all("seed"))
    first_order = xarray.apply_ufunc(
        lambda depth, seed, decay: theory.first_order(off.build(seed=seed).problem, int(depth), decay).plateau,
        off["depth"], off["seed"], decay, vectorize=True)  # fmt: skip
    return dict(
        constant=(constant, "c of c (1 - eta lambda)^t, fitted on the first half of the run"),
        steps_to=(steps_to, "steps to off-subspace error `level`, interpolated; NaN where never reached"),
        predicted_steps_to=(predicted, "log(constant / level) / -log(1 - eta lambda)"),
        extrapolated_steps_to=(elsewhere, "predicted_steps_to where nothing was run, by constant of the nearest runs"),
        plateau=(curves.each_run(curves.settled, off["regression_error"]), "regression error where the run settles"),
        predicted_plateau=(first_order, "plateau to first order in the weight decay (fact 3)"),
    )  # fmt: skip


def claims(runs):
    """Wider is faster; rates, steps and plateaus are as predicted; nothing diverges below the largest stable step."""
    fit, off, dense = (runs[name].data for name in ("fit", "off", "dense"))
    default = fit.sel(step_rule="default", level=LOWEST).sortby("width")
    m, deepest, shallowest = runs["fit"].argument("measurement_dim"), int(fit.depth.max()), int(fit.depth.min())
    wide, widest = default.sel(width=default.width >= 8 * m, depth=default.depth <= 3), default.isel(width=-1)
    of, bounds = statistics.values_where, statistics.median_bounds
    least, steps = bounds(default.steps_to.fillna(np.inf), default.diverged, "seed").clip(min=0)
    first = least.isel(width=np.isfinite(steps).argmax("width"))
    regime = steps.width >= REGIME * m
    deeper = (steps.sel(depth=deepest) / least.sel(depth=shallowest)).sel(width=regime)
    both = dense.sel(level=LOWEST).steps_to / default.where(default.width_free).steps_to
    stable, ran, kept = wide.sharpness <= 2, off.step_size.notnull(), ~off.diverged
    return [
        ji.at_most(1, steps.isel(width=-1) / first, "steps to 1e-6, the widest network over the narrowest of which "
                   "half of the seeds get there, diverged against it, worst of the depths [paper]", strict=True),
        ji.at_most(1, deeper, f"steps to 1e-6, L = {deepest} over {shallowest}, every d_w >= {REGIME} m [paper: deeper "
                   "networks accelerate convergence]", strict=True),
        ji.within(0.05, bounds(wide.ratio, wide.diverged & stable, "seed"), 1,
                  "log-rate over predicted, L <= 3, d_w >= 8 m, median of the seeds stable at the start [ours]"),
        ji.within(0.1, bounds(wide.steps_to / wide.predicted_steps_to, wide.diverged & stable, "seed"), 1,
                  "steps to 1e-6 over those of the linearised descent, same networks or law, median over seeds [ours]"),
        ji.within(0.05, bounds(widest.log_rate / widest.wide_log_rate, widest.diverged, "seed"), 1,
                  f"log-rate over its limit of infinite width, d_w = {int(widest.width):,}, median over seeds [ours]"),
        ji.within(0.1, bounds(both, default.diverged.sel(width=both.width, depth=both.depth), "seed"), 1,
                  "steps to 1e-6, dense over width-free, other weights of one law, median over seeds [ours: exact]"),
        ji.at_most(0, of(fit.diverged, fit.step_size.notnull() & (fit.step_rule == "stable")),
                   "whether a run diverged (1) at 0.8 * 2 / mu_max(K) [ours]"),
        ji.within(0.01, of((off.steps_to / off.predicted_steps_to).where(kept), ran), 1,
                  "steps off the subspace over log(c / eps) / (eta lambda) [ours, fact 2: exact but for drift]"),
        ji.within(0.1, of((off.plateau / off.predicted_plateau).where(kept), ran & (off.gamma <= 0.1)), 1,
                  "plateau of the fit over its first order, gamma <= 0.1 [ours, fact 3]"),
    ]  # fmt: skip


def draw(runs):
    """Steps to a relative error of 1e-6 against width (a: median and quartiles over seeds), contraction of each run
    against that of its linearisation (b), steps to an off-subspace error of 1e-6 against weight decay (c).
    """
    fit, off = (runs[name].data.sel(level=LOWEST).sortby("width") for name in ("fit", "off"))
    figure, axes = plots.panels(2 * plots.COLUMN_WIDTH, 5.4, [["steps", "steps"], ["rate", "off"]])
    colours = plots.colours_of("depth", fit.depth.values.tolist())
    draw_steps(axes["steps"], fit.sel(step_rule="default"), colours, runs["fit"].argument("measurement_dim"))
    draw_rates(axes["rate"], fit.where(fit.fit_quality == "good"), colours)
    draw_off(axes["off"], off.isel(depth=min(1, off.sizes["depth"] - 1)))
    return figure


def draw_steps(axes, fit, colours, measurement_dim):
    """Open markers where the step size exceeds 2 / mu_max; how many seeds failed stands above."""
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
    title = "a  fit, no weight decay, default step size"
    plots.log_log(axes, "hidden width $d_w$, and $d_w/m$ below it", "steps to relative error $10^{-6}$", title)
    axes.set_ylim(top=axes.get_ylim()[1] * 3.5)  # room for the counts
    ticks = [at for at in fit.width.values if round(np.log2(at)) % 2 == 0] or fit.width.values
    plots.ticks_at(axes, ticks, [f"{at:,}\n{at / measurement_dim:.3g}" for at in ticks])
    axes.axvline(REGIME * measurement_dim, color=plots.REFERENCE, linewidth=0.8, linestyle=":")
    plots.explain(axes, {"--": "linearised at the start", "o": r"$\eta\mu_{max} > 2$ at the start",
                         ":": f"$d_w = {REGIME} m$", "": f"×k (j): k of {fit.sizes['seed']} seeds never there, j diverged"}, ncols=2)  # fmt: skip


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


def draw_off(axes, off):
    """Filled markers for what was run, open ones for what was extrapolated."""
    colours = plots.colours_of("width", off.width.values.tolist(), "plasma")
    lines, title = {"x": "gamma", "colour": "width", "colours": colours}, f"c  off the subspace, L = {int(off.depth)}"
    predicted = statistics.quantile(off.predicted_steps_to).fillna(off.extrapolated_steps_to)
    plots.bands(axes, predicted, style="--", **lines)
    plots.bands(axes, off.steps_to, style="o", marker=4, label="", **lines)
    for width, colour in colours.items():
        plots.dots(axes, off.gamma, off.extrapolated_steps_to.sel(width=width), face="white", colour=colour)
    plots.log_log(axes, r"weight decay $\gamma$", "steps to off-subspace error $10^{-6}$", title)
    plots.ticks_at(axes, off.gamma.values)
    axes.set_ylim(top=axes.get_ylim()[1] * 12)  # room for the legend
    meanings = {"--": r"$\log(c/\varepsilon)\,/\,\eta\lambda$, c fitted", ".": "measured", "o": "extrapolated"}
    plots.explain(axes, meanings, ncols=2, handletextpad=0.4, columnspacing=1)


def table(runs):
    """Medians over the seeds that got there, and how many did not."""
    fit, off = (runs[name].data.sel(level=LOWEST) for name in ("fit", "off"))
    m, s, kappa = (runs["fit"].argument(name) for name in ("measurement_dim", "subspace_dim", "condition_number"))
    words, count, median = statistics.quartiles_in_words, statistics.count_in_words, statistics.quantile
    clean, elsewhere = fit.fit_quality == "good", off.extrapolated_steps_to.notnull()
    yield "Fit, no decay: median [quartiles] over seeds; ratio measured / predicted [95% bootstrap interval] (seeds)"
    yield from statistics.as_table({
        "d_w/m": fit.width / m, "d_w/s kappa^2": fit.width / (s * kappa**2), "div.": count(fit.diverged),
        "no fit": count(~clean), "short": count(fit.steps_to.isnull()), "log-rate": words(fit.log_rate.where(clean)),
        "wide": median(fit.wide_log_rate), "ratio": statistics.interval_in_words(fit.ratio),
        "steps to 1e-6": words(fit.steps_to), "predicted": median(fit.predicted_steps_to, least=0.5),
        "ms/step": runs["step_times"]["ms"].min("round"), "s to 1e-6": median(fit.seconds_to),
    }, ("depth", "width", "step_rule"), fit.step_size.notnull().any("seed"))  # fmt: skip
    yield "div.: diverged; no fit: no clean linear phase; short: never at 1e-6; wide: log-rate in the limit of infinite"
    yield "width; ratio: of clean seeds stable at the start; predicted: if half of the seeds have it; s: subspace_dim"
    yield "times: elapsed, one network on each device, the fastest round"
    yield "Off the subspace, with decay: steps to 1e-6; predicted: log(c / 1e-6) / (eta lambda), c of the first half"
    yield from statistics.as_table({
        "short": count(off.steps_to.isnull()).where(~elsewhere, "-"), "measured": words(off.steps_to),
        "predicted": median(off.predicted_steps_to), "ratio": median(off.steps_to / off.predicted_steps_to),
        "extrapolated": off.extrapolated_steps_to, "plateau": median(off.plateau),
        "first order": median(off.predicted_plateau),
    }, ("depth", "width", "gamma"))  # fmt: skip


EXPERIMENT = ji.Experiment(grids, draw, claims, analyse, table)
