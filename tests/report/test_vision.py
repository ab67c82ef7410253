"""The picture that shows which pixels said a word, in a browser."""

import json
from pathlib import Path

import numpy as np
import pytest

from recap.core import paths
from recap.core.artifacts import write_json, write_png
from recap.report.config import ReportConfig
from recap.report.inputs import VISION_METRICS, load_inputs
from recap.report.page import render_page

SIDE = 16
NAMES = {"rnn": ["a", "five"], "lstm": ["<b>one</b>", "red", "five"]}


def write_maps(root) -> None:
    """Maps of which the pixel (method, word) is the only one that said the word."""
    entries = []
    for decoder, words in NAMES.items():
        sheet = np.zeros((2 * SIDE, (len(words) + 1) * SIDE, 3), np.uint8)
        sheet[:SIDE, :SIDE] = 255
        for method in range(2):
            for word in range(len(words)):
                sheet[method * SIDE + method, (word + 1) * SIDE + word] = 255
        write_png(root / paths.VISION / f"{decoder}.png", sheet)
        entry = {"kind": "word_saliency", "file": f"{decoder}.png", "label": decoder, "image": "000003.png"}
        entries.append(entry | {"decoder": decoder, "words": words, "methods": ["integrated", "gradient"]})
    write_json(root / paths.VISION / "index.json", entries)


@pytest.mark.slow
def test_a_word_that_is_pointed_at_shows_its_pixels(outputs, browser, tmp_path: Path) -> None:
    root = outputs(decoders=list(NAMES))
    write_maps(root)
    page = render_page(load_inputs(root, list(NAMES), {}, ReportConfig(gallery_images=30, seed=0)))
    data = json.loads(page.partition('id="maps-data">')[2].partition("</script>")[0])
    assert [own["id"] for own in data] == [103], "as in the gallery"
    (tmp_path / "index.html").write_text(page, encoding="utf-8")
    browser.open(tmp_path / "index.html", 1400)

    def reddest() -> list[int]:
        """The place of the pixel that is least blue, in pixels of the image."""
        browser.evaluate("new Promise((done) => setTimeout(done, 200))")
        return browser.evaluate("""(() => {
          const canvas = document.querySelector('.maps .map'), step = canvas.width / 16;
          const pen = canvas.getContext('2d'), middle = (place) => (place + 0.5) * step;
          const blue = (x, y) => pen.getImageData(middle(x), middle(y), 1, 1).data[2];
          const places = [...Array(256).keys()].map((place) => [place % 16, place >> 4]);
          return places.reduce((best, own) => (blue(...own) < blue(...best) ? own : best));
        })()""")

    words = "[...document.querySelectorAll('.maps .words button')].map((own) => own.textContent)"
    assert browser.evaluate(words) == NAMES["lstm"]
    assert browser.evaluate("document.querySelector('.maps b')") is None
    browser.evaluate("document.querySelectorAll('.words button')[2].focus()")
    assert reddest() == [2, 0]
    label = "document.querySelector('.maps .map').getAttribute('aria-label')"
    assert browser.evaluate(label) == "The pixels that spoke for the word “five”, by integrated"
    change = """{{
      const field = document.querySelector('.maps [name={0}]');
      field.value = '{1}';
      field.dispatchEvent(new Event('input', {{ bubbles: true }}));
    }}"""
    browser.evaluate(change.format("method", "gradient"))
    assert reddest() == [2, 1]
    browser.evaluate(change.format("decoder", "rnn"))
    assert browser.evaluate(words) == NAMES["rnn"]
    assert reddest() == [1, 1], "the method stays, and the last word is pointed at"
    browser.call("Emulation.setEmulatedMedia", media="print")
    chosen = "[...document.querySelectorAll('.maps label')].map((own) => own.checkVisibility())"
    assert browser.evaluate(chosen) == [True] * 3, "paper says of which image, decoder and method"
    browser.call("Emulation.setEmulatedMedia", media="")
    assert browser.evaluate("document.querySelector('.maps a').textContent") == "in the gallery"
    browser.evaluate("document.querySelector('.maps a').click()")
    browser.evaluate("new Promise((done) => setTimeout(done, 100))")
    assert browser.evaluate("document.querySelector('dialog[open] h3').textContent") == "Image 103"


@pytest.mark.slow
def test_paper_has_the_pictures_of_a_kind_that_unfold_on_the_screen(outputs, browser, tmp_path: Path) -> None:
    root = outputs(decoders=list(NAMES))
    write_png(root / paths.VISION / "high.png", np.full((500, 800, 3), 90, np.uint8))
    entry = {"kind": "attention", "file": "high.png", "label": "high", "image": None}
    write_json(root / paths.VISION / "index.json", [entry, entry])
    page = render_page(load_inputs(root, list(NAMES), {}, ReportConfig(gallery_images=3, seed=0)))
    (tmp_path / "index.html").write_text(page, encoding="utf-8")
    browser.open(tmp_path / "index.html", 1400)
    shown = "[...document.querySelectorAll('#vision :is(h3, img)')].map((own) => own.checkVisibility())"
    assert browser.evaluate(shown) == [True, False, False]
    browser.call("Emulation.setEmulatedMedia", media="print")
    assert browser.evaluate(shown) == [True, True, True]
    browser.call("Emulation.setEmulatedMedia", media="")


@pytest.mark.slow
def test_markup_in_names_of_classes_and_files_is_text(outputs, browser, tmp_path: Path) -> None:
    root = outputs(decoders=list(NAMES))
    hostile = "<script>document.title = 'x'</script><img src=x onerror=alert(1)>"
    entry = {"kind": "class_visualization", "file": "saliency_0.png", "label": hostile}
    entry |= {"image": f"{hostile}.png"}
    grown = {hostile: {hostile: {"mean_probability": 0.5, "share_above_0.9": 0.5}}}
    write_json(root / paths.VISION / "index.json", [entry, entry | {"kind": hostile}])
    write_json(root / VISION_METRICS, {"class_visualization": grown})
    page = render_page(load_inputs(root, list(NAMES), {}, ReportConfig(gallery_images=3, seed=0)))
    (tmp_path / "index.html").write_text(page, encoding="utf-8")
    browser.open(tmp_path / "index.html", 1400)
    vision = "document.querySelector('#vision')"
    assert (
        browser.evaluate(f"[...{vision}.querySelectorAll('h3')].at(-1).textContent") == hostile.capitalize()
    )
    assert browser.evaluate(f"{vision}.querySelector('figcaption').textContent") == hostile
    assert browser.evaluate(f"{vision}.querySelector('tbody td').textContent") == hostile
    assert browser.evaluate("document.querySelectorAll('[onerror]').length") == 0
    assert browser.evaluate("document.title").startswith("recap: ")
    assert browser.evaluate("document.scripts.length") == 2
    assert not [event for event in browser.events if event.get("method") == "Runtime.exceptionThrown"]
