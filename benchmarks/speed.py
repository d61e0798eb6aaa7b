"""Time a gradient step: PyTorch and plain JAX loops against jaxinv, and all of them against the memory's roofline.

One table at the size of Fig. 1a (d=200, m=100, s=5, L=5, d_w=400, n=1000, float32, no noise), every method on the same
data from the same weights, in turns so that the machine's drift falls on all; then how jaxinv scales. Times are wall
times of a replica-step, warm, minimum over rounds; set-up, compilation and records apart.

    jaxinv bench speed                  about two minutes on two cores; PyTorch rows need pip install 'jaxinv[bench]'
    jaxinv bench speed --preset paper   larger scaling axes, memory, and float64 too
"""

import json
import subprocess
import sys
import time
from collections.abc import Callable
from functools import reduce
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh, NamedSharding, PartitionSpec

import jaxinv as ji
from jaxinv.checks import check_known
from jaxinv.frame import compressed_frame
from jaxinv.metrics import NAMES
from jaxinv.store import check_writable, write_text
from jaxinv.sweep import Layout
from jaxinv.train import advance_block, load_block, run_settings

FIG_1A = {"signal_dim": 200, "measurement_dim": 100, "subspace_dim": 5, "samples": 1000}
GAMMA = 0.1
CHECK_STEPS = 100


class Preset(NamedTuple):
    """What is timed: rounds of the table, float types, and the values of each scaling axis."""

    rounds: int
    precisions: tuple[str, ...]
    axes: dict[str, list[int]]
    memory: tuple[int, ...]


PRESETS = {
    "quick": Preset(
        rounds=5,
        precisions=("float32",),
        axes={"replicas": [1, 4, 16], "width": [100, 400, 1600], "depth": [2, 5, 10], "samples": [100, 1000, 10_000]},
        memory=(),
    ),
    "paper": Preset(
        rounds=10,
        precisions=("float32", "float64"),
        axes={
            "replicas": [1, 2, 4, 8, 16, 32, 64],
            "width": [100, 200, 400, 800, 1600, 3200],
            "depth": [2, 3, 5, 10, 20],
            "samples": [100, 1000, 10_000, 100_000],
        },
        memory=(4, 64),
    ),
}


class Timed(NamedTuple):
    """A method: `advance(steps)` runs that many steps of all its replicas and waits; `weights()` is where it stands."""

    advance: Callable[[int], None]
    weights: Callable[[], list[np.ndarray]]
    replicas: int
    setup_s: float
    compile_s: float
    record_ms: float = 0.0


def trio(seed: int, precision: str, width: int = 400, depth: int = 5, samples: int = 1000) -> Any:
    """Problem, network and descent at the sizes of Fig. 1a but for those given."""
    cell = ji.Sweep(
        axes={"seed": [seed]},
        fixed={**FIG_1A, "samples": samples, "width": width, "depth": depth, "gamma": GAMMA},
        precision=precision,
    ).cells()[0]
    return ji.build(cell)


def ours(parts: list[Any]) -> Timed:
    """jaxinv's own engine on all local devices, block after block of replicas."""
    devices = jax.local_devices()
    begun = time.perf_counter()
    each = 1 if devices[0].platform == "cpu" else -(-len(parts) // len(devices))
    size = len(devices) * each
    with run_settings():
        blocks = [load_block(parts[i : i + size], devices, each=each) for i in range(0, len(parts), size)]
        states = [block.state for block in blocks]
        factor = np.ones(size, parts[0][1].weights[0].dtype)

        def advance(steps: int, chosen: tuple[str, ...] = ()) -> None:
            with run_settings():
                for i, block in enumerate(blocks):
                    states[i], _ = advance_block(
                        block.mesh, block.batch, states[i], jnp.asarray(steps), factor, chosen=chosen
                    )
                    jax.block_until_ready(states[i])

        ready = time.perf_counter()
        advance(0)
        compile_s = time.perf_counter() - ready
        advance(0, NAMES)

    def weights() -> list[np.ndarray]:
        return [np.asarray(weight[0]) for weight in states[0].network.weights]

    record = _least(lambda: advance(0, NAMES)) / len(parts) * 1e3
    return Timed(advance, weights, len(parts), ready - begun, compile_s, record)


def plain_jax(part: Any, compressed: bool) -> Timed:
    """The loop people write in JAX: one jitted step, weights in and out."""
    problem, network, descent = part
    begun = time.perf_counter()
    with run_settings():
        inputs, targets = map(jnp.asarray, _data(problem, compressed))
    eta, decay = np.float64(descent.step_size), np.float64(descent.weight_decay)

    def loss(weights):
        # not jaxinv's own layers, whose gradient is written for speed
        outputs = reduce(lambda rows, weight: rows @ weight.T, weights, inputs)
        return 0.5 * jnp.sum((outputs - targets) ** 2)

    @jax.jit
    def step(weights):
        scale = jnp.asarray(eta, weights[0].dtype), jnp.asarray(decay, weights[0].dtype)
        return tuple(
            w - scale[0] * (g + scale[1] * w) for w, g in zip(weights, jax.grad(loss)(weights), strict=True)
        )  # fmt: skip

    state = [network.weights]

    def advance(steps: int) -> None:
        with run_settings():
            for _ in range(steps):
                state[0] = step(state[0])
            jax.block_until_ready(state[0])

    ready = time.perf_counter()
    with run_settings():
        step.lower(state[0]).compile()
    return Timed(advance, lambda: [np.asarray(w) for w in state[0]], 1, ready - begun, time.perf_counter() - ready)


def torch_loop(part: Any, compressed: bool) -> Timed:
    """The loop people write in PyTorch: bias-free Linear layers, SGD with weight decay, two threads or the GPU."""
    import torch  # pyright: ignore[reportMissingImports]  (an extra)

    problem, network, descent = part
    begun = time.perf_counter()
    device = "cuda" if torch.cuda.is_available() else "cpu"
    torch.set_num_threads(jax.local_device_count())
    inputs, targets = (torch.tensor(a, device=device) for a in _data(problem, compressed))
    layers = []
    for weight in network.weights:
        layer = torch.nn.Linear(weight.shape[1], weight.shape[0], bias=False, device=device, dtype=inputs.dtype)
        with torch.no_grad():
            layer.weight.copy_(torch.tensor(np.asarray(weight)))
        layers.append(layer)
    model = torch.nn.Sequential(*layers)
    optimizer = torch.optim.SGD(model.parameters(), lr=descent.step_size, weight_decay=descent.weight_decay)

    def advance(steps: int) -> None:
        for _ in range(steps):
            optimizer.zero_grad()
            (0.5 * ((model(inputs) - targets) ** 2).sum()).backward()
            optimizer.step()
        if device == "cuda":
            torch.cuda.synchronize()

    def weights() -> list[np.ndarray]:
        return [layer.weight.detach().cpu().numpy() for layer in layers]

    return Timed(advance, weights, 1, time.perf_counter() - begun, 0.0)


def _data(problem: Any, compressed: bool) -> tuple[Any, Any]:
    dtype = problem.signals.dtype
    if not compressed:
        return np.asarray(problem.measurements), np.asarray(problem.signals)
    frame = compressed_frame(jax.tree.map(lambda leaf: np.asarray(leaf, np.float64), problem))
    return frame.inputs.astype(dtype), frame.targets.astype(dtype)


def bandwidth(replica_bytes: int, replicas: int, precision: str) -> float:
    """Bytes a second that all local devices move together, scaling in place an array of one block's weights."""
    devices = jax.local_devices()
    mesh = Mesh(np.array(devices), ("d",))
    here = 1 if devices[0].platform == "cpu" else -(-replicas // len(devices))
    entries = here * replica_bytes // int(precision[-2:]) * 8
    with jax.enable_x64(True):
        array = jax.device_put(np.ones((len(devices), entries), precision), NamedSharding(mesh, PartitionSpec("d")))

        def body(x, n):
            return jax.lax.fori_loop(0, n, lambda _, y: y * x.dtype.type(0.999), x)

        run = jax.jit(
            jax.shard_map(body, mesh=mesh, in_specs=(PartitionSpec("d"), PartitionSpec()), out_specs=PartitionSpec("d"))
        )
        repeats = max(20, int(2e9 // array.nbytes))
        jax.block_until_ready(run(array, 1))
        best = _least(lambda: jax.block_until_ready(run(array, repeats)))
    return 2 * array.nbytes * repeats / best


def _seconds(call: Callable[[], Any]) -> float:
    begun = time.perf_counter()
    call()
    return time.perf_counter() - begun


def _least(call: Callable[[], Any], rounds: int = 5) -> float:
    return min(_seconds(call) for _ in range(rounds))


def time_in_turns(methods: dict[str, Timed], rounds: int, budget_s: float = 0.4) -> dict[str, float]:
    """Milliseconds a replica-step of each method: minimum over rounds, a turn of about `budget_s` each.

    Records are not in it: they are taken, and timed, apart.
    """
    steps = {}
    for name, method in methods.items():
        once = _seconds(lambda method=method: method.advance(5)) / 5
        steps[name] = max(5, int(budget_s / max(once, 1e-6)))
    best = dict.fromkeys(methods, np.inf)
    for _ in range(rounds):
        for name, method in methods.items():
            taken = _seconds(lambda method=method, name=name: method.advance(steps[name]))
            best[name] = min(best[name], taken / steps[name] / method.replicas * 1e3)
    return best


def compare(preset: Preset, precision: str) -> dict[str, Any]:
    """The table at the size of Fig. 1a: time, ratios, set-up, compilation, and how far the iterates are apart."""
    replicas = 8 if jax.local_devices()[0].platform == "cpu" else 256
    parts = [trio(seed, precision) for seed in range(replicas)]
    methods: dict[str, Timed] = {}
    if find_spec("torch"):
        methods["PyTorch, full data"] = torch_loop(parts[0], compressed=False)
        methods["PyTorch, compressed data"] = torch_loop(parts[0], compressed=True)
    methods["JAX jit, full data"] = plain_jax(parts[0], compressed=False)
    methods["JAX jit, compressed data"] = plain_jax(parts[0], compressed=True)
    engine = f"jaxinv, {replicas} replicas"
    methods[engine] = ours(parts)
    for method in methods.values():
        method.advance(CHECK_STEPS)
    reference = methods["JAX jit, full data"].weights()[1:]
    apart = {
        name: max(
            float(np.max(np.abs(a - b)) / np.max(np.abs(b)))
            for a, b in zip(method.weights()[1:], reference, strict=True)
        )
        for name, method in methods.items()
    }
    times = time_in_turns(methods, preset.rounds)
    trained = methods[engine].weights()
    weight_bytes = sum(w.nbytes for w in trained)
    speed = bandwidth(weight_bytes, replicas, precision)
    roofline = 4 * weight_bytes / speed * 1e3
    rows = [
        {"method": name, "ms": ms, "setup_s": methods[name].setup_s, "compile_s": methods[name].compile_s,
         "apart": apart[name]} for name, ms in times.items()
    ]  # fmt: skip
    return {"precision": precision, "rows": rows, "roofline_ms": roofline, "bandwidth_GB_s": speed / 1e9,
            "weight_bytes": weight_bytes, "record_ms": methods[engine].record_ms}  # fmt: skip


def scale(axes: dict[str, list[int]]) -> dict[str, list[dict[str, float]]]:
    """Milliseconds a replica-step and set-up seconds of jaxinv along each axis, float32."""
    table: dict[str, list[dict[str, float]]] = {}
    for axis, values in axes.items():
        table[axis] = []
        methods = {}
        for value in values:
            sizes = {} if axis == "replicas" else {axis: value}
            count = value if axis == "replicas" else jax.local_device_count()
            methods[str(value)] = ours([trio(seed, "float32", **sizes) for seed in range(count)])
        times = time_in_turns(methods, rounds=4)
        for value in values:
            timed = methods[str(value)]
            table[axis].append({axis: value, "ms": times[str(value)], "setup_s": timed.setup_s})
    return table


MEMORY = """
import pathlib, re, jax
jax.config.update("jax_num_cpu_devices", {devices})
import jaxinv as ji
ji.run_sweep(ji.Sweep(axes={{"seed": range({replicas})}}, fixed={{"gamma": 0.1}}, steps=20, records=5))
print(int(re.search(r"VmHWM:\\s+(\\d+)", pathlib.Path("/proc/self/status").read_text())[1]) / 1024)
"""


def memory(replicas: int) -> float:
    """Peak resident MiB of a process that runs a sweep of so many replicas at the size of Fig. 1a. Linux only."""
    code = MEMORY.format(devices=jax.local_device_count(), replicas=replicas)
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return float(done.stdout.split()[-1])


def machine() -> dict[str, Any]:
    """Where the times were taken."""
    packages = ["jax", "jaxlib", "numpy", "optax", "equinox", *(["torch"] if find_spec("torch") else [])]
    return {
        "devices": f"{jax.local_device_count()} x {jax.local_devices()[0].device_kind}",
        "layout": Layout.of(jax.local_devices()[0])._asdict(),
        "versions": {name: version(name) for name in packages},
    }


def show(table: dict[str, Any]) -> None:
    """The table in the terminal."""
    ours_ms = table["rows"][-1]["ms"]
    print(f"\nOne step at the size of Fig. 1a, {table['precision']}, n = 1000, gamma = {GAMMA}")
    print(f"{'method':28}{'ms a replica-step':>18}{'ratio':>8}{'set-up s':>10}{'compile s':>11}{'apart':>10}")
    for row in table["rows"]:
        print(f"{row['method']:28}{row['ms']:18.3f}{row['ms'] / ours_ms:8.1f}{row['setup_s']:10.2f}"
              f"{row['compile_s']:11.2f}{row['apart']:10.1e}")  # fmt: skip
    print(f"{'roofline':28}{table['roofline_ms']:18.3f}{table['roofline_ms'] / ours_ms:8.2f}    "
          f"(4 passes over {table['weight_bytes'] / 2**20:.2f} MiB at {table['bandwidth_GB_s']:.1f} GB/s)")  # fmt: skip
    print(f"a record of jaxinv: {table['record_ms']:.1f} ms a replica; apart: largest relative difference of a weight "
          f"from JAX jit on full data after {CHECK_STEPS} steps")  # fmt: skip
    if not find_spec("torch"):
        print("PyTorch is not installed: pip install 'jaxinv[bench]' adds its rows")


def main(preset: str, out: Path) -> None:
    """Time everything, print it, and write OUT/speed-PRESET.json."""
    check_known("preset", preset, PRESETS)
    check_writable(out)
    chosen = PRESETS[preset]
    result: dict[str, Any] = {"machine": machine(), "compare": [], "memory_MiB": {}}
    for precision in chosen.precisions:
        result["compare"].append(compare(chosen, precision))
        show(result["compare"][-1])
    result["scale"] = scale(chosen.axes)
    print("\nScaling of jaxinv, float32, ms a replica-step")
    for axis, rows in result["scale"].items():
        print(f"{axis:10}" + "".join(f"{row[axis]:>9,}: {row['ms']:.3f}" for row in rows))
    for replicas in chosen.memory:
        result["memory_MiB"][replicas] = memory(replicas)
        print(f"peak memory of a sweep of {replicas} replicas: {result['memory_MiB'][replicas]:.0f} MiB")
    path = out / f"speed-{preset}.json"
    write_text(path, json.dumps(result, indent=1) + "\n")
    print(f"\n{path}")
