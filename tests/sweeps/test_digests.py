"""Digests: what changes them, what does not, what is refused, and that they stay what they were."""

import importlib.util
import itertools
import json
import sys
import threading
from pathlib import Path
from textwrap import dedent
from types import ModuleType
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import xarray as xr

import jaxinv as ji
from jaxinv.sweeps import sources, trees
from jaxinv.sweeps.digests import (
    Uncovered,
    canonical,
    digest,
    digest_of_source,
    file_source,
    package_source,
)

HEAD = "import functools, jax, equinox as eqx, numpy as np, optax\n"


@pytest.fixture
def load(tmp_path, monkeypatch):
    """Modules as a user would write them: `load(text, other=text)` imports the first, with others beside it.

    Each call has a folder of its own, so that what is said twice lies in two places.
    """
    numbers = itertools.count()
    loaded: set[str] = set()

    def load(text: str, name: str = "mine", **beside: str) -> ModuleType:
        folder = tmp_path / str(next(numbers))
        for path, content in {**beside, name: text}.items():
            file = folder / f"{path.replace('__', '/')}.py"
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(HEAD + dedent(content))
            for module in [m for m in sys.modules if m.partition(".")[0] in (path.partition("__")[0], name)]:
                del sys.modules[module]
        monkeypatch.syspath_prepend(folder)
        loaded.update((name, *(path.partition("__")[0] for path in beside)))
        return importlib.import_module(name)

    yield load
    for module in [m for m in sys.modules if m.partition(".")[0] in loaded]:
        del sys.modules[module]


# by what is changed: the text of a module that defines f, and one replacement in it
STALE = {
    "a constant in a lambda": ("S = 2\nf = lambda x: S * x", "S = 2", "S = 3"),
    "a constant in a nested lambda": ("S = 2\nf = lambda x: (lambda y: S * y)(x)", "S = 2", "S = 3"),
    "a constant in a generator": ("S = 2\ndef f(x): return sum(S * y for y in x)", "S = 2", "S = 3"),
    "a constant in a comprehension": ("S = 2\ndef f(x): return [y for y in x if y > S]", "S = 2", "S = 3"),
    "a constant in a nested function": ("S = 2\ndef f(x):\n  def g(): return S\n  return g()", "S = 2", "S = 3"),
    "a constant behind a walrus": ("S = 2\ndef f(x): return x * (s := S)", "S = 2", "S = 3"),
    "an array": ("S = np.ones(3)\ndef f(x): return S * x", "np.ones(3)", "2 * np.ones(3)"),
    "the body": ("def f(x): return 2 * x", "2 * x", "3 * x"),
    "the type of a constant": ("def f(x): return 2 * x", "2 * x", "2.0 * x"),
    "an operator that compiles to a constant": ("def f(x): return x * 2", "x * 2", "x ** 2"),
    "a jitted helper": ("@jax.jit\ndef h(x): return 2 * x\ndef f(x): return h(x)", "2 * x", "3 * x"),
    "a jitted function": ("@jax.jit\ndef f(x): return 2 * x", "2 * x", "3 * x"),
    "what a jitted function reads": ("S = 2\n@jax.jit\ndef f(x): return S * x", "S = 2", "S = 3"),
    "a helper's default": ("def h(x, s=2): return s * x\ndef f(x): return h(x)", "s=2", "s=3"),
    "a helper's keyword": ("def h(x, *, s=2): return s * x\ndef f(x): return h(x)", "s=2", "s=3"),
    "a default that is read": ("S = 2\ndef f(x, s=S): return s * x", "S = 2", "S = 3"),
    "a default that is a function": ("def h(x): return 2 * x\ndef f(x, h=h): return h(x)", "2 * x", "3 * x"),
    "a bound method": ("class A:\n  def go(self, x): return 2 * x\nf = A().go", "2 * x", "3 * x"),
    "the object of a bound method": (
        "class A:\n  def __init__(self, s): self.s = s\n  def go(self, x): return self.s * x\nf = A(2).go",
        "A(2)",
        "A(3)",
    ),
    "a class constant": ("class A:\n  S = 2\ndef f(x): return A.S * x", "S = 2", "S = 3"),
    "a class constant set later": ("class A:\n  S = 2\nA.S = 4\ndef f(x): return A.S * x", "= 4", "= 5"),
    "a base's constant": ("class B:\n  S = 2\nclass A(B): pass\ndef f(x): return A.S * x", "S = 2", "S = 3"),
    "a static method": ("class A:\n  @staticmethod\n  def h(x): return 2 * x\nf = A.h", "2 * x", "3 * x"),
    "a class method": ("class A:\n  @classmethod\n  def h(cls, x): return 2 * x\nf = A.h", "2 * x", "3 * x"),
    "a property": ("class A:\n  @property\n  def s(self): return 2\ndef f(x): return A().s", "return 2", "return 3"),
    "a cached property": (
        "class A:\n  @functools.cached_property\n  def s(self): return 2\na = A()\ndef f(x): return a.s",
        "return 2",
        "return 3",
    ),
    "what a method reads": ("S = 2\nclass A:\n  def go(self): return S\ndef f(x): return A().go()", "S = 2", "S = 3"),
    "a private name in a class": (
        "_A__s = 2\nclass A:\n  def go(self): return __s\ndef f(x): return A().go()",
        "= 2",
        "= 3",
    ),
    "a parent's method": (
        "class B:\n  def go(self): return 2\nclass A(B):\n  def go(self): return super().go()\nf = A().go",
        "return 2",
        "return 3",
    ),
    "an object that is called": ("class A:\n  def __call__(self, x): return 2 * x\nf = A()", "2 * x", "3 * x"),
    "a module of equinox": (
        "class A(eqx.Module):\n  s: int\n  def __call__(self, x): return self.s * x\nf = A(2)",
        "A(2)",
        "A(3)",
    ),
    "a method of an equinox module": (
        "class A(eqx.Module):\n  s: int\n  def go(self, x): return 2 * x\nf = A(2).go",
        "2 * x",
        "3 * x",
    ),
    "a static field": (
        "class A(eqx.Module):\n  s: int = eqx.field(static=True, default=2)\n  def go(self, x): return x\nf = A().go",
        "=2",
        "=3",
    ),
    "a dataclass default": (
        "from dataclasses import dataclass\n@dataclass\nclass A:\n  s: int = 2\ndef f(x): return A().s",
        "= 2",
        "= 3",
    ),
    "a field's place": (
        "from dataclasses import dataclass\n@dataclass\nclass A:\n  s: int\n  t: int\ndef f(x): return A(1, 2).s",
        "s: int\n  t: int",
        "t: int\n  s: int",
    ),
    "a named tuple's default": (
        "from typing import NamedTuple\nclass A(NamedTuple):\n  s: int = 2\ndef f(x): return A().s",
        "= 2",
        "= 3",
    ),
    "a member of an enum": ("from enum import Enum\nclass A(Enum):\n  S = 2\ndef f(x): return A.S.value", "= 2", "= 3"),
    "an enum's method": (
        "from enum import Enum\nclass A(Enum):\n  S = 2\n  def go(self): return 4\ndef f(x): return A.S.go()",
        "return 4",
        "return 5",
    ),
    "a metaclass": (
        "class M(type):\n  s = 2\nclass A(metaclass=M): pass\ndef f(x): return A.s",
        "s = 2",
        "s = 3",
    ),
    "a slot": (
        "class A:\n  __slots__ = ('s',)\n  def __init__(self, s): self.s = s\na = A(2)\ndef f(x): return a.s",
        "A(2)",
        "A(3)",
    ),
    "a closure": ("def make(s):\n  def f(x): return s * x\n  return f\nf = make(2)", "make(2)", "make(3)"),
    "a function in a closure": (
        "def make(h):\n  return lambda x: h(x)\nf = make(lambda x: 2 * x)",
        "2 * x",
        "3 * x",
    ),
    "a decorator": (
        "S = 2\ndef d(h):\n  @functools.wraps(h)\n  def w(x): return S * h(x)\n  return w\n@d\ndef f(x): return x",
        "S = 2",
        "S = 3",
    ),
    "a decorated function": (
        "def twice(h):\n  @functools.wraps(h)\n  def w(x): return h(h(x))\n  return w\n@twice\ndef f(x): return 2 * x",
        "2 * x",
        "3 * x",
    ),
    "a decorator that is a class": (
        "class D:\n  def __init__(self, h): functools.update_wrapper(self, h)\n  def __call__(self, x): return 4 * x\n"
        "@D\ndef f(x): return 2 * x",
        "2 * x",
        "3 * x",
    ),
    "a mark on a function": ("def f(x): return f.s * x\nf.s = 2", "f.s = 2", "f.s = 3"),
    "the second lambda of a line": ("g, f = (lambda x: x), (lambda x: 2 * x)", "2 * x", "3 * x"),
    "a lambda in a lambda": ("f = (lambda: lambda x: 2 * x)()", "2 * x", "3 * x"),
    "a constant lambda among others": ("g, f = (lambda: 1), (lambda: 2)", "lambda: 2", "lambda: 3"),
    "functions in a dictionary": ("D = {'a': lambda x: 2 * x}\ndef f(x): return D['a'](x)", "2 * x", "3 * x"),
    "functions in a set": ("D = {lambda x: 2 * x}\ndef f(x): return [g(x) for g in D]", "2 * x", "3 * x"),
    "a partner in recursion": (
        "def f(x): return g(x - 1) if x else 0\ndef g(x): return f(x - 1) if x else 2",
        "else 2",
        "else 3",
    ),
    "partial": ("def h(x, s): return s * x\nf = functools.partial(h, s=2)", "s=2", "s=3"),
    "vmap": ("f = jax.vmap(lambda x: 2 * x)", "2 * x", "3 * x"),
    "the axes of vmap": ("f = jax.vmap(lambda x: 2 * x, in_axes=0)", "in_axes=0", "in_axes=1"),
    "grad": ("S = 2\nf = jax.grad(lambda x: S * x)", "S = 2", "S = 3"),
    "checkpoint": ("f = jax.checkpoint(lambda x: 2 * x)", "2 * x", "3 * x"),
    "a derivative of one's own": (
        "@jax.custom_jvp\ndef f(x): return x\n@f.defjvp\ndef rule(p, t): return p[0], 2 * t[0]",
        "2 * t",
        "3 * t",
    ),
    "filter_jit": ("@eqx.filter_jit\ndef f(x): return 2 * x", "2 * x", "3 * x"),
    "filter_grad": ("@eqx.filter_grad\ndef f(x): return 2 * x", "2 * x", "3 * x"),
    "filter_vmap": ("@eqx.filter_vmap\ndef f(x): return 2 * x", "2 * x", "3 * x"),
    "numpy's vectorize": ("@np.vectorize\ndef f(x): return 2 * x", "2 * x", "3 * x"),
    "a cached helper": ("@functools.lru_cache\ndef h(x): return 2 * x\ndef f(x): return h(x)", "2 * x", "3 * x"),
    "an optimizer": ("O = optax.sgd(2.0)\ndef f(x): return O.init(x)", "2.0", "3.0"),
    "a schedule of one's own": ("O = optax.sgd(lambda n: 2.0)\ndef f(x): return O.init(x)", "2.0", "3.0"),
    "a checked function": (
        "from beartype import beartype\nfrom jaxtyping import jaxtyped\n"
        "@jaxtyped(typechecker=beartype)\ndef f(x: int): return 2 * x",
        "2 * x",
        "3 * x",
    ),
    "data of a problem": (
        "import jaxinv as ji\nP = ji.Problem(np.eye(2), 2.0 * np.eye(2))\ndef f(): return P",
        "2.0",
        "3.0",
    ),
    "the state of random numbers": ("R = np.random.default_rng(2)\ndef f(): return R.normal()", "(2)", "(3)"),
}


@pytest.mark.parametrize("case", STALE)
def test_a_digest_changes_with(case, load):
    text, old, new = STALE[case]
    assert text.count(old) == 1
    before, same, after = (digest(load(version).f) for version in (text, text, text.replace(old, new)))
    assert before == same
    assert before != after


# by how the helper is read: the text of a module that defines f and reads S or h of the module `other`
HELPED = {
    "a function": "from other import h\ndef f(x): return h(x)",
    "a constant": "from other import S\ndef f(x): return S * x",
    "a module's function": "import other\ndef f(x): return other.h(x)",
    "a module's constant by another name": "import other as o\ndef f(x): return [o.S for _ in x]",
    "a module handed on": "import other\ndef g(m): return m.S\ndef f(x): return g(other)",
    "an import inside": "def f(x):\n  import other\n  return other.S",
    "an import from inside": "def f(x):\n  from other import h as g\n  return g(x)",
}


@pytest.mark.parametrize("how", HELPED)
def test_a_digest_changes_with_what_stands_in_another_module(how, load):
    there = "S = 2\ndef h(x): return S * x\n"
    before = digest(load(HELPED[how], other=there).f)
    assert before == digest(load(HELPED[how], other=f"# moved\n{there}").f)
    assert before != digest(load(HELPED[how], other=there.replace("2", "3")).f)


def test_only_what_is_read_of_a_module_counts(load):
    text = "import other\ndef f(x): return other.S * x"
    assert digest(load(text, other="S = 2\nT = 2").f) == digest(load(text, other="S = 2\nT = 3").f)


def test_a_digest_follows_packages_and_relative_imports(load):
    def of(constant, text):
        parts = {"pack____init__": "", "pack__inner": "from .deep import S\n", "pack__deep": f"S = {constant}"}
        return digest(load(text, **parts).f)

    for text in (
        "from pack.inner import S\ndef f(x): return S * x",
        "import pack.inner\ndef f(x): return pack.inner.S * x",
        "from pack import inner\ndef f(x): return inner.S * x",
    ):
        assert of(2, text) == of(2, text) != of(3, text)


def test_a_relative_import_inside_a_function_is_followed(load):
    inside = "def f(x):\n  from .deep import S\n  return S * x"

    def of(constant):
        parts = {"pack____init__": "", "pack__run": inside, "pack__deep": f"S = {constant}"}
        return digest(load("from pack.run import f", **parts).f)

    assert of(2) == of(2) != of(3)


def test_a_module_that_is_loaded_from_its_file_and_known_to_none(tmp_path):
    def of(text):
        path = tmp_path / str(len(list(tmp_path.iterdir()))) / "signal.py"  # the name of one of Python's own
        path.parent.mkdir()
        path.write_text(text)
        spec = importlib.util.spec_from_file_location("signal", path)
        assert spec is not None
        assert spec.loader is not None
        spec.loader.exec_module(module := importlib.util.module_from_spec(spec))
        return digest(module.f)

    text = "class A:\n  S = 2\ndef f(x): return A.S * x"
    assert of(text) == of(text) != of(text.replace("2", "3"))


def test_the_value_at_the_time_of_the_digest_counts(load):
    module = load("""
        S = 2
        class A:
            T = 2
        def make(s):
            def f(): return s, S, A.T, P
            def put(value):
                nonlocal s
                s = value
            return f, put
        f, put = make(1)
    """)
    seen = [digest(module.f)]  # P is not defined yet
    for change in (
        lambda: setattr(module, "S", 3),
        lambda: setattr(module.A, "T", 3),
        lambda: module.put(2),
        lambda: setattr(module, "P", ji.Problem(np.eye(2), np.eye(2))),
        lambda: setattr(module, "P", ji.Problem(np.eye(2), 2 * np.eye(2))),
    ):
        change()
        seen.append(digest(module.f))
    assert len(set(seen)) == len(seen)
    assert digest(module.f) == seen[-1]


UNCHANGED = """
S = 2

def h(x):
    return S * x

def f(x, n=1):
    a = h(x)
    return [a for _ in range(n)]
"""


EDITED = {
    "docstrings and comments": '''
        """A module."""
        S = 2
        "A constant."
        def h(x):
            """A helper."""
            return S * x  # scaled

        # the function
        def f(x, n=1):
            """Says f."""

            a = h(x)
            return [a for _ in range(n)]
    ''',
    "order": """
        import os
        unused = 7
        class Other: pass
        def f(x, n=1):
            a = h(x)
            return [a for _ in range(n)]
        def h(x):
            return S * x
        S = 1 + 1
    """,
    "annotations and formatting": """
        S: int = 2
        def h(x: float) -> float: return (S
                                          *x)
        def f(x: "np.ndarray", n: int = 1,) -> list[int]:
          a: "float" = (h( x ))
          return [
            a for _ in range(n)
          ]
    """,
}


@pytest.mark.parametrize("what", EDITED)
def test_a_digest_stays_when_nothing_changes_but(what, load):
    one, other = load(UNCHANGED), load(EDITED[what], name="another")
    assert digest(one.f) == digest(other.f)
    assert digest({"f": one.h, "g": one.f}) == digest({"g": other.f, "f": other.h})


def test_names_that_are_shadowed_are_not_read(load):
    text = "S = 2\ndef f(x):\n  S = x\n  return [S for S in x], (lambda S: S)(x)"
    assert digest(load(text).f) == digest(load(text.replace("= 2", "= 3")).f)


def test_a_call_does_not_change_what_is_called(load):
    module = load(
        "class A:\n  @functools.cached_property\n  def t(self): return 2\na = A()\ndef f(x): return a.t * x\n"
        "fs = [f, jax.jit(f), eqx.filter_jit(f), eqx.filter_grad(f), jax.grad(f), jax.vmap(f), functools.lru_cache(f)]"
    )
    before = [digest(f) for f in module.fs]
    for f in module.fs:
        f(jnp.ones(2) if f is module.fs[5] else 2.0)
    assert [digest(f) for f in module.fs] == before


def test_the_wrappers_of_libraries_do_not_tell_where_a_function_lies(load):
    text = (
        "def f(x): return 2 * x\nf = [jax.jit(f), jax.vmap(f), jax.grad(f), jax.value_and_grad(f), jax.checkpoint(f),"
        "jax.custom_jvp(f), jax.custom_vjp(f), jax.jacfwd(f), jax.hessian(f), eqx.filter_jit(f), eqx.filter_vmap(f),"
        "eqx.filter_grad(f), functools.lru_cache(f), np.vectorize(f), jax.numpy.vectorize(f), "
        "functools.wraps(jax.jit(f))(lambda x: x)]"
    )
    one, other = load(text), load("\n\n" + text, name="another")
    assert [digest(f) for f in one.f] == [digest(f) for f in other.f]
    assert len({digest(f) for f in one.f}) == len(one.f)


def test_our_own_are_covered_by_their_public_names():
    assert canonical(ji.subspace_problem) == '"jaxinv:subspace_problem"'
    assert canonical(ji.Problem) == '"jaxinv:Problem"'
    problem = json.loads(canonical(ji.Problem(np.eye(2), np.eye(2))))
    assert problem["object"] == "jaxinv:Problem"
    assert set(problem["state"]) >= {"operator", "signals"}


def test_functions_that_ours_make_count_with_what_is_bound_in_them():
    scope: dict[str, Any] = {"__name__": "jaxinv.somewhere"}
    exec("def make(s):\n  def inner(x, t=s): return s * t * x\n  return inner", scope)
    one, same, other = (canonical(scope["make"](s)) for s in (2, 2, 3))
    assert one == same != other
    assert "jaxinv:make.<locals>.inner" in one
    assert canonical(scope["make"]) == '"jaxinv:make"'


def test_a_module_whose_name_begins_like_ours_is_not_ours(load):
    one, other = (load(f"def f(x): return {n} * x", name="jaxinv_extra") for n in (2, 3))
    assert digest(one.f) != digest(other.f)


def test_what_is_installed_is_named_with_its_version(load, monkeypatch):
    module = load("def f(x): return np.linalg.norm(x)\ndef g(x): return functools.reduce(max, x)")
    before = digest(module.f), digest(module.g)
    assert canonical(np.linalg.norm) == f'"numpy {np.__version__}:numpy.linalg.norm"'
    assert canonical(len) == '"stdlib:builtins.len"'
    monkeypatch.setattr(trees, "version", lambda top: "another")
    assert digest(module.f) != before[0]
    assert digest(module.g) == before[1]


def test_equal_values_have_equal_json():
    assert canonical({"b": 0.0, "a": [1, 2.5]}) == canonical({"a": (1.0, np.float64(2.5)), "b": np.int32(0)})
    assert canonical(range(3)) == canonical([0, 1, 2]) == canonical((np.uint8(0), jnp.asarray(1), 2.0))
    assert canonical(np.arange(4.0)) == canonical(jnp.arange(4.0)) != canonical(np.arange(4))
    assert canonical(np.arange(6).reshape(2, 3).T) != canonical(np.arange(6).reshape(3, 2))
    assert canonical({1, 2, 3}) == canonical({3.0, 2, 1}) != canonical([1, 2, 3])
    assert canonical({1: "a", 2: "b"}) == canonical({2.0: "b", 1: "a"}) != canonical({"1": "a", "2": "b"})
    assert canonical(jax.random.key(0)) != canonical(jax.random.key(1))
    assert canonical(jax.random.key(0)) != canonical(jax.random.key_data(jax.random.key(0)))
    assert canonical(True) == "true" != canonical(1)
    assert canonical(np.ma.masked_equal([1, 2], 1)) != canonical(np.ma.masked_equal([1, 2], 2))
    assert canonical(np.array([len, 1], dtype=object)) != canonical(np.array([max, 1], dtype=object))
    assert canonical([Path("a/b"), 1j, b"a", ..., slice(1)]) == canonical([Path("a") / "b", 1j, b"a", ..., slice(1)])


def test_circles_end(load):
    module = load(
        "class Node: pass\na, b = Node(), Node()\na.next, b.next = b, a\nloop = [1]\nloop.append(loop)\n"
        "def even(n): return n == 0 or odd(n - 1)\ndef odd(n): return n != 0 and even(n - 1)\n"
        "table = {'even': even, 'f': lambda: table}\nodd.self = odd"
    )
    values = [module.a, module.loop, module.even, module.odd, module.table, module.Node]
    assert len({digest(value) for value in values}) == len(values)
    assert digest(module.even) == digest(module.even)


REFUSED = {
    "L = threading.Lock()\ndef f(x): return L": ("`L` (lock), read by `f`", "as an argument of the sweep"),
    "F = open(__file__)\nF.close()\ndef f(x): return F": ("`F` (TextIOWrapper), read by `f`", "take the values"),
    "G = (i for i in ())\ndef h(x): return G\ndef f(x): return h(x)": (
        "`G` (generator), read by `f` through `h`",
        "as",
    ),
    "def f(x): return eval('x')": ("`f` cannot", "it uses `eval`, which reads what no source shows; write that out"),
    "import sys\ndef f(x): return sys.modules['mine'].x": ("`f` cannot", "it uses `sys.modules`"),
    "exec('def h(x): return x')\ndef f(x): return h(x)": ("`h`, read by `f`", "define it in a file"),
    "exec('f = lambda x: x')": ("`<lambda>` cannot", "its source cannot be had; define it in a file"),
    "f = np.frompyfunc(lambda x: x, 1, 1)": ("`ufunc`", "pass numbers, arrays or a function"),
}


@pytest.mark.parametrize("text", REFUSED)
def test_what_cannot_be_covered_is_refused_by_name_in_one_line(text, load):
    module = load(f"import threading\n{text}")
    with pytest.raises(Uncovered) as error:
        digest({"problem": module.f} if "argument" in REFUSED[text][1] else module.f)
    message = str(error.value)
    assert "\n" not in message
    assert all(part in message for part in REFUSED[text])
    assert " at 0x" not in message


def test_values_that_no_digest_covers_are_refused():
    for value in (xr.DataArray([1.0]), threading.Lock(), (i for i in ())):
        with pytest.raises(Uncovered, match="cannot be covered"):
            canonical({"signals": value})
    with pytest.raises(Uncovered, match="take the digest outside of jit"):
        jax.jit(canonical)(1.0)


def test_a_function_that_is_not_what_its_file_says_is_refused(load):
    module = load("S = 2\ndef f(x): return S * x\ndef g(x): return x\ndef h(x): return x + 1")
    known = digest(module.f)
    path = Path(module.__file__)
    path.write_text(path.read_text().replace("return x\n", "return -x\n").replace("S = 2", "\nS = 3"))
    assert digest(module.f) == known  # what runs is what was imported
    assert digest(module.h)  # moved, and the same
    with pytest.raises(Uncovered, match=r"`g` cannot be covered .* has changed since it was imported; start again"):
        digest(module.g)


def test_functions_of_a_test_are_covered_though_pytest_rewrites_them():
    def checked(x):
        assert x > 0
        return x

    assert digest(checked) != digest(lambda x: x)


def test_the_source_of_a_function_is_read_once(load, monkeypatch):
    module = load("S = 2\ndef h(x): return S\nf = lambda x: h(x)")
    before = digest(module.f)
    monkeypatch.setattr(sources, "_node_of", None)
    assert digest(module.f) == before


PINNED = '''
import enum, math
from dataclasses import dataclass
from typing import NamedTuple

SCALE = 2.5

def plain(x, *rest, power=2, **more):
    """A docstring."""
    with open(x) as file:
        for n, line in enumerate(file):
            if n % 2 and not line.startswith(("#", "é")):
                yield f"{line!r:>{power}} {SCALE:.3f}" + str(-1.5e3 + 2j)

def modern(value):
    match value:
        case {"a": [1, *others], **keys} if (size := len(others)) > 1:
            return {size: k for k in keys}
        case str() | None:
            try:
                return [*value, lambda: math.pi * SCALE]
            except* ValueError:
                raise

def make(s):
    def inner(x, t=SCALE):
        return sum(s * t * y for y in x)
    return inner

class Base:
    factor = 3

    def __call__(self, x):
        return super().__repr__(), self.factor * SCALE

class Child(Base):
    __slots__ = ("x",)

    def __init__(self, x):
        self.x = x

    @property
    def double(self):
        return 2 * self.x

@dataclass(frozen=True)
class Data:
    x: int
    y: tuple[int, ...] = (1, 2)

class Pair(NamedTuple):
    a: int
    b: str = "b"

class Colour(enum.Enum):
    RED = 1
    BLUE = "b"

    def shade(self):
        return self.value

closure, bound, first, second = make(4), Child(2).__call__, *((lambda x: x + 1), (lambda x: x + SCALE))
cached, shift = functools.lru_cache(plain), functools.partial(make, s=3)
values = [0.0, -1.5, 10**30, True, None, "a", float("inf"), {"b": {2, 1}, "a": (1, np.arange(3))}, b"x", 3]
data, pair, colour = Data(1), Pair(1), Colour.BLUE
def everything(x): return plain, modern, Child, Data, Pair, Colour, np.linalg.svd, jax.numpy.ones, missing
'''
NAMES = (
    "plain", "modern", "closure", "bound", "first", "second", "cached", "shift", "values", "data", "pair", "colour",
    "Child", "Data", "Pair", "Colour", "everything",
)  # fmt: skip


def test_digests_stay_what_they_were(load, monkeypatch):
    """Whoever changes the pinned digests makes all stored cells with functions of the user's run again: say so."""
    monkeypatch.setattr(trees, "version", lambda top: "0")
    module = load(PINNED)
    pinned = json.loads(Path(__file__).with_name("digests.json").read_text())
    assert {name: digest(getattr(module, name)) for name in NAMES} == pinned


def test_a_file_counts_with_the_modules_that_it_imports(tmp_path):
    def of(folder, **changes):
        texts = {
            "run": "import json, jaxinv, numpy as np, beside\nfrom pack import one\ndef f(): return 1",
            "beside": "S = 1",
            "pack/__init__": "",
            "pack/one": "from .two import T",
            "pack/two": "def g():\n  from . import one\nT = 1",
            "unused": "U = 1",
        }
        for name, text in {**texts, **changes}.items():
            path = tmp_path / folder / f"{name}.py"
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)
        return file_source(tmp_path / folder / "run.py")

    before = of("a")
    assert before == of("b/c")
    assert before == of("d", beside='"""Says S."""\n# one\nS = 1', unused="U = 2")
    others = [of("e", beside="S = 2"), of("f", **{"pack/two": "T = 2"}), of("g", **{"pack/__init__": "V = 1"})]
    assert len({before, *others}) == 4
    assert of("h", beside="S = (") != before  # not Python: by its bytes


def test_the_source_of_the_package_is_found_in_all_its_folders_but_the_command_line():
    folder = Path(trees.__file__).parents[1]
    files = [path for path in folder.rglob("*.py") if path.relative_to(folder).parts[0] != "command"]
    assert Path(trees.__file__) in files
    assert package_source() == digest_of_source(reversed(files))
    assert digest_of_source(files[0]) != digest_of_source(files[1]) != package_source()
