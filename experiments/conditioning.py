"""Badly conditioned signals slow training down like the square of their condition number, and spoil nothing else.

Claim [ours], from the formulas of the setting of arXiv 2502.15522: with kappa the condition number of X, nothing fails,
everything slows down like kappa^2. The step size eta is in proportion to 1/sigma_max(X)^2 and lambda to sigma_min(X)^2.
So, without decay, the fit contracts late with a log-rate in proportion to eta sigma_min(Y)^2 (by 1 - eta ((L-1) d_w/m +
1) sigma_min(Y)^2 in the limit of infinite width), and the off-subspace error falls like (1 - eta lambda)^t, eta lambda
in proportion to 1/kappa^2. With decay the fit settles at lambda ||U S^{2/L-1} V^T (Y^T)^+||_F / ||X||_F, U S V^T the
map X Y^+ (without noise, the oracle): exactly at L = 2, to first order above. Claim [paper], held to at every kappa:
regularization improves generalization, which is the relative RMSE on fresh signals at relative test noise 0.3.

The sizes d=200, m=100, s=5 are [paper]. Condition numbers, depth 2, width 200, Gaussian operator, fan-in
initialization, step size, gamma = 0.1, noise-free training samples and the number of steps are [ours].

Refuted if a run diverges, if one of the two rates or the plateau does not follow its formula, or if decay does not
lower the test error at some kappa.
"""

import jaxinv as ji
from jaxinv import theory
from jaxinv.measures import curves, statistics, structure
from jaxinv.studies import plots

OFF, NOISE = 0.1, 0.3
"""The off-subspace error to reach; relative test noise."""

SIZES = {
    "quick": {"signal_dim": 64, "measurement_dim": 32, "subspace_dim": 3, "samples": 200, "width": 64},
    "paper": {"signal_dim": 200, "measurement_dim": 100, "subspace_dim": 5, "samples": 1000, "width": 200},
}


def grids(preset):
    """Condition numbers from 1 to 10, without and with weight decay."""
    numbers, seeds, records = {"quick": ([1, 2, 3, 5, 10], 4, 100), "paper": ([1, 2, 3, 5, 7, 10], 8, 140)}[preset]
    return ji.Sweep(
        axes={"condition_number": numbers, "gamma": [0.0, 0.1], "seed": range(seeds)},
        fixed={**SIZES[preset], "depth": 2}, steps=16_000, records=records,
        metrics=["regression_error", "off_subspace_error", "test_error", "noise_sensitivity",
                 ji.Metric("measured_extremes", structure.measured_extremes, ("extreme",))],
        precision="float64",
    )  # fmt: skip


def analyse(runs):
    """The two rates and the plateau, with what theory says of them (facts 7, 2 and 3 of jaxinv.theory).

    `fit_rate`: -log of the late contraction factor of the fit without decay, NaN where a curve has no good linear
    phase; `wide_rate`: that as the width goes to infinity. `off_steps`: to OFF with decay, infinite where a run never
    gets there; `off_law`: from 1 to OFF at the late rate. `plateau`: where the fit should settle with decay.
    """
    import xarray

    strongest, depth = runs["gamma"].max().item(), runs.argument("depth")
    plain, decayed = (runs.data.sel(gamma=gamma, drop=True) for gamma in (0.0, strongest))
    phases = curves.run_phases(plain["regression_error"])
    factor = theory.wide_factor(runs.argument("width"), depth, runs.argument("measurement_dim"))
    least = plain["measured_extremes"].isel(record=0, extreme=1, drop=True)

    def plateau(number, seed):
        setup = runs.build(condition_number=number, seed=seed, gamma=strongest)
        given = setup.problem, depth, setup.descent.weight_decay
        return theory.plateau(*given) if depth <= 2 else theory.first_order(*given).plateau

    return xarray.Dataset({
        "fit_rate": phases["log_rate"].where(phases["quality"] == "good"),
        "wide_rate": theory.wide_log_rate(plain["step_size"], [least], factor),
        "off_steps": curves.run_steps_to(decayed["off_subspace_error"], OFF),
        "off_law": theory.steps_to_off_subspace(OFF, 1.0, decayed["step_size"], decayed["weight_decay"]),
        "plateau": xarray.apply_ufunc(plateau, runs["condition_number"], runs["seed"], vectorize=True),
    })  # fmt: skip


def draw(runs):
    """The fit by kappa, then its rate, the time of the off-subspace phase and the last errors against kappa."""
    strongest, against = runs["gamma"].max().item(), "condition number $\\kappa$"
    plain, decayed = (plots.colours_of("gamma", [0.0, strongest])[gamma] for gamma in (0.0, strongest))
    error = ji.noisy_test_error(runs.end("test_error"), runs.end("noise_sensitivity"), NOISE)
    figure, axes = plots.panels(2 * plots.COLUMN_WIDTH, 4.8, [["fit", "rate"], ["off", "errors"]])
    plots.bands(axes["fit"], runs.select("regression_error", gamma=0.0), x="step", colour="condition_number")
    for panel, data, shade, style, label in (
        ("rate", runs["fit_rate"], plain, "-", "no decay"),
        ("rate", runs["wide_rate"], plots.REFERENCE, "--", "limit of infinite width"),
        ("off", runs["off_steps"], decayed, "-", f"$\\gamma$ = {strongest:g}"),
        ("off", runs["off_law"], plots.REFERENCE, "--", "$(1-\\eta\\lambda)^t$"),
        ("errors", error.sel(gamma=0.0), plain, "-", f"test noise {NOISE:g}, no decay"),
        ("errors", error.sel(gamma=strongest), decayed, "-", f"test noise {NOISE:g}, with decay"),
        ("errors", runs.end("regression_error", gamma=strongest), "#414487", "-", "regression error, with decay"),
        ("errors", runs["plateau"], plots.REFERENCE, "--", "the same, to first order"),
    ):
        plots.bands(axes[panel], data, x="condition_number", shade=shade, style=style, label=label)
    plots.log_log(axes["fit"], plots.STEP, "regression error", "a  fit, no decay")
    plots.log_log(axes["rate"], against, "$-$log of the contraction", "b  late rate of the fit")
    plots.log_log(axes["off"], against, f"steps to error {OFF:g}", "c  off-subspace error")
    plots.log_log(axes["errors"], against, "error after all steps", "d  where they end")
    axes["fit"].set(xlim=(0.4, runs["step"].max()), ylim=(1e-9, 5))
    axes["errors"].set_ylim(top=30 * axes["errors"].get_ylim()[1])
    plots.legend(axes["fit"], "lower left")
    for name in ("rate", "off", "errors"):
        plots.ticks_at(axes[name], runs["condition_number"].values)
        plots.legend(axes[name])
    return figure


def claims(runs):
    """Nothing diverges, both rates and the plateau follow their formulas, and decay helps at every kappa."""
    strongest, axis = runs["gamma"].max().item(), "condition_number"
    error = ji.noisy_test_error(runs.end("test_error"), runs.end("noise_sensitivity"), NOISE)
    lost, bounds = runs["diverged"].any(axis), statistics.median_bounds
    fit_power = statistics.exponent(runs["wide_rate"], runs["fit_rate"], axis).fillna(float("inf"))  # no good fit
    off_power = statistics.exponent(runs[axis], runs["off_steps"], axis)
    deviation = abs(runs.end("regression_error", gamma=strongest) / runs["plateau"] - 1)
    slack, whose = (0.01, "exact at depth 2; 1% ours") if runs.argument("depth") == 2 else (0.1, "ours: first order")
    decay, formula = f"with gamma = {strongest:g}", "lambda ||U S^(2/L-1) V^T (Y^T)^+||_F / ||X||_F"
    return [
        ji.at_most(0, runs["diverged"].mean(), "share of runs that diverge [ours: a practical step size trains]"),
        ji.within(0.1, bounds(fit_power, lost.sel(gamma=0.0)), 1,
                  "late rate of the fit without decay as a power of the wide limit's, that is of 1/kappa^2, median "
                  "over seeds [ours: the width sets the factor, not the power]"),
        ji.within(0.05, bounds(off_power, lost.sel(gamma=strongest)), 2,
                  f"steps to off-subspace error {OFF:g} {decay} as a power of kappa, median over seeds "
                  "[exact: 1/(eta lambda); slack ours, for W_L ... W_2]"),
        ji.at_most(slack, deviation,
                   f"regression error reached {decay} against {formula}, largest deviation [{whose}]"),
        ji.at_most(0.95, error.sel(gamma=strongest) / error.sel(gamma=0.0),
                   f"test error at noise {NOISE:g} {decay} over that without, largest over kappa and seeds "
                   "[paper: regularization improves generalization; 5% ours]"),
    ]  # fmt: skip


EXPERIMENT = ji.Experiment(grids, draw, claims, analyse, paper=ji.FIG_1A)
