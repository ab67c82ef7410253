"""The gallery: which images and captions it holds, and what a browser does with them."""

import json
import math
from pathlib import Path

import pytest

from recap.core import paths
from recap.core.artifacts import write_json
from recap.report.config import ReportConfig
from recap.report.inputs import load_inputs
from recap.report.page import render_page
from recap.report.sections.gallery import word_probabilities
from recap.text.vocabulary import build_vocabulary

DECODERS = ("rnn", "lstm", "transformer")
CARDS = "[...document.querySelectorAll('.card .number a')].map((own) => Number(own.textContent.slice(6)))"
CHANGE = """{{
  const field = document.querySelector('[name={0}]');
  field.value = '{1}';
  field.dispatchEvent(new Event('input', {{ bubbles: true }}));
}}"""


def write_page(root, path: Path, images: int = 100) -> Path:
    inputs = load_inputs(root, DECODERS, {}, ReportConfig(gallery_images=images, seed=3))
    path.write_text(render_page(inputs), encoding="utf-8")
    return path


def data(page: Path) -> list:
    text = page.read_text().partition('id="gallery-data">')[2].partition("</script>")[0]
    return json.loads(text)["images"]


def test_every_scored_image_is_there_or_as_many_as_are_wanted(outputs, tmp_path: Path) -> None:
    root = outputs()
    everything = data(write_page(root, tmp_path / "all.html"))
    assert [image["id"] for image in everything] == list(range(100, 130))
    said = everything[1]["captions"]["rnn"]
    assert [word for word, _ in said["words"]][:2] == ["a", "small"]
    assert said["runners_up"] == [["one large green digit on a striped ground", -2.3]]
    some = [image["id"] for image in data(write_page(root, tmp_path / "some.html", images=7))]
    assert len(some) == 7
    assert some == sorted(set(some))
    assert "7 of the 30 scored images, drawn at random" in (tmp_path / "some.html").read_text()


def test_words_have_the_probabilities_of_their_tokens() -> None:
    words = build_vocabulary([["a", "red", "seven"]], 1, None)
    logs = [math.log(0.5), math.log(0.25), math.log(0.9)]
    assert word_probabilities("a red", logs, words) == [("a", 50), ("red", 25)]
    assert word_probabilities("a red seven", logs, words)[2] == ("seven", 90), "cut before <END>"
    assert word_probabilities("a", logs, words) == [("a", None)], "not of this caption"
    characters = build_vocabulary([list("a red")], 1, None, "char")
    logs = [math.log(value) for value in (0.5, 0.9, 0.5, 0.5, 0.8, 0.9)]
    assert word_probabilities("a red", logs, characters) == [("a", 50), ("red", 20)]


@pytest.mark.slow
def test_images_are_searched_sorted_and_filtered_by_the_decoders_that_are_ticked(
    outputs, browser, tmp_path: Path
) -> None:
    root = outputs(scored=36)
    path = root / paths.DECODERS / "lstm" / "per_image.json"
    rows = json.loads(path.read_text())
    for row, own in enumerate(rows):
        own |= {"truth": float(row >= 3), "cider_d": row / 10}
    rows[4]["caption"] = "an orchid"
    write_json(path, rows)
    write_json(
        path.with_name("captions.json"), [{key: row[key] for key in ("image_id", "caption")} for row in rows]
    )
    page = write_page(root, tmp_path / "index.html")
    browser.open(page, 1400)
    assert browser.evaluate(CARDS) == list(range(100, 130))
    columns = "getComputedStyle(document.querySelector('#gallery .cards')).gridTemplateColumns"
    assert 30 % len(browser.evaluate(columns).split()) == 0, "the last row is full"
    room = browser.evaluate("""(() => {
      const field = document.querySelector('[name=words]'), style = getComputedStyle(field);
      const pen = document.createElement('canvas').getContext('2d');
      pen.font = style.font;
      return field.clientWidth - 2 * parseFloat(style.paddingLeft) - pen.measureText(field.placeholder).width;
    })()""")
    assert room > 0, "the hint is seen in full"
    browser.evaluate("document.querySelector('.pager [data-step=\"1\"]').click()")
    assert browser.evaluate(CARDS) == list(range(130, 136))
    assert browser.evaluate("document.querySelector('.pager p').textContent") == "31 to 36 of 36"
    for name in ("rnn", "transformer"):
        browser.evaluate(f"document.querySelector('[value={name}]').click()")
    browser.evaluate(CHANGE.format("verdict", "false"))
    assert browser.evaluate(CARDS) == [100, 101, 102], "the verdict is that of the ticked decoder"
    assert (
        browser.evaluate("document.querySelectorAll('.verdict.true:not(.examples *, #sanity *)').length") == 0
    )
    browser.evaluate(CHANGE.format("sort", "best"))
    assert browser.evaluate(CARDS) == [102, 101, 100]
    address = browser.evaluate("location.href")
    assert address.endswith("#gallery?verdict=false&sort=best&decoders=lstm")
    browser.open("about:blank", 1400)
    browser.open(address, 1400)
    assert browser.evaluate(CARDS) == [102, 101, 100], "the address keeps what was chosen"
    browser.evaluate("document.querySelector('nav [href=\"#gallery\"]').click()")
    browser.evaluate("new Promise((done) => setTimeout(done, 100))")
    assert browser.evaluate("location.href") == address, "as the link of the navigation does"
    browser.evaluate(CHANGE.format("verdict", "") + "document.querySelector('[value=rnn]').click()")
    browser.evaluate(CHANGE.format("words", "Orch"))
    assert browser.evaluate(CARDS) == [104]
    browser.evaluate("document.querySelector('[value=lstm]').click()")
    assert browser.evaluate(CARDS) == [], "a decoder that is not ticked said it"
    browser.evaluate("document.querySelector('[value=lstm]').click()")
    browser.evaluate(CHANGE.format("words", "107"))
    assert browser.evaluate(CARDS) == [107], "a number is looked for as a whole"
    browser.evaluate(CHANGE.format("words", "rchid"))
    assert browser.evaluate(CARDS) == []
    browser.evaluate(CHANGE.format("words", "") + CHANGE.format("sort", "disagreement"))
    assert browser.evaluate(CARDS)[0] == 104, "no word in common with any other caption"


@pytest.mark.slow
def test_an_image_is_enlarged_and_left_by_the_keyboard(outputs, browser, tmp_path: Path) -> None:
    browser.open(write_page(outputs(), tmp_path / "index.html"), 1400)

    def press(key: str, text: str = "") -> None:
        for kind in ("keyDown", "keyUp"):
            extra = {"text": text} if text and kind == "keyDown" else {}
            browser.call("Input.dispatchKeyEvent", type=kind, key=key, code=key, **extra)

    def title():
        return browser.evaluate("document.querySelector('dialog[open] h3')?.textContent ?? null")

    browser.evaluate("document.querySelector('.card .number a').focus()")
    browser.call("Input.dispatchKeyEvent", type="keyDown", key="Enter", windowsVirtualKeyCode=13, text="\r")
    browser.evaluate("new Promise((done) => setTimeout(done, 100))")
    assert title() == "Image 100"
    said = "document.querySelector('dialog .decoder-rnn .said').innerText.replace(/\\s+/g, ' ').trim()"
    assert browser.evaluate(said) == "a 100 % red 90 % seven 82 %"
    assert browser.evaluate("document.querySelectorAll('dialog .references li').length") == 2
    beam = "[...document.querySelectorAll('dialog .runners-up .decoder-rnn ol li')]"
    assert browser.evaluate(f"{beam}.map((own) => own.textContent)") == [
        "a red seven −0.6",
        "a small blue three left of a pink one −2.3",
    ]
    image = "document.querySelector('dialog img')"
    assert browser.evaluate(f"{image}.clientWidth") > browser.evaluate(f"{image}.naturalWidth")
    press("ArrowRight")
    assert title() == "Image 101"
    assert browser.evaluate("location.hash") == "#gallery?image=101"
    browser.evaluate("document.querySelector('dialog [data-close]').click()")
    browser.evaluate("new Promise((done) => setTimeout(done, 100))")
    assert title() is None
    assert browser.evaluate("location.hash") == "#gallery"
    focused = "document.activeElement.textContent"
    assert browser.evaluate(focused) == "Image 101", "the keyboard goes on where it was"


@pytest.mark.slow
def test_markup_in_captions_is_text_in_the_browser(outputs, browser, tmp_path: Path) -> None:
    hostile = ("<script>document.title='x'</script>", "</script><img src=x onerror=alert(1)>", "<b>&amp;")
    page = write_page(outputs(captions=hostile), tmp_path / "index.html")
    browser.open(f"{page.as_uri()}#gallery?image=100&words=%3Cb%3E", 1400)
    assert browser.evaluate("document.querySelector('dialog .references li').textContent") == hostile[0]
    assert browser.evaluate("document.querySelectorAll('.cards b, dialog b, [onerror]').length") == 0
    assert browser.evaluate("document.scripts.length") == 2
    assert not [event for event in browser.events if event.get("method") == "Runtime.exceptionThrown"]


@pytest.mark.slow
def test_five_hundred_images_load_at_once(outputs, browser, tmp_path: Path) -> None:
    page = write_page(outputs(scored=500), tmp_path / "index.html", images=500)
    assert page.stat().st_size < 6e6
    browser.call("Performance.enable")
    seconds = []
    for _ in range(3):  # other processes only ever make it slower
        browser.open("about:blank", 1400)
        browser.open(page, 1400)
        browser.evaluate("new Promise((done) => requestIdleCallback(done))")
        metrics = browser.call("Performance.getMetrics")["metrics"]
        seconds += [own["value"] for own in metrics if own["name"] == "TaskDuration"]
    browser.call("Performance.disable")
    assert browser.evaluate("document.querySelector('.pager p').textContent") == "1 to 30 of 500"
    assert min(seconds) < 1.5
