"""Tests run in x64, with shapes checked, warnings as errors, and two host devices."""

import atexit
import os
import shutil
import tempfile

os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")  # as the command line does, before anything loads it

if "JAX_COMPILATION_CACHE_DIR" not in os.environ:  # one for the run: its workers and the commands they start share it
    compiled = tempfile.mkdtemp(prefix="jaxinv-tests-")
    atexit.register(shutil.rmtree, compiled, ignore_errors=True)
    os.environ["JAX_COMPILATION_CACHE_DIR"] = compiled
    os.environ["JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS"] = "0"

import jax
import jaxtyping
import pytest
from jaxtyping import install_import_hook

jax.config.update("jax_enable_x64", True)
jax.config.update("jax_numpy_rank_promotion", "raise")
jax.config.update("jax_num_cpu_devices", 2)

import tests.typechecker  # noqa: E402, F401  (the hook looks it up by name)

with install_import_hook("jaxinv", "tests.typechecker.check"):
    import jaxinv  # noqa: F401
    from jaxinv.registry import REGISTRIES


def pytest_collection_modifyitems(items):
    """The files of training first: they are the dearest, and a worker left alone with one at the end waits for it."""
    items.sort(key=lambda item: "training" not in item.path.parts)


@pytest.fixture
def unchecked():
    """Arguments as a user may pass them, of any type: nobody checks annotations outside of these tests."""
    jaxtyping.config.update("jaxtyping_disable", True)
    yield
    jaxtyping.config.update("jaxtyping_disable", False)


@pytest.fixture(autouse=True)
def nothing_registered():
    """What a test registers is forgotten after it."""
    yield
    for registry in REGISTRIES.values():
        registry.added.clear()
