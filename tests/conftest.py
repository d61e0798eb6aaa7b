"""Tests run in x64, with shapes checked, warnings as errors, and two host devices."""

import jax
from jaxtyping import install_import_hook

jax.config.update("jax_enable_x64", True)
jax.config.update("jax_numpy_rank_promotion", "raise")
jax.config.update("jax_num_cpu_devices", 2)

with install_import_hook("jaxinv", "beartype.beartype"):
    import jaxinv  # noqa: F401
