"""With weight decay every layer becomes of rank s and lines up with its neighbours and with the subspace.

Claim [paper]: the network trained with weight decay encodes the latent subspace. In each layer [ours]: all but s
singular values vanish, the s that stay are the same in every layer, the L-th roots of those of the end-to-end map
[exact at the optimum, whose layers are balanced]; the leading right singular vectors of W_1 span the measured subspace
range(A R), the left ones of W_L the subspace range(R), and those of neighbouring layers each other's spaces. Without
decay the layers keep the full rank of their initialization and no such alignment.

The sizes d=200, m=100, s=5, L=5, d_w=400 of the paper preset are [paper, Fig. 1]. Gaussian operator, fan-in
initialization, step size, 50 noise-free samples, condition number 1, gamma = 0.1 and the number of steps are [ours].

Refuted if with decay the effective rank of the map or of a layer does not come down to s, a layer keeps an angle to its
neighbour or to the subspace, or its leading values differ from the roots; or if all this happens without decay.
"""

import json
from typing import Any

import jax.numpy as jnp
import numpy as np

import jaxinv as ji
from jaxinv import figures
from jaxinv.metrics import entropy_rank, finite, map_values


def factors(network):
    """The singular value decomposition of each layer."""
    return [jnp.linalg.svd(finite(weight), full_matrices=False) for weight in network.weights]


def layer_values(frame, network):
    """The leading singular values of each layer, as many as all of them have: (depth, index)."""
    values = [each for _, each, _ in factors(network)]
    return jnp.stack([each[: min(map(len, values))] for each in values])


def layer_rank(frame, network):
    """The effective rank of each layer: exp of the entropy of its normalised singular values."""
    return jnp.stack([entropy_rank(values) for _, values, _ in factors(network)])


def misalignment(frame, network):
    """Sine of the largest principal angle at each of depth + 1 joints: 0 where the spaces agree.

    Between range(A R) and the leading s right singular vectors of W_1, the leading left ones of each layer and the
    right ones of the next, those of W_L and range(R).
    """
    s = frame.covariance_root.shape[1]
    spaces = [jnp.linalg.qr(frame.measured_root)[0]]
    for left, _, right in factors(network):
        spaces += [right[:s].T, left[:, :s]]
    spaces.append(jnp.linalg.qr(frame.covariance_root)[0])
    joints = zip(spaces[::2], spaces[1::2], strict=True)
    return jnp.stack([jnp.linalg.norm(after - before @ (before.T @ after), 2) for before, after in joints])


METRICS = [
    "effective_rank",
    ji.Metric("layer_values", layer_values, ("layer", "index")),
    ji.Metric("layer_rank", layer_rank, ("layer",)),
    ji.Metric("misalignment", misalignment, ("joint",)),
    ji.Metric("map_values", map_values, ("pair",)),
]

PAPER = ji.Sweep(
    axes={"gamma": [0.0, 0.1], "seed": range(4)},
    fixed={"signal_dim": 200, "measurement_dim": 100, "subspace_dim": 5, "samples": 50, "width": 400, "depth": 5},
    steps=4000,
    records=30,
    metrics=METRICS,
    precision="float64",
)
QUICK = ji.Sweep(
    axes={"gamma": [0.0, 0.1], "seed": range(3)},
    fixed={"signal_dim": 48, "measurement_dim": 24, "subspace_dim": 3, "samples": 50, "width": 48, "depth": 4},
    steps=2000,
    records=25,
    metrics=METRICS,
    precision="float64",
)

STEPS = "gradient descent step (0 drawn at 0.5)"
FORMS = {
    "W$_1$ and range(AR)": ("-", slice(0, 1)),
    "neighbours, worst": ("--", slice(1, -1)),
    "W$_L$ and range(R)": (":", slice(-1, None)),
}
"""Joints in the figure: line style, and which of `misalignment`; the largest of them is drawn."""


def finished(results, gamma):
    """The runs of one gamma that did not diverge, seeds first."""
    one = results.sel(gamma=gamma).transpose("seed", "record", ...)
    return one.isel(seed=np.flatnonzero(~one.diverged.values))


def sizes(results):
    """(subspace_dim, depth) of every run."""
    arguments = json.loads(results.attrs["arguments"])
    return arguments["problem"]["subspace_dim"], arguments["network"]["depth"]


@figures.styled
def draw(results):
    """A strip of panels a gamma, one a layer, with its singular values; below, effective rank and misalignment."""
    from matplotlib.figure import Figure

    rank, depth = sizes(results)
    gammas = sorted((float(gamma) for gamma in results.gamma.values), reverse=True)
    heights = [1.2 * len(gammas) + 0.3, 2.4]
    figure: Any = Figure(figsize=(2 * figures.COLUMN_WIDTH, sum(heights)), layout="constrained")
    top, bottom = figure.subfigures(2, 1, height_ratios=heights)
    strips = top.subplots(len(gammas), depth, squeeze=False, sharex=True, sharey=True)
    summary = bottom.subplot_mosaic([["rank", "angle"]])
    # one lighter shade is left to the weaker decays of other figures
    colours = figures.decay_colours([*gammas, min(filter(None, gammas), default=1.0) / 2])
    for strip, gamma in zip(strips, gammas, strict=True):
        strip[0].set_ylabel(f"singular values\n$\\gamma$ = {gamma:g}" + (" (none)" if gamma == 0 else ""))
        one = finished(results, gamma)
        if one.sizes["seed"]:
            _draw_strip(strip, one, colours[gamma], rank)
            _draw_summary(summary, one, colours[gamma], gamma)
    for layer, panel in enumerate(strips[0]):
        panel.set_title(f"{'' if layer else 'a  '}W$_{layer + 1}$", loc="left", fontweight="bold")
    top.supxlabel(STEPS, fontsize=8)
    _label_summary(summary, rank)
    handles = {label: handle for panel in (*summary.values(), strips[0, 0]) for handle, label in
               zip(*panel.get_legend_handles_labels(), strict=True)}  # fmt: skip
    bottom.legend(handles.values(), handles.keys(), loc="outside lower center", ncols=4)
    return figure


def _label_summary(summary, rank):
    """Scales, titles and reference lines of the panels below the strips."""
    summary["rank"].axhline(rank, color=figures.REFERENCE, linestyle="-.", linewidth=0.8, label=f"s = {rank}")
    figures.log_log(summary["rank"], STEPS, "effective rank", "b  the map (thick), its layers (thin)")
    figures.log_log(summary["angle"], STEPS, "sine of largest angle", "c  misalignment")
    summary["rank"].set_ylim(bottom=1)
    summary["rank"].yaxis.set_major_formatter("{x:g}")
    summary["rank"].yaxis.set_minor_formatter("")
    summary["angle"].set_ylim(bottom=1e-9)
    for label, (style, _) in FORMS.items():
        summary["angle"].plot([], [], style, color=figures.REFERENCE, label=label)


def _draw_strip(strip, one, colour, rank):
    """Singular values of every layer of the runs of one gamma: the leading `rank` in colour, the others in grey."""
    step = np.maximum(one.step.values, 0.5)
    for layer, panel in enumerate(strip):
        values = one.layer_values.values[:, :, layer]
        rest = values[:, :, rank:]
        panel.fill_between(step, rest.min(axis=(0, 2)), rest.max(axis=(0, 2)), color="0.7", linewidth=0,
                           label="_" if layer else "values beyond s")  # fmt: skip
        for index in range(rank):
            figures.band(panel, step, values[:, :, index], colour=colour)
        panel.set(xscale="log", yscale="log", ylim=(1e-3, 6))
        panel.minorticks_off()


def _draw_summary(axes, one, colour, gamma):
    """Effective ranks and misalignments of the runs of one gamma."""
    step = np.maximum(one.step.values, 0.5)
    label = f"$\\gamma$ = {gamma:g}" + ("  (no weight decay)" if gamma == 0 else "")
    figures.band(axes["rank"], step, one.effective_rank.values, colour=colour, label=label)
    axes["rank"].plot(step, np.median(one.layer_rank.values, axis=0), color=colour, linewidth=0.6)
    for style, joints in FORMS.values():
        if one.misalignment[..., joints].size:
            rows = one.misalignment.values[..., joints].max(axis=-1)
            figures.band(axes["angle"], step, rows, colour=colour, style=style)


def judge(results):
    """Rank, alignment and leading values at the end of every run that did not diverge; one that did is counted."""
    rank, depth = sizes(results)
    strongest = float(results.gamma.max())
    failed = int(results.diverged.sum())
    decayed, plain = (finished(results, gamma).isel(record=-1) for gamma in (strongest, 0.0))
    whole = largest(np.abs(decayed.effective_rank.values / rank - 1))
    layers = largest(np.abs(decayed.layer_rank.values / rank - 1))
    apart = largest(decayed.misalignment.values)
    leading = decayed.layer_values.values[..., :rank]
    uneven = largest(np.abs(leading / (decayed.map_values.values ** (1 / depth))[:, None, :] - 1))
    kept = least(plain.effective_rank.values / rank)
    crooked = least(plain.misalignment.values)
    return [
        ji.Verdict("runs that diverged", failed, "none [ours]", failed == 0),
        ji.Verdict(f"gamma = {strongest:g}: effective rank of the map over s less 1, largest", whole,
                   "at most 0.1 [ours: unequal values keep it a little below s]", whole <= 0.1),
        ji.Verdict(f"gamma = {strongest:g}: effective rank of a layer over s less 1, largest", layers,
                   "at most 0.1 [ours, likewise]", layers <= 0.1),
        ji.Verdict(f"gamma = {strongest:g}: sine of the largest angle between neighbours or to the subspace, largest",
                   apart, "at most 0.01 [ours]", apart <= 0.01),
        ji.Verdict(f"gamma = {strongest:g}: leading values of a layer against the roots of the map's, largest relative "
                   "deviation", uneven, "at most 0.01 [exact at the optimum; slack ours]", uneven <= 0.01),
        ji.Verdict("without decay the map keeps a high effective rank, over s, least", kept,
                   "at least 2 [ours]", kept >= 2),
        ji.Verdict("without decay no neighbours line up: sine of the largest angle, least over joints", crooked,
                   "at least 0.5 [ours]", crooked >= 0.5),
    ]  # fmt: skip


def largest(values):
    """The largest of `values`; NaN, which no bound holds, where one is NaN or there are none."""
    return float(np.max(values)) if np.size(values) else np.nan


def least(values):
    """The least of `values`, like `largest`."""
    return float(np.min(values)) if np.size(values) else np.nan


EXPERIMENT = ji.Experiment(
    name="hidden_structure",
    claim="with weight decay every layer becomes of rank s and lines up with its neighbours and the subspace",
    source="encoding of the subspace: arXiv 2502.15522; sizes of Fig. 1a the paper's, everything else ours",
    grids={"quick": QUICK, "paper": PAPER},
    draw=draw,
    judge=judge,
    paper={"signal_dim": 200, "measurement_dim": 100, "subspace_dim": 5, "width": 400, "depth": 5},
)
