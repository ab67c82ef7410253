"""`recap score`: published examples come out, bad input is told in one line."""

import argparse
import json

import pytest

from recap.cli.score import add_commands
from recap.errors import InputError
from recap.metrics.java import has_java, tokenize_with_stanford

CAPTIONS = {1: "A cat sits on a mat.", 2: "Two dogs run.", 3: "A red bus."}
REFERENCES = {
    1: ["A cat on a mat.", "The cat sits."],
    2: ["Two dogs running.", "Dogs run on grass."],
    3: ["A red bus.", "The bus is red."],
}


@pytest.fixture
def files(tmp_path):
    """Writes captions and references by image id and gives the two paths."""

    def write(captions, references):
        results = tmp_path / "results.json"
        originals = tmp_path / "references.json"
        results.write_text(json.dumps([{"image_id": k, "caption": v} for k, v in captions.items()]))
        annotations = [
            {"image_id": image_id, "caption": caption}
            for image_id, own in references.items()
            for caption in own
        ]
        images = [{"id": image_id} for image_id in references]
        originals.write_text(json.dumps({"images": images, "annotations": annotations}))
        return str(results), str(originals)

    return write


def score(capsys, *arguments):
    parser = argparse.ArgumentParser()
    add_commands(parser.add_subparsers(required=True))
    options = parser.parse_args(["score", *arguments])
    options.run(options)
    return capsys.readouterr().out


def score_json(capsys, *arguments):
    return json.loads(score(capsys, *arguments, "--json"))


def rounded(summary, digits):
    keys = ("bleu_1", "bleu_2", "bleu_3", "bleu_4", "rouge_l", "cider_d")
    return [round(summary[key], digits) for key in keys]


@pytest.mark.shared
def test_the_example_of_nlg_eval_comes_out(shared, files, capsys):
    folder = shared / "scoring" / "nlg-eval"
    captions, *references = (
        (folder / name).read_text().splitlines() for name in ("hyp.txt", "ref1.txt", "ref2.txt")
    )
    paths = files(dict(enumerate(captions)), dict(enumerate(zip(*references, strict=True))))
    summary = score_json(capsys, *paths, "--tokenizer", "whitespace", "--no-meteor")
    assert rounded(summary, 6) == [0.55, 0.428174, 0.284043, 0.201143, 0.522104, 1.242192]


@pytest.mark.shared
@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("good", [0.6667, 0.4899, 0.3469, 0.0, 0.4280, 0.5637]),
        ("bad", [0.4815, 0.2404, 0.1359, 0.0, 0.3121, 0.2790]),
    ],
)
def test_the_examples_of_clipscore_come_out(shared, files, capsys, name, expected):
    captions, references = clipscore(shared, name)
    summary = score_json(capsys, *files(captions, references), "--no-meteor")
    assert rounded(summary, 4) == expected


def clipscore(shared, name):
    folder = shared / "scoring" / "clipscore"
    references = json.loads((folder / "refs.json").read_text())
    captions = json.loads((folder / f"{name}_captions.json").read_text())
    return dict(enumerate(captions[key] for key in references)), dict(enumerate(references.values()))


@pytest.mark.slow
@pytest.mark.shared
@pytest.mark.skipif(not has_java(), reason="needs Java")
@pytest.mark.parametrize(("name", "expected"), [("good", 0.3444), ("bad", 0.1861)])
def test_meteor_of_clipscore_comes_out(shared, files, capsys, name, expected):
    summary = score_json(capsys, *files(*clipscore(shared, name)))
    assert round(summary["meteor"], 4) == expected


def test_without_java_meteor_is_left_out_in_words(files, capsys, monkeypatch):
    monkeypatch.setenv("PATH", "")
    paths = files(CAPTIONS, REFERENCES)
    summary = score_json(capsys, *paths)
    assert summary["meteor"] is None
    assert summary["meteor_left_out"] == "METEOR needs Java, and there is none on PATH"
    assert "METEOR needs Java" in score(capsys, *paths)
    with pytest.raises(InputError, match="expected Java on PATH"):
        score(capsys, *paths, "--tokenizer", "stanford")


def test_the_table_says_what_was_scored(files, capsys):
    table = score(capsys, *files(CAPTIONS, REFERENCES), "--no-meteor")
    assert "3 images, 6 references" in table
    assert "the 6 references of these 3 images" in table
    assert "CIDEr-D" in table


def test_one_image_is_said_to_have_no_cider(files, capsys):
    summary = score_json(capsys, *files({1: "a cat"}, {1: ["a cat", "cat"]}), "--no-meteor")
    assert summary["cider_d"] == 0
    assert "one image" in summary["note"]


def test_another_captioner_is_compared_on_the_same_images(files, capsys, tmp_path):
    results, references = files(CAPTIONS, REFERENCES)
    other = tmp_path / "other.json"
    other.write_text(json.dumps([{"image_id": key, "caption": "A cat."} for key in CAPTIONS]))
    summary = score_json(capsys, results, references, "--no-meteor", "--against", str(other))
    difference = summary["difference"]
    assert difference["mean"] > 0
    assert difference["low"] <= difference["mean"] <= difference["high"]
    assert 0 < difference["p_value"] <= 1
    reverse = score_json(capsys, str(other), references, "--no-meteor", "--against", results)
    assert reverse["difference"]["mean"] == pytest.approx(-difference["mean"])


def test_training_captions_decide_what_is_novel(files, capsys, tmp_path):
    results, references = files(CAPTIONS, REFERENCES)
    assert "novel" not in score_json(capsys, results, references, "--no-meteor")
    summary = score_json(capsys, results, references, "--no-meteor", "--training", references)
    assert summary["novel"] == pytest.approx(2 / 3)


def test_a_missing_caption_is_told(files, capsys):
    with pytest.raises(InputError, match="received none for 3"):
        score(capsys, *files({1: "a", 2: "b"}, REFERENCES))


@pytest.mark.skipif(not has_java(), reason="needs Java")
def test_the_original_tokenizer_is_a_choice(files, capsys):
    paths = files(CAPTIONS, REFERENCES)
    ours = score_json(capsys, *paths, "--no-meteor")
    official = score_json(capsys, *paths, "--no-meteor", "--tokenizer", "stanford")
    assert official.pop("tokenizer") == "stanford"
    assert ours.pop("tokenizer") == "ptb"
    assert official == ours
    assert tokenize_with_stanford([]) == []


def test_images_without_captions_are_left_out_and_counted(files, capsys):
    paths = files(CAPTIONS | {9: "A man"}, REFERENCES | {8: [], 9: []})
    summary = score_json(capsys, *paths, "--no-meteor")
    assert (summary["images"], summary["images_without_captions"]) == (3, 2)
    assert "left out, without captions: 2 images" in score(capsys, *paths, "--no-meteor")
    whole = score_json(capsys, *files(CAPTIONS, REFERENCES), "--no-meteor")
    assert {**summary, "images_without_captions": 0} == whole
    with pytest.raises(InputError, match="expected at least one of annotations"):
        score(capsys, *files(CAPTIONS, {1: [], 2: [], 3: []}))


def test_references_of_nothing_but_punctuation_are_refused(files, capsys):
    with pytest.raises(InputError, match="references: expected captions with words"):
        score(capsys, *files(CAPTIONS, {1: ["..."], 2: ["!"], 3: [""]}), "--no-meteor")
    summary = score_json(capsys, *files(CAPTIONS, REFERENCES | {2: ["..."]}), "--no-meteor")
    assert 0 < summary["cider_d"] < 10


@pytest.mark.parametrize(
    "java",
    ["exit 1", "echo odd; exit 1", "while read line; do echo odd; done", "while read line; do echo; done"],
)
def test_a_java_that_does_not_work_costs_meteor_only(files, capsys, monkeypatch, tmp_path, java):
    (tmp_path / "bin").mkdir()
    program = tmp_path / "bin" / "java"
    program.write_text(f"#!/bin/sh\necho 'Error: no memory' >&2\n{java}\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{program.parent}:/usr/bin:/bin")
    paths = files(CAPTIONS, REFERENCES)
    summary = score_json(capsys, *paths)
    assert summary["meteor"] is None
    assert summary["meteor_left_out"] == "METEOR's Java failed: Error: no memory"
    assert summary["cider_d"] > 0
    if "exit" in java:
        with pytest.raises(InputError, match=r"expected Java to run for 'stanford', received: Error: no mem"):
            score(capsys, *paths, "--tokenizer", "stanford")


@pytest.mark.slow
@pytest.mark.skipif(not has_java(), reason="needs Java")
@pytest.mark.parametrize("locale", ["C", "de_DE.UTF-8"])
def test_meteor_is_the_same_in_every_locale(files, capsys, monkeypatch, locale):
    paths = files({1: "un café noir", 2: "a dog"}, {1: ["un café chaud"], 2: ["a dog runs"]})
    monkeypatch.setenv("LC_ALL", "C.UTF-8")
    expected = score_json(capsys, *paths)["meteor"]
    assert expected > 0
    monkeypatch.setenv("LC_ALL", locale)
    monkeypatch.setenv("JAVA_TOOL_OPTIONS", "-Duser.language=de -Duser.country=DE")
    assert score_json(capsys, *paths)["meteor"] == expected


def test_half_an_emoji_is_scored_as_another_character(files, capsys):
    summary = score_json(capsys, *files({**CAPTIONS, 1: "a cat \ud83d"}, REFERENCES), "--no-meteor")
    assert summary["images"] == 3
