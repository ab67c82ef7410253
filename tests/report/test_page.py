"""The page: whole in one file, the same bytes every time, safe with what people write."""

import json
from dataclasses import fields
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest

from recap.core import paths
from recap.core.artifacts import write_json, write_png
from recap.decoding.config import DecodingConfig
from recap.errors import InputError
from recap.report.config import ReportConfig
from recap.report.inputs import VISION_METRICS, load_inputs
from recap.report.page import SECTIONS, render_page
from recap.report.sections import scores
from recap.text.captions import Captions, load_captions, save_captions

CONFIG = ReportConfig(gallery_images=6, seed=3)
ALL = ("rnn", "lstm", "transformer")
VOID = {"meta", "link", "img", "input", "br"}


class Page(HTMLParser):
    """Elements, text and loaded addresses of a page; fails on tags that do not nest."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.words: list[str] = []
        self.scripts: list[str] = []
        self._open: list[str] = []
        self.feed(html)
        assert not self._open

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attributes)))
        if tag not in VOID:
            self._open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self._open.pop() == tag

    def handle_data(self, data: str) -> None:
        (self.scripts if self._open[-1:] == ["script"] else self.words).append(data)

    @property
    def text(self) -> str:
        return " ".join(" ".join(self.words).split())

    def all(self, tag: str) -> list[dict[str, str | None]]:
        return [attributes for name, attributes in self.elements if name == tag]


def render(root, decoders=ALL, config=CONFIG, params=None) -> str:
    return render_page(load_inputs(root, decoders, params or {}, config))


@pytest.mark.parametrize("source", ["scenes", "coco", "folder"])
def test_the_page_loads_nothing(outputs, source) -> None:
    page = Page(render(outputs(source=source, side=300 if source == "folder" else 64)))
    for tag, attributes in page.elements:
        for name in ("src", "srcset", "data", "action", "poster", "background", "xlink:href"):
            address = attributes.get(name)
            assert address is None or address.startswith("data:image/"), (tag, name)
        if tag not in ("a", "link"):
            assert "href" not in attributes
    assert all(attributes["href"] == "data:," for attributes in page.all("link"))
    style = next(text for text in page.words if ":root" in text)
    assert "url(" not in style
    assert "@import" not in style
    policy = page.all("meta")[1]["content"]
    assert policy is not None
    assert policy.startswith("default-src 'none'")


def test_every_section_is_there_and_in_the_navigation(outputs) -> None:
    page = Page(render(outputs()))
    keys = [key for key, _, _ in SECTIONS]
    assert [own["id"] for own in page.all("section")] == keys
    assert [own["href"] for own in page.all("a") if own["href"] in {f"#{key}" for key in keys}] == [
        f"#{key}" for key in keys
    ]
    ids = [attributes["id"] for _, attributes in page.elements if "id" in attributes]
    assert len(ids) == len(set(ids))


def test_the_same_files_give_the_same_bytes(outputs) -> None:
    root = outputs()
    assert render(root) == render(root)
    other = ReportConfig(gallery_images=6, seed=4)
    assert render(root) != render(root, config=other)


def test_what_people_write_stays_text(outputs) -> None:
    hostile = (
        "<script>alert(1)</script>",
        '"><img src=x onerror=alert(1)>',
        "</style><b>&amp;",
        "{{ 7 * 7 }}",
    )
    root = outputs(captions=hostile, source="coco", url="javascript:alert(1)")
    page = Page(render(root))
    assert [own.get("type") for own in page.all("script")] == ["application/json", None]
    assert "<" not in page.scripts[0]
    assert not page.all("b")
    assert not page.all("img")
    shown = json.loads(page.scripts[0])["images"][0]["captions"]["rnn"]["words"]
    assert " ".join(word for word, _ in shown) in hostile
    for caption in hostile:
        assert caption in page.text
    assert not any(own["href"].startswith("javascript") for own in page.all("a") if own["href"])
    assert not any(name.startswith("on") for _, attributes in page.elements for name in attributes)


@pytest.mark.parametrize("name", ALL)
def test_one_decoder_is_enough(outputs, name) -> None:
    page = Page(render(outputs(decoders=[name]), [name]))
    others = {"rnn": "LSTM", "lstm": "Transformer", "transformer": "RNN"}
    assert others[name] not in page.text
    assert "(best)" not in page.text


def test_without_images_there_are_numbers_and_links(outputs) -> None:
    page = Page(render(outputs(source="coco")))
    assert not page.all("img")
    links = [own for own in page.all("a") if own["href"] == "http://images.example.org/1.jpg"]
    assert links
    assert all(own["rel"] == "noreferrer noopener" for own in links)
    assert "Nothing to look into." in page.text
    images = json.loads(page.scripts[0])["images"]
    assert [(image["picture"], image["url"]) for image in images] == [(None, links[0]["href"])] * 6


def test_truth_is_shown_for_scenes_only(outputs) -> None:
    assert "✗ false" in Page(render(outputs())).text
    text = Page(render(outputs(source="folder"))).text
    assert "✗ false" not in text
    assert "✓ true" not in text


def test_every_image_has_a_text_in_its_place(outputs) -> None:
    page = Page(render(outputs()))
    assert len(page.all("img")) == 6 + 5 + 1 + 2
    assert all(own["alt"] for own in page.all("img"))
    assert all(own["aria-label"] for own in page.all("svg"))
    assert len(page.all("caption")) == len(page.all("table"))


def test_the_best_of_a_column_is_marked(outputs) -> None:
    root = outputs()
    html = render(root)
    assert "3.250<span" in html
    assert "2.250<span" not in html
    assert html.count("0.300<span") == 6, "equals are marked alike"
    text = Page(html).text
    assert "Under True captions, CIDEr-D and ROUGE-L, so is every value that a paired test" in text
    assert "best value of a column" not in render(root, ["rnn"]), "one has nothing to be better than"
    assert html.count("0.250</td>") == 6, "a score whose better side is not known is shown, never marked"


def test_decoders_that_no_test_tells_apart_tie(outputs) -> None:
    root = outputs()
    text = Page(render(root)).text
    assert "The Transformer scores best: CIDEr-D 3.25 on test images with seen combinations" in text
    assert "LSTM (123,456 parameters)" in text
    path = root / paths.DECODERS / "lstm" / "per_image.json"
    rows = json.loads(path.read_text())
    for row, other in zip(
        rows, json.loads((root / paths.DECODERS / "transformer/per_image.json").read_text()), strict=True
    ):
        row["cider_d"] = other["cider_d"] + (0.01 if row["image_id"] % 2 else -0.01)
    write_json(path, rows)
    html = render(root)
    text = Page(html).text
    assert "The Transformer and the LSTM tie, as no test on the same images tells them apart (p = " in text
    assert "CIDEr-D 3.25 and 2.25 on test images with seen combinations" in text
    assert (
        "Transformer and LSTM: no certain difference in this run, test images with seen combinations" in text
    )
    assert html.count("2.250<span") == 2, "marked beside the best, in both parts"


def test_the_page_says_how_captions_were_searched_for(outputs) -> None:
    decoding = {"search": "beam", "beam_width": 4, "length_normalisation": 0.7}
    page = Page(render(outputs(), params={"evaluate": {"decoding": decoding}}))
    assert "written by beam search, beam width 4, length normalisation 0.7." in page.text


def test_what_is_told_of_a_search_are_settings() -> None:
    settings = {field.name for field in fields(DecodingConfig)}
    assert {key for keys in scores.SEARCH_SETTINGS.values() for key in keys} <= settings


def test_references_are_not_said_to_be_of_people(outputs) -> None:
    assert "people" not in Page(render(outputs())).text.lower()


def test_captions_that_are_not_encoded_are_explained(outputs) -> None:
    root = outputs(source="coco")
    assert "Encoded are those" not in Page(render(root)).text
    content = load_captions(root / paths.CAPTIONS)
    encoded, rows = content.of("test")
    splits = {split: content.of(split) for split in ("train", "validation")}
    save_captions(
        root / paths.CAPTIONS, Captions(content.vocabulary, splits | {"test": (encoded[2:], rows[2:])})
    )
    text = Page(render(root)).text
    assert "Test 30 60 2.00 6.67 58" in text
    assert "Encoded are those of at most 15 words" in text


def test_scores_stand_beside_what_they_were_computed_on(outputs) -> None:
    page = Page(render(outputs(source="coco")))
    assert "20 images, scored against 40 original captions" in page.text
    assert "the idf of CIDEr-D comes from the 4,000 references of these 20 images" in page.text


def test_the_page_says_that_the_images_that_are_scored_chose_the_epoch(outputs) -> None:
    assert "All scores are of test images, which chose nothing" in Page(render(outputs())).text
    kept = render(outputs(), params={"train": {"keep": "last"}})
    assert "which chose nothing: the weights of the last epoch are kept." in Page(kept).text


def test_the_epoch_of_the_table_is_the_one_that_is_kept(outputs) -> None:
    root = outputs(decoders=["rnn"])
    path = root / paths.MODELS / "rnn" / "summary.json"
    write_json(path, json.loads(path.read_bytes()) | {"best_epoch": 7})
    for keep in ("best", "last"):
        text = Page(render(root, ["rnn"], params={"train": {"keep": keep}})).text
        assert "at the epoch whose weights are kept Decoder Parameters Epochs run Kept epoch" in text
        assert "RNN 123,456 8 7" in text
        assert "best epoch" not in text.lower()


def test_differences_between_decoders_are_paired(outputs) -> None:
    root = outputs()
    for index, name in enumerate(ALL):  # rnn and lstm alike, the third better on every image, if unevenly
        path = root / paths.DECODERS / name / "per_image.json"
        rows = json.loads(path.read_text())
        for number, row in enumerate(rows):
            row["cider_d"] = number / 10 + (1 + number / 100 if index == 2 else 0)
        path.write_text(json.dumps(rows))
    inputs = load_inputs(root, ALL, {}, CONFIG)
    table = scores.differences(inputs.decoders, "seen", 3)
    assert table is not None
    assert [head.label for head in table["heads"]] == ["True captions", "CIDEr-D"]
    assert [[css for _, css in row["names"]] for row in table["rows"]] == [
        ["rnn", "lstm"],
        ["rnn", "transformer"],
        ["lstm", "transformer"],
    ]
    alike, different = table["rows"][0]["cells"][1], table["rows"][1]["cells"][1]
    assert (alike["text"], alike["p"], alike["certain"]) == ("+0.000", "1.000", False)
    assert different["text"].startswith("−1.")
    percentages = table["rows"][0]["cells"][0]
    assert (percentages["text"], percentages["range"]) == (
        "+0.0\N{NO-BREAK SPACE}points",
        "+0.0 to +0.0\N{NO-BREAK SPACE}points",
    )
    assert different["certain"]
    assert "True captions 95 % interval p" in Page(render(root)).text
    assert scores.differences(inputs.decoders[:1], "seen", 3) is None


def test_a_backbone_from_elsewhere_has_no_section(outputs) -> None:
    assert "92.5 %" in Page(render(outputs())).text
    assert "backbone" not in {own["id"] for own in Page(render(outputs(source="coco"))).all("section")}


def test_features_that_pass_through_have_no_spectrum(outputs) -> None:
    root = outputs()
    (root / paths.REDUCED / "spectrum.csv").write_text("component,explained_variance_ratio,cumulative\n")
    assert "features" not in {own["id"] for own in Page(render(root)).all("section")}


def test_the_sanity_checks_are_told_as_they_came_out(outputs) -> None:
    root = outputs()
    text = Page(render(root)).text
    assert "1 of 2 gradients pass" in text
    assert "rnn_step 2.0e-07 1e-08 ✗ failed" in text
    assert "RNN 0.0244 0.1 a caption 100.0 % ✓ passed" in text
    sanity = text[text.index("Two questions") : text.index("Training images whose caption")]
    assert "a red seven" in sanity
    assert "one large green digit" not in sanity, "one decoder does not give it back"
    (root / paths.SANITY / "metrics.json").unlink()
    assert "sanity" not in {own["id"] for own in Page(render(root)).all("section")}


@pytest.mark.parametrize(
    ("floor", "words"),
    [
        (0.5, "2.5 times the best constant caption (0.50)"),
        (1.26, "about as much as the best constant caption (1.26)"),
        (2.5, "less than the best constant caption (2.50)"),
    ],
)
def test_a_score_is_not_praised_beside_a_better_floor(outputs, floor, words) -> None:
    root = outputs(decoders=["rnn"])
    path = root / paths.DECODERS / "rnn" / "metrics.json"
    metrics = json.loads(path.read_bytes())
    metrics["seen"]["constant_cider_d"] = floor
    write_json(path, metrics)
    assert words in Page(render(root, ["rnn"])).text


def test_pictures_of_one_image_stand_together_and_most_unfold(outputs) -> None:
    root = outputs()
    write_png(root / paths.VISION / "words.png", np.full((200, 1000, 3), 90, np.uint8))
    entries = [
        {"kind": "word_saliency", "file": "words.png", "label": f"{decoder} on {image}", "image": image}
        for decoder in ALL
        for image in ("0.png", "1.png")
    ]
    write_png(root / paths.VISION / "high.png", np.full((500, 800, 3), 90, np.uint8))
    entries.append({"kind": "randomization", "file": "high.png", "label": "high", "image": None})
    write_json(root / paths.VISION / "index.json", entries)
    page = Page(render(root))
    labels = [str(own["alt"]) for own in page.all("img") if " on " in str(own["alt"])]
    assert labels == [f"{decoder} on {image}" for image in ("0.png", "1.png") for decoder in ALL]
    assert "5 more" in page.text
    assert "1 picture" in page.text, "a high one unfolds"


def test_the_data_section_counts_words_and_what_occurs_again(outputs) -> None:
    text = " ".join(Page(render(outputs(captions=("a red seven", "a red seven", "one")))).text.split())
    assert "have 4 different words, none of which occur once" in text
    assert "Captions 22 14 58 16 60" in text
    assert "Images 0 0 0 0 0" in text


def test_what_visualize_measured_stands_beside_its_pictures(outputs) -> None:
    root = outputs()
    entries = [
        {"kind": kind, "file": "saliency_0.png", "label": kind, "image": "000000.png"}
        for kind in ("fooling", "class_visualization", "randomization", "word_saliency")
    ]
    write_json(root / paths.VISION / "index.json", entries)
    grown = {"mean_probability": 0.5, "share_above_0.9": 0.25}
    hits = {"pointing_game": 0.875, "mass": 0.5}
    measured = {
        "pictures": 4,
        "fooling": {"first_digit": {"pairs": 60, "success_rate": 0.0}},
        "class_visualization": {"first_digit": {"pixels": grown, "spectrum": grown}},
        "randomization": {"gradient": -0.125},
        "words": {
            "lstm": {
                "true_captions": 8,
                "colour": {"words": 5, "area": 0.15, "attention": hits},
                "digit": {"words": 8, "area": 0.15, "gradient": hits, "random_map": hits},
            },
            "rnn": {"true_captions": 0},
        },
    }
    write_json(root / VISION_METRICS, measured)
    text = Page(render(root)).text
    for row in (
        "First digit 60 0.0 % – – – –",
        "First digit spectrum 0.500 25.0 %",
        "Gradient −0.125",
        "LSTM digit 8 Gradient 87.5 % – 50.0 % 15.0 %",
        "LSTM colour 5 Attention 87.5 % – 50.0 % 15.0 %",
    ):
        assert row in " ".join(text.split())


def test_settings_are_listed_without_folders_of_the_machine(outputs) -> None:
    params = {"data": {"coco": {"archive": "/home/someone/data/mini.zip", "check": "any"}}, "seed": 7}
    page = render(outputs(), params=params)
    assert "someone" not in page
    assert "data:\n  coco:\n    archive: …/mini.zip\n    check: any\nseed: 7" in page
    assert str(outputs().parent) not in page


def test_rows_that_are_not_the_test_images_are_refused(outputs) -> None:
    root = outputs()
    path = root / paths.DECODERS / "lstm" / "per_image.json"
    write_json(path, json.loads(path.read_bytes())[::-1])
    with pytest.raises(InputError, match=r"per_image\.json: expected a row for each of the 30"):
        render(root)


def test_an_image_that_does_not_decode_is_named(outputs) -> None:
    root = outputs()
    for path in (root / paths.RAW / "images" / "test").iterdir():
        path.write_bytes(b"no image")
    with pytest.raises(InputError, match=r"\d+\.png: expected an image"):
        render(root)


@pytest.mark.slow
@pytest.mark.parametrize("source", ["scenes", "folder", "coco"])
@pytest.mark.parametrize(("width", "scheme"), [(1400, "light"), (420, "dark")])
def test_a_browser_shows_it(outputs, browser, tmp_path: Path, source, width, scheme) -> None:
    root = outputs(source=source, side=64 if source == "scenes" else 300)
    write_png(root / paths.VISION / "saliency_0.png", np.full((248, 1600, 3), 90, np.uint8))
    path = tmp_path / "index.html"
    path.write_text(render(root), encoding="utf-8")
    browser.open(path, width, scheme)
    assert browser.evaluate(
        "Promise.all([...document.images].map((image) => image.decode())).then(() => true)"
    )
    count = browser.evaluate("[...document.images].filter((image) => image.naturalWidth > 0).length")
    assert count == browser.evaluate("document.images.length")
    assert (count > 0) == (source != "coco")
    assert browser.evaluate("document.documentElement.scrollWidth") <= width
    drawn = "[...document.querySelectorAll('.pictures img')]"
    readable = f"{drawn}.every((own) => own.clientWidth >= 0.73 * own.naturalWidth)"
    assert browser.evaluate(readable), "letters of 15 pixels have 11"
    requests = [
        event["params"]["request"]["url"]
        for event in browser.events
        if event.get("method") == "Network.requestWillBeSent"
    ]
    assert [url for url in requests if not url.startswith("data:")] == [path.as_uri()]
    noise = ("Log.entryAdded", "Runtime.exceptionThrown", "Runtime.consoleAPICalled")
    assert [event for event in browser.events if event.get("method") in noise] == []


def test_photographs_are_credited(outputs) -> None:
    root = outputs(source="folder")
    for split in ("train", "test"):
        path = root / paths.RAW / "annotations" / f"captions_{split}.json"
        content = json.loads(path.read_text())
        for image in content["images"]:
            image |= {
                "url": "http://a.example/1",
                "license": "BY <2.0>",
                "license_url": "javascript:alert(1)",
            }
        write_json(path, content)
    page = Page(render(root))
    shown = json.loads(page.scripts[0])["images"]
    assert {(own["url"], own["license"], own["license_url"]) for own in shown} == {
        ("http://a.example/1", "BY <2.0>", None)
    }
    assert page.text.count("Photograph , BY <2.0>") == 6 + 5 + 2, "and at the top, in training and sanity"
    assert "data.images.fetch" not in page.text


def test_a_page_without_photographs_says_how_to_fetch_them(outputs) -> None:
    assert "dvc exp run -S data.images.fetch=true" in Page(render(outputs(source="coco"))).text


def test_images_behind_urls_are_inside_the_page_or_told(outputs, tmp_path) -> None:
    write_png(tmp_path / "fetched.png", np.zeros((200, 300, 3), np.uint8))
    root = outputs(source="coco")
    asked = []

    def fetch(urls):
        asked.extend(urls)
        return dict.fromkeys(urls, tmp_path / "fetched.png")

    def images(fetch):
        return json.loads(Page(render_page(load_inputs(root, ALL, {}, CONFIG), fetch)).scripts[0])["images"]

    shown = images(fetch)
    assert len(asked) == len(shown) + 5 == 11
    assert all(image["picture"]["uri"].startswith("data:image/jpeg") for image in shown)
    dead = images(lambda urls: dict.fromkeys(urls, "HTTP 404"))
    assert {(image["picture"], image["reason"]) for image in dead} == {(None, "HTTP 404")}
