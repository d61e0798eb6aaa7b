"""Errors in one line: the argument, what it must be, what it was, what to pass instead."""

import difflib
import numbers
import sys
import warnings
from collections.abc import Iterable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from .arrays import is_traced


class ArgumentError(ValueError):
    """An argument that cannot be used; its message is one line, fit for a terminal."""


class UnknownNumbers(ArgumentError):
    """An argument whose numbers must be known is traced: only its shape is."""


def fail(name: str, must: str, got: Any, instead: str) -> ArgumentError:
    """The error for argument `name`, ready to raise."""
    return ArgumentError(f"{name} must be {must}, got {got}; {instead}")


def shown(value: Any) -> str:
    """`value` as it is written in one line: an array by its shape, what is long by its beginning."""
    if getattr(value, "shape", ()):
        return f"an array of shape {np.shape(value)}"
    text = " ".join(repr(value).split())
    return text if len(text) <= 80 else f"{text[:77]}..."


def warn(message: str) -> None:
    """Warn at the line of the user's that led here, not at one of ours or of the libraries in between."""
    frame, level = sys._getframe(1), 2
    while frame is not None and frame.f_globals.get("__name__", "").partition(".")[0] in _BETWEEN:
        frame, level = frame.f_back, level + 1
    warnings.warn(message, stacklevel=level)


_BETWEEN = {"jaxinv", "equinox", "jaxtyping", "beartype", "jax", "contextlib"}


def nearest(name: str, known: Iterable[str]) -> str:
    """What to pass instead of an unknown `name`: the closest of `known`, then all of them."""
    names = sorted(known)
    close = difflib.get_close_matches(name, names, n=1, cutoff=0.5)
    hint = f"did you mean {close[0]!r}? " if close else ""
    return f"{hint}known: {', '.join(names) or 'none'}"


def check_known(what: str, name: Any, known: Iterable[str]) -> None:
    """Raise ArgumentError unless `name` is one of `known`."""
    names = list(known)
    if not isinstance(name, str):
        raise fail(what, "a name", shown(name), f"known: {', '.join(sorted(names))}")
    if name not in names:
        raise ArgumentError(f"unknown {what} {name!r}; {nearest(name, names)}")


def check_count(name: str, value: Any, instead: str = "pass a whole number, 1 or more") -> int:
    """`value` as an int; ArgumentError unless it is a whole number of at least 1."""
    whole = isinstance(value, numbers.Integral) or (isinstance(value, float) and value.is_integer())
    if isinstance(value, bool) or not whole or value < 1:
        raise fail(name, "a positive whole number", shown(value), instead)
    return int(value)


def check_flag(name: str, value: Any) -> None:
    """ArgumentError unless `value` is True or False."""
    if not isinstance(value, bool | np.bool_):
        raise fail(name, "True or False", shown(value), "pass one of them")


def check_number(name: str, value: Any, minimum: float = 0.0, *, strict: bool = False) -> None:
    """ArgumentError unless `value` is a finite number of at least (`strict`: above) `minimum`; traced values pass."""
    if is_traced(value):
        return
    must = f"a finite number {'above' if strict else 'of at least'} {minimum:g}"
    try:
        number = float(value)
    except (TypeError, ValueError):
        number = float("nan")
    if isinstance(value, bool | str) or not (np.isfinite(number) and (number > minimum or number == minimum)):
        raise fail(name, must, shown(value), f"pass {must}")
    if strict and number == minimum:
        raise fail(name, must, repr(value), f"pass {must}")


def check_gives_number(name: str, function: Any, takes: str, *shapes: Any) -> None:
    """ArgumentError unless `function` makes one float of arrays of these `shapes`; nothing is computed."""
    try:
        made = jax.eval_shape(function, *shapes)
        shape, dtype = getattr(made, "shape", None), getattr(made, "dtype", None)
        if shape == () and dtype is not None and jnp.issubdtype(dtype, jnp.floating):
            return
        got = type(made).__name__ if dtype is None else f"{dtype} of shape {shape}"
    except ArgumentError:
        raise
    except Exception as error:
        got = f"{type(error).__name__}: {str(error).partition(chr(10))[0]}"
    raise fail(name, f"a function of {takes} that gives a number", got, "make it one float, with jax.numpy")


def check_matrix(name: str, value: Any, shape: str) -> None:
    """ArgumentError unless `value` is a finite, real, non-empty matrix; traced values are checked for rank only."""
    try:
        given = np.shape(value)
    except ValueError:  # a ragged list
        given = "of rows of different lengths"
    if isinstance(given, str) or len(given) != 2 or 0 in given:
        raise fail(name, f"a non-empty matrix of shape {shape}", f"shape {given}", "pass a 2-d array")
    if is_traced(value):
        return
    array = np.asarray(value)
    if array.dtype.name == "bfloat16":
        array = array.astype(np.float32)
    if not np.issubdtype(array.dtype, np.number) or np.iscomplexobj(array):
        raise fail(name, "an array of real numbers", f"dtype {array.dtype}", "convert it to float first")
    bad = array.size - np.count_nonzero(np.isfinite(array))
    if bad:
        raise fail(name, "finite everywhere", f"{bad} NaN or infinite entries", "remove or impute them first")
