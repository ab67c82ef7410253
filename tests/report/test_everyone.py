"""The page for everyone: contrast, keyboard, phone and paper."""

import base64
import os
import re
from pathlib import Path

import pytest

from recap.report.config import ReportConfig
from recap.report.inputs import load_inputs
from recap.report.page import render_page

CONFIG = ReportConfig(gallery_images=30, seed=3)
DECODERS = ("rnn", "lstm", "transformer")
SMALLEST = """(() => {
  const sizes = [];
  const walk = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  while (walk.nextNode()) {
    const own = walk.currentNode.parentElement;
    if (!walk.currentNode.data.trim() || !own.getClientRects().length) continue;
    const svg = own.closest('svg');
    const scale = svg ? svg.getBoundingClientRect().width / svg.viewBox.baseVal.width : 1;
    sizes.push(parseFloat(getComputedStyle(own).fontSize) * scale);
  }
  return Math.min(...sizes);
})()"""


@pytest.fixture
def page(outputs, tmp_path: Path) -> Path:
    inputs = load_inputs(outputs(), DECODERS, {}, CONFIG)
    path = tmp_path / "index.html"
    path.write_text(render_page(inputs), encoding="utf-8")
    return path


@pytest.mark.slow
@pytest.mark.parametrize(
    ("width", "scheme"), [(1440, "light"), (1440, "dark"), (390, "light"), (390, "dark")]
)
def test_axe_finds_nothing(page: Path, browser, width: int, scheme: str) -> None:
    axe = os.environ.get("RECAP_AXE")
    if not axe:
        pytest.skip("needs axe-core: RECAP_AXE names axe.min.js (npm pack axe-core)")
    browser.open(page, width, scheme)
    browser.evaluate(Path(axe).read_text(encoding="utf-8") + "; 0")
    told = "violations.map((own) => [own.id, ...own.nodes.map((node) => node.target.join(' '))])"
    run = f"axe.run(document, {{ resultTypes: ['violations'] }}).then(({{ violations }}) => {told})"
    assert browser.evaluate(run) == []


@pytest.mark.slow
def test_a_phone_shows_everything_large_enough(page: Path, browser) -> None:
    browser.open(page, 390)
    assert browser.evaluate(SMALLEST) >= 11
    assert browser.evaluate("document.documentElement.scrollWidth") <= 390
    browser.evaluate("new Promise((done) => requestAnimationFrame(() => setTimeout(done)))")
    wide = (
        "[...document.querySelectorAll('.scroll, .links')].filter((own) => own.scrollWidth > own.clientWidth)"
    )
    assert browser.evaluate(f"{wide}.length") > 5
    assert browser.evaluate(f"{wide}.every((own) => own.tabIndex === 0)"), "what scrolls takes the keyboard"


@pytest.mark.slow
def test_paper_keeps_bars_and_columns(page: Path, browser) -> None:
    browser.open(page, 1440, "dark")
    printed = base64.b64decode(browser.call("Page.printToPDF", preferCSSPageSize=True)["data"])
    assert len(re.findall(rb"/Type\s*/Page\b", printed)) < 12
    features = [{"name": "prefers-color-scheme", "value": "dark"}]
    browser.call("Emulation.setEmulatedMedia", media="print", features=features)
    style = "getComputedStyle(document.querySelector('{}')).{}"
    assert browser.evaluate(style.format(".fill", "printColorAdjust")) == "exact"
    assert browser.evaluate(style.format("body", "color")) == "rgb(28, 32, 36)", (
        "ink, whatever the screen has"
    )
    assert len(browser.evaluate(style.format(".columns", "gridTemplateColumns")).split()) == 2
    assert browser.evaluate(style.format("h3", "breakAfter")) == "avoid"
    assert browser.evaluate(style.format("tbody tr", "breakBefore")) == "avoid", "a head keeps its rows"
    note = "document.querySelector('#gallery .on-paper').checkVisibility()"
    assert browser.evaluate(note), "five cards are not all of them"
    browser.call("Emulation.setEmulatedMedia", media="")
    assert not browser.evaluate(note)


@pytest.mark.slow
def test_long_addresses_fit_on_paper(outputs, browser, tmp_path: Path) -> None:
    root = outputs(source="coco", url=f"http://images.example.org/{'a' * 80}.jpg")
    html = render_page(load_inputs(root, DECODERS, {}, CONFIG))
    (tmp_path / "index.html").write_text(html, encoding="utf-8")
    browser.open(tmp_path / "index.html", 703)
    browser.call("Emulation.setEmulatedMedia", media="print")
    assert browser.evaluate("document.documentElement.scrollWidth") <= 703, "186 mm: else all is made smaller"
    browser.call("Emulation.setEmulatedMedia", media="")
