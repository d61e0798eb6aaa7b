"""From a zero-asymmetric start the steps of a deep linear residual network grow polynomially with depth at most.

The network is W_L ... W_1, square layers that learn a map Phi by R = 1/2 ||W_L ... W_1 - Phi||_F^2. Claims of Wu, Wang
and Ma (arXiv 1911.00645) [read in a later paper that quotes them]: from W_1 = ... = W_{L-1} = I, W_L = 0 the gradient
flow keeps R(t) <= exp(-2 t) R(0) for any Phi, and gradient descent R(k) <= (1 - eta/2)^k R(0) at the step size eta of
their theorem, so that it takes O(L^3 log(1/eps)) steps. Standard starts have no such bound: for d = 1 they need
exp(Omega(L)) steps [read: Shamir 2019]. [ours] Descent even keeps to the rate of the flow, exp(-2 eta k); and for Phi =
-I the steps from near-identity and Xavier starts fail, or grow faster with the depth, at the best of three step sizes
c/L, the same three for all.

Depths, sizes, norms, seeds, step sizes c/L, the level and the near-identity start of standard deviation 0.1/sqrt(d L)
are [ours]. ||Phi||_F = 1/2 and L >= 9 is where the step size of the theorem can be used; elsewhere it is down to 1e-8.
-I of even d can be reached from the identity without crossing a singular map, that of odd d cannot.

Refuted if a risk lies above a bound, if the steps grow faster than L^3 from the zero-asymmetric start, or if another
start keeps up with it.
"""

import numpy as np

import jaxinv as ji
from jaxinv.measures import curves, statistics
from jaxinv.neighbours import residual_depth as residual
from jaxinv.studies import plots

LEVEL, UNTIL, RATES = 1e-6, 8.0, [0.03, 0.1, 0.3]
"""The risk to reach, over that at the start; the time that the flow runs to; the step sizes c/L, by their c."""

NAMES = {"zero_asymmetric": "zero asymmetric [theirs]", "near_identity": "near identity", "xavier": "Xavier"}

RECORDED = {"risk": ("record",), "step": ("record",)}
FLOW = ji.Method(residual.residual_flow, RECORDED, batched=("key", "norm", "negative"))
DESCENT = ji.Method(residual.residual_descent, RECORDED, batched=("key", "negative"))
EACH_START = ji.Method(residual.residual_starts, {"risk": ("start", "record"), "at": ("start", "record")},
                       {"start": residual.STARTS}, batched=("key", "rate", "most"))  # fmt: skip


def grids(preset):
    """The flow and the proven descent from the zero-asymmetric start, then three starts on -I of size 4 and 1."""
    flows, proven, depths, scalar, most, seeds = {
        "quick": ([2, 9, 16], [9, 12, 16], [2, 4, 8, 16], [2, 4, 6, 8], 30_000, 4),
        "paper": ([2, 4, 9, 16, 32, 50], [9, 16, 25, 36, 50], [2, 4, 8, 16, 32, 50], [2, 4, 6, 8, 10, 12], 300_000, 8),
    }[preset]
    shared, signs = {"size": 4, "records": 80}, {"negative": [0.0, 1.0]}
    raced, rates = {**shared, "level": LEVEL, "most": most}, {"rate": RATES, "seed": range(seeds)}
    proved = {**shared, "level": LEVEL, "norm": 0.5}
    return {
        "flow": ji.Sweep({"depth": flows, "norm": [0.5, 2.0], **signs, "seed": range(seeds)},
                         {**shared, "until": UNTIL}, method=FLOW),
        "descent": ji.Sweep({"depth": proven, **signs, "seed": range(seeds // 2)}, proved, method=DESCENT),
        "starts": ji.Sweep({"depth": depths, **rates}, raced, method=EACH_START),
        "scalar": ji.Sweep({"depth": scalar, **rates}, {**raced, "size": 1, "most": 10 * most}, method=EACH_START),
    }  # fmt: skip


def analyse(runs):
    """`steps` to the level of each run, infinite where it does not get there and NaN where it diverged.

    Of the three starts: at the best step size for each run.
    """
    import xarray

    found = {}
    for name in ("descent", "starts", "scalar"):
        risk = runs[name]["risk"]
        risk = risk if name == "descent" else risk.assign_coords(step=runs[name]["at"])
        steps = curves.run_steps_to(risk, LEVEL).where(risk.notnull().all("record"))
        steps = steps if name == "descent" else steps.min("rate", skipna=False)
        found[name] = xarray.Dataset({"steps": steps})
    return found


def draw(runs):
    """Risks and bounds from the zero-asymmetric start, and steps to the level against the depth from three starts.

    Bands are the range over seeds. On the dotted line: runs that did not get to the level in all of the steps.
    """
    figure, axes = plots.panels(2 * plots.COLUMN_WIDTH, 5.0, [["flow", "descent"], ["starts", "scalar"]])
    depths = {depth for name in ("flow", "descent") for depth in runs[name]["depth"].values.tolist()}
    colours = plots.colours_of("depth", sorted(depths))
    for name, (risk, time) in timed(runs).items():
        shared = time.max([dim for dim in time.dims if dim not in ("depth", "record")])
        loudest = risk.isel(norm=-1) if name == "flow" else risk
        plots.bands(axes[name], loudest.assign_coords(time=shared), x="time", colour="depth", colours=colours)
    ends = np.array([0, UNTIL])
    for panel, rate, style, label in (
        ("flow", 2, "--", "their bound $e^{-2t}$"),
        ("descent", 2, "-.", "rate of the flow [ours]"),
        ("descent", 0.5, "--", r"their bound $(1-\eta/2)^k$"),
    ):
        axes[panel].plot(ends, np.exp(-rate * ends), style, color=plots.REFERENCE, label=label)
    proven, shades = runs["descent"]["steps"], ("#0072B2", "#E69F00", "#D55E00")
    words = r"zero asymmetric, their $\eta$, $||\Phi||_F$ = 0.5"
    plots.bands(axes["starts"], proven, x="depth", shade="#009E73", label=words, marker=3)
    for panel in ("starts", "scalar"):
        most = runs[panel].argument("most")
        for name, shade in zip(residual.STARTS, shades, strict=True):
            steps = runs[panel].select("steps", start=name).clip(max=most)
            plots.bands(axes[panel], steps, x="depth", shade=shade, label=NAMES[name], marker=3)
        axes[panel].axhline(most, color=plots.REFERENCE, linewidth=0.8, linestyle=":", label="not reached")
    ends = proven["depth"].values[[0, -1]]
    cubes = 3 * proven.isel(depth=0).median().item() * (ends / ends[0]) ** 3
    axes["starts"].plot(ends, cubes, "--", color=plots.REFERENCE, label="their power, $L^3$")
    plots.log_log(axes["flow"], "time $t$", "risk over the first", "a  flow, $||\\Phi||_F$ = 2")
    title = r"b  descent, their $\eta$, $||\Phi||_F$ = 0.5"
    plots.log_log(axes["descent"], r"$\eta \times$ step", "risk over the first", title)
    plots.log_log(axes["starts"], "depth $L$", "steps to risk $10^{-6}$", "c  $\\Phi = -I$, $d = 4$, best $c/L$ [ours]")
    plots.log_log(axes["scalar"], "depth $L$", "steps to risk $10^{-6}$", "d  $\\Phi = -1$, $d = 1$, best $c/L$ [ours]")
    for name in ("flow", "descent"):
        axes[name].set(xscale="linear", ylim=(1e-8, 1e3), yticks=10.0 ** np.arange(-8, 1, 2), xlim=(-0.3, UNTIL))
        axes[name].yaxis.set_minor_formatter("")
        columns = 3 if len(runs[name]["depth"]) > 3 else 2
        plots.legend(axes[name], "upper right", fontsize=6, ncols=columns, columnspacing=1)
    axes["scalar"].set(xscale="linear")
    plots.ticks_at(axes["starts"], runs["starts"]["depth"].values)
    plots.shared_legend(figure, [axes["starts"], axes["scalar"]], ncols=3)
    return figure


def timed(runs):
    """Risks from the zero-asymmetric start and their times, step size times step, of the flow and of the descent."""
    flow, descent = runs["flow"]["risk"], runs["descent"]["risk"]
    return {"flow": (flow, flow["step"] * residual.flow_time_step(flow["depth"])),
            "descent": (descent, descent["step"] * proven_step_sizes(runs))}  # fmt: skip


def proven_step_sizes(runs):
    """The step sizes of the theorem by depth."""
    return residual.proven_step_size(runs["descent"]["depth"], runs["descent"].argument("norm"))


def power(steps):
    """b of steps ~ depth^b; NaN where a run is lost or never gets to the level."""
    found = statistics.exponent(steps["depth"], steps, "depth")
    return found.where(found < np.inf)


def interval(values):
    """The ends of the 95% interval of the median over runs; NaN where one of them is."""
    rows = values.values.ravel()
    return statistics.median_interval(rows)[1:] if np.isfinite(rows).all() else (np.nan, np.nan)


def claims(runs):
    """Both bounds at every record, and how the steps grow with the depth; what a lost run enters fails."""
    (flow, time), (descent, scaled) = timed(runs).values()
    steps, alone = (runs[name]["steps"].clip(max=runs[name].argument("most")) for name in ("starts", "scalar"))
    own = [power(runs["descent"]["steps"]), power(runs["starts"]["steps"].sel(start=residual.ZERO))]
    more = [power(steps.sel(start=name)) - own[1] for name in residual.STARTS[1:]]
    alone = alone.sel(start="near_identity")
    per_layer = np.exp(statistics.slope(alone["depth"], np.log(alone), "depth", least=alone.sizes["depth"]))
    return [
        ji.at_most(1e-9, flow * np.exp(2 * time) - 1,
                   "zero-asymmetric start, any Phi: by how much the risk of the flow exceeds exp(-2 t) R(0), largest "
                   "over records [read: their bound; slack for rounding]"),
        ji.at_most(1e-9, descent / (1 - proven_step_sizes(runs) / 2) ** descent["step"] - 1,
                   "by how much that of the descent, at the step size of the theorem, exceeds (1 - eta/2)^k R(0), "
                   "largest over records [read: their bound; slack for rounding]"),
        ji.at_most(1e-9, descent * np.exp(2 * scaled) - 1,
                   "the same for exp(-2 eta k) R(0), the rate of the flow, largest [ours]"),
        ji.at_most(3, [interval(each)[1] for each in own],
                   "steps as a power of the depth from the zero-asymmetric start, the upper end of the interval of the "
                   "median run, at the step size of the theorem and the best c/L, largest of both [read: L^3]"),
        ji.at_least(0, [interval(each)[0] for each in more],
                    "Phi = -I, d = 4: how much larger that power is from near-identity and Xavier starts (all steps "
                    "where a run fails), lower end of the interval, least of both [ours]", strict=True),
        ji.at_least(2, interval(per_layer)[0],
                    "Phi = -1, d = 1: by what one more layer multiplies the steps from a near-identity start, lower "
                    "end of the interval [read: exp(Omega(L)); the 2 is ours]"),
    ]  # fmt: skip


EXPERIMENT = ji.Experiment(grids, draw, claims, analyse)
