"""Weight decay trades a bias proportional to its strength for a map of small norm: the exact path of the optimum.

Claim [paper]: bounds on reconstruction and robustness to noise are tied to the regularization strength. What the
bounds leave open is exact at condition number 1 without noise [exact, fact 8 of jaxinv.theory]: in the right
singular vectors of Y the problem splits into scalar ones, pairs of lengths x_i, y_i, and at the global optimum each
singular value of the learned map is r_i x_i/y_i, where r_i minimises 1/2 (r - 1)^2 + c_i r^(2/L) at the penalty
c_i = (lambda L/2) x_i^(2/L - 2) y_i^(-2/L). At L = 2 that is soft-thresholding. At L = 3 values are dropped at a jump;
between the penalty where the optimum drops them and the one up to which a local minimum remains, gradient descent may
end at either.

Everything is [ours]: sizes, Gaussian operator, fan-in initialization, 50 noise-free samples, condition number 1, the
gamma grid (lambda = gamma sigma_min(X)^2 sqrt(m/d)), depths 2 and 3, steps.

Refuted if gradient descent ends elsewhere than at the optimum, away from the thresholds; if the regression error at
small gamma does not grow in proportion to gamma; or if the noise gain with decay exceeds the oracle's.
"""

import itertools

import numpy as np

import jaxinv as ji
from jaxinv import theory
from jaxinv.measures import statistics, structure
from jaxinv.studies import plots

SMALL = 0.1
"""Largest gamma of the fit of the slope: that of the plateau's first-order formula."""

AWAY = 1.25
"""A factor this far from the penalties at which values are dropped, the end of a run is compared with the optimum."""


def grids(preset):
    """Depths, weight decays and seeds; what is recorded first and last says all."""
    gammas, seeds, steps, sizes = {
        "paper": ([0.0, 1e-3, 3e-3, 0.01, 0.03, 0.1, 0.2, 0.3, 0.5, 0.7, 1.0, 1.5, 3.0], 5, 50_000,
                  {"signal_dim": 100, "measurement_dim": 50, "subspace_dim": 5, "width": 100}),
        "quick": ([0.0, 3e-3, 0.01, 0.03, 0.1, 0.3, 1.0, 3.0], 3, 16_000,
                  {"signal_dim": 32, "measurement_dim": 16, "subspace_dim": 2, "width": 32}),
    }[preset]  # fmt: skip
    of_pairs = {"singular_values": structure.map_values, "signal_norms": structure.signal_norms,
                "measured_norms": structure.measured_norms, "pair_gains": structure.pair_gains}  # fmt: skip
    return ji.Sweep(
        axes={"depth": [2, 3], "gamma": gammas, "seed": range(seeds)},
        fixed={**sizes, "samples": 50},
        steps=steps,
        records=2,
        metrics=["regression_error", "noise_gain", ji.Metric("cosine", structure.pair_cosine)]
        + [ji.Metric(name, function, ("pair",)) for name, function in of_pairs.items()],
        precision="float64",
    )


def analyse(runs):
    """For each pair of a run: c_i, its r_i and the optimum's; the errors of the optimum along a fine path of gamma.

    Noise gains are relative to the oracle's, ||R (A R)^+||_F, whose singular values are x_i/y_i.
    """
    import xarray

    # gamma and training change no problem
    x, y = (runs[name].isel(gamma=0, record=0, drop=True) for name in ("signal_norms", "measured_norms"))
    pairs, oracle = theory.ParallelPairs(x, y), x / y
    values, gains, depth = runs.end("singular_values"), runs.end("pair_gains"), runs["depth"]
    penalty = theory.penalty(pairs, depth, runs["weight_decay"])
    by_pair = xarray.apply_ufunc(structure.values_by_pair, values, gains, input_core_dims=[["pair"]] * 2,
                                 output_core_dims=[["pair"]])  # fmt: skip
    positive = runs["gamma"].where(runs["gamma"] > 0)
    path = np.geomspace(positive.min().item(), positive.max().item(), 200)
    decays = (runs["weight_decay"] / positive).max("gamma") * xarray.DataArray(path, {"path_gamma": path})
    path_shares = xarray.apply_ufunc(theory.shrinkage, theory.penalty(pairs, depth, decays), depth)
    path_error, path_gain = theory.errors_of_shares(pairs, path_shares, "pair")
    return xarray.Dataset({
        "penalty": penalty,
        "share": by_pair / oracle,
        "optimum_share": xarray.apply_ufunc(theory.shrinkage, penalty, depth),
        "relative_gain": runs.end("noise_gain") / (oracle**2).sum("pair") ** 0.5,
        "path_error": path_error,
        "path_gain": path_gain,
    })  # fmt: skip


def draw(runs):
    """Regression error, shrinkage of single values, noise gain: dots are runs, lines the optimum on the same data."""
    figure, axes = plots.panels(2 * plots.COLUMN_WIDTH, 2.9, [["error", "shrink", "noise"]])
    colours = plots.colours_of("depth", runs["depth"].values.tolist())
    gamma, kept = runs["gamma"], ~runs["diverged"]
    error, gain, share = (data.where(kept & (gamma > 0)) for data in
                          (runs.end("regression_error"), runs["relative_gain"], runs["share"]))  # fmt: skip
    plots.bands(axes["error"], runs["path_error"], x="path_gamma", colour="depth", label="L = {:g}: optimum".format)
    plots.bands(axes["noise"], runs["path_gain"], x="path_gamma", colour="depth", label="")
    for depth, marker in zip(colours, itertools.cycle("os^vD")):
        style = {"colour": colours[depth], "marker": marker}
        penalty = runs.select("penalty", depth=depth).where(gamma > 0)
        plots.dots(axes["error"], gamma, error.sel(depth=depth), label=f"L = {depth}: runs", **style)
        plots.dots(axes["noise"], gamma, gain.sel(depth=depth), **style)
        plots.dots(axes["shrink"], penalty, share.sel(depth=depth), **style)
        fine = np.geomspace(penalty.min().item(), penalty.max().item(), 500)
        axes["shrink"].plot(fine, theory.shrinkage(fine, depth), color=colours[depth])
        if depth > 2:
            local = theory.local_minima(depth)
            axes["shrink"].plot(*local, ":", color=colours[depth], label=f"L = {depth}: local minimum")
    plain = statistics.values_where(runs["relative_gain"], kept & (gamma == 0))
    if plain.size:
        axes["noise"].axhspan(plain.min(), plain.max(), color=plots.NO_DECAY, alpha=0.2, linewidth=0)
        axes["noise"].axhline(np.median(plain), color=plots.NO_DECAY, label="no weight decay")
    axes["noise"].axhline(1, color=plots.REFERENCE, linestyle=":", label="oracle")
    plots.log_log(axes["error"], r"weight decay $\gamma$", "regression error at the end", "a  bias")
    plots.log_log(axes["shrink"], "penalty $c_i$", "singular value / oracle's", "b  each singular value")
    plots.log_log(axes["noise"], r"weight decay $\gamma$", "noise gain / oracle's", "c  noise passed on")
    # further left every value is near 1, as panel a shows better
    axes["shrink"].set(yscale="linear", xlim=(0.02, None))
    # above the threshold the map is 0
    axes["noise"].set_ylim(bottom=0.05)
    plots.shared_legend(figure, axes.values(), ncols=4)
    return figure


def claims(runs):
    """Every run at its end; one that diverged is NaN, and fails what it enters."""
    gamma, of = runs["gamma"], statistics.values_where
    fitted = np.log(gamma.where((gamma > 0) & (gamma <= SMALL)))
    points = max(2, fitted.count().item())
    slopes = statistics.slope(fitted, np.log(runs.end("regression_error")), "gamma", least=points)
    penalty, optimum = runs["penalty"], runs["optimum_share"]
    deviation = abs(runs["share"] - optimum) / optimum.where(optimum > 0, 1)
    verdicts = [
        ji.at_most(0, runs["diverged"].sum(), "runs that diverged [ours]"),
        ji.at_most(1e-8, runs.start("cosine"),
                   "fact 8 applies: cosine of two columns of X V, largest over problems [exact; rounding]",
                   strict=True),
        ji.at_most(0.05, abs(slopes - 1),
                   f"regression error in proportion to gamma up to {SMALL:g}: log-log slope, largest distance from 1 "
                   "[exact to first order in gamma; slack ours]"),
        ji.at_most(1.0001, of(runs["relative_gain"], gamma > 0),
                   "with decay the noise gain is at most the oracle's: ratio, largest over gamma "
                   "[exact at the optimum; slack ours]"),
    ]  # fmt: skip
    for depth in runs["depth"].values.tolist():
        first, last = theory.largest_penalty(depth) / AWAY, theory.last_penalty(depth) * AWAY
        compared = (gamma > 0) & (runs["depth"] == depth) & ((penalty < first) | (penalty > last))
        law = "soft-thresholding" if depth == 2 else f"the global minimum of the scalar l_(2/{depth}) problem"
        words = f"L = {depth}: singular values against {law}, penalties {AWAY:g}x off the thresholds, largest relative "
        verdicts.append(ji.at_most(1e-4, of(deviation, compared), f"{words}deviation [exact; slack ours]"))
    return verdicts


EXPERIMENT = ji.Experiment(grids, draw, claims, analyse)
