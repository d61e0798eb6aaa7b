"""How fast gradient descent converges, against width and depth: measured, predicted, and what it costs in time.

Fit phase: without weight decay, the contraction factor of the linear phase and the steps to relative errors 1e-1, 1e-3,
1e-6, under two step sizes: the default m / (L d_w sigma_max(X)^2), and 0.8 times 2 / mu_max(K), the largest that is
stable at the start (paper.md fact 7: K is the linearisation at the initial network). Predicted: the linearised descent
from that network, step by step for the steps and by the extreme eigenvalues of K for the factor, and its limit of
infinite width. Off-subspace phase: with weight decay, plain float64 iterates, steps until the off-subspace error is
1e-3 and 1e-6, against c (1 - eta lambda)^t with c fitted on the first half of the run; the plateau of the fit against
first-order theory. Where eta lambda is too small to wait (gamma < 0.1 or d_w > 200), steps are extrapolated from that
law, with c of the nearest run of the same depth, and marked so.

    jaxinv bench convergence                          a minute and a half on two cores
    jaxinv bench convergence --preset paper           widths to 1600, depths to 10, 32 seeds; resumes
    jaxinv bench convergence --set measurement_dim=30 width=50,100 seeds=8       a problem and grid of your own
    jaxinv bench convergence --compare OLD.nc         then says what changed beyond seed noise

The rule of the linear phase is that of `jaxinv.curves.contraction`; a cell is one network, a group one depth and width.
"""

import hashlib
import itertools
import json
import platform
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

import jaxinv as ji
from jaxinv import curves, figures, theory
from jaxinv.checks import UnknownNumbers, check_count, check_known, check_number, fail, is_traced
from jaxinv.compare import changes
from jaxinv.grid import NUMERICS, canonical
from jaxinv.store import check_writable, load_dataset, save_dataset
from jaxinv.train import advance_block, load_block, run_settings

PROBLEM = {"signal_dim": 100, "measurement_dim": 50, "subspace_dim": 4, "samples": 20, "condition_number": 2.0}
LEVELS = [1e-1, 1e-3, 1e-6]
OFF_LEVELS = [1e-3, 1e-6]
STABLE = 0.8
DENSE_WIDTH, DENSE_GAMMA = 200, 0.1
HALF = 0.5
ROUNDS = 3
LEAST_STEPS = 50
ANALYSIS = 1
"""Raised when what is derived from the curves changes, so that stored groups are made anew."""

MEANINGS = {
    "width": "hidden width d_w of the fit phase (gamma = 0)",
    "width_over_m": "width over measurement_dim",
    "width_over_s_kappa2": "width over subspace_dim * condition_number^2",
    "depth": "number of layers of the fit phase (gamma = 0)",
    "level": "relative regression error",
    "log_rate": "-log of the contraction factor of the linear phase, a step",
    "fit_quality": "of the linear phase (jaxinv.curves.contraction); 'not run' where the grid leaves the cell out",
    "predicted_log_rate": "-log of the contraction factor of the linearisation K at the start; nan where unstable",
    "wide_log_rate": "-log of the contraction factor in the limit of infinite width",
    "step_size": "gradient descent step size",
    "sharpness": "step_size * mu_max(K) at the start; stable up to 2",
    "steps_to": "steps to the relative regression error `level`, interpolated; nan where never reached",
    "predicted_steps_to": "steps of the descent linearised at the start; nan where unstable or never reached",
    "seconds_to": "steps_to in elapsed seconds, step_ms of the fastest round; one replica on each device",
    "diverged": "whether the run of the fit phase diverged",
    "step_ms": "elapsed milliseconds a step, one replica on each device, in each round",
    "off_width": "hidden width d_w of the off-subspace phase",
    "off_depth": "number of layers of the off-subspace phase",
    "off_level": "off-subspace error",
    "gamma": "weight decay of the off-subspace phase in units of its default",
    "off_steps": "steps to the off-subspace error `off_level`, interpolated; nan where never reached or not run",
    "off_predicted": "log(off_constant / off_level) / -log(1 - eta lambda); extrapolated: constant of the nearest run",
    "off_constant": "c of c (1 - eta lambda)^t, fitted on the first half of the run",
    "plateau": "relative regression error where the run settles",
    "plateau_predicted": "the same to first order in the weight decay (fact 3)",
    "off_diverged": "whether the run of the off-subspace phase diverged",
    "extrapolated": "no run was made: off_predicted takes the constant of the nearest one",
}
"""What each variable and coordinate of the results is; written into the file."""


@dataclass(frozen=True)
class Preset:
    """A grid; `stable_width` is the widest network that is also trained at the largest stable step size."""

    width: tuple[int, ...]
    depth: tuple[int, ...]
    seeds: int
    steps: int
    stable_width: int
    off_width: tuple[int, ...]
    off_depth: tuple[int, ...]
    off_seeds: int
    gamma: tuple[float, ...]
    problem: Mapping[str, Any] = field(default_factory=lambda: PROBLEM)

    def fit_steps(self, width: int) -> int:
        """Steps of the fit phase: a wide network costs more a step, and needs fewer."""
        return min(self.steps, max(300, self.steps * 200 // width))


PRESETS = {
    "quick": Preset(
        width=(50, 100, 200, 400), depth=(2, 3, 5), seeds=8, steps=800, stable_width=200,
        off_width=(50, 100, 400), off_depth=(3,), off_seeds=4, gamma=(0.03, 0.1, 0.2),
    ),
    "paper": Preset(
        width=(50, 100, 200, 400, 800, 1600), depth=(2, 3, 5, 10), seeds=32, steps=3000, stable_width=400,
        off_width=(50, 100, 200, 400, 1600), off_depth=(2, 3, 5), off_seeds=8, gamma=(0.01, 0.03, 0.1, 0.14, 0.2),
    ),
}  # fmt: skip


def descent(problem: Any, network: Any, *, step_rule: str = "default", gamma: float = 0.0) -> ji.Descent:
    """Gradient descent at the default step size, or at STABLE times the largest that is stable at the start."""
    made = ji.gradient_descent(problem, network, gamma=gamma)
    if step_rule == "default":
        return made
    if is_traced(*network.weights):
        raise UnknownNumbers("weights must be known numbers: the step size depends on them")
    largest = theory.linearise(problem, network.weights).largest()
    return ji.Descent(STABLE * 2 / largest, made.weight_decay)


def fit_group(preset: Preset, depth: int, width: int, cells: Path) -> Any:
    """The fit phase of one depth and width: what is measured and predicted, over step rules and seeds."""
    import xarray

    rules = ["default", "stable"] if width <= preset.stable_width else ["default"]
    steps = preset.fit_steps(width)
    records = np.unique(np.rint(np.r_[0:40, np.geomspace(40, steps, 90)])).astype(int).tolist()
    sweep = ji.Sweep(
        axes={"step_rule": rules, "seed": range(preset.seeds)},
        fixed={**preset.problem, "width": width, "depth": depth},
        steps=steps, records=records, metrics=["regression_error"], precision="float64", descent=descent,
    )  # fmt: skip
    results = ji.run_sweep(sweep, cells)
    step, rows = results.step.values, []
    for seed in range(preset.seeds):
        problem, network, _ = ji.build(sweep.cells()[seed])
        linear, wide = theory.linearise(problem, network.weights), theory.wide_extremes(problem, width, depth)
        extremes = linear.extremes()
        for rule in rules:
            cell = results.sel(step_rule=rule, seed=seed)
            rows.append(_fit_cell(step, cell.regression_error.values, float(cell.step_size), linear, extremes, wide))
    stacked = {name: np.stack([row[name] for row in rows]) for name in rows[0]}
    dims = ("seed", "step_rule", "level")
    variables: dict[str, Any] = {
        name: (dims[: values.ndim + 1], values.reshape(preset.seeds, len(rules), *values.shape[1:]))
        for name, values in stacked.items()
    }
    variables["diverged"] = (("step_rule", "seed"), results.diverged.values)
    made = xarray.Dataset(variables, {"step_rule": rules, "seed": range(preset.seeds), "level": LEVELS})
    return made.reindex(step_rule=["default", "stable"], fill_value={"fit_quality": "not run", "diverged": False})


def _fit_cell(step, error, step_size: float, linear: theory.Linearisation, extremes, wide) -> dict[str, Any]:
    fit = curves.contraction(step, error)
    predicted = linear.curve(step_size, int(step[-1]), until=LEVELS[-1])
    return {
        "log_rate": np.float64(fit.log_rate),
        "fit_quality": np.array(fit.quality, dtype="U8"),
        "predicted_log_rate": np.float64(-np.log(theory.contraction(step_size, extremes))),
        "wide_log_rate": np.float64(-np.log(theory.contraction(step_size, wide))),
        "step_size": np.float64(step_size),
        "sharpness": np.float64(step_size * extremes[1]),
        "steps_to": np.array([curves.steps_to(step, error, level) for level in LEVELS]),
        "predicted_steps_to": np.array([curves.steps_to(np.arange(len(predicted)), predicted, x) for x in LEVELS]),
    }


def time_group(preset: Preset, depth: int, width: int, cells: Path) -> Any:
    """Elapsed milliseconds a step of one depth and width, warm, one replica on each device, in each of ROUNDS."""
    import xarray

    devices = jax.local_devices()
    axes = {"seed": range(len(devices))}
    sweep = ji.Sweep(axes=axes, fixed={**preset.problem, "width": width, "depth": depth}, precision="float64")
    trios, times = [ji.build(cell) for cell in sweep.cells()], []
    with run_settings():
        block = load_block(trios, devices)
        state, factor = block.state, np.ones(len(devices))
        steps = 1
        for turn in range(ROUNDS + 2):  # the first compiles, the second says how many steps a round takes
            begun = time.perf_counter()
            state, _ = advance_block(block.mesh, block.batch, state, jnp.asarray(steps), factor, ())
            jax.block_until_ready(state)
            taken = time.perf_counter() - begun
            if turn > 1:
                times.append(taken / steps * 1e3)
            steps = 10 if turn == 0 else max(steps, int(3 / taken)) if turn == 1 else steps  # about 0.3 s
    return xarray.Dataset({"step_ms": ("round", times)})


def off_group(preset: Preset, depth: int, width: int, gamma: float, cells: Path) -> Any:
    """The off-subspace phase of one depth, width and gamma on plain float64 iterates, over seeds."""
    import xarray

    product = gamma * decay_per_gamma(preset.problem, width, depth)
    steps = int(np.ceil(1.25 * np.log(10 / OFF_LEVELS[-1]) / product))
    sweep = ji.Sweep(
        axes={"seed": range(preset.off_seeds)},
        fixed={**preset.problem, "width": width, "depth": depth, "gamma": gamma},
        steps=steps, records=np.unique(np.linspace(0, steps, 101).astype(int)).tolist(),
        metrics=["regression_error", "off_subspace_error"], precision="float64", reduce=False,
    )  # fmt: skip
    results = ji.run_sweep(sweep, cells)
    step, rows = results.step.values, []
    for cell in sweep.cells():
        mine = results.sel(seed=cell.seed)
        eta, decay = float(mine.step_size), float(mine.weight_decay)
        error, half = mine.off_subspace_error.values, step <= steps / 2
        constant = theory.off_subspace_constant(step[half], error[half], eta, decay)
        rows.append({
            "off_steps": [curves.steps_to(step, error, level) for level in OFF_LEVELS],
            "off_predicted": [theory.steps_to_off_subspace(level, constant, eta, decay) for level in OFF_LEVELS],
            "off_constant": constant,
            "plateau": curves.settled(step, mine.regression_error.values),
            "plateau_predicted": theory.plateau(ji.build(cell)[0], depth, decay),
        })  # fmt: skip
    stacked = {name: np.array([row[name] for row in rows]) for name in rows[0]}
    variables: dict[str, Any] = {name: (("off_seed", "off_level")[: rows.ndim], rows) for name, rows in stacked.items()}
    variables["off_diverged"] = ("off_seed", results.diverged.values)
    return xarray.Dataset(variables, {"off_seed": range(preset.off_seeds), "off_level": OFF_LEVELS})


def decay_per_gamma(problem: Mapping[str, Any], width: int, depth: int) -> float:
    """step_size * weight_decay / gamma of the defaults, from the sizes alone."""
    m, d, kappa = (problem[name] for name in ("measurement_dim", "signal_dim", "condition_number"))
    return m * (m / d) ** 0.5 / (depth * (width if depth > 1 else m) * kappa**2)


def extrapolate(results: Any, problem: Mapping[str, Any]) -> Any:
    """Off-subspace steps where no run was made: c of the nearest run of that depth in (1 - eta lambda)^t; marked."""
    dense = (results.off_width <= DENSE_WIDTH) & (results.gamma >= DENSE_GAMMA)
    missing = (~dense).expand_dims(off_depth=results.off_depth)
    results["extrapolated"] = missing
    for depth, width, gamma in np.ndindex(missing.shape):
        here = {"off_depth": depth, "off_width": width, "gamma": gamma}
        ran = results.off_constant.isel(off_depth=depth).median("off_seed").to_series().dropna()
        if not bool(missing.isel(here)) or ran.empty:
            continue
        point = results.isel(here)
        nearest = ran.index[np.argmin([abs(np.log(w / float(point.off_width))) + abs(np.log(g / float(point.gamma)))
                                       for w, g in ran.index])]  # fmt: skip
        product = float(point.gamma) * decay_per_gamma(problem, int(point.off_width), int(point.off_depth))
        for level, value in enumerate(OFF_LEVELS):
            steps = theory.steps_to_off_subspace(value, float(ran[nearest]), product, 1.0)
            results.off_predicted[here | {"off_level": level}] = steps
    return results


def gather(preset: Preset, folder: Path) -> Any:
    """Every group, computed or found in `folder`/groups, as one Dataset."""
    import xarray

    jobs: list[tuple] = [(fit_group, depth, width) for width in preset.width for depth in preset.depth]
    jobs += [(time_group, depth, width) for width in preset.width for depth in preset.depth]
    jobs += [
        (off_group, depth, width, gamma) for width in preset.off_width for depth in preset.off_depth
        for gamma in preset.gamma if width <= DENSE_WIDTH and gamma >= DENSE_GAMMA
    ]  # fmt: skip
    groups: dict[Any, list] = {fit_group: [], time_group: [], off_group: []}
    begun = time.perf_counter()
    for count, (make, *point) in enumerate(jobs):
        name = "-".join([make.__name__, *map(str, point)])
        path = folder / "groups" / f"{name}-{_digest(preset, make, name)}.nc"
        made = load_dataset(path)
        if made is None:
            made = make(preset, *point, folder / "cells" / name)
            check_writable(path.parent)
            save_dataset(path, made)
            print(f"{name}: {count + 1} of {len(jobs)} groups, {time.perf_counter() - begun:.0f} s", flush=True)
        axes = ["off_depth", "off_width", "gamma"] if make is off_group else ["depth", "width"]
        groups[make].append(made.expand_dims({axis: [value] for axis, value in zip(axes, point, strict=True)}))
    parts = [xarray.combine_by_coords(groups[make]) for make in (fit_group, time_group)]
    off = xarray.combine_by_coords(groups[off_group]).reindex(
        off_width=list(preset.off_width),
        gamma=list(preset.gamma),
        fill_value={"off_diverged": False},  # pyright: ignore[reportArgumentType]
    )
    m, s, kappa = (preset.problem[n] for n in ("measurement_dim", "subspace_dim", "condition_number"))
    results = xarray.merge([*parts, extrapolate(off, preset.problem)])
    results["seconds_to"] = results.steps_to * results.step_ms.min("round") / 1e3
    results = results.assign_coords(width_over_m=results.width / m, width_over_s_kappa2=results.width / (s * kappa**2))
    for name, meaning in MEANINGS.items():
        results[name].attrs["long_name"] = meaning
    return results.assign_attrs(
        problem=json.dumps(dict(preset.problem)), steps=preset.steps, stable_factor=STABLE, jax=jax.__version__,
        devices=f"{jax.local_device_count()} x {jax.local_devices()[0].device_kind}",
    )  # fmt: skip


def _digest(preset: Preset, make: Any, name: str) -> str:
    """Of all that decides a group: a change of it makes the group anew."""
    content = [ANALYSIS, NUMERICS, STABLE, LEVELS, OFF_LEVELS, dict(preset.problem), name]
    if make is time_group:
        content += [
            ROUNDS,
            "elapsed",
            jax.__version__,
            platform.node(),
            len(jax.devices()),
            jax.devices()[0].device_kind,
        ]
    else:
        content += [preset.off_seeds] if make is off_group else [preset.seeds, preset.steps, preset.stable_width]
    return hashlib.sha256(canonical(content).encode()).hexdigest()[:16]


def median_interval(rows: np.ndarray, confidence: float = 0.95) -> tuple[float, float, float]:
    """The median of what is finite and the ends of its bootstrap confidence interval (scipy, percentile method)."""
    from scipy.stats import bootstrap

    finite = rows[np.isfinite(rows)]
    if len(finite) < 4:
        return (float(np.median(finite)) if len(finite) else np.nan), np.nan, np.nan
    rng = np.random.default_rng(0)
    made = bootstrap((finite,), np.median, confidence_level=confidence, method="percentile", n_resamples=2000, rng=rng)
    return float(np.median(finite)), float(made.confidence_interval.low), float(made.confidence_interval.high)


def table(results: Any) -> Iterator[str]:
    """The results as lines of a terminal: medians over the seeds that got there, and how many did not."""
    yield "Fit, no weight decay: median [quartiles] over seeds; ratio measured / predicted [95% bootstrap interval]"
    yield (
        f"{'L':>3}{'d_w':>6}{'d_w/m':>7}{'d_w/sk2':>9} {'step size':10}{'div.':>7}{'no fit':>7}{'short':>7}"
        f"  {'log-rate':31}{'wide':>7} {'ratio':28}{'steps to 1e-6':23}{'predicted':>10}{'ms/step':>9}{'s to 1e-6':>10}"
    )
    for depth, width, rule in itertools.product(*(results[n].values for n in ("depth", "width", "step_rule"))):
        cell = results.sel(depth=depth, width=width, step_rule=rule)
        if not (cell.fit_quality == "not run").all():
            over = f"{float(cell.width_over_m):7.3g}{float(cell.width_over_s_kappa2):9.3g}"
            yield f"{depth:3}{width:6}{over} {_fit_row(cell)}"
    yield "div.: seeds that diverged; no fit: those without a clean linear phase (too short and two rates included);"
    yield "short: never at 1e-6; wide: log-rate in the limit of infinite width; ratio: of seeds with a clean phase and"
    yield "step_size mu_max <= 2 at the start, how many in (); predicted: where half of the seeds have one; sk2:"
    yield "subspace_dim condition_number^2; times: elapsed, one replica on each device, the least of the rounds"
    yield ""
    yield "Off-subspace phase, default step size: median [quartiles] of the steps until the error is 1e-6; predicted by"
    yield "log(c / 1e-6) / (eta lambda), c fitted on the first half of each run; short: never there, diverged ones too"
    yield f"{'L':>3}{'d_w':>6}{'gamma':>7}{'short':>8}  {'measured':26}{'predicted':>10}{'ratio':>8}" + (
        f"{'plateau':>10}{'predicted':>11}"
    )
    for depth, width, gamma in itertools.product(*(results[n].values for n in ("off_depth", "off_width", "gamma"))):
        cell = results.sel(off_depth=depth, off_width=width, gamma=gamma, off_level=1e-6)
        yield f"{depth:3}{width:6}{gamma:7.3g}{_off_row(cell)}"


def _fit_row(cell: Any) -> str:
    clean = cell.fit_quality == "good"
    steps, ms = cell.steps_to.sel(level=1e-6), float(cell.step_ms.min())
    sound = (clean & (cell.sharpness <= 2)).values
    ratio = median_interval((cell.log_rate / cell.predicted_log_rate).values[sound])
    shown = "-" if np.isnan(ratio[1]) else f"{ratio[0]:.3f} [{ratio[1]:.3f}, {ratio[2]:.3f}] ({int(sound.sum())})"
    counted = (cell.diverged.astype(bool).values, (~clean).values, steps.isnull().values)
    counts = "".join(f"{int(which.sum()):4}/{cell.sizes['seed']:<2}" for which in counted)
    predicted = cell.predicted_steps_to.sel(level=1e-6)
    rate, time_to = _quartiles(cell.log_rate.where(clean)), _median(cell.seconds_to.sel(level=1e-6))
    columns = f"{cell.step_rule.item():10}{counts}  {rate:31}{_median(cell.wide_log_rate):7.3g} {shown:28}"
    return columns + f"{_quartiles(steps):23}{_median(predicted, HALF):10.4g}{ms:9.3f}{time_to:10.3g}"


def _off_row(cell: Any) -> str:
    if cell.extrapolated:
        return f"{'':10}{'extrapolated':26}{_median(cell.off_predicted):10.6g}"
    ratio = _median(cell.off_steps / cell.off_predicted)
    short = f"{int(cell.off_steps.isnull().sum()):5}/{cell.sizes['off_seed']:<2}"
    return f"{short}  {_quartiles(cell.off_steps):26}{_median(cell.off_predicted):10.6g}{ratio:8.3f}" + (
        f"{_median(cell.plateau):10.3g}{_median(cell.plateau_predicted):11.3g}"
    )


def _median(rows: Any, least: float = 0.0) -> float:
    return float(_column_medians(np.ravel(rows.values)[:, None], least=least)[0])


def _quartiles(rows: Any) -> str:
    finite = rows.values[np.isfinite(rows.values)]
    if not len(finite):
        return "-"
    low, middle, high = np.percentile(finite, [25, 50, 75])
    return f"{middle:.4g} [{low:.4g}, {high:.4g}]"


@figures.styled
def draw(results: Any) -> Any:
    """Steps to 1e-6 against width; contraction measured against predicted; off-subspace time against gamma."""
    figure, axes = figures.panels(2 * figures.COLUMN_WIDTH, 5.4, [["steps", "steps"], ["rate", "off"]])
    colours = _shades(results.depth.values)
    _draw_steps(axes["steps"], results.sel(step_rule="default"), colours)
    _draw_rates(axes["rate"], results, colours)
    _draw_off(axes["off"], results, _shades(results.off_width.values, "cividis"))
    return figure


def _shades(values: Any, scale: str = "viridis") -> dict[Any, Any]:
    import matplotlib

    return dict(zip(values, matplotlib.colormaps[scale](np.linspace(0.02, 0.82, len(values))), strict=True))


def _draw_steps(axes: Any, results: Any, colours: dict) -> None:
    """Open markers where the step size exceeds 2 / mu_max; how many seeds failed stands above."""
    for row, (depth, colour) in enumerate(colours.items()):
        cell = results.sel(depth=depth, level=1e-6)
        steps, predicted = (cell[n].transpose("seed", "width").values for n in ("steps_to", "predicted_steps_to"))
        middle, low, high = (_column_medians(steps, q) for q in (50, 25, 75))
        axes.plot(cell.width, _column_medians(predicted, least=HALF), "--", color=colour)
        axes.plot(cell.width, middle, color=colour, label=f"L = {depth}")
        axes.fill_between(cell.width, low, high, color=colour, alpha=0.25, linewidth=0)
        stable = (cell.sharpness.median("seed") <= 2).values
        axes.plot(cell.width[stable], middle[stable], "o", color=colour, markersize=5)
        axes.plot(cell.width[~stable], middle[~stable], "o", color=colour, markerfacecolor="white", markersize=5)
        wild = cell.diverged.astype(bool).transpose("seed", "width").values.sum(axis=0)
        for width, failed, lost in zip(cell.width.values, np.isnan(steps).sum(axis=0), wild, strict=True):
            if failed:
                place = {"xycoords": ("data", "axes fraction"), "ha": "center", "va": "top"}
                axes.annotate(f"×{failed} ({lost})", (width, 0.98 - 0.075 * row), color=colour, fontsize=7, **place)
    title = "a  fit, no weight decay, default step size"
    figures.log_log(axes, "hidden width $d_w$", "steps to relative error $10^{-6}$", title)
    axes.set_ylim(top=axes.get_ylim()[1] * 3.5)  # room for the counts
    over = zip(results.width.values, results.width_over_m.values, strict=True)
    axes.set_xticks(results.width.values, [f"{width}\n{ratio:.3g}" for width, ratio in over])
    axes.set_xlabel("hidden width $d_w$, and $d_w/m$ below it")
    axes.minorticks_off()
    axes.plot([], [], "--", color="0.4", label="linearised at the start")
    axes.plot([], [], "o", color="0.4", markerfacecolor="white", label=r"$\eta\mu_{max} > 2$ at the start")
    axes.plot([], [], " ", label=f"×k (j): k of {results.sizes['seed']} seeds never there, j diverged")
    axes.legend(ncols=2, loc="upper right")


def _column_medians(rows: np.ndarray, q: float = 50, least: float = 0.0) -> np.ndarray:
    """Percentile of the finite values of each column; nan where none, or less than a share `least`, are."""
    there = [(column[np.isfinite(column)], len(column)) for column in rows.T]
    return np.array([np.percentile(c, q) if len(c) >= max(1, least * size) else np.nan for c, size in there])


def _draw_rates(axes: Any, results: Any, colours: dict) -> None:
    good = results.fit_quality == "good"
    predicted, measured = (results[n].where(good).values for n in ("predicted_log_rate", "log_rate"))
    least = np.nanmin(np.r_[predicted[predicted > 0], np.ravel(measured), 0.1])
    aside, ends = 0.6 * least, np.array([0.8 * least, 1.0])
    for depth, colour in colours.items():
        for rule, marker in (("default", "o"), ("stable", "^")):
            cell = results.where(good).sel(depth=depth, step_rule=rule)
            stable = (cell.sharpness <= 2).values
            x, y = cell.predicted_log_rate.values, cell.log_rate.values
            axes.plot(x[stable], y[stable], marker, color=colour, markersize=2.5, alpha=0.6, markeredgewidth=0)
            axes.plot(np.full((~stable).sum(), aside), y[~stable], "x", color=colour, markersize=3, alpha=0.7)
    axes.plot(ends, ends, color=figures.REFERENCE, linewidth=0.8)
    figures.log_log(axes, "predicted log-rate a step", "measured log-rate a step", "b  contraction, every run")
    axes.set(xlim=(0.45 * least, 1.2), ylim=(0.45 * least, 1.2))
    handles = [axes.plot([], [], m, color="0.4", markersize=4, label=label)[0] for m, label in
               (("o", "default step size"), ("^", f"{STABLE:g} · 2/$\\mu_{{max}}$"),
                ("x", r"$\eta\mu_{max} > 2$: none predicted"))]  # fmt: skip
    axes.legend(handles=handles, loc="upper left", handletextpad=0.2)


def _draw_off(axes: Any, results: Any, colours: dict) -> None:
    depth = results.off_depth.values[min(1, results.sizes["off_depth"] - 1)]
    for width, colour in colours.items():
        cell = results.sel(off_depth=depth, off_width=width, off_level=1e-6).transpose("off_seed", "gamma", ...)
        steps, predicted = cell.off_steps.values, _column_medians(cell.off_predicted.values)
        middle, low, high = (_column_medians(steps, q) for q in (50, 0, 100))
        far = cell.extrapolated.values
        axes.plot(cell.gamma, predicted, "--", color=colour, linewidth=1)
        axes.errorbar(cell.gamma[~far], middle[~far], [(middle - low)[~far], (high - middle)[~far]], fmt="o",
                      color=colour, markersize=4)  # fmt: skip
        axes.plot(cell.gamma[far], predicted[far], "o", color=colour, markerfacecolor="white", markersize=4)
        axes.plot([], [], "s", color=colour, label=f"$d_w$ = {width}")
    title = f"c  off the subspace, L = {depth}"
    figures.log_log(axes, r"weight decay $\gamma$", "steps to off-subspace error $10^{-6}$", title)
    axes.set_xticks(results.gamma.values, [f"{gamma:g}" for gamma in results.gamma.values])
    axes.minorticks_off()
    axes.set_ylim(top=axes.get_ylim()[1] * 12)  # room for the legend
    axes.plot([], [], "--", color="0.4", label=r"$\log(c/\varepsilon)\,/\,\eta\lambda$, c fitted")
    axes.plot([], [], "o", color="0.4", markersize=4, label="measured")
    axes.plot([], [], "o", color="0.4", markerfacecolor="white", markersize=4, label="extrapolated")
    axes.legend(ncols=2, handletextpad=0.4, columnspacing=1)


def adjusted(preset: Preset, settings: Mapping[str, list[Any]]) -> Preset:
    """The preset with other values: of its own axes, or of the problem's arguments."""
    axes = {"width", "depth", "gamma", "seeds", "steps", "off_width", "off_depth", "off_seeds"}
    changes: dict[str, Any] = {"problem": dict(preset.problem)}
    for name, values in settings.items():
        check_known("setting", name, [*axes, *PROBLEM])
        if len(set(values)) < len(values):
            raise fail(f"--set {name}", "different values", f"{values}", "name each once")
        if name == "gamma":
            for value in values:
                check_number(name, value, strict=True)
            changes[name] = tuple(float(value) for value in values)
        elif name in ("width", "depth", "off_width", "off_depth"):
            changes[name] = tuple(check_count(name, value) for value in values)
        elif len(values) > 1:
            raise fail(f"--set {name}", "one value", f"{len(values)}", "pass one")
        elif name in axes:
            changes[name] = check_count(name, values[0])
        else:
            changes["problem"][name] = values[0]
    made = replace(preset, **changes)
    if made.steps < LEAST_STEPS:
        raise fail("--set steps", f"at least {LEAST_STEPS}", f"{made.steps}", "a linear phase needs them")
    if not (min(made.off_width) <= DENSE_WIDTH and max(made.gamma) >= DENSE_GAMMA):
        must = f"some off_width of at most {DENSE_WIDTH} and gamma of at least {DENSE_GAMMA}"
        got = f"off_width={list(made.off_width)} gamma={list(made.gamma)}"
        raise fail("--set", must, got, "elsewhere steps are extrapolated from such runs")
    if made != preset:  # refuses what cannot be
        ji.build(ji.Sweep(axes={"seed": [0]}, fixed={**made.problem, "depth": 1}).cells()[0])
    return made


def main(
    preset: str, out: Path, *, settings: Mapping[str, list[Any]] | None = None, compare: Path | None = None
) -> None:
    """Run or resume, print the table, write results.nc and the figure to OUT/convergence/PRESET; compare if asked.

    A comparison is of the code and the machine as they are: what other code or another machine left is not reused.
    """
    import xarray

    check_known("preset", preset, PRESETS)
    chosen = adjusted(PRESETS[preset], settings or {})
    folder = out / "convergence" / (preset if chosen == PRESETS[preset] else f"{preset}-adjusted")
    old = None
    if compare is not None:
        try:
            old = xarray.load_dataset(compare, engine="h5netcdf")
        except (OSError, ValueError):
            got = f"{str(compare)!r}, which is {'no netCDF file' if compare.exists() else 'not there'}"
            raise fail("--compare", "a results.nc of this benchmark", got, "pass another file") from None
        same = {"problem": json.dumps(dict(chosen.problem)), "steps": chosen.steps}
        if "steps_to" not in old or any(old.attrs.get(name) != value for name, value in same.items()):
            got = f"{str(compare)!r} of { ({name: old.attrs.get(name) for name in same}) }"
            raise fail("--compare", "a results.nc of this benchmark, problem and steps", got, "pass another file")
        folder = folder.with_name(f"{folder.name}-compared-{_here()}")
    check_writable(folder)
    results = gather(chosen, folder)
    save_dataset(folder / "results.nc", results)
    paths = figures.save(draw(results), folder / "convergence")
    print("\n".join(table(results)))
    print(f"\n{folder / 'results.nc'}\n{paths[0]}")
    if old is not None:
        derived = ["off_predicted", "seconds_to"]  # of off_constant, and of steps_to and step_ms
        found, tests = changes(old.drop_vars(derived, errors="ignore"), results)
        print(f"\nCompared with {compare} ({old.attrs.get('devices')}, jax {old.attrs.get('jax')}):")
        print(
            "\n".join(change.line() for change in found)
            or (
                f"nothing changed beyond seed noise in {tests} comparisons"
                if tests
                else "no point of the grid in common"
            )
        )


def _here() -> str:
    """A short digest of this code and machine."""
    sources = [Path(__file__), *sorted(Path(ji.__file__).parent.glob("*.py"))]
    machine = f"{jax.__version__} {jax.local_devices()[0].device_kind} {platform.node()}"
    return hashlib.sha256(b"".join(path.read_bytes() for path in sources) + machine.encode()).hexdigest()[:8]
