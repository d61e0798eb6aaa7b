"""Badly conditioned signals: what a condition number kappa of X costs (arXiv 2502.15522).

Claim [ours], from the formulas of the setting: nothing fails, everything slows down like kappa^2. The step size eta is
in proportion to 1/sigma_max(X)^2 and lambda to sigma_min(X)^2. So, without decay, the fit contracts late with a
log-rate in proportion to eta sigma_min(Y)^2 (by 1 - eta ((L-1) d_w/m + 1) sigma_min(Y)^2 in the limit of infinite
width), and the off-subspace error falls like (1 - eta lambda)^t, eta lambda in proportion to 1/kappa^2. With decay the
fit settles at lambda ||U S^{2/L-1} V^T (Y^T)^+||_F / ||X||_F, U S V^T the oracle: exactly at L = 2, to first order
elsewhere. Claim [paper], held to at every kappa: regularization improves generalization, which is the relative RMSE on
fresh signals at relative test noise 0.3.

The sizes d=200, m=100, s=5 are [paper]. Condition numbers, depth 2, width 200, Gaussian operator, fan-in
initialization, step size, gamma = 0.1, noise-free training samples and the number of steps are [ours].

Refuted if a run diverges, if one of the two rates or the plateau does not follow its formula, or if decay does not
lower the test error at some kappa.
"""

import json

import jax.numpy as jnp
import numpy as np

import jaxinv as ji
from jaxinv import curves, figures, theory

OFF, NOISE = 0.1, 0.3
"""The off-subspace error to reach; relative test noise."""


def least_measured(frame, network):
    """The smallest non-zero singular value of Y."""
    return jnp.linalg.svd(frame.inputs, compute_uv=False)[frame.covariance_root.shape[1] - 1]


def plateau(frame, network):
    """The regression error at which training settles, a unit of weight decay, to first order (theory.py, fact 3).

    With the oracle R M: ||S^{2/L-1} V^T (Y^T)^+||_F / ||X||_F, M = U S V^T, which has only subspace_dim rows.
    """
    basis = frame.covariance_root / jnp.linalg.norm(frame.covariance_root, axis=0)[None, :]
    _, values, right = jnp.linalg.svd(basis.T @ frame.oracle, full_matrices=False)
    pull = values[:, None] ** (2 / network.depth - 1) * right
    size = jnp.sqrt(jnp.sum(frame.targets**2) + frame.residual**2)
    return jnp.linalg.norm(pull @ jnp.linalg.pinv(frame.inputs, rtol=1e-10)) / size


METRICS = ["regression_error", "off_subspace_error", "test_error", "noise_sensitivity",
           ji.Metric("least_measured", least_measured), ji.Metric("plateau", plateau)]  # fmt: skip

PAPER = ji.Sweep(
    axes={"condition_number": [1, 2, 3, 5, 7, 10], "gamma": [0.0, 0.1], "seed": range(8)},
    fixed={"signal_dim": 200, "measurement_dim": 100, "subspace_dim": 5, "samples": 1000, "width": 200, "depth": 2},
    steps=16_000,
    records=140,
    precision="float64",
    metrics=METRICS,
)
QUICK = ji.Sweep(
    axes={"condition_number": [1, 2, 3, 5, 10], "gamma": [0.0, 0.1], "seed": range(4)},
    fixed={"signal_dim": 64, "measurement_dim": 32, "subspace_dim": 3, "samples": 200, "width": 64, "depth": 2},
    steps=16_000,
    records=100,
    precision="float64",
    metrics=METRICS,
)


def curves_of(results, metric, gamma):
    """The recorded curves, (condition_number, seed, record)."""
    return results[metric].sel(gamma=gamma).transpose("condition_number", "seed", "record").values


def at(results, name, gamma, record):
    """The values at one record, (condition_number, seed)."""
    return curves_of(results, name, gamma)[..., record]


def fit_rates(results):
    """(-log of the late contraction factor of the fit without decay, that of the wide limit), (condition_number, seed).

    NaN where a curve has no good linear phase.
    """

    def rate(row):
        found = curves.contraction(results.step.values, row)
        return found.log_rate if found.quality == "good" else np.nan

    measured = np.apply_along_axis(rate, -1, curves_of(results, "regression_error", 0.0))
    arguments = json.loads(results.attrs["arguments"])
    depth, width = arguments["network"]["depth"], arguments["network"]["width"]
    factor = theory.wide_factor(width, depth, arguments["problem"]["measurement_dim"])
    step_size = results.step_size.sel(gamma=0.0).transpose("condition_number", "seed").values
    return measured, -np.log1p(-step_size * factor * at(results, "least_measured", 0.0, 0) ** 2)


def off_steps(results, gamma):
    """Steps to an off-subspace error of OFF, (condition_number, seed); NaN where a run never gets there."""
    return curves.steps_to(results.step.values, curves_of(results, "off_subspace_error", gamma), OFF)


def settled(results, gamma):
    """(regression error after all steps, to first order), (condition_number, seed)."""
    weight_decay = results.weight_decay.sel(gamma=gamma).transpose("condition_number", "seed").values
    return at(results, "regression_error", gamma, -1), weight_decay * at(results, "plateau", gamma, 0)


def final_error(results, gamma):
    """Test error at relative noise NOISE after all steps, (condition_number, seed)."""
    return ji.noisy_test_error(at(results, "test_error", gamma, -1), at(results, "noise_sensitivity", gamma, -1), NOISE)


def draw_fit(axes, results):
    """Fit without decay against the step, one colour a condition number; diverged runs left out."""
    from matplotlib import colormaps

    shades = colormaps["viridis"](np.linspace(0.85, 0.05, results.sizes["condition_number"]))
    rows, numbers = curves_of(results, "regression_error", 0.0), results.condition_number.values
    for number, shade, of_seeds in zip(numbers, shades, rows, strict=True):
        trained = of_seeds[np.isfinite(of_seeds).all(axis=1)]
        if len(trained):
            label = f"$\\kappa$ = {number:g}"
            figures.band(axes, np.maximum(results.step.values, 0.5), trained, colour=shade, label=label)
    figures.log_log(axes, "gradient descent step (0 drawn at 0.5)", "regression error", "a  fit, no decay")
    axes.set(xlim=(0.4, results.step.values[-1]), ylim=(1e-9, 5))
    axes.legend(*axes.get_legend_handles_labels(), loc="lower left")


def draw_errors(axes, results, colours):
    """What the networks end with: the error of the fit with decay, and the test error with and without it."""
    from matplotlib import colormaps

    strongest, x = float(results.gamma.max()), results.condition_number.values
    ends, expected = settled(results, strongest)
    plain, decayed = final_error(results, 0.0), final_error(results, strongest)
    figures.finite_band(axes, x, plain, colour=colours[0.0], label=f"test noise {NOISE:g}, no decay")
    figures.finite_band(axes, x, decayed, colour=colours[strongest], label=f"test noise {NOISE:g}, with decay")
    figures.finite_band(axes, x, ends, colour=colormaps["viridis"](0.2), label="regression error, with decay")
    axes.plot(x, np.median(expected, axis=1), "--", color=figures.REFERENCE, label="the same, to first order")
    figures.log_log(axes, "condition number $\\kappa$", "error after all steps", "d  where they end")


@figures.styled
def draw(results):
    """The fit by kappa, then its rate, the time of the off-subspace phase and the last errors against kappa."""
    strongest, x = float(results.gamma.max()), results.condition_number.values
    figure, axes = figures.panels(2 * figures.COLUMN_WIDTH, 4.8, [["fit", "rate"], ["off", "errors"]])
    colours = figures.decay_colours([0.0, strongest])
    draw_fit(axes["fit"], results)
    measured, wide = fit_rates(results)
    figures.finite_band(axes["rate"], x, measured, colour=colours[0.0], label="no decay")
    axes["rate"].plot(x, np.median(wide, axis=1), "--", color=figures.REFERENCE, label="limit of infinite width")
    figures.log_log(axes["rate"], "condition number $\\kappa$", "$-$log of the contraction", "b  late rate of the fit")
    product = (
        (results.step_size * results.weight_decay).sel(gamma=strongest).transpose("condition_number", "seed").values
    )
    late = [theory.steps_to_off_subspace(OFF, 1.0, float(np.median(row)), 1.0) for row in product]
    label = f"$\\gamma$ = {strongest:g}"
    figures.finite_band(axes["off"], x, off_steps(results, strongest), colour=colours[strongest], label=label)
    axes["off"].plot(x, late, "--", color=figures.REFERENCE, label="$(1-\\eta\\lambda)^t$")
    figures.log_log(axes["off"], "condition number $\\kappa$", f"steps to error {OFF:g}", "c  off-subspace error")
    draw_errors(axes["errors"], results, colours)
    axes["errors"].set_ylim(top=30 * axes["errors"].get_ylim()[1])
    for name in ("rate", "off", "errors"):
        axes[name].set_xticks(x, [f"{number:g}" for number in x])
        axes[name].set_xticks([], minor=True)
        axes[name].legend()
    return figure


def exponent(x, rows):
    """The slope of log(rows), (points, seeds), on log(x): median over seeds, infinite for one that lacks a point."""
    pairs = zip(np.log(x).T, np.log(rows).T, strict=True)
    return float(np.median([np.polyfit(a, b, 1)[0] if np.isfinite(b).all() else np.inf for a, b in pairs]))


def judge(results):
    """Nothing diverges, both rates and the plateau follow their formulas, and decay helps at every kappa."""
    strongest = float(results.gamma.max())
    lost = float(results.diverged.mean())
    measured, wide = fit_rates(results)
    steps = off_steps(results, strongest)
    numbers = np.broadcast_to(results.condition_number.values[:, None], steps.shape)
    rate, growth = exponent(wide, measured), exponent(numbers, steps)
    ends, expected = settled(results, strongest)
    depth = json.loads(results.attrs["arguments"])["network"]["depth"]
    slack, origin = (0.01, "exact at depth 2; 1% ours") if depth == 2 else (0.1, "ours: first order")
    gap = float(np.max(np.abs(ends / expected - 1)))
    helped = float(np.max(final_error(results, strongest) / final_error(results, 0.0)))
    decay, formula = f"with gamma = {strongest:g}", "lambda ||U S^(2/L-1) V^T (Y^T)^+||_F / ||X||_F"
    return [
        ji.Verdict("share of runs that diverge", lost, "0 [ours: a practical step size trains]", lost == 0),
        ji.Verdict("late rate of the fit without decay as a power of the wide limit's, that is of 1/kappa^2", rate,
                   "within 0.1 of 1 [ours: the width sets the factor, not the power]", abs(rate - 1) <= 0.1),
        ji.Verdict(f"steps to off-subspace error {OFF:g} {decay} as a power of kappa", growth,
                   "within 0.05 of 2 [exact: 1/(eta lambda); slack ours, for W_L ... W_2]", abs(growth - 2) <= 0.05),
        ji.Verdict(f"regression error reached {decay} against {formula}, largest deviation", gap,
                   f"at most {slack:g} [{origin}]", gap <= slack),
        ji.Verdict(f"test error at noise {NOISE:g} {decay} over that without, largest over kappa and seeds", helped,
                   "at most 0.95 [paper: regularization improves generalization; 5% ours]", helped <= 0.95),
    ]  # fmt: skip


EXPERIMENT = ji.Experiment(
    name="conditioning",
    claim="badly conditioned signals slow training down like kappa^2, and spoil nothing else",
    source="formulas of the setting of arXiv 2502.15522; dimensions the paper's, all else ours",
    grids={"quick": QUICK, "paper": PAPER},
    draw=draw,
    judge=judge,
    paper={"signal_dim": 200, "measurement_dim": 100, "subspace_dim": 5, "width": 400, "depth": 5},
)
