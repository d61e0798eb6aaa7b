"""Weight decay removes what non-linear networks make of noise off the span of the signals, and little beyond.

Asked here [ours]: where the picture of arXiv 2502.15522 survives when the network is not linear (ReLU, tanh, GELU, one
ReLU above linear layers) and the signals lie on no single subspace (a union of four, a curved manifold). The paper has
both claims that are tested first for linear networks, and shows a ReLU network in Fig. 1b [paper]: decay removes the
part of the network that no signal needs, and with it errors under noise fall. On the signals' span more could be had:
an oracle that is told where each signal lies, on which subspace or where on the manifold (there to first order in the
noise), is compared with, and the linear map of least mean square error at that noise, from the second moments [exact].

Networks that are not linear have a map at each point, their Jacobian: noise gain and off-subspace gain are means over
16 test points. P_perp is onto what no signal's measurement has a part in: the span of all of them has p dimensions, in
both problems equally many. Gradients of W_1 vanish there whatever the layers above (fact 1 of jaxinv.theory).

All sizes, depth 3, the widths, momentum 0.9, the "stable" step size of each network, lambda = 0.005 sigma_max(X)^2
sqrt(m/d) (sigma_min is tiny on a manifold), test noise 0.3 and the curvature are [ours].

Refuted if a run diverges, if the off-subspace gain with decay is above a tenth of that without, or if decay does not
lower the error at noise 0.3, for some network. That networks come near the two maps to compare with are verdicts of
their own: no more than 25% above the best linear map, no more than 10% above the oracle.
"""

import numpy as np

import jaxinv as ji
from jaxinv import theory
from jaxinv.studies import plots

NOISE, DECAY, LAYERS = 0.3, 0.005, 2
"""Relative test noise; weight decay over sigma_max(X)^2 sqrt(m/d); hidden layers."""

NETWORKS = {"linear": ("linear", LAYERS), "one ReLU": ("relu", 1), "ReLU": ("relu", LAYERS), "tanh": ("tanh", LAYERS),
            "GELU": ("gelu", LAYERS)}  # fmt: skip
"""The activation, and how many hidden layers have it."""

SIZES = {
    "quick": {"signal_dim": 48, "measurement_dim": 24, "samples": 128, "held_out": 300, "width": 72},
    "paper": {"signal_dim": 100, "measurement_dim": 50, "samples": 400, "held_out": 1000, "width": 200},
}
SIGNALS = {"quick": (4, 2), "paper": (4, 5)}
"""Subspaces, and dimensions of each: their product is that of the span of either problem."""


def descent(problem, network, *, decay, momentum):
    """Heavy ball at the stable step size of the network; `decay` is relative to the largest curvature of the data."""
    scale = problem.signal_extremes[0] ** 2 * (problem.measurement_dim / problem.signal_dim) ** 0.5
    return ji.Descent("stable", decay * scale, momentum)


def grids(preset):
    """Each network without and with weight decay, on a union of subspaces and on a curved manifold."""
    seeds, steps = {"quick": (2, 1000), "paper": (4, 2500)}[preset]
    subspaces, dim = SIGNALS[preset]
    axes = {"activation": ["linear", "relu", "tanh", "gelu"], "nonlinear_layers": [1, LAYERS], "decay": [0.0, DECAY],
            "seed": range(seeds)}  # fmt: skip
    problems = {
        "union": (ji.union_problem, {"subspaces": subspaces, "subspace_dim": dim}),
        "manifold": (ji.manifold_problem, {"latent_dim": 2, "features": subspaces * dim}),
    }
    return {
        name: ji.Sweep(
            axes, {**SIZES[preset], **more, "depth": LAYERS + 1, "momentum": 0.9}, steps, records=8,
            metrics=["regression_error", "noise_gain", "off_subspace_gain", ji.NoisyError([0, NOISE])],
            precision="float32", problem=problem, descent=descent,
            where=lambda activation, nonlinear_layers: (activation, nonlinear_layers) in NETWORKS.values(),
        )
        for name, (problem, more) in problems.items()
    }  # fmt: skip


def analyse(runs):
    """What the problem of each seed allows: errors at NOISE of the best linear map and the oracle, and its gain."""
    import xarray

    def of_problems(grid):
        problems = [grid.build(seed=seed).problem for seed in grid["seed"].values.tolist()]
        made = {
            "best_linear_error": [theory.best_linear_error(each, np.array([NOISE]))[0] for each in problems],
            "oracle_error": [theory.local_oracle_error(each, np.array([NOISE]))[0] for each in problems],
            "oracle_gain": [theory.local_oracle_gain(each) for each in problems],
        }
        return xarray.Dataset({n: ("seed", rows) for n, rows in made.items()}, {"seed": grid["seed"]})

    return {name: of_problems(grid) for name, grid in runs.items()}


def by_network(data):
    """The data with one axis "network" in place of two."""
    import xarray

    rows = [data.sel(activation=which, nonlinear_layers=count, drop=True) for which, count in NETWORKS.values()]
    return xarray.concat(rows, "network").assign_coords(network=list(NETWORKS))


def ends(grid):
    """After all steps, by network, decay and seed: error at NOISE, error without, noise gain, its part off the span."""
    import xarray

    loud, clean = (grid.end("noisy_error", map="network", noise=noise) for noise in (NOISE, 0.0))
    made = {"loud": loud, "clean": clean, "gain": grid.end("noise_gain"), "off": grid.end("off_subspace_gain")}
    return by_network(xarray.Dataset({name: data.drop_vars(["map", "noise"], errors="ignore")
                                      for name, data in made.items()}))  # fmt: skip


def draw(runs):
    """For each network without and with decay: medians and ranges over seeds, beside the maps to compare with."""
    titles = {"loud": f"error at noise {NOISE:g}", "clean": "error without noise", "gain": "noise gain $||J||_F$",
              "off": "off span $||JP_\\perp||_F$"}  # fmt: skip
    references = {"loud": {"best_linear_error": ("--", "best linear map"), "oracle_error": (":", "oracle, told where")},
                  "gain": {"oracle_gain": (":", None)}}  # fmt: skip
    layout = [[f"{name} {what}" for what in titles] for name in runs]
    figure, axes = plots.panels(2 * plots.COLUMN_WIDTH, 4.2, layout, sharex=True)
    for letter, (place, panel) in zip("abcdefgh", axes.items(), strict=True):
        name, what = place.split()
        draw_networks(panel, ends(runs[name])[what])
        for reference, (style, words) in references.get(what, {}).items():
            panel.axhline(runs[name][reference].median(), color=plots.REFERENCE, ls=style, lw=1.2, label=words)
        panel.set_title(f"{letter}  {titles[what] if letter < 'e' else ''}", loc="left", fontweight="bold")
        panel.set_ylabel(name if what == "loud" else "", fontweight="bold")
        panel.set_yscale("log")
        if what in references:
            plots.plain_ticks(panel.yaxis)
    plots.shared_legend(figure, axes.values(), ncols=4)
    return figure


def draw_networks(panel, values):
    """A marker with its range for each network, without and with decay."""
    for decay, shade, marker, shift in zip(
        values["decay"].values.tolist(), (plots.NO_DECAY, "#443983"), "os", (-0.14, 0.14), strict=True
    ):
        low, middle, high = (values.sel(decay=decay).quantile(share, "seed") for share in (0, 0.5, 1))
        panel.errorbar(np.arange(len(NETWORKS)) + shift, middle, [middle - low, high - middle], color=shade, ls="none",
                       marker=marker, ms=3.5, lw=1, label="weight decay" if decay else "no weight decay")  # fmt: skip
    panel.set_xticks(range(len(NETWORKS)), list(NETWORKS), rotation=60, ha="right", rotation_mode="anchor")


def claims(runs):
    """Decay against none for every network; with it, against the best linear map and the oracle of each problem."""
    shown = {name: ends(grid) for name, grid in runs.items()}
    ratios = {name: each.isel(decay=-1) / each.isel(decay=0) for name, each in shown.items()}
    off, loud = ([each[what] for each in ratios.values()] for what in ("off", "loud"))
    over = "with decay over that without, largest over networks, problems and seeds"
    verdicts = [
        ji.at_most(0, [by_network(grid["diverged"]).mean() for grid in runs.values()],
                   "share of runs that diverge, larger of both problems [ours: a stable step size trains]"),
        ji.at_most(0.1, off, f"off-subspace gain {over} [ours: W_1 P_perp shrinks by a known factor; a tenth ours]"),
        ji.at_most(1, loud, f"error at noise {NOISE:g} {over} [paper: lower with decay]", strict=True),
    ]  # fmt: skip
    for name, grid in runs.items():
        error = shown[name]["loud"].isel(decay=-1)
        for bound, reference, words in (
            (1.25, "best_linear_error", "as good as the best linear map"),
            (1.1, "oracle_error", "as good as the oracle that is told where each signal lies"),
        ):
            claim = f"{name}: {words}: error at noise {NOISE:g} with decay over its, largest over networks and seeds"
            verdicts.append(ji.at_most(bound, error / grid[reference], f"{claim} [ours]"))
    return verdicts


EXPERIMENT = ji.Experiment(grids, draw, claims, analyse)
