"""Numbers, names and plain-text formulas as one writes them: what the page of the report says, in HTML."""

import re
from collections.abc import Sequence
from typing import Any

from ..summary import Parameter

WORDS = {
    "signal_dim": ("signal dimension", "d"),
    "measurement_dim": ("measurements", "m"),
    "subspace_dim": ("subspace dimension", "s"),
    "samples": ("training samples", "n"),
    "condition_number": ("condition number", "kappa"),
    "noise": ("training noise", ""),
    "width": ("hidden width", "d_w"),
    "depth": ("depth", "L"),
    "init": ("initialization", ""),
    "scale": ("scale of the initialization", ""),
    "gamma": ("weight decay", "gamma"),
    "weight_decay": ("absolute weight decay", "lambda"),
    "step_size": ("step size", "eta"),
    "strength": ("strength of the regularizer", "mu"),
    "seed": ("seeds", ""),
}
"""What arguments are called, and their symbols."""

GREEK = {"gamma": "γ", "lambda": "λ", "eta": "η", "kappa": "κ", "sigma": "σ", "mu": "μ", "Sigma": "Σ"}
SIGNS = {"||": "‖", "<=": "≤", ">=": "≥", "->": "→", "P_perp": "P_⊥", "sqrt(": "√("}
_SUPERSCRIPT = str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹")


def number(value: float) -> str:
    """Four digits, powers of ten as one writes them."""
    digits, _, exponent = f"{value:.4g}".partition("e")
    digits = {"nan": "not a number", "inf": "∞", "-inf": "−∞"}.get(digits, digits.replace("-", "−"))
    return _power(digits, exponent) if exponent else digits


def duration(seconds: float) -> str:
    """Seconds in words, two units at most."""
    whole = round(seconds)
    if whole < 1:
        return "under a second"
    hours, minutes, rest = whole // 3600, whole // 60 % 60, whole % 60
    parts = [f"{n} {unit}" for n, unit in ((hours, "h"), (minutes, "min"), (rest, "s")) if n]
    return " ".join(parts[:2])


def title(name: str) -> str:
    """The name of an experiment as a heading."""
    return re.sub(r"\brelu\b", "ReLU", name.replace("_", " ").capitalize(), flags=re.IGNORECASE)


def sentence(text: str) -> str:
    """Text with a capital first letter and a full stop."""
    text = text.strip()
    return text[:1].upper() + text[1:] + ("" if text.endswith((".", "?", "!")) else ".")


def paragraphs(about: str) -> list[str]:
    """The paragraphs of a docstring after its first line, which says what the claim says."""
    return [" ".join(part.split()) for part in about.split("\n\n")[1:] if part.strip()]


def marked(text: str) -> Any:
    """Text with its formulas typeset, [notes of paper, exact or ours] set apart, what is in backquotes as code."""
    from markupsafe import Markup, escape

    parts = []
    for i, part in enumerate(text.split("`")):
        parts.append(f"<code>{escape(part)}</code>" if i % 2 else _formulas(part))
    marks = r"\[([^\[\]]*\b(?:paper|exact|ours)\b[^\[\]]*)\]"
    return Markup(re.sub(marks, r'<span class="mark">\1</span>', "".join(parts)))


def named(parameter: Parameter, values: Sequence[str]) -> Any:
    """A parameter with these of its values."""
    from markupsafe import Markup, escape

    words, symbol = WORDS.get(parameter.name, (parameter.name.replace("_", " "), ""))
    sign = Markup(f" <var>{_formulas(symbol)}</var> =") if symbol else ""
    return escape(words) + sign + Markup(" ") + ", ".join(values)


def _power(digits: str, exponent: str) -> str:
    power = f"10{str(int(exponent)).translate(_SUPERSCRIPT)}"
    return power if digits == "1" else f"{digits} × {power}"


def _formulas(text: str) -> str:
    """Escaped HTML of text in which formulas are written in ASCII."""
    from markupsafe import escape

    for plain, sign in SIGNS.items():
        text = text.replace(plain, sign)
    text = re.sub(r"\b(\d+(?:\.\d+)?)e([-+]?\d+)\b", lambda found: _power(*found.groups()), text)
    text = re.sub(rf"\b({'|'.join(GREEK)})(?=_|\b)", lambda found: GREEK[found[0]], text)
    text = str(escape(text))
    text = re.sub(r"((?<!\w)\w|‖)_(?:\{([^}]*)\}|\(([^()]*)\)|(\w+|⊥))", r"\1<sub>\2\3\4</sub>", text)
    return re.sub(r"\^(?:\{([^}]*)\}|\(([^()]*)\)|([-+]?\w+|\+))", r"<sup>\1\2\3</sup>", text)
