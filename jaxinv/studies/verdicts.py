"""Verdicts: one claim against one measured number, and the helpers that make words and outcome from one bound."""

import re
from dataclasses import dataclass
from typing import Any

import numpy as np


@dataclass(frozen=True)
class Verdict:
    """One claim against one measured number: `holds` says whether `measured` keeps to `bound`; never where it is NaN.

    `bound` is words that name the limit and whose it is, such as "at most 1e-06 [ours]".
    """

    claim: str
    measured: float
    bound: str
    holds: bool

    def __post_init__(self):
        if self.measured != self.measured:
            object.__setattr__(self, "holds", False)

    def line(self) -> str:
        """The verdict on one line of a terminal."""
        return f"{'holds' if self.holds else 'FAILS'}  {self.claim}: {self.measured:.4g}, bound {self.bound}"


def at_most(bound: float, values: Any, words: str, *, strict: bool = False) -> Verdict:
    """That the largest of `values` is at most (`strict`: below) `bound`; not where one is NaN or there are none.

    `words` are the claim, and in brackets at their end whose bound it is: "decay removes it [ours]".
    """
    worst = _worst(values, np.argmax)
    holds = worst < bound if strict else worst <= bound
    return _verdict(words, worst, f"{'below' if strict else 'at most'} {bound:g}", holds)


def at_least(bound: float, values: Any, words: str, *, strict: bool = False) -> Verdict:
    """That the least of `values` is at least (`strict`: above) `bound`; see `at_most`."""
    worst = _worst(values, np.argmin)
    holds = worst > bound if strict else worst >= bound
    return _verdict(words, worst, f"{'above' if strict else 'at least'} {bound:g}", holds)


def within(bound: float, values: Any, target: float, words: str) -> Verdict:
    """That of `values` the one farthest from `target` is no farther than `bound`; see `at_most`."""
    worst = _worst(values, lambda rows: np.argmax(np.abs(rows - target)))
    # the same rounding whether 0.9 is held to 1 - 0.1 or to 1 +- 0.1
    holds = abs(worst - target) <= bound * (1 + 1e-12)
    return _verdict(words, worst, f"within {bound:g} of {target:g}", holds)


def _worst(values: Any, index: Any) -> float:
    """The value that decides: NaN where there is none, or one is NaN."""
    rows = np.ravel(np.asarray(values, float))
    return float("nan") if not rows.size or np.isnan(rows).any() else float(rows[index(rows)])


def _verdict(words: str, measured: float, bound: str, holds: Any) -> Verdict:
    """The words in brackets at the end go with the bound: they say whose it is."""
    found = re.fullmatch(r"(.*?)\s*(\[[^\[\]]*\])", words.strip(), re.DOTALL)
    claim, whose = found.groups() if found else (words.strip(), "")
    return Verdict(claim, measured, f"{bound} {whose}".strip(), bool(holds))
