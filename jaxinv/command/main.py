"""The command line: parse, set JAX up, call one of the subcommands, say errors in one line."""

import os
import sys
from collections.abc import Sequence
from typing import Annotated, Any

import tyro

from ..checks import ArgumentError
from .bench import Bench
from .info import Info, cache_folder, cores
from .list import List
from .report import Report
from .run import Run

DESCRIPTION = "Batched experiments on deep linear networks that solve inverse problems."

Command = Annotated[
    Annotated[List, tyro.conf.subcommand("list")]
    | Annotated[Run, tyro.conf.subcommand("run")]
    | Annotated[Report, tyro.conf.subcommand("report")]
    | Annotated[Bench, tyro.conf.subcommand("bench")]
    | Annotated[Info, tyro.conf.subcommand("info")],
    tyro.conf.OmitSubcommandPrefixes,
]


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line; returns the exit code: 0, or 2 for bad input."""
    given = list(sys.argv[1:] if arguments is None else arguments)
    if given == ["--version"]:
        from importlib.metadata import version

        print(f"jaxinv {version('jaxinv')}")
        return 0
    command: Any = tyro.cli(Command, prog="jaxinv", args=given, description=DESCRIPTION)  # type: ignore[arg-type]
    try:
        _configure()
        command()
    except ArgumentError as error:
        print(f"jaxinv: {error}", file=sys.stderr)
        return 2
    return 0


def _configure() -> None:
    """A host device for each core, so that runs go on beside each other on a CPU; compiled programs kept for next time.

    As many as JAX_NUM_CPU_DEVICES says where it is set. Before JAX looks for devices.
    """
    import jax

    jax.config.update("jax_compilation_cache_dir", str(cache_folder()))
    jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.1)
    if "JAX_NUM_CPU_DEVICES" not in os.environ:
        jax.config.update("jax_num_cpu_devices", cores())


if __name__ == "__main__":
    sys.exit(main())
