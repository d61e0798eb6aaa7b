"""A step of jaxinv costs a small part of a PyTorch or JAX loop's on full data, and no more with more samples.

Claim [ours]: at the size of Fig. 1a (d=200, m=100, s=5, L=5, d_w=400 [paper]; n=1000, gamma=0.1, no noise [ours])
jaxinv computes the iterates of the loops that people write, at least ten times as fast as JAX on the full data. Those
loops do one PyTorch or jitted JAX step after the other, on the full data or on compressed ones (fact 4 of
jaxinv.theory). What the machine allows is measured beside them, and the figure shows the slower of two limits.
"memory limit" is the time of four passes over the weights: forward and backward read them, the update reads and writes
them. "arithmetic limit" is the time of the operations of a step, at the rate of a large matrix product of the same
float type: for each weight one multiplication and one addition a row of the compressed data, in the forward pass, the
backward pass and the gradient, and three in the update. Times are those of a step of one replica, the least over
rounds in which the loops take turns; set-up, compilation and records are not in them. Verdicts about times are about
the machine they were measured on.

Refuted if a loop follows other iterates, if jaxinv is less than ten times as fast as JAX on the full data, or if the
time of a step grows with the number of samples.
"""

import time
from functools import cache, partial, reduce
from importlib.util import find_spec
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

import jaxinv as ji
from jaxinv.arrays import cast
from jaxinv.problems.coordinates import compressed_coordinates, plain_coordinates
from jaxinv.studies import plots
from jaxinv.studies.timing import dense_steps, matrix_product, memory_passes, peak_memory, seconds_of
from jaxinv.training.setup import Setup

GAMMA, CHECK_STEPS, PASSES = 0.1, 100, 4
Loop = tuple[ji.Timed, list[np.ndarray]]  # and its weights after CHECK_STEPS steps
FULL, OURS = "JAX jit, full data", "jaxinv"
MEMORY, ARITHMETIC = LIMITS = "memory limit", "arithmetic limit"
TORCH = ["PyTorch, full data", "PyTorch, compressed data"] if find_spec("torch") else []
LOOPS = [*TORCH, FULL, "JAX jit, compressed data", OURS]
APART = {"float32": 1e-3, "float64": 1e-10}  # relative difference of two loops' weights there, by rounding alone
SIZES = {"width": ji.FIG_1A["width"], "depth": ji.FIG_1A["depth"], "samples": 1000}
SCALING = {
    "quick": {"replicas": [1, 4, 16], "width": [100, 400, 1600], "depth": [2, 5, 10], "samples": [100, 1000, 10_000]},
    "paper": {"replicas": [1, 2, 4, 8, 16, 32, 64], "width": [100, 200, 400, 800, 1600, 3200],
              "depth": [2, 3, 5, 10, 20], "samples": [100, 1000, 10_000, 100_000]},
}  # fmt: skip


def grids(preset):
    """All loops in turns; jaxinv along each of its axes; the memory that a sweep takes."""
    rounds, precisions, memory = {"quick": (5, ["float32"], []), "paper": (10, ["float32", "float64"], [4, 64])}[preset]
    made = {"loops": ji.Timing({"precision": precisions, "loop": [*LOOPS, *LIMITS]}, loop_at, SIZES, rounds, 0.4)}
    for axis, values in SCALING[preset].items():
        made[axis] = ji.Timing({axis: values}, jaxinv_at, {n: v for n, v in SIZES.items() if n != axis}, 4, 0.4)
    return made | ({"memory": ji.Timing({"replicas": memory}, memory_at, rounds=1)} if memory else {})


def loop_at(loop: str, precision: str, width: int, depth: int, samples: int) -> ji.Timed:
    """One of LOOPS, or of LIMITS; `apart` is the largest relative difference of a weight from JAX on the full data."""
    setup = partial(setup_at, precision=precision, width=width, depth=depth, samples=samples)
    cpu = jax.local_devices()[0].platform == "cpu"
    if loop in LIMITS:
        weights, rows = int(dense_steps([setup(0)])[0].measured["weights"]), setup(0).problem.measurement_rank
        if loop == MEMORY:
            return memory_passes(PASSES, weights, precision, jax.local_device_count() if cpu else 256)
        return matrix_product(weights * (6 * rows + 3), precision, 1024 if cpu else 8192)
    if loop == OURS:
        timed, weights = dense_steps([setup(seed) for seed in range(8 if cpu else 256)], CHECK_STEPS, records=True)
    else:
        timed, weights = (torch_loop if loop in TORCH else jax_loop)(setup(0), loop.endswith("compressed data"))
    pairs = zip(weights, reference(precision, width, depth, samples), strict=True)
    apart = np.max([np.max(np.abs(own - full)) / np.max(np.abs(full)) for own, full in pairs])  # NaN where one is
    return timed._replace(measured={**timed.measured, "apart": float(apart)})


def jaxinv_at(width: int, depth: int, samples: int, replicas: int = 0) -> ji.Timed:
    """jaxinv in float32; one replica a device where their number is not given."""
    seeds = range(replicas or jax.local_device_count())
    return dense_steps([setup_at(seed, "float32", width, depth, samples) for seed in seeds])[0]


def memory_at(replicas: int) -> ji.Timed:
    """The most memory that a process takes which runs a sweep of so many replicas at the size of Fig. 1a."""
    devices = f"import jax; jax.config.update('jax_num_cpu_devices', {jax.local_device_count()})"
    sweep = f"ji.Sweep({{'seed': range({replicas})}}, {{'gamma': {GAMMA}}}, steps=20, records=5)"
    return ji.Timed(None, measured={"peak_MiB": peak_memory(f"{devices}; import jaxinv as ji; ji.run_sweep({sweep})")})


def setup_at(seed: int, precision: str, width: int, depth: int, samples: int) -> Setup:
    """Problem, network and descent at the sizes of Fig. 1a but for those given."""
    sizes = {**ji.FIG_1A, "width": width, "depth": depth, "samples": samples}
    return ji.build(ji.Sweep({"seed": [seed]}, {**sizes, "gamma": GAMMA}, precision=precision).cells()[0])


def data(setup: Setup, compressed: bool) -> tuple[np.ndarray, np.ndarray]:
    """Measurements and signals as rows, those given or as few as have the same gradients."""
    coordinates = (compressed_coordinates if compressed else plain_coordinates)(cast(setup.problem, np.float64))
    return cast((coordinates.inputs, coordinates.targets), setup.problem.signals.dtype)


@cache
def reference(precision: str, width: int, depth: int, samples: int) -> list[np.ndarray]:
    """The weights after CHECK_STEPS steps of JAX on the full data."""
    return jax_loop(setup_at(0, precision, width, depth, samples), compressed=False)[1]


def jax_loop(setup: Setup, compressed: bool) -> Loop:
    """The loop people write in JAX: one jitted step, weights in and out."""
    begun = time.perf_counter()
    inputs, targets = map(jnp.asarray, data(setup, compressed))
    eta, decay = (inputs.dtype.type(rate) for rate in (setup.descent.step_size, setup.descent.weight_decay))
    state = [setup.network.weights]

    def loss(weights):  # not jaxinv's own layers, whose gradient is written for speed
        outputs = reduce(lambda rows, weight: rows @ weight.T, weights, inputs)
        return 0.5 * jnp.sum((outputs - targets) ** 2)

    @jax.jit
    def step(weights):
        return tuple(w - eta * (g + decay * w) for w, g in zip(weights, jax.grad(loss)(weights), strict=True))

    def advance(steps):
        for _ in range(steps):
            state[0] = step(state[0])
        jax.block_until_ready(state[0])

    measured = {"setup_s": time.perf_counter() - begun, "compile_s": seconds_of(step.lower(state[0]).compile)}
    advance(CHECK_STEPS)
    return ji.Timed(advance, 1, measured), list(map(np.asarray, state[0]))


def torch_loop(setup: Setup, compressed: bool) -> Loop:
    """The loop people write in PyTorch: bias-free Linear layers, SGD with weight decay, on all cores or the GPU."""
    import torch  # pyright: ignore[reportMissingImports]  (an extra)

    begun, device = time.perf_counter(), "cuda" if torch.cuda.is_available() else "cpu"
    torch.set_num_threads(jax.local_device_count())
    inputs, targets = (torch.tensor(rows, device=device) for rows in data(setup, compressed))
    model = torch.nn.Sequential()
    for weight in setup.network.weights:
        layer = torch.nn.Linear(*weight.shape[::-1], bias=False, device=device, dtype=inputs.dtype)
        layer.weight.data.copy_(torch.tensor(np.asarray(weight)))
        model.append(layer)
    eta, decay = float(setup.descent.step_size), float(setup.descent.weight_decay)
    optimizer = torch.optim.SGD(model.parameters(), lr=eta, weight_decay=decay)

    def advance(steps):
        for _ in range(steps):
            optimizer.zero_grad()
            (0.5 * ((model(inputs) - targets) ** 2).sum()).backward()
            optimizer.step()
        if device == "cuda":
            torch.cuda.synchronize()

    measured = {"setup_s": time.perf_counter() - begun, "compile_s": 0.0}
    advance(CHECK_STEPS)
    return ji.Timed(advance, 1, measured), [w.detach().cpu().clone().numpy() for w in model.parameters()]


def least(run: ji.Runs) -> Any:
    """Milliseconds a replica-step: the least over the rounds, which other work on the machine disturbed least."""
    return run["ms"].min("round")


def limit(ms: Any) -> str:
    """The limit that holds where the least times of all loops are `ms`: the slower one."""
    return max(LIMITS, key=lambda name: float(ms.sel(loop=name)))


def draw(runs):
    """Milliseconds for a step of one replica, the least over the rounds.

    Above: all loops in turns, at the size of Fig. 1a, and the slower of the two limits that the machine sets. Below:
    jaxinv in float32 along each axis; dashed: in proportion to the number of weights trained.
    """
    times, scaling = least(runs["loops"]), {name: least(runs[name]) for name in SCALING["quick"]}
    precisions, label, blue = times["precision"].values.tolist(), "ms a replica-step", "#0072B2"
    above = [name for name in precisions for _ in range(len(scaling) // len(precisions))]
    figure, axes = plots.panels(2 * plots.COLUMN_WIDTH, 4.2, [above, list(scaling)], height_ratios=[1.2, 1])
    for precision, letter in zip(precisions, "ab", strict=False):
        panel, every = axes[precision], times.sel(precision=precision)
        bars = every.drop_sel(loop=[name for name in LIMITS if name != limit(every)])
        shades = [{OURS: blue, limit(every): "white"}.get(name, "0.7") for name in bars["loop"].values]
        drawn = panel.barh(bars["loop"].values, bars.values, color=shades, edgecolor="0.35", linewidth=0.6)
        panel.bar_label(drawn, [f"{float(f'{ms:.2g}'):g}" for ms in bars.values], padding=2, fontsize=7)
        panel.set(xscale="log", xlabel=label, xlim=(float(times.min()) / 2, float(times.max()) * 3), axisbelow=True)
        panel.set_title(f"{letter}  {precision}", loc="left", fontweight="bold")
        panel.tick_params(labelleft=letter == "a")
        panel.grid(False, axis="y")
        panel.invert_yaxis()
    ends = [float(end) for ms in scaling.values() for end in (ms.min(), ms.max())]
    for (name, ms), letter in zip(scaling.items(), "bcdef"[len(precisions) - 1 :], strict=False):
        panel, weights = axes[name], runs[name]["weights"]
        panel.plot(ms[name], weights * (ms / weights).median(), "--", color=plots.REFERENCE, linewidth=1)
        panel.plot(ms[name], ms, "o-", color=blue, markersize=3)
        plots.log_log(panel, name, label, f"{letter}  {name}")
        panel.set_ylim(min(ends) / 2, max(ends) * 2)
        plots.ticks_at(panel, ms[name].values[:: 1 + (ms.size > 5)])
        panel.label_outer()
    return figure


def claims(runs):
    """All loops follow the same iterates; how fast jaxinv is; what more samples and more replicas cost."""
    ms, apart = least(runs["loops"]), runs["loops"]["apart"].drop_sel(loop=list(LIMITS))
    samples = least(runs["samples"])
    words = f"largest relative difference of a weight, any loop from JAX on full data, after {CHECK_STEPS} steps"
    verdicts = [
        *(ji.at_most(APART[name], apart.sel(precision=name), f"{name}: {words} [exact: rounding]")
          for name in apart["precision"].values),
        ji.at_least(10, ms.sel(loop=FULL) / ms.sel(loop=OURS), "speed of jaxinv over JAX on full data [ours]"),
        ji.at_most(1.5, samples / samples[0], "time of a step with more samples, over the fewest [exact: fact 4]"),
    ]  # fmt: skip
    if "memory" in runs:
        peak = runs["memory"]["peak_MiB"]
        verdicts.append(ji.at_most(1.25, peak / peak[0], "memory of a sweep of more replicas, over the fewest [ours]"))
    return verdicts


def table(runs):
    """All loops with set-up, compilation and ratios to jaxinv; then scaling, and memory where it was measured."""
    loops = runs["loops"].data.assign(ms=least(runs["loops"]))
    for precision in loops["precision"].values:
        yield f"One step, {precision}, n = {runs['loops'].argument('samples'):,}, gamma = {GAMMA}"
        yield f"{'loop':28}{'ms a replica-step':>18}{'ratio':>8}{'set-up s':>10}{'compile s':>11}{'apart':>10}"
        ours = loops.sel(precision=precision, loop=OURS)
        for name in loops["loop"].values:
            row = loops.sel(precision=precision, loop=name)
            rest = "" if name in LIMITS else f"{row.setup_s:10.2f}{row.compile_s:11.2f}{row.apart:10.1e}"
            yield f"{name:28}{row.ms:18.3f}{row.ms / ours.ms:8.2f}{rest}"
        bound = limit(loops.ms.sel(precision=precision))
        yield f"the machine allows {float(loops.ms.sel(precision=precision, loop=bound)):.3f} ms ({bound})"
        yield f"a record of jaxinv: {ours.record_ms:.1f} ms a replica"
    yield "Scaling of jaxinv, float32, ms a replica-step"
    for name in SCALING["quick"]:
        yield f"{name:10}" + "".join(f"{value:>9,}: {ms:.3f}" for value, ms in least(runs[name]).to_series().items())
    for replicas, peak in runs["memory"]["peak_MiB"].to_series().items() if "memory" in runs else ():
        yield f"peak memory of a sweep of {replicas} replicas: {peak:.0f} MiB"


EXPERIMENT = ji.Experiment(grids, draw, claims, table=table, paper=ji.FIG_1A)
