"""Weight decay makes a ReLU network robust to noise, too (Fig. 1b of arXiv 2502.15522).

Claim [paper]: a ReLU network trained with weight decay reconstructs from noisy measurements better than one trained
without. How far its error comes down is asked here [ours]: to the best linear map's, or even, as that of the linear
network of Fig. 1a, to that of an oracle, which here knows on which of the subspaces each signal lies.

The sizes d=200, m=100, L=5, d_w=400 of the paper preset are [paper]; what its data are we have not read. Signals on a
union of 4 random subspaces of dimension 5, 1,000 noise-free samples, Gaussian operator, no biases, initialization of
He et al. and the gamma grid are [ours]. The step size and decay are the defaults for linear networks, sigma the
singular values of all signals together, [ours]: no run of ours diverges, though with decay the fit swings; at four
times that step training starts with a burst of error, and gamma = 0.1 is too strong for five layers. The 20,000 steps
of the linear network are 2,000 here, with momentum 0.9, which makes each do the work of ten [ours].

The data of a nonlinear network cannot be compressed. A step costs 18 ms of a core in float32, 46 ms in float64 (36 and
78 at another time): its 3.5 GFLOP at 200 GFLOP/s are arithmetic, not memory, so float32 gains two to three, no more.
Without momentum the 12 runs would take 71 minutes of a core. What would make it cheap: batches, 2.2 ms a step with 100
samples and 0.7 ms with 20, at the price of noise in the gradient; and rank, little of it here, as the measurements have
rank 20 where W_1 alone sees them, 7% of the arithmetic. With one ReLU above linear layers (nonlinear_layers=1) all
below it could be trained on 20 rows in place of 1,000, a step for a seventh (0.52 GFLOP): exact, and not built.

What is exact for linear networks and holds here: gradients of W_1 have rows in the span of the measurements, so
W_1 P_perp shrinks by a factor known beforehand, (1 - eta lambda)^t without momentum (fact 1 of jaxinv.theory). Errors
are Monte Carlo over held-out signals. The best linear map is that of least mean square error at each noise level, from
the second moments of signals and noise [exact].

Refuted if at large test noise the error with decay is not below that without, or W_1 does not shrink as it must. The
two questions are answered by verdicts of their own: no more than 25% above the best linear map, no more than 10% above
the oracle.
"""

import numpy as np

import jaxinv as ji
from jaxinv import theory
from jaxinv.measures.structure import first_layer_off_subspace
from jaxinv.studies import plots

NOISE = np.geomspace(0.01, 1.0, 9)
SIZES = {
    "quick": {"signal_dim": 64, "measurement_dim": 32, "subspace_dim": 2, "samples": 160, "held_out": 400,
              "width": 128, "depth": 3},
    "paper": {**ji.FIG_1A, "samples": 1000, "held_out": 1000},
}  # fmt: skip


def grids(preset):
    """Three strengths of weight decay, several seeds."""
    seeds, steps = {"quick": (3, 1000), "paper": (4, 2000)}[preset]
    return ji.Sweep(
        axes={"gamma": [0.0, 0.01, 0.03], "seed": range(seeds)},
        fixed={**SIZES[preset], "subspaces": 4, "momentum": 0.9},
        steps=steps,
        records=20,
        metrics=["regression_error", ji.NoisyError(NOISE), ji.Metric("first_layer_off", first_layer_off_subspace)],
        precision="float32",
        problem=ji.union_problem,
        network=ji.relu_network,
    )


def analyse(runs):
    """Errors of the maps to compare with, on the problem of each seed, and what W_1 P_perp must shrink by."""
    import xarray

    seeds, momentum = runs["seed"].values.tolist(), runs.argument("momentum")
    problems = [runs.build(seed=seed).problem for seed in seeds]

    def shrinks(step_size, weight_decay):
        factor = ji.Descent(step_size, weight_decay, momentum).off_range_factor(runs["step"].values)
        return abs(factor)  # strong decay with momentum swings about 0

    rates = runs["step_size"], runs["weight_decay"]
    made = {
        "best_linear_error": (("seed", "noise"), [theory.best_linear_error(each, NOISE) for each in problems]),
        "union_oracle_error": (("seed", "noise"), [theory.union_oracle_error(each, NOISE) for each in problems]),
        "first_layer_factor": xarray.apply_ufunc(shrinks, *rates, output_core_dims=[["record"]], vectorize=True),
    }
    return xarray.Dataset(made, {"seed": seeds, "noise": NOISE})


def first_layer_share(runs):
    """||W_1 P_perp||_F over its start."""
    off = runs["first_layer_off"]
    return off / off.isel(record=0, drop=True)


def draw(runs):
    """Error against test noise; the fit and the off-span part of the first layer during training."""
    layout = [["noise", "fit"], ["noise", "off"]]
    figure, axes = plots.panels(2 * plots.COLUMN_WIDTH, 3.8, layout, width_ratios=[1.25, 1])
    plots.bands(axes["noise"], runs.end("noisy_error", map="network"), x="noise", colour="gamma")
    plots.bands(axes["noise"], runs["best_linear_error"], x="noise", label="best linear map", style="--")
    plots.bands(axes["noise"], runs["union_oracle_error"], x="noise", label="oracle, knows each subspace", style=":")
    plots.bands(axes["fit"], runs["regression_error"], x="step", colour="gamma")
    plots.bands(axes["off"], first_layer_share(runs), x="step", colour="gamma")
    predicted = runs["first_layer_factor"].median("seed").transpose("record", "gamma")
    dotted = axes["off"].plot(np.maximum(runs["step"], 0.5), predicted, "k:")
    plots.log_log(axes["noise"], "relative test noise", "relative RMSE on fresh signals", "a  error under noise")
    plots.log_log(axes["fit"], "", "regression error", "b  fit of the training data")
    plots.log_log(axes["off"], plots.STEP, "$||W_1P_\\perp||_F$ over start", "c  first layer off the span")
    axes["off"].legend(dotted[:1], ["predicted"], loc="lower left")
    plots.shared_legend(figure, [axes["noise"]], ncols=3)
    return figure


def claims(runs):
    """The claim after the last step and at the largest noise; a diverged run is NaN and fails what it enters."""
    strongest = runs["gamma"].max().item()
    decay = f"error at noise 1 with gamma = {strongest:g}"
    plain, decayed = (runs.end("noisy_error", map="network", noise=1.0, gamma=gamma) for gamma in (0.0, strongest))
    linear, oracle = (runs.select(name, noise=1.0) for name in ("best_linear_error", "union_oracle_error"))
    deviation = abs(first_layer_share(runs) - runs["first_layer_factor"]).sel(gamma=strongest)
    return [
        ji.at_most(1e-5, deviation, f"||W_1 P_perp||_F with gamma = {strongest:g} shrinks by the factor known "
                   "beforehand: largest distance from it, in units of the start [exact; 1e-5 ours, for rounding in "
                   "float32]"),
        ji.at_least(1, plain / decayed, f"error at noise 1 without decay over that with gamma = {strongest:g}, "
                    "least over seeds [paper: lower with decay; by how much is unread]", strict=True),
        ji.at_most(1.25, decayed / linear,
                   f"as good as the best linear map: {decay} over its, largest over seeds [ours]"),
        ji.at_most(1.1, decayed / oracle, f"as good as the oracle that knows each signal's subspace: {decay} over its, "
                   "largest over seeds [ours, as for the linear network]"),
    ]  # fmt: skip


PAPER = {"signal_dim": 200, "measurement_dim": 100, "width": 400, "depth": 5}
EXPERIMENT = ji.Experiment(grids, draw, claims, analyse, paper=PAPER)
