"""Weight decay makes the learned map robust to noise (Fig. 1a of arXiv 2502.15522).

Claim [paper]: without weight decay the trained network keeps the part of its initialization that lies off the
subspace of the measurements and passes noise through it; with weight decay that part vanishes. That the error on noisy
test signals then comes down to that of an oracle which knows the subspace is [ours].

The sizes d=200, m=100, s=5, L=5, d_w=400 are [paper]. Gaussian operator, fan-in initialization, step size, the
gamma grid, 1,000 noise-free training samples, condition number 1 and the number of steps are [ours].

Refuted if, at large test noise, the error with gamma = 0.1 is more than 10% from the oracle's, or that without decay
is not several times larger, or if the off-subspace error does not vanish with decay.
"""

import json

import jax
import numpy as np

import jaxinv as ji
from jaxinv import baselines, figures, theory
from jaxinv.frame import plain_frame
from jaxinv.metrics import error_halves, noisy_test_error

GAMMAS = [0.0, 0.01, 0.03, 0.1]
NOISE = np.geomspace(1e-3, 1.0, 40)

PAPER = ji.Sweep(
    axes={"gamma": GAMMAS, "seed": range(8)},
    fixed={"signal_dim": 200, "measurement_dim": 100, "subspace_dim": 5, "samples": 1000, "width": 400, "depth": 5},
    steps=20_000,
    precision="float64",
)
QUICK = ji.Sweep(
    axes={"gamma": GAMMAS, "seed": range(4)},
    fixed={"signal_dim": 64, "measurement_dim": 32, "subspace_dim": 3, "samples": 200, "width": 128, "depth": 3},
    steps=10_000,
    precision="float64",
)


def references(results):
    """Error at each of NOISE (seeds, noise) of the maps that need no training, on the problems of these results."""
    arguments = json.loads(results.attrs["arguments"])["problem"]
    maps = {"oracle": baselines.oracle, "minimum norm": baselines.minimum_norm}
    curves: dict[str, list] = {name: [] for name in maps}
    with jax.enable_x64(True):
        for seed in results.seed.values:
            problem = ji.subspace_problem(jax.random.key(int(seed)), **arguments)
            frame = plain_frame(problem)
            for name, make in maps.items():
                bias, sensitivity = error_halves(frame, make(problem))
                curves[name].append(noisy_test_error(float(bias), float(sensitivity), NOISE))
    return {name: np.array(rows) for name, rows in curves.items()}


def trained(results, gamma):
    """Error of the trained networks at each of NOISE, (seeds, noise)."""
    last = results.sel(gamma=gamma).isel(record=-1)
    return noisy_test_error(last.test_error.values[:, None], last.noise_sensitivity.values[:, None], NOISE)


@figures.styled
def draw(results):
    """Error against test noise, and the two training curves, one colour a gamma."""
    layout = [["noise", "fit"], ["noise", "off"]]
    figure, axes = figures.panels(2 * figures.COLUMN_WIDTH, 3.8, layout, width_ratios=[1.25, 1])
    gammas = [float(g) for g in results.gamma.values]
    colours = figures.decay_colours(gammas)
    step = np.maximum(results.step.values, 0.5)
    for gamma in gammas:
        label = f"$\\gamma$ = {gamma:g}" + ("  (no weight decay)" if gamma == 0 else "")
        figures.band(axes["noise"], NOISE, trained(results, gamma), colour=colours[gamma], label=label)
        for panel, metric in (("fit", "regression_error"), ("off", "off_subspace_error")):
            rows = results[metric].sel(gamma=gamma).transpose("seed", "record").values
            figures.band(axes[panel], step, rows, colour=colours[gamma])
    for (name, rows), style in zip(references(results).items(), ("--", ":"), strict=True):
        figures.band(axes["noise"], NOISE, rows, colour=figures.REFERENCE, style=style, label=name)
    figures.log_log(axes["noise"], "relative test noise", "relative RMSE on fresh signals", "a  error under noise")
    figures.log_log(axes["fit"], "", "regression error", "b  fit of the training data")
    figures.log_log(axes["off"], "gradient descent step (0 drawn at 0.5)", "off-subspace error", "c  off the subspace")
    figure.legend(*axes["noise"].get_legend_handles_labels(), loc="outside lower center", ncols=3)
    # without decay the fit goes on to rounding, four decades below what the panel is about
    axes["fit"].set_ylim(bottom=3e-4)
    axes["off"].set_ylim(bottom=1e-9)
    return figure


def judge(results):
    """The claim's three parts, at the last record and over all seeds."""
    strongest = float(results.gamma.max())
    loud = {name: rows[:, -1] for name, rows in references(results).items()}
    plain, decayed = trained(results, 0.0)[:, -1], trained(results, strongest)[:, -1]
    start = results.off_subspace_gain.sel(gamma=0.0)
    sizes = json.loads(results.attrs["arguments"])["problem"]
    expected = theory.initial_off_subspace_gain(*(sizes[n] for n in ("signal_dim", "measurement_dim", "subspace_dim")))
    slack = 0.14 / start.sizes["seed"] ** 0.5
    kept = float((start.isel(record=-1) / start.isel(record=0)).min())
    first = float(start.isel(record=0).mean()) / expected
    left = float(results.off_subspace_error.sel(gamma=strongest).isel(record=-1).max())
    gap = float(np.max(np.abs(decayed / loud["oracle"] - 1)))
    ratio = float(np.min(plain / decayed))
    return [
        ji.Verdict("||W P_perp||_F at the start over sqrt((d/m)(m-s)), mean over seeds", first,
                   f"within {slack:.3f} of 1 [exact in mean; slack 0.14/sqrt(seeds)]", abs(first - 1) <= slack),
        ji.Verdict("without decay the map keeps its off-subspace part, least share over seeds", kept,
                   "at least 0.8 [ours]", kept >= 0.8),
        ji.Verdict(f"with gamma = {strongest:g} the off-subspace error vanishes, largest over seeds", left,
                   "below 1e-6 [ours]", left < 1e-6),
        ji.Verdict(f"error at noise 1 with gamma = {strongest:g} against the oracle's, largest deviation", gap,
                   "at most 0.1 [ours]", gap <= 0.1),
        ji.Verdict(f"error at noise 1 without decay over that with gamma = {strongest:g}, least over seeds", ratio,
                   "at least 3 [ours]", ratio >= 3),
    ]  # fmt: skip


EXPERIMENT = ji.Experiment(
    name="noise_robustness",
    claim="weight decay makes the learned map as robust to noise as one that knows the subspace",
    source="Fig. 1a of arXiv 2502.15522: sizes the paper's; operator, steps, gamma grid and quick preset ours",
    grids={"quick": QUICK, "paper": PAPER},
    draw=draw,
    judge=judge,
    paper={"signal_dim": 200, "measurement_dim": 100, "subspace_dim": 5, "width": 400, "depth": 5},
)
