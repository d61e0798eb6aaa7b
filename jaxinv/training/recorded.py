"""What metrics of one's own will give, found by tracing before anything trains."""

from collections.abc import Iterable, Mapping, Sequence

import equinox as eqx
import jax

from ..checks import ArgumentError, fail
from ..measures.records import Recordable, real_value
from .dense import view
from .precision import run_settings
from .reduction import reduce_setup
from .setup import Setup


def check_dims(metrics: Iterable[Recordable], taken: Iterable[str]) -> None:
    """ArgumentError unless the dims of each metric are a tuple of different names that are not `taken`."""
    names = {*taken, *(metric.name for metric in metrics)}
    for metric in metrics:
        dims = metric.dims
        plain = isinstance(dims, tuple) and all(isinstance(dim, str) and dim.isidentifier() for dim in dims)
        if not plain or len(set(dims)) < len(dims):
            raise fail(f"dims of metric {metric.name!r}", "a tuple of different names, each a word", repr(dims),
                       'pass ("name",)')  # fmt: skip
        if clash := names.intersection(dims):
            raise fail(f"dims of metric {metric.name!r}", "names that the results do not use", repr(dims),
                       f"rename {min(clash)!r}")  # fmt: skip


def recorded_shapes(setup: Setup, reduce: bool, metrics: Sequence[Recordable]) -> dict[str, tuple[int, ...]]:
    """The shape of each metric where a run of `setup` stands, in the coordinates it is trained in.

    Arrays of the setup may be `jax.ShapeDtypeStruct`. Raises ArgumentError where a metric fails or gives something else
    than an array with an axis for each of its dims.
    """
    return {metric.name: _shape(setup, reduce, metric) for metric in metrics}


def _shape(setup: Setup, reduce: bool, metric: Recordable) -> tuple[int, ...]:
    def record(parts):
        reduced = reduce_setup(Setup(*parts), reduce)
        return real_value(metric, view(reduced, reduced.network, 1.0))

    about = f"metric {metric.name!r} with dims {metric.dims}"
    try:
        with run_settings():
            value = eqx.filter_eval_shape(record, tuple(setup))
    except ArgumentError:
        raise
    except Exception as error:
        got = f"{type(error).__name__}: {str(error).partition(chr(10))[0]}"
        numpy = isinstance(error, jax.errors.JAXTypeError)
        instead = "compute with jax.numpy" if numpy else "try it on ji.train(...) of a cell"
        raise fail(about, "a function of (coordinates, network)", got, instead) from error
    shape = getattr(value, "shape", None)
    if shape is None:
        raise fail(about, "one array", type(value).__name__, "make it one: jnp.stack, jnp.asarray")
    if len(shape) != len(metric.dims):
        raise fail(about, "an array with an axis for each of them", f"shape {shape}", f"name {len(shape)} dims")
    for dim, size in zip(metric.dims, shape, strict=True):
        labels = getattr(metric, "labels", {}).get(dim)
        if labels is not None and len(labels) != size:
            raise fail(about, f"of size {len(labels)} along {dim!r}, as its labels", f"shape {shape}", "mend them")
    return shape


def check_sizes(metrics: Sequence[Recordable], shapes: Iterable[Mapping[str, tuple[int, ...]]]) -> None:
    """ArgumentError unless a dim has one size in all `metrics`, whatever cells gave `shapes`."""
    seen: dict[str, tuple[int, str]] = {}
    for shape in shapes:
        for metric in metrics:
            for dim, size in zip(metric.dims, shape[metric.name], strict=True):
                first, owner = seen.setdefault(dim, (size, metric.name))
                if size != first:
                    raise fail(f"dim {dim!r}", "of one size in all metrics and cells",
                               f"{first} in {owner!r} and {size} in {metric.name!r}",
                               "pad the shorter with NaN, or rename it")  # fmt: skip
