"""With weight decay the noise let through depends on the dimension of the subspace, not on the number of measurements.

Claim [ours, after the paper's: weight decay encodes the latent subspace]: with weight decay the off-subspace error
vanishes and the noise gain is that of the oracle R (A R)^+, sqrt(s m / (m - s - 1)) for a Gaussian operator [exact
in mean], whatever s below m; without it the start's part off the subspace stays, and adds its (d/m)(m - s) [exact in
mean] under the root. For s > m no linear map recovers the signals: at condition number 1 the relative error on fresh
signals is at least sqrt(1 - m/s) [exact], and training comes near it.

d=200 and m=100 of the paper preset are [paper]. Gaussian operator, fan-in initialization, condition number 1, 1,000
noise-free samples, depth 3 and width 200 (a step costs s times as much as at s = 1), the gamma grid and the number of
steps are [ours]. So is the step size: the default over (1 + sqrt(s/m))^2, about the squared norm of A R, which the
default takes for 1.

Refuted if for some s < m the off-subspace error does not vanish with decay, or the error under strong noise is more
than 10% above the oracle's; if for small s the error without decay is not several times larger; or if for s > m an
error is below the bound, or not near it.
"""

import warnings

import numpy as np

import jaxinv as ji
from jaxinv import theory
from jaxinv.measures.structure import oracle_gain
from jaxinv.problems import operators
from jaxinv.problems.signals import subspace
from jaxinv.studies import plots

NOISE = 1.0
SIZES = {
    "quick": {"signal_dim": 64, "measurement_dim": 32, "samples": 200, "width": 100, "depth": 2},
    "paper": {"signal_dim": 200, "measurement_dim": 100, "samples": 1000, "width": 200, "depth": 3},
}


def any_subspace_problem(key, *, signal_dim=200, measurement_dim=100, subspace_dim=5, samples=1000):
    """`ji.subspace_problem` at condition number 1, where subspace_dim may be above measurement_dim."""
    latent = subspace(key, signal_dim, subspace_dim, 1.0)
    operator = operators.gaussian(key, measurement_dim, signal_dim)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # that no map recovers the signals is what is to be seen
        return ji.Problem(operator, latent.training(key, samples), latent=latent)


def careful_descent(problem, network, *, gamma=0.0):
    """Gradient descent at the default step size of generators over (1 + sqrt(s/m))^2: A stretches signals so."""
    stretch = (1 + (problem.subspace_dim / problem.measurement_dim) ** 0.5) ** 2
    default = problem.measurement_dim / (network.depth * network.width * problem.signal_extremes[0] ** 2)
    return ji.gradient_descent(problem, network, gamma=gamma, step_size=default / stretch)


def grids(preset):
    """Subspaces of dimensions below and above the number of measurements, without and with weight decay."""
    dims, seeds = {"quick": ([2, 8, 16, 48], 3), "paper": ([2, 4, 8, 16, 32, 64, 128], 4)}[preset]
    return ji.Sweep(
        axes={"subspace_dim": dims, "gamma": [0.0, 0.1], "seed": range(seeds)}, fixed=SIZES[preset], steps=5000,
        metrics=["regression_error", "off_subspace_error", "off_subspace_gain", "noise_gain", "test_error",
                 ji.NoisyError([NOISE], maps=["network", "oracle"]), ji.Metric("oracle_gain", oracle_gain)],
        records=[0, 5000], precision="float64", problem=any_subspace_problem, descent=careful_descent,
    )  # fmt: skip


def draw(runs):
    """Against s: off-subspace error, noise gain, and the error on fresh signals without and with noise."""
    figure, axes = plots.panels(2 * plots.COLUMN_WIDTH, 4.4, [["off", "gain"], ["clean", "loud"]], sharex=True)
    d, m, s = runs.argument("signal_dim"), runs.argument("measurement_dim"), runs["subspace_dim"].values
    line = {"x": "subspace_dim", "broken_at": m + 1, "marker": 3}  # beyond m it is another problem
    known = {**line, "label": "oracle", "style": "s--"}
    plots.bands(axes["off"], runs.end("off_subspace_error"), colour="gamma", **line)
    plots.bands(axes["gain"], runs.end("noise_gain"), colour="gamma", **line)
    plots.bands(axes["gain"], runs.start("oracle_gain"), **known)
    plots.bands(axes["clean"], runs.end("test_error"), colour="gamma", **line)
    plots.bands(axes["loud"], runs.end("noisy_error", map="network", noise=NOISE), colour="gamma", **line)
    plots.bands(axes["loud"], runs.start("noisy_error", map="oracle", noise=NOISE), **known)
    fine = np.geomspace(s[0], s[-1], 400)
    below, beyond = fine[fine < m - 2], fine[fine >= m]
    law, kept = theory.oracle_noise_gain(m, below), theory.initial_off_subspace_gain(d, m, below)
    both, least = "with the start's part, $\\sqrt{\\mathrm{law}^2+(d/m)(m-s)}$", "least possible, $\\sqrt{1-m/s}$"
    axes["gain"].plot(below, law, "k:", label="oracle's law, $\\sqrt{sm/(m-s-1)}$")
    axes["gain"].plot(below, np.hypot(law, kept), "k-.", label=both)
    axes["clean"].plot(beyond, theory.least_error(m, beyond), "k", linewidth=0.8, label=least)
    dims = f"subspace dimension s (m = {m})"
    plots.log_log(axes["off"], "", "off-subspace error", "a  off the subspace")
    plots.log_log(axes["gain"], "", "noise gain $||W||_F$", "b  noise gain")
    plots.log_log(axes["clean"], dims, "relative RMSE", "c  fresh signals, no noise")
    plots.log_log(axes["loud"], dims, "relative RMSE", f"d  fresh signals, relative noise {NOISE:g}")
    for panel in axes.values():
        plots.ticks_at(panel, s)
        panel.axvspan(m, 2 * max(m, s[-1]), color="0.93", zorder=0)
        panel.set_xlim(s[0] / 1.2, max(m, s[-1]) * 1.2)
    axes["off"].text(m * 1.08, 0.06, "s > m", transform=axes["off"].get_xaxis_transform(), fontsize=7)
    axes["clean"].set(yscale="linear", ylim=(-0.03, None))
    plots.plain_ticks(axes["gain"].yaxis)
    plots.plain_ticks(axes["loud"].yaxis)
    plots.shared_legend(figure, (axes["gain"], axes["clean"]), ncols=3)
    return figure


def claims(runs):
    """The claim after the last step; a diverged run is NaN there, and fails every verdict it enters."""
    m, s, strongest = runs.argument("measurement_dim"), runs["subspace_dim"].values, runs["gamma"].max().item()
    below, half, few, beyond = s[s < m], s[s <= m / 2], s[s <= m / 10], s[s > m]
    decay, noise = f"with gamma = {strongest:g}", f"error at noise {NOISE:g}"
    kept = runs.end("off_subspace_gain", gamma=0.0) / runs.start("off_subspace_gain", gamma=0.0)
    gain = runs.end("noise_gain", gamma=strongest, subspace_dim=half).median("seed", skipna=False)
    plain, decayed = (runs.end("noisy_error", map="network", noise=NOISE, gamma=g) for g in (0.0, strongest))
    oracle = runs.start("noisy_error", map="oracle", noise=NOISE, gamma=0.0)
    clean = runs.end("test_error", gamma=[0.0, strongest], subspace_dim=beyond)
    over = clean / theory.least_error(m, clean["subspace_dim"])
    return [
        ji.at_most(1e-6, runs.end("off_subspace_error", gamma=strongest, subspace_dim=below),
                   f"s < m: {decay} the off-subspace error vanishes, largest over s and seeds [ours]", strict=True),
        ji.at_least(0.8, kept.sel(subspace_dim=below),
                    "s < m: without decay the map keeps its off-subspace part, least share over s and seeds [ours]"),
        ji.within(0.25, gain / theory.oracle_noise_gain(m, gain["subspace_dim"]), 1, "s <= m/2: noise gain "
                  f"{decay} over the oracle's law, median over seeds, farthest from 1 [law exact in mean; 0.25 ours]"),
        ji.at_most(1.1, (decayed / oracle).sel(subspace_dim=below),
                   f"s < m: {noise} {decay} over the oracle's, largest over s and seeds [ours]"),
        ji.at_least(3, (plain / decayed).sel(subspace_dim=few),
                    f"s <= m/10: {noise} without decay over that {decay}, least over s and seeds "
                    "[ours; the start's noise gain over the oracle's is 4 at s = m/10]"),
        ji.at_least(1 - 1e-9, over,
                    "s > m: noise-free error over sqrt(1 - m/s), least over gamma, s and seeds [exact, to rounding]"),
        ji.at_most(1.1, over.sel(gamma=0.0),
                   "s > m: noise-free error without decay over sqrt(1 - m/s), largest over s and seeds [ours]"),
    ]  # fmt: skip


EXPERIMENT = ji.Experiment(grids, draw, claims, paper={"signal_dim": 200, "measurement_dim": 100})
