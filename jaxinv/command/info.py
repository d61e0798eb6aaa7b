"""`jaxinv info`: versions, devices, precision and where things are kept."""

import json
import os
import sys
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Info:
    """Versions, devices, precision and where things are kept."""

    json: bool = False
    """As one JSON object."""

    def __call__(self) -> None:
        """Print a fact on each line."""
        from importlib.metadata import version

        import jax

        packages = ("jaxinv", "jax", "jaxlib", "optax", "equinox", "numpy", "xarray")
        facts = {name: version(name) for name in packages}
        facts["python"] = sys.version.split()[0]
        facts["devices"] = ", ".join(f"{device.id}: {device.device_kind}" for device in jax.local_devices())
        load = f", load {os.getloadavg()[0]:.1f}" if hasattr(os, "getloadavg") else ""
        facts["cores"] = f"{cores()} of {os.cpu_count()} to run on{load}"
        facts["beside other work"] = (
            "a device for each core that is free, on those alone: taskset -c 0-3 jaxinv run (cores 0 to 3); "
            "JAX_NUM_CPU_DEVICES=N for fewer devices than cores"
        )
        facts["compilation cache"] = str(cache_folder())
        facts['precision "auto"'] = (
            "float64 where 0 < step_size * weight_decay < 1e-6, float32 otherwise; matmul highest"
        )
        print(json.dumps(facts, indent=1) if self.json else "\n".join(f"{name} {fact}" for name, fact in facts.items()))


def cores() -> int:
    """How many cores this process may run on."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def cache_folder() -> Path:
    """Where compiled programs are kept: the user's cache folder, or JAX_COMPILATION_CACHE_DIR."""
    home = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    return Path(os.environ.get("JAX_COMPILATION_CACHE_DIR") or home / "jaxinv" / "xla")
