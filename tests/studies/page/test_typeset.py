"""Numbers and plain-text formulas as the page shows them."""

import math

import pytest

from jaxinv.studies.page import typeset


@pytest.mark.parametrize(
    ("plain", "shown"),
    [
        ("||W_{L:1} P_perp||_2 <= 1e-6", "‖W<sub>L:1</sub> P<sub>⊥</sub>‖<sub>2</sub> ≤ 10⁻⁶"),
        ("sqrt((d/m)(m - s)), d_w^2", "√((d/m)(m - s)), d<sub>w</sub><sup>2</sup>"),
        ("R (A R)^+, (1 - eta lambda)^(L t)", "R (A R)<sup>+</sup>, (1 - η λ)<sup>L t</sup>"),
        (
            "l_(2/3) within 1e-4 [slack ours] [1]",
            'l<sub>2/3</sub> within 10⁻⁴ <span class="mark">slack ours</span> [1]',
        ),
        ("sigma_max, gamma grid, step_size", "σ<sub>max</sub>, γ grid, step_size"),
        ("`a_b < 1e-6` [ours; see]", '<code>a_b &lt; 1e-6</code> <span class="mark">ours; see</span>'),
    ],
)
def test_formulas(plain, shown):
    assert str(typeset.marked(plain)) == shown


def test_numbers_and_times():
    assert [typeset.number(v) for v in (0.04703, -3e20, math.inf)] == ["0.04703", "−3 × 10²⁰", "∞"]
    assert [typeset.duration(s) for s in (0.2, 59, 540, 3700)] == ["under a second", "59 s", "9 min", "1 h 1 min"]
