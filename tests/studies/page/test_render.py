"""The report: what is on the page, what it is made from, and how a browser shows it."""

import base64
import html
import json
import math
import re
import shutil
import subprocess
from collections import Counter
from dataclasses import replace
from functools import cache
from html.parser import HTMLParser
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

import jaxinv as ji
from jaxinv.studies import plots
from jaxinv.studies.page import render
from jaxinv.studies.summary import Parameter, Summary
from jaxinv.sweeps import store

BROWSER = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
needs_browser = pytest.mark.skipif(BROWSER is None, reason="no Chromium here (Debian: apt-get install chromium)")
BASE = Summary(
    name="one",
    claim="decay removes what lies off the subspace",
    about="One.\n\nRefuted if `||W P_perp||_2` stays above 1e-6 [ours].",
    shows="Error against step, a colour for each gamma.",
    preset="quick",
    adjusted=False,
    command="jaxinv run one --preset quick",
    cell_count=8,
    timings=0,
    diverged=0,
    seconds=75.0,
    computed=8,
    date="2026-01-02 03:04 UTC",
    verdicts=(ji.Verdict("error at the end", 2.5e-8, "below 1e-6 [ours]", True),),
    parameters=(Parameter("depth", ("5",), ("1", "2")), Parameter("gamma", (), ("0", "0.1"))),
    environment={"devices": "2 x cpu", "jax": "0.0"},
    digests={},
)
SHARP = ji.Verdict("a < b & <script>alert(1)</script>", math.nan, "at most 3 [exact]", False)


@cache
def drawn():
    """A small figure: the content of its file by kind."""
    figure, axes = plots.panels(plots.COLUMN_WIDTH, 2.0, [["a"]])
    axes["a"].plot([1, 2, 3])
    with TemporaryDirectory() as folder:
        return {path.suffix: path.read_bytes() for path in plots.save(figure, Path(folder) / "figure")}


def keep(out, folder, **changes):
    """A stored summary with a small figure and data, as a run leaves them."""
    name = changes.get("name", BASE.name)
    place = out / name / folder
    place.mkdir(parents=True)
    digests = {
        f"{name}{kind}": store.write_bytes(place / f"{name}{kind}", content) for kind, content in drawn().items()
    }
    summary = replace(BASE, **changes, digests=digests)
    (place / "results.nc").write_bytes(b"data")
    summary.write(place)


@pytest.fixture(scope="module")
def out(tmp_path_factory):
    out = tmp_path_factory.mktemp("stored")
    keep(out, "quick")
    keep(out, "paper", preset="paper", command="jaxinv run one --preset paper")
    two = {"name": "two_relu", "verdicts": (*BASE.verdicts, SHARP), "diverged": 3, "environment": {"devices": "TPU"}}
    keep(out, "quick", **two)
    keep(out, "quick-adjusted", **two, adjusted=True)
    keep(out, "quick-adjusted", name="three", preset="quick", adjusted=True)
    render.write_report(out)
    return out


class Page(HTMLParser):
    """The elements of a page, and what was opened and never closed."""

    VOID = ("meta", "img", "br", "link", "input")

    def __init__(self, text):
        super().__init__()
        self.elements, self.open, self.crossed = [], [], []
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        self.elements.append((tag, dict(attrs)))
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_endtag(self, tag):
        if self.open and self.open[-1] == tag:
            self.open.pop()
        else:
            self.crossed.append(tag)

    def all(self, tag):
        return [attributes for name, attributes in self.elements if name == tag]


@pytest.fixture(scope="module")
def text(out):
    return (out / "report" / "index.html").read_text()


@pytest.fixture(scope="module")
def page(text):
    return Page(text)


def test_the_page_is_well_formed_and_self_contained(text, page):
    assert (page.open, page.crossed) == ([], [])
    assert page.elements[0] == ("html", {"lang": "en"})
    assert not [tag for tag, _ in page.elements if tag in ("script", "link", "iframe", "object", "base")]
    assert "@import" not in text
    assert "url(" not in text
    assert all("src" not in attributes or attributes["src"].startswith("data:") for _, attributes in page.elements)
    for image in page.all("img"):
        assert image["src"].startswith("data:image/png;base64,")
        assert base64.b64decode(image["src"].partition(",")[2]).startswith(b"\x89PNG")
        assert len(image["alt"]) > 20


def test_every_link_leads_somewhere(out, page):
    ids = Counter(attributes["id"] for _, attributes in page.elements if "id" in attributes)
    assert max(ids.values()) == 1
    targets = [link["href"] for link in page.all("a") if not link["href"].startswith("https://arxiv.org/")]
    assert {"#one", "#two_relu", "#three", "../one/paper/results.nc", "one.pdf", "one-quick.png"} <= set(targets)
    for target in targets:
        assert ids[target[1:]] if target.startswith("#") else (out / "report" / target).is_file(), target


def test_verdicts_come_first_and_say_their_outcome_in_words(text):
    assert text.index("<table>") < text.index("<figure>")
    assert "3 of 4 claims held, 1 failed, in 3 experiments" in text
    table = text[text.index("<table>") : text.index("</table>")]
    assert [len(re.findall(f"</span> {word}<", table)) for word in ("held", "failed")] == [3, 1]
    assert "2.5 × 10⁻⁸" in table
    assert "not a number" in table
    assert 'below 10⁻⁶ <span class="mark">ours</span>' in table


def test_a_narrow_page_has_measured_and_bound_below_the_claim(text):
    # nothing is wider than the page: cells are blocks of their own, which wrap, and say what they hold
    narrow = text[text.index("@media screen and (max-width: 40rem)") : text.index("@media print")]
    rules = dict(re.findall(r"^  ([^{}]+?) \{ (.*?) \}$", narrow, flags=re.MULTILINE))
    assert rules["table"] == "min-width: 0;"
    assert rules["thead"] == "display: none;"
    assert rules["table, tbody, tr, tr > th, tr > td:nth-child(n)"] == "display: block; width: auto;"
    assert "white-space: normal" in rules["tr > th, tr > td:nth-child(n)"]
    assert "attr(data-label)" in rules["td[data-label]::before"]
    rows = re.findall(r'<tr>\s*<td><span class="badge(.*?)</tr>', text, flags=re.DOTALL)
    assert rows
    assert all(re.findall(r'data-label="(\w+)"', row) == ["Measured", "Bound"] for row in rows)


def test_what_experiments_say_is_escaped(text):
    assert "<script" not in text
    assert "a &lt; b &amp; &lt;script&gt;alert(1)" in text


def test_the_paper_preset_stands_for_an_experiment_and_the_others_are_folded_away(text):
    section = text[text.index('<section id="one"') : text.index('<section id="three"')]
    assert section.index("jaxinv run one --preset paper") < section.index("<details>")
    assert section.index("<details>") < section.index("jaxinv run one --preset quick")
    assert "Also stored: the quick preset, 1 of 1 claims held" in section


def test_adjusted_grids_stand_last_and_are_named(text):
    two = text[text.index('<section id="two_relu"') :]
    assert two.index("quick preset") < two.index("Also stored: the adjusted quick preset")
    assert "adjusted quick" in text[text.index("<tbody>") : text.index("</table>")]  # nothing else of `three` is there


def test_captions_sort_parameters_by_their_mark(text):
    caption = re.sub(r"<[^>]+>|\s+", " ", text[text.index("<figcaption>") : text.index("</figcaption>")])
    assert re.search(
        r"paper\s+depth\s+L\s+= 5\.\s+ours\s+depth\s+L\s+= 1, 2,\s+weight decay\s+γ\s+= 0, 0\.1\.", caption
    )


def test_sections_say_what_diverged_and_what_it_took(text):
    assert "8 runs, <strong>3 of them diverged</strong>" in text
    assert "1 min 15 s of computing, on 2 x cpu; drawn 2026-01-02 03:04 UTC" in text
    assert text.index("Three (adjusted quick)") < text.index("<dd>TPU</dd>")


def test_what_cannot_be_read_is_named_and_left_out(tmp_path):
    keep(tmp_path, "quick")
    keep(tmp_path, "paper", preset="paper")
    (tmp_path / "one" / "paper" / "summary.json").write_text('{"format": 1')
    with pytest.warns(UserWarning, match=r"paper.summary\.json cannot be read, or was changed, left out of the report"):
        assert [len(group) for group in render.collect(tmp_path)] == [1]
    (tmp_path / "one" / "quick" / "one.pdf").unlink()
    shutil.rmtree(tmp_path / "one" / "paper")
    with pytest.warns(UserWarning, match=r"lacks the figure that was drawn for it \(pdf\)"):
        assert render.collect(tmp_path) == []


@pytest.mark.parametrize("change", ["cut", "another"])
def test_a_picture_that_was_not_drawn_for_the_summary_is_not_shown(tmp_path, change):
    keep(tmp_path, "quick")
    path = tmp_path / "one" / "quick" / "one.png"
    content = path.read_bytes()
    path.write_bytes(content[:-100] if change == "cut" else content.replace(b"IDAT", b"IDAt", 1))
    with pytest.warns(UserWarning, match=r"lacks the figure that was drawn for it \(png\), left out of the report"):
        assert render.collect(tmp_path) == []


def test_a_name_with_a_dot_is_shown(tmp_path):
    keep(tmp_path, "quick", name="one.2")
    render.write_report(tmp_path)
    assert {path.name for path in (tmp_path / "report").iterdir()} == {"index.html", "one.2.pdf", "one.2.png"}


def test_a_report_of_nothing_is_refused(tmp_path):
    with pytest.raises(ji.ArgumentError, match="no finished experiment"):
        render.write_report(tmp_path / "out")
    assert not (tmp_path / "out").exists()


PROBE = """<script>
addEventListener("load", () => {
  const numbers = (colour) => colour.match(/[0-9.]+/g).map(Number);
  const light = (colour) => numbers(colour).slice(0, 3).map((c) => c / 255)
    .map((c) => c <= 0.03928 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4)
    .reduce((sum, c, i) => sum + c * [0.2126, 0.7152, 0.0722][i], 0);
  const ground = (node) => {
    const colour = getComputedStyle(node).backgroundColor;
    return numbers(colour)[3] === 0 ? ground(node.parentElement) : colour;
  };
  const contrast = (node) => {
    const [a, b] = [light(getComputedStyle(node).color), light(ground(node))].sort((x, y) => x - y);
    return (b + 0.05) / (a + 0.05);
  };
  const words = [...document.querySelectorAll("body *")].filter(
    (node) => [...node.childNodes].some((child) => child.nodeType === 3 && child.textContent.trim()) &&
      !["SCRIPT", "STYLE"].includes(node.tagName));
  parent.postMessage(JSON.stringify({
    width: innerWidth, content: document.documentElement.scrollWidth,
    images: [...document.images].map((image) => image.naturalWidth),
    cells: Math.max(...[...document.querySelectorAll("td")].map((cell) => cell.getBoundingClientRect().right)),
    shown: [...document.images].map((image) => image.getBoundingClientRect().width),
    contrast: Math.min(...words.map(contrast)), page: light(getComputedStyle(document.body).backgroundColor),
    card: light(getComputedStyle(document.querySelector(".card")).backgroundColor),
  }), "*");
});
</script>"""
# a window cannot be as narrow as a phone, a frame can
FRAME = """<!DOCTYPE html><meta name="color-scheme" content="light dark"><pre id="probe"></pre>
<script>onmessage = (event) => { document.getElementById("probe").textContent = event.data; };</script>
<iframe style="border: 0; width: WIDTHpx; height: 900px" srcdoc="CONTENT"></iframe>"""


def browse(page, tmp_path, *flags):
    """What headless Chromium prints of a page, with its log."""
    assert BROWSER is not None
    quiet = (
        "disable-quic",
        "no-first-run",
        "disable-background-networking",
        "disable-component-update",
        "disable-sync",
    )
    command = [
        BROWSER, "--headless", "--no-sandbox", "--disable-gpu", *(f"--{flag}" for flag in quiet),
        f"--user-data-dir={tmp_path / 'profile'}", "--enable-logging=stderr", "--virtual-time-budget=5000", *flags,
        page.as_uri(),
    ]  # fmt: skip
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr
    assert "CONSOLE" not in done.stderr, done.stderr
    return done.stdout


@needs_browser
@pytest.mark.parametrize(("width", "dark"), [(1280, False), (390, True)])
def test_a_browser_shows_it(text, tmp_path, width, dark):
    content = text.replace("</body>", PROBE + "</body>").replace("<details>", "<details open>")
    framed = tmp_path / "frame.html"
    framed.write_text(FRAME.replace("WIDTH", str(width)).replace("CONTENT", html.escape(content)))
    scheme = f"--blink-settings=preferredColorScheme={0 if dark else 1}"
    dom = browse(framed, tmp_path, "--dump-dom", "--window-size=1600,1000", scheme)
    seen = json.loads(dom[dom.index('<pre id="probe">') + 16 : dom.index("</pre>")])
    assert seen["width"] == width
    assert seen["content"] <= width, "the page scrolls sideways"
    assert seen["cells"] <= width, "a table is cut"
    assert len(seen["images"]) == 5
    assert min(seen["images"]) == 850
    assert min(seen["shown"]) > 250
    assert seen["contrast"] >= 4.5
    assert seen["page"] < 0.02 if dark else seen["page"] > 0.9
    assert seen["card"] == 1


@needs_browser
def test_a_browser_prints_it(out, tmp_path):
    browse(out / "report" / "index.html", tmp_path, f"--print-to-pdf={tmp_path / 'page.pdf'}", "--no-pdf-header-footer")
    pages = re.findall(rb"/Type\s*/Page\b", Path(tmp_path / "page.pdf").read_bytes())
    assert 4 <= len(pages) <= 6  # the claims, one page an experiment, the environment
