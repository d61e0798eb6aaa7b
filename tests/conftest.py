"""Tests run in x64, with shapes checked, warnings as errors, and two host devices."""

import os

os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")  # as the command line does, before anything loads it

import jax
from jaxtyping import install_import_hook

jax.config.update("jax_enable_x64", True)
jax.config.update("jax_numpy_rank_promotion", "raise")
jax.config.update("jax_num_cpu_devices", 2)

import tests.typechecker  # noqa: E402, F401  (the hook looks it up by name)

with install_import_hook("jaxinv", "tests.typechecker.check"):
    import jaxinv  # noqa: F401
