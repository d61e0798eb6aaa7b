"""Training with weight decay has three phases: fast fit, stabilisation, and a slow forgetting of the initialization.

Claim [paper]: gradient descent first reconstructs the training data fast, then stabilises, and at last the error off
the subspace of the measurements converges. Exactly, in our setting: the part of W_1 off the range of the data only
decays, W_1(t) P_perp = (1 - eta lambda)^t W_1(0) P_perp [exact, fact 1 of jaxinv/theory.py]; so the off-subspace error
||W_{L:1} P_perp||_2 falls like (1 - eta lambda)^(L t) at first, while all layers shrink, and like (1 - eta lambda)^t
late, when the data hold the others in place [fact 2: early ours, late exact but for drift]; the regression error falls,
dips, and rises to a plateau proportional to gamma, known to first order [ours, fact 3].

The sizes d=200, m=100, s=5, L=5, d_w=400 of the paper preset are [paper, Fig. 1]. Gaussian operator, fan-in
initialization, step size, 10 noise-free samples (in exact arithmetic their number changes no step), condition number 1,
the gamma grid and the number of steps are [ours]. Training runs in plain coordinates, so that fact 1 is measured, not
assumed.

Refuted if W_1 P_perp decays otherwise; if the two rates of the off-subspace error or the plateau are not the predicted
ones; if the fit does not dip; or if the off-subspace error converges before the fit does.
"""

import json
from functools import cache, partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

import jaxinv as ji
from jaxinv import figures, theory


def off_range(frame, network):
    """||W_1 P_perp||_F, P_perp onto range(A R)^perp: without noise that is range(Y)^perp."""
    return jnp.linalg.norm(network.weights[0] @ frame.off_basis)


METRICS = ["regression_error", "off_subspace_error", ji.Metric("off_range", off_range)]

PAPER = ji.Sweep(
    axes={"gamma": [0.0, 0.03, 0.1, 0.3], "seed": range(4)},
    fixed={"signal_dim": 200, "measurement_dim": 100, "subspace_dim": 5, "samples": 10, "width": 400, "depth": 5},
    steps=10_000,
    records=60,
    metrics=METRICS,
    precision="float64",
    reduce=False,
)
QUICK = ji.Sweep(
    axes={"gamma": [0.0, 0.03, 0.1, 0.3], "seed": range(3)},
    fixed={"signal_dim": 64, "measurement_dim": 32, "subspace_dim": 3, "samples": 10, "width": 128, "depth": 3},
    steps=6000,
    records=60,
    metrics=METRICS,
    precision="float64",
    reduce=False,
)

RESOLVED = 1e-6
"""Fact 1 to 1e-9 can be seen down to here: W_1 P_perp carries rounding errors of about 1e-15 of its start."""

EARLY, LATE = 10, 5.0
"""At first: the first 10 steps. Late: from eta lambda t = 5 on, where shrunk layers have lost a factor e^5 each."""

FORGOTTEN = 1e-3
"""The last phase is over when the off-subspace error is this share of its start."""


class Curves(NamedTuple):
    """One run: eta lambda, its recorded curves, and the predicted plateau of its regression error."""

    gamma: float
    seed: int
    decay: float
    step: np.ndarray
    fit: np.ndarray
    off: np.ndarray
    off_range: np.ndarray
    plateau: float

    def after(self, steps):
        """(1 - eta lambda)^steps."""
        return theory.off_range_decay(steps, self.decay, 1.0)

    @property
    def late(self):
        """The records of the late window, above rounding."""
        return (self.decay * self.step >= LATE) & (self.off > 1e-9 * self.off[0])


def runs(results):
    """Curves of each run that did not diverge."""
    slopes = plateau_slopes(results.attrs["arguments"], tuple(int(seed) for seed in results.seed.values))
    names = ("regression_error", "off_subspace_error", "off_range")
    found = []
    for gamma in results.gamma.values:
        for seed in results.seed.values:
            one = results.sel(gamma=gamma, seed=seed)
            if not bool(one.diverged):
                decay = float(one.weight_decay)
                fit, off, off_range = (one[name].values for name in names)
                found.append(
                    Curves(
                        gamma=float(gamma),
                        seed=int(seed),
                        decay=float(one.step_size) * decay,
                        step=one.step.values,
                        fit=fit,
                        off=off,
                        off_range=off_range,
                        plateau=decay * slopes[int(seed)],
                    )
                )
    return found


@cache
def plateau_slopes(arguments, seeds):
    """The plateau of fact 3 for weight decay 1, to which it is proportional, on the problem of each seed."""
    known = json.loads(arguments)
    build = jax.jit(partial(ji.subspace_problem, **known["problem"]))  # one compilation, kept between processes
    with jax.enable_x64(True):
        problems = {seed: build(jax.random.key(seed)) for seed in seeds}
    return {seed: theory.plateau(problem, known["network"]["depth"], 1.0) for seed, problem in problems.items()}


def first_layer_deviation(run):
    """Largest relative deviation of ||W_1 P_perp||_F from fact 1, while its decay is above RESOLVED."""
    factor = run.after(run.step)
    kept = factor >= RESOLVED
    return np.max(np.abs(run.off_range[kept] / (factor[kept] * run.off_range[0]) - 1))


def early_deviation(run, plain, depth):
    """Largest relative deviation of the early log-rate from L log(1 - eta lambda).

    `plain` is the run from the same start without decay: what the data do to the error is common to both.
    """
    early = (run.step > 0) & (run.step <= EARLY)
    predicted = np.log(run.after(depth * run.step[early]))
    return np.max(np.abs(np.log(run.off[early] / plain.off[early]) / predicted - 1))


def late_deviation(run):
    """Relative deviation of the late log-rate from log(1 - eta lambda); NaN for a run too short to tell."""
    if run.late.sum() < 3:
        return np.nan
    return abs(np.polyfit(run.step[run.late], np.log(run.off[run.late]), 1)[0] / np.log(run.after(1)) - 1)


def phase_ends(run):
    """Steps of the dip of the fit, of its being within 5% of its end for good, and of the off-subspace error gone.

    The last is NaN where the run is too short.
    """
    apart = np.flatnonzero(np.abs(run.fit / run.fit[-1] - 1) > 0.05)
    gone = np.flatnonzero(run.off <= FORGOTTEN * run.off[0])
    settled = run.step[apart[-1] + 1] if len(apart) else 0
    return np.maximum([run.step[np.argmin(run.fit)], settled, run.step[gone[0]] if len(gone) else np.nan], 1.0)


@figures.styled
def draw(results):
    """Fit and off-subspace error against step, and the latter against eta lambda t, one colour a gamma."""
    figure, axes = figures.panels(2 * figures.COLUMN_WIDTH, 3.9, [["fit", "rate"], ["off", "rate"]])
    found = runs(results)
    gammas = [float(gamma) for gamma in results.gamma.values]
    colours = figures.decay_colours(gammas)
    for gamma in gammas:
        mine = [run for run in found if run.gamma == gamma]
        if mine:
            _draw_gamma(axes, mine, colours[gamma])
    depth = json.loads(results.attrs["arguments"])["network"]["depth"]
    scaled = np.linspace(0, 2, 50)
    axes["rate"].plot(scaled, np.exp(-depth * scaled), "--", color=figures.REFERENCE,
                      label=r"early rate, $(1 - \eta\lambda)^{Lt}$")  # fmt: skip
    axes["rate"].plot([], [], ":", color=figures.REFERENCE, label=r"late rate, $c\,(1 - \eta\lambda)^{t}$")
    axes["fit"].plot([], [], "-.", color=figures.REFERENCE, label="predicted plateau")
    figures.log_log(axes["fit"], "", "regression error", "a  fit of the training data")
    figures.log_log(axes["off"], "gradient descent step (0 drawn at 0.5)", "off-subspace error", "b  off the subspace")
    figures.log_log(axes["rate"], r"$\eta\lambda \times$ step", "off-subspace error over its start", "c  two rates")
    axes["rate"].set(xscale="linear", xlim=(0, 6), ylim=(3e-4, 2))
    axes["fit"].set_ylim(bottom=3e-3)
    axes["off"].set_ylim(bottom=1e-9)
    _draw_phases(axes, found, colours)
    handles = {label: handle for name in ("off", "rate", "fit") for handle, label in
               zip(*axes[name].get_legend_handles_labels(), strict=True)}  # fmt: skip
    figure.legend(handles.values(), handles.keys(), loc="outside lower center", ncols=4)
    return figure


def _draw_gamma(axes, mine, colour):
    """The curves of one gamma (all seeds of it), with what facts 2 and 3 predict."""
    gamma, step = mine[0].gamma, np.maximum(mine[0].step, 0.5)
    label = f"$\\gamma$ = {gamma:g}" + ("  (no weight decay)" if gamma == 0 else "")
    figures.band(axes["fit"], step, [run.fit for run in mine], colour=colour)
    figures.band(axes["off"], step, [run.off for run in mine], colour=colour, label=label)
    if gamma == 0:
        return
    axes["fit"].axhline(np.median([run.plateau for run in mine]), linestyle="-.", color=colour, linewidth=0.8)
    scaled = mine[0].decay * mine[0].step
    figures.band(axes["rate"], scaled, [run.off / run.off[0] for run in mine], colour=colour)
    fine = np.linspace(0, 6 / mine[0].decay, 50)
    constants = [
        theory.off_subspace_constant(run.step[run.late], run.off[run.late], run.decay, 1.0) / run.off[0]
        for run in mine
        if run.late.any()
    ]
    if constants:
        axes["rate"].plot(mine[0].decay * fine, np.median(constants) * mine[0].after(fine), ":", color=colour)


def _draw_phases(axes, found, colours):
    """The phases of the middle gamma as shades of grey, by their medians over seeds."""
    gammas = sorted({run.gamma for run in found if run.gamma > 0})
    if not gammas:
        return
    chosen = gammas[len(gammas) // 2]
    ends = np.median([phase_ends(run) for run in found if run.gamma == chosen], axis=0)
    edges = [0.5, *ends[:2], found[0].step[-1]]
    for name in ("fit", "off"):
        for start, end, grey in zip(edges[:-1], edges[1:], ("0.91", "0.96", "0.91"), strict=True):
            axes[name].axvspan(start, end, color=grey, linewidth=0, zorder=0)
        axes[name].set_xlim(edges[0], edges[-1])
    axes["off"].text(0.02, 0.04, f"shades: phases at $\\gamma$ = {chosen:g}", transform=axes["off"].transAxes,
                     fontsize=7, color=colours[chosen])  # fmt: skip
    for start, end, word in zip(edges[:-1], edges[1:], ("1 fit", "2 settle", "3 forget"), strict=True):
        axes["fit"].text(np.sqrt(start * end), 0.97, word, transform=axes["fit"].get_xaxis_transform(), ha="center",
                         va="top", fontsize=7, color=colours[chosen])  # fmt: skip


def judge(results):
    """Facts 1, 2 and 3 and the order of the phases, over every run that did not diverge; one that did is counted."""
    found = runs(results)
    decayed = [run for run in found if run.gamma > 0]
    plain = {run.seed: run for run in found if run.gamma == 0}
    depth = json.loads(results.attrs["arguments"])["network"]["depth"]
    failed = int(results.diverged.sum())
    first = largest([first_layer_deviation(run) for run in found])
    early = largest([early_deviation(run, plain[run.seed], depth) for run in decayed if run.seed in plain])
    late = largest([late_deviation(run) for run in decayed])
    plateau = largest([abs(run.fit[-1] / run.plateau - 1) for run in decayed if run.gamma <= 0.1])
    rise = least([run.fit[-1] / run.fit.min() for run in decayed])
    ends = [phase_ends(run) for run in decayed]
    order = least([np.min(end[1:] / end[:-1]) for end in ends])
    kept = least([run.off[-1] / run.off[0] for run in plain.values()])
    return [
        ji.Verdict("runs that diverged", failed, "none [ours]", failed == 0),
        ji.Verdict(f"||W_1 P_perp||_F against (1 - eta lambda)^t, relative, while that is above {RESOLVED:g}, largest",
                   first, "at most 1e-9 [exact, fact 1; slack for rounding]", first <= 1e-9),
        ji.Verdict(f"rate of the off-subspace error against L log(1 - eta lambda), steps 1 to {EARLY}, relative to the "
                   "run without decay, largest deviation", early, "at most 0.1 [fact 2; slack ours]", early <= 0.1),
        ji.Verdict(f"its rate against log(1 - eta lambda) from eta lambda t = {LATE:g} on, largest deviation", late,
                   "at most 0.01 [exact up to drift, fact 2; slack ours]", late <= 0.01),
        ji.Verdict("regression error at the end against the plateau of fact 3, gamma <= 0.1, largest deviation",
                   plateau, "at most 0.1 [first order in gamma; slack ours]", plateau <= 0.1),
        ji.Verdict("the fit dips below its plateau: plateau over least regression error, least", rise,
                   "at least 1.1 [fact 3; slack ours]", rise >= 1.1),
        ji.Verdict(f"phases in order (dip, settled to 5%, off-subspace error at {FORGOTTEN:g} of its start): step at "
                   "the end of one over the one before, least", order, "above 1 [paper]", order > 1),
        ji.Verdict("without decay the off-subspace error stays: end over start, least", kept,
                   "at least 0.8 [ours]", kept >= 0.8),
    ]  # fmt: skip


def largest(values):
    """The largest of `values`; NaN, which no bound holds, where one is NaN or there are none."""
    return float(np.max(values)) if len(values) else np.nan


def least(values):
    """The least of `values`, like `largest`."""
    return float(np.min(values)) if len(values) else np.nan


EXPERIMENT = ji.Experiment(
    name="three_phases",
    claim="with weight decay the fit comes first, then settles at a plateau; the off-subspace error converges last",
    source="the three phases of arXiv 2502.15522; sizes of Fig. 1a the paper's, rates exact, everything else ours",
    grids={"quick": QUICK, "paper": PAPER},
    draw=draw,
    judge=judge,
    paper={"signal_dim": 200, "measurement_dim": 100, "subspace_dim": 5, "width": 400, "depth": 5},
)
