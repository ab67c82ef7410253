"""Where captions go wrong: words, confusions, points by image."""

import json

import pytest

from recap.core import paths
from recap.core.artifacts import write_json
from recap.report.config import ReportConfig
from recap.report.inputs import Inputs, load_inputs
from recap.report.sections import errors

CONFIG = ReportConfig(gallery_images=7, seed=3)


def build(root, decoders=("rnn", "lstm")) -> tuple[Inputs, dict]:
    inputs = load_inputs(root, decoders, {}, CONFIG)
    return inputs, errors.build(inputs)


@pytest.fixture
def scenes(outputs):
    """Every scene is a red seven; some captions say something else."""
    root = outputs(decoders=("rnn", "lstm"))
    said = {
        "rnn": ["a red seven"] * 28 + ["a red one", "a pink one"],
        "lstm": ["a red 7"] * 29 + ["a red one and a red one"],
    }
    for name, captions in said.items():
        path = root / paths.DECODERS / name / "captions.json"
        write_json(path, [{"image_id": 100 + row, "caption": text} for row, text in enumerate(captions)])
    return root


def test_what_is_taken_for_what_is_counted_where_it_is_clear(scenes) -> None:
    _, content = build(scenes)
    digits, colours = content["confusions"]
    assert digits["values"] == ["1", "7"]
    assert dict(digits["rows"])["7"] == [(2, pytest.approx(2 / 59)), (57, pytest.approx(57 / 59))]
    assert dict(dict(colours["rows"]))["red"][colours["values"].index("pink")][0] == 1


def test_relations_are_confused_with_the_opposite_or_said_of_another_arrangement(scenes) -> None:
    path = scenes / paths.RAW / "annotations" / "scenes_test.json"
    graphs = json.loads(path.read_text())
    right = graphs[0]["objects"][0] | {"digit": 1, "colour": "blue", "center": [40, 9]}
    for graph in graphs[1:]:
        graph |= {"arrangement": "side by side", "objects": [graph["objects"][0], right]}
    graphs[2]["arrangement"] = "stacked"
    write_json(path, graphs)
    said = ["a red 7 above a blue one"] * 3 + ["a red 7 to the right of a blue one"] * 2
    said += ["a red 7 left of a blue one"] * 25
    path = scenes / paths.DECODERS / "rnn" / "captions.json"
    write_json(path, [{"image_id": 100 + row, "caption": text} for row, text in enumerate(said)])
    relations = build(scenes)[1]["confusions"][2]
    assert relations["values"] == ["above", "below", "left of", "right of"]
    assert [row for row, _ in relations["rows"]] == [*relations["values"], "one digit", "side by side"]
    assert relations["others"] == "one digit and side by side"
    counts = {row: [count for count, _ in cells] for row, cells in relations["rows"]}
    assert counts["left of"] == [0, 0, 25, 2]
    assert counts["below"] == [1, 0, 0, 0]
    assert counts["side by side"] == [1, 0, 0, 0]
    assert counts["one digit"] == [1, 0, 0, 0]


def test_words_are_compared_with_the_references(scenes) -> None:
    path = scenes / paths.RAW / "annotations" / "captions_test.json"
    content = json.loads(path.read_text())
    for annotation in content["annotations"]:
        annotation["caption"] = "A red seven!"
    write_json(path, content)
    _, found = build(scenes)
    words = {row["word"]: row for row in found["words"]}
    assert words["seven"]["references"] == "333.3"
    assert words["7"]["references"] == "0.0"
    rnn, lstm = words["seven"]["cells"]
    assert rnn == ("311.1", "−22.2")
    assert lstm == ("0.0", "−333.3")
    assert found["words"][0]["word"] in ("7", "seven"), "the farthest first"


def test_a_pair_of_decoders_has_a_point_for_every_image_of_the_gallery(outputs) -> None:
    _, content = build(outputs())
    (pair,) = content["pairs"]
    assert (pair["first"], pair["second"]) == ("RNN", "LSTM")
    assert pair["figure"].count("h0") == 7
    assert not build(outputs(), ["rnn"])[1]["pairs"]
    assert build(outputs(source="folder"))[1]["confusions"] == []
