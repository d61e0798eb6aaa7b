"""The learned map pays for the dimension of the subspace, not for the number of measurements.

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

import json
import warnings

import jax.numpy as jnp
import numpy as np

import jaxinv as ji
from jaxinv import figures, operators, theory
from jaxinv.metrics import error_halves, noisy_test_error
from jaxinv.signals import subspace

TEST_NOISE = 1.0
PANELS = {"off": "off_subspace_error", "gain": "noise_gain", "clean": "test_error"}


def any_subspace_problem(key, *, signal_dim=200, measurement_dim=100, subspace_dim=5, samples=1000):
    """`ji.subspace_problem` at condition number 1, where subspace_dim may be above measurement_dim."""
    latent = subspace(key, signal_dim, subspace_dim, 1.0)
    operator = operators.gaussian(key, measurement_dim, signal_dim)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # that no map recovers the signals is what is to be seen
        return ji.Problem(operator, latent.training(key, samples), latent=latent)


def careful_descent(problem, network, *, gamma=0.0):
    """Gradient descent at the default step size over (1 + sqrt(s/m))^2: A stretches signals that fill it."""
    stretch = (1 + (problem.subspace_dim / problem.measurement_dim) ** 0.5) ** 2
    step_size = ji.gradient_descent(problem, network).step_size / stretch
    return ji.gradient_descent(problem, network, gamma=gamma, step_size=step_size)


def oracle_halves(frame, network):
    """(noise gain, noise sensitivity) of the oracle on the problem of this run; NaN where there is none."""
    return jnp.stack([jnp.linalg.norm(frame.oracle), error_halves(frame, frame.oracle)[1]])


METRICS = [
    "regression_error", "off_subspace_error", "off_subspace_gain", "noise_gain", "test_error", "noise_sensitivity",
    ji.Metric("oracle", oracle_halves, ("half",)),
]  # fmt: skip
BUILDERS = {"problem": any_subspace_problem, "descent": careful_descent}

PAPER = ji.Sweep(
    axes={"subspace_dim": [2, 4, 8, 16, 32, 64, 128], "gamma": [0.0, 0.1], "seed": range(4)},
    fixed={"signal_dim": 200, "measurement_dim": 100, "samples": 1000, "width": 200, "depth": 3},
    steps=5000,
    records=[0, 5000],
    metrics=METRICS,
    precision="float64",
    **BUILDERS,
)
QUICK = ji.Sweep(
    axes={"subspace_dim": [2, 8, 16, 48], "gamma": [0.0, 0.1], "seed": range(3)},
    fixed={"signal_dim": 64, "measurement_dim": 32, "samples": 200, "width": 100, "depth": 2},
    steps=5000,
    records=[0, 5000],
    metrics=METRICS,
    precision="float64",
    **BUILDERS,
)


def sizes(results):
    """(signal_dim, measurement_dim) of these results."""
    arguments = json.loads(results.attrs["arguments"])["problem"]
    return arguments["signal_dim"], arguments["measurement_dim"]


def last(results, name, gamma, record=-1):
    """A metric at the last record (or another), (seeds, subspace dimensions)."""
    return results[name].sel(gamma=gamma).isel(record=record).transpose("seed", "subspace_dim", ...).values


def loud_error(results, gamma):
    """Error of the trained networks at TEST_NOISE, (seeds, subspace dimensions)."""
    return noisy_test_error(last(results, "test_error", gamma), last(results, "noise_sensitivity", gamma), TEST_NOISE)


def oracle(results):
    """Noise gain of the oracle and its error at TEST_NOISE, each (seeds, subspace dimensions)."""
    halves = last(results, "oracle", results.gamma.values[0], record=0)  # before a run may diverge
    return halves[..., 0], TEST_NOISE * halves[..., 1]


def least_error(subspace_dim, measurement_dim):
    """sqrt(1 - m/s), the least relative error of a linear map on noise-free signals of condition number 1; 0 to m."""
    return np.sqrt(np.maximum(0, 1 - measurement_dim / np.asarray(subspace_dim)))


@figures.styled
def draw(results):
    """Against s: off-subspace error, noise gain, and the error on fresh signals without and with noise."""
    figure, axes = figures.panels(2 * figures.COLUMN_WIDTH, 4.4, [["off", "gain"], ["clean", "loud"]], sharex=True)
    d, m = sizes(results)
    s = results.subspace_dim.values
    colours = figures.decay_colours([float(g) for g in results.gamma.values])
    for gamma in map(float, results.gamma.values):
        label = f"$\\gamma$ = {gamma:g}" + ("  (no weight decay)" if gamma == 0 else "")
        rows = {name: last(results, metric, gamma) for name, metric in PANELS.items()}
        for panel, values in {**rows, "loud": loud_error(results, gamma)}.items():
            curve(axes[panel], s, m, values, colours[gamma], label)
    for panel, values in zip(("gain", "loud"), oracle(results), strict=True):
        curve(axes[panel], s, m, values, figures.REFERENCE, "oracle", "s--")
    fine = np.geomspace(s[0], s[-1], 400)
    below, beyond = fine[fine < m - 2], fine[fine >= m]
    law = np.array([theory.oracle_noise_gain(m, one) for one in below])
    kept = np.array([theory.initial_off_subspace_gain(d, m, one) for one in below])
    axes["gain"].plot(below, law, "k:", label="oracle's law, $\\sqrt{sm/(m-s-1)}$")
    both = "with the start's part, $\\sqrt{\\mathrm{law}^2+(d/m)(m-s)}$"
    axes["gain"].plot(below, np.hypot(law, kept), "k-.", label=both)
    axes["clean"].plot(beyond, least_error(beyond, m), "k", linewidth=0.8, label="least possible, $\\sqrt{1-m/s}$")
    decorate(axes, s, m)
    entries = [axes[panel].get_legend_handles_labels() for panel in ("gain", "clean")]
    handles = {label: handle for pair in entries for handle, label in zip(*pair, strict=True)}
    figure.legend(handles.values(), handles.keys(), loc="outside lower center", ncols=3)
    return figure


def curve(axes, s, m, rows, colour, label, style="o-"):
    """A band over seeds against s, broken at m: what is beyond is another problem."""
    for part in (s <= m, s > m):
        if part.any() and np.isfinite(rows[:, part]).any():
            figures.band(axes, s[part], rows[:, part], colour=colour, label=label, style=style)
            axes.lines[-1].set_markersize(3)


def decorate(axes, s, m):
    """Labels and scales; what is beyond m is shaded."""
    from matplotlib.ticker import LogLocator, NullFormatter, StrMethodFormatter

    titles = {
        "off": ("off-subspace error", "a  off the subspace"),
        "gain": ("noise gain $||W||_F$", "b  noise gain"),
        "clean": ("relative RMSE", "c  fresh signals, no noise"),
        "loud": ("relative RMSE", f"d  fresh signals, relative noise {TEST_NOISE:g}"),
    }
    for panel, (label, title) in titles.items():
        below = f"subspace dimension s (m = {m})" if panel in ("clean", "loud") else ""
        figures.log_log(axes[panel], below, label, title)
        axes[panel].axvspan(m, 2 * max(m, s[-1]), color="0.93", zorder=0)
        axes[panel].set(xlim=(s[0] / 1.2, max(m, s[-1]) * 1.2))
        axes[panel].set_xticks(s, [str(one) for one in s])
        axes[panel].minorticks_off()
    for panel in ("gain", "loud"):
        axes[panel].yaxis.set_major_locator(LogLocator(subs=(1, 2, 3, 5)))
        axes[panel].yaxis.set_major_formatter(StrMethodFormatter("{x:g}"))
        axes[panel].yaxis.set_minor_formatter(NullFormatter())
    axes["clean"].set(yscale="linear", ylim=(-0.03, None))
    axes["off"].text(m * 1.08, 0.06, "s > m", transform=axes["off"].get_xaxis_transform(), fontsize=7)


def judge(results):
    """The claim at the last record; a diverged run is NaN there, and fails every verdict it enters."""
    m, s = sizes(results)[1], results.subspace_dim.values
    below, half, few, beyond = s < m, s <= m / 2, s <= m / 10, s > m
    strongest = float(results.gamma.max())
    decay = f"with gamma = {strongest:g}"
    start = results.off_subspace_gain.sel(gamma=0.0).isel(record=0).transpose("seed", "subspace_dim").values
    kept = np.min((last(results, "off_subspace_gain", 0.0) / start)[:, below])
    left = np.max(last(results, "off_subspace_error", strongest)[:, below])
    law = np.array([theory.oracle_noise_gain(m, one) for one in s[half]])
    gain = np.median(last(results, "noise_gain", strongest), axis=0)[half] / law
    farthest = gain[np.argmax(np.abs(gain - 1))]
    plain, decayed = loud_error(results, 0.0), loud_error(results, strongest)
    above = np.max((decayed / oracle(results)[1])[:, below])
    ratio = np.min((plain / decayed)[:, few])
    over = [last(results, "test_error", g)[:, beyond] / least_error(s[beyond], m) for g in (0.0, strongest)]
    least, most = np.min(over), np.max(over[0])
    noise = f"error at noise {TEST_NOISE:g}"
    return [
        ji.Verdict(f"s < m: {decay} the off-subspace error vanishes, largest over s and seeds", float(left),
                   "below 1e-6 [ours]", bool(left < 1e-6)),
        ji.Verdict("s < m: without decay the map keeps its off-subspace part, least share over s and seeds",
                   float(kept), "at least 0.8 [ours]", bool(kept >= 0.8)),
        ji.Verdict(f"s <= m/2: noise gain {decay} over the oracle's law, median over seeds, farthest from 1",
                   float(farthest), "within 0.25 of 1 [law exact in mean; 0.25 ours]", bool(abs(farthest - 1) <= 0.25)),
        ji.Verdict(f"s < m: {noise} {decay} over the oracle's, largest over s and seeds", float(above),
                   "at most 1.1 [ours]", bool(above <= 1.1)),
        ji.Verdict(f"s <= m/10: {noise} without decay over that {decay}, least over s and seeds", float(ratio),
                   "at least 3 [ours; the start's noise gain over the oracle's is 4 at s = m/10]", bool(ratio >= 3)),
        ji.Verdict("s > m: noise-free error over sqrt(1 - m/s), least over gamma, s and seeds", float(least),
                   "at least 1 to rounding [exact]", bool(least >= 1 - 1e-9)),
        ji.Verdict("s > m: noise-free error without decay over sqrt(1 - m/s), largest over s and seeds", float(most),
                   "at most 1.1 [ours]", bool(most <= 1.1)),
    ]  # fmt: skip


EXPERIMENT = ji.Experiment(
    name="latent_dimension",
    claim="with weight decay noise costs what the dimension of the subspace makes it cost; beyond m nothing recovers",
    source="arXiv 2502.15522 (latent subspace): d and m of the paper preset the paper's; s, the other sizes, operator, "
    "step size, steps and quick preset ours",
    grids={"quick": QUICK, "paper": PAPER},
    draw=draw,
    judge=judge,
    paper={"signal_dim": 200, "measurement_dim": 100},
)
