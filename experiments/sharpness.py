"""With too large a step size training ends just below the edge of stability; with weight decay far below it.

The sharpness is mu_max(K(t)), the largest eigenvalue of the Gauss-Newton part of the Hessian (fact 7 of jaxinv.theory).
The full Hessian adds the curvature of the network times the residual, gone where the fit has converged, and lambda with
weight decay. eta mu_max = 2 is the edge: no sharper minimum is stable [exact]. Questions are [ours], none the paper's.
From a fan-in start below the stable step size eta_0 = 2/mu_max(K(0)) the loss only falls; above it the sharpness falls
below the edge (catapult, Lewkowycz et al., arXiv 2003.02218). From small weights it rises (progressive sharpening), and
where it passes the edge is turned back (Cohen et al., arXiv 2103.00065; Ghosh et al., arXiv 2502.20531). In both cases
it settles between 1.5 and 2, where the fit converges. With decay it ends at that of the optimum of fact 8 [exact].

The sizes d=200, m=100, s=5 and the widest network are [paper]. Other widths, depths, step sizes, starts, gamma = 0.1,
condition number 1, 50 noise-free samples and the number of steps are [ours].

Refuted if a run diverges, a loss rises below the stable step size, training ends above the edge or far below it, small
weights do not sharpen past it, or weight decay leads elsewhere. At paper size one run of 216 diverges, from small
weights at L = 2 with 1.15 times the step size that is stable at the fit; four verdicts fail by it alone.
"""

import jaxinv as ji
from jaxinv import theory
from jaxinv.measures import structure
from jaxinv.studies import plots

EDGE, NEAR = 2.0, 0.02
"""eta mu_max at the edge of stability; what is more than NEAR above is past it."""

SIZES = {
    "quick": {"signal_dim": 32, "measurement_dim": 16, "subspace_dim": 3, "samples": 50},
    "paper": {"signal_dim": 200, "measurement_dim": 100, "subspace_dim": 5, "samples": 50},
}


def edge_descent(problem, network, *, multiple, at="start", gamma=None):
    """`multiple` times the stable step size 2/mu_max(K), of the network, or at "fit" of the balanced X Y^+."""
    weights = network.weights if at == "start" else theory.balanced_fit(problem, network.depth)
    step_size = theory.linearise(problem, weights).stable_step_size(multiple)
    return ji.gradient_descent(problem, network, step_size=step_size, gamma=gamma)


def grids(preset):
    """From a fan-in start, from small weights and with weight decay, by depth and step size."""
    seeds, widths, steps = {"quick": (3, [16, 64], 1500), "paper": (4, [100, 400], 1500)}[preset]
    own = ["loss", ji.Metric("sharpness", structure.sharpness)]

    def grid(multiples, widths=widths[-1:], steps=steps, **fixed):
        axes = {"depth": [2, 3, 5], "width": widths, "multiple": multiples, "seed": range(seeds)}
        return ji.Sweep(axes, {**SIZES[preset], **fixed}, steps, 50, own, "float64", descent=edge_descent)

    return {
        "start": grid([0.25, 0.5, 0.9, 1.1, 1.5], widths),
        "small": grid([0.5, 0.7, 0.85, 1.05, 1.15], scale=0.5, at="fit"),
        "decay": grid([0.5, 0.9, 1.5], steps=2 * steps, gamma=0.1),
    }


def analyse(runs):
    """`eta_mu`: eta mu_max; `optimum`: that of the balanced optimum with weight decay."""
    import xarray

    def at_optimum(depth, seed):
        setup = runs["decay"].build(depth=depth, seed=seed)
        return theory.optimum_sharpness(setup.problem, setup.network.depth, setup.descent.weight_decay)

    made = {name: xarray.Dataset({"eta_mu": run["step_size"] * run["sharpness"]}) for name, run in runs.items()}
    optimum = xarray.apply_ufunc(at_optimum, *(runs["decay"][axis] for axis in ("depth", "seed")), vectorize=True)
    return {**made, "decay": made["decay"].assign(optimum=runs["decay"]["step_size"] * optimum)}


def part(values, above):
    """Those above the stable step size, or those below."""
    return values.isel(multiple=(values["multiple"] > 1).values == above)


def draw(runs):
    """eta mu_max along training from a fan-in start (a) and small weights (b), where it ends (c), and with decay (d).

    Step sizes are multiples of 2/mu_max(K): eta_0 at the start, eta_* at the balanced fit. Dashed: the narrow network.
    """
    start, decay, depths = runs["start"], runs["decay"], runs["start"]["depth"].values.tolist()
    middle, wide, at_end = depths[len(depths) // 2], start["width"].values[-1], "step size $\\eta/\\eta_0$"
    figure, axes = plots.panels(2 * plots.COLUMN_WIDTH, 4.8, [["start", "small"], ["end", "decay"]])
    for name, unit in (("start", "0"), ("small", "*")):
        one, label = runs[name].select("eta_mu", depth=middle, width=wide), f"$\\eta/\\eta_{unit}$ = {{:g}}".format
        plots.bands(axes[name], one, x="step", colour="multiple", label=label)
    for depth, shade in plots.colours_of("depth", depths).items():
        looks = {"x": "multiple", "shade": shade, "marker": 3}
        for width, style in zip(start["width"].values[::-1], ("-", "--", ":"), strict=False):
            end, narrow = start.end("eta_mu", depth=depth, width=width), f"$d_w$ = {width}" * (depth == depths[-1])
            plots.bands(axes["end"], end, style=style, label=f"L = {depth}" if width == wide else narrow, **looks)
        end, optimum = decay.end("eta_mu", depth=depth), decay.select("optimum", depth=depth)
        plots.bands(axes["decay"], end, style="o", label=f"L = {depth}", **looks)
        plots.bands(axes["decay"], optimum, x="multiple", label="optimum" if depth == depths[-1] else "")
    axes["end"].plot(start["multiple"], EDGE * start["multiple"], ":", color=plots.REFERENCE, label="at the start")
    titles = (
        f"a  fan-in start, L = {middle}",
        f"b  small weights, L = {middle}",
        "c  at the end",
        "d  at the end, decay",
    )
    for panel, title, x in zip(axes.values(), titles, [plots.STEP] * 2 + [at_end] * 2, strict=True):
        panel.axhline(EDGE, color=plots.NO_DECAY, linewidth=0.8, label="edge")
        plots.log_log(panel, x, "$\\eta\\,\\mu_\\mathrm{max}$", title)
        panel.set(xscale="log" if x == plots.STEP else "linear", yscale="linear", ylim=(0, 3.8))
        plots.legend(panel, "upper right" if panel is axes["start"] else "upper left", ncols=2)
    return figure


def claims(runs):
    """What ends where: below the stable step size, above it, from small weights and with decay."""
    start, small, decay = (runs[name] for name in ("start", "small", "decay"))
    settled = [part(run.end("eta_mu"), True).median("seed", skipna=False).min(skipna=False) for run in (start, small)]
    return [
        ji.at_most(0, [run["diverged"].mean() for run in runs.values()],
                   "share of runs that diverge, up to 1.5 times the stable step size [literature: the catapult]"),
        ji.at_most(1e-12, part(start["loss"].diff("record") / start.start("loss"), False), "rise of the loss between "
                   "records over its start, below the stable step size, largest [literature: the descent lemma]"),
        ji.at_most(EDGE, part(start["eta_mu"], False), "eta mu_max in training below that step size, largest [ours]"),
        ji.at_most(EDGE + NEAR, [run.end("eta_mu").max(skipna=False) for run in runs.values()],
                   "eta mu_max at the end, largest [exact: no sharper minimum is stable; 1% ours]"),
        ji.at_least(1.5, settled, "eta mu_max at the end above that step size, least median over seeds [ours: near 2]"),
        ji.at_least(1, part(small.end("sharpness") / small.start("sharpness"), False), "growth of the sharpness from "
                    "small weights, step size stable at the fit, least [literature: sharpening]", strict=True),
        ji.at_least(EDGE + NEAR, part(small["eta_mu"], True).max("record", skipna=False),
                    "peak of eta mu_max from small weights, step size above that, least [literature: past the edge]"),
        ji.within(0.01, decay.end("eta_mu") / decay["optimum"], 1,
                  "sharpness at the end with decay over that of the optimum, farthest [exact: fact 8; 1% ours]"),
    ]  # fmt: skip


EXPERIMENT = ji.Experiment(grids, draw, claims, analyse, paper=ji.FIG_1A)
