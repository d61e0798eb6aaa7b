"""Weight decay makes the learned map robust to noise (Fig. 1a of arXiv 2502.15522).

Claim [paper]: without weight decay the trained network keeps the part of its initialization that lies off the
subspace of the measurements and passes noise through it; with weight decay that part vanishes. That the error on noisy
test signals then comes down to that of an oracle which knows the subspace is [ours].

The sizes d=200, m=100, s=5, L=5, d_w=400 are [paper]. Gaussian operator, fan-in initialization, step size, the
gamma grid, 1,000 noise-free training samples, condition number 1 and the number of steps are [ours].

Refuted if, at large test noise, the error with gamma = 0.1 is more than 10% from the oracle's, or that without decay
is not several times larger, or if the off-subspace error does not vanish with decay.
"""

import numpy as np

import jaxinv as ji
from jaxinv import theory
from jaxinv.measures.metrics import NAMES
from jaxinv.studies import plots

NOISE = np.geomspace(1e-3, 1.0, 40)
SIZES = {
    "quick": {"signal_dim": 64, "measurement_dim": 32, "subspace_dim": 3, "samples": 200, "width": 128, "depth": 3},
    "paper": {**ji.FIG_1A, "samples": 1000},
}


def grids(preset):
    """Four strengths of weight decay, several seeds."""
    seeds, steps = {"quick": (4, 10_000), "paper": (8, 20_000)}[preset]
    return ji.Sweep(
        axes={"gamma": [0.0, 0.01, 0.03, 0.1], "seed": range(seeds)},
        fixed=SIZES[preset],
        steps=steps,
        metrics=[*NAMES, ji.NoisyError(NOISE, maps=["network", "oracle"])],
        precision="float64",
    )


def analyse(runs):
    """`minimum_norm_error`: the error of A^+ on the problem of each seed."""
    import xarray

    seeds = runs["seed"].values.tolist()
    errors = [theory.minimum_norm_error(runs.build(seed=seed).problem, NOISE) for seed in seeds]
    return xarray.Dataset({"minimum_norm_error": (("seed", "noise"), errors)}, {"seed": seeds, "noise": NOISE})


def draw(runs):
    """Error against test noise, and the two training curves, a colour for each gamma."""
    layout = [["noise", "fit"], ["noise", "off"]]
    figure, axes = plots.panels(2 * plots.COLUMN_WIDTH, 3.8, layout, width_ratios=[1.25, 1])
    plots.bands(axes["noise"], runs.end("noisy_error", map="network"), x="noise", colour="gamma")
    plots.bands(axes["noise"], runs.start("noisy_error", map="oracle"), x="noise", label="oracle", style="--")
    plots.bands(axes["noise"], runs["minimum_norm_error"], x="noise", label="minimum norm", style=":")
    plots.bands(axes["fit"], runs["regression_error"], x="step", colour="gamma")
    plots.bands(axes["off"], runs["off_subspace_error"], x="step", colour="gamma")
    plots.log_log(axes["noise"], "relative test noise", "relative RMSE on fresh signals", "a  error under noise")
    plots.log_log(axes["fit"], "", "regression error", "b  fit of the training data")
    plots.log_log(axes["off"], plots.STEP, "off-subspace error", "c  off the subspace")
    plots.shared_legend(figure, [axes["noise"]], ncols=3)
    # without decay the fit goes on to rounding, four decades below what the panel is about
    axes["fit"].set_ylim(bottom=3e-4)
    axes["off"].set_ylim(bottom=1e-9)
    return figure


def claims(runs):
    """The three parts of the claim, after the last step; a diverged run is NaN there and fails what it enters."""
    strongest = runs["gamma"].max().item()
    decay = f"with gamma = {strongest:g}"
    start = runs.start("off_subspace_gain", gamma=0.0)
    sizes = (runs.argument(name) for name in ("signal_dim", "measurement_dim", "subspace_dim"))
    first = start.mean(skipna=False) / theory.initial_off_subspace_gain(*sizes)
    plain, decayed = (runs.end("noisy_error", map="network", noise=1.0, gamma=gamma) for gamma in (0.0, strongest))
    oracle = runs.start("noisy_error", map="oracle", noise=1.0, gamma=0.0)
    return [
        ji.within(0.14 / runs.sizes["seed"] ** 0.5, first, 1, "||W P_perp||_F at the start over sqrt((d/m)(m-s)), "
                  "mean over seeds [exact in mean; slack 0.14/sqrt(seeds)]"),
        ji.at_least(0.8, runs.end("off_subspace_gain", gamma=0.0) / start,
                    "without decay the map keeps its off-subspace part, least share over seeds [ours]"),
        ji.at_most(1e-6, runs.end("off_subspace_error", gamma=strongest),
                   f"{decay} the off-subspace error vanishes, largest over seeds [ours]", strict=True),
        ji.at_most(0.1, abs(decayed / oracle - 1),
                   f"error at noise 1 {decay} against the oracle's, largest deviation [ours]"),
        ji.at_least(3, plain / decayed,
                    f"error at noise 1 without decay over that {decay}, least over seeds [ours]"),
    ]  # fmt: skip


EXPERIMENT = ji.Experiment(grids, draw, claims, analyse, paper=ji.FIG_1A)
