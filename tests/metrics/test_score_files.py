"""`recap score`: published examples come out, bad input is told in one line."""

import argparse
import json

import pytest

from recap.cli.score import add_commands
from recap.errors import InputError
from recap.metrics.java import has_java, tokenize_with_stanford
from recap.metrics.meteor.paraphrases import Paraphrases

CAPTIONS = {1: "A cat sits on a mat.", 2: "Two dogs run.", 3: "A red bus."}
REFERENCES = {
    1: ["A cat on a mat.", "The cat sits."],
    2: ["Two dogs running.", "Dogs run on grass."],
    3: ["A red bus.", "The bus is red."],
}


@pytest.fixture(autouse=True)
def few_paraphrases(monkeypatch, tmp_path):
    """METEOR with a part of its table: all of it takes seconds to compile."""
    table = Paraphrases.of_pairs([("bus", "coach"), ("runs on", "is running on")])
    monkeypatch.setattr("recap.metrics.meteor.tables.paraphrases.load", lambda source, cache: table)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))


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
@pytest.mark.parametrize(("name", "expected"), [("good", 0.3444), ("bad", 0.1861)])
def test_meteor_of_clipscore_comes_out(shared, files, capsys, monkeypatch, tmp_path, name, expected):
    monkeypatch.undo()  # the whole table
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "whole"))
    summary = score_json(capsys, *files(*clipscore(shared, name)))
    assert round(summary["meteor"], 4) == expected


def test_meteor_needs_no_java_and_has_an_interval(files, capsys, monkeypatch):
    monkeypatch.setenv("PATH", "")
    paths = files(CAPTIONS, REFERENCES)
    summary = score_json(capsys, *paths)
    bounds = summary["interval"]["meteor"]
    assert 0.3 < bounds["low"] <= summary["meteor"] <= bounds["high"] <= 1
    assert "METEOR" in score(capsys, *paths)
    without = score_json(capsys, *paths, "--no-meteor")
    assert "METEOR" not in score(capsys, *paths, "--no-meteor")
    assert without["interval"] == {key: own for key, own in summary["interval"].items() if key != "meteor"}


def test_the_original_tokenizer_needs_java(files, capsys, monkeypatch):
    monkeypatch.setenv("PATH", "")
    with pytest.raises(InputError, match="expected Java on PATH"):
        score(capsys, *files(CAPTIONS, REFERENCES), "--tokenizer", "stanford")


def test_the_table_says_what_was_scored(files, capsys):
    table = score(capsys, *files(CAPTIONS, REFERENCES), "--no-meteor")
    assert "3 images, 6 references" in table
    assert "the 6 references of these 3 images" in table
    assert "CIDEr-D" in table


def test_one_image_is_said_to_have_no_cider(files, capsys):
    summary = score_json(capsys, *files({1: "a cat"}, {1: ["a cat", "cat"]}), "--no-meteor")
    assert summary["cider_d"] == 0
    assert "one image" in summary["note"]


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
    with pytest.raises(InputError, match="expected at least one caption, received none"):
        score(capsys, *files(CAPTIONS, {1: [], 2: [], 3: []}))


def test_references_of_nothing_but_punctuation_are_refused(files, capsys):
    with pytest.raises(InputError, match="references: expected captions with words"):
        score(capsys, *files(CAPTIONS, {1: ["..."], 2: ["!"], 3: [""]}), "--no-meteor")
    summary = score_json(capsys, *files(CAPTIONS, REFERENCES | {2: ["..."]}), "--no-meteor")
    assert 0 < summary["cider_d"] < 10


@pytest.mark.parametrize("java", ["exit 1", "echo odd; exit 1"])
def test_a_java_that_does_not_work_is_told(files, capsys, monkeypatch, tmp_path, java):
    (tmp_path / "bin").mkdir()
    program = tmp_path / "bin" / "java"
    program.write_text(f"#!/bin/sh\necho 'Error: no memory' >&2\n{java}\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{program.parent}:/usr/bin:/bin")
    with pytest.raises(InputError, match=r"expected Java to run for 'stanford', received: Error: no mem"):
        score(capsys, *files(CAPTIONS, REFERENCES), "--tokenizer", "stanford")


def test_half_an_emoji_is_scored_as_another_character(files, capsys):
    summary = score_json(capsys, *files({**CAPTIONS, 1: "a cat \ud83d"}, REFERENCES), "--no-meteor")
    assert summary["images"] == 3


def test_captioners_are_compared_in_one_table(files, capsys, tmp_path):
    good, references = files(CAPTIONS, REFERENCES)
    bad = tmp_path / "bad.json"
    bad.write_text(json.dumps([{"image_id": key, "caption": "A cat."} for key in CAPTIONS]))
    summary = score_json(capsys, good, str(bad), good.replace("results", "./results"), references)
    alone = score_json(capsys, good, references)
    first, second, _ = summary["systems"]
    assert second["name"] == str(bad)  # two files have the same short name, so all are named whole
    for metric, found in first["metrics"].items():
        assert found["value"] == pytest.approx(alone[metric])
        assert found["low"] == pytest.approx(alone["interval"][metric]["low"])
    by_pair = {(own["first"], own["second"], own["metric"]): own for own in summary["comparisons"]}
    assert len(by_pair) == 3 * 7
    found = by_pair[good, str(bad), "cider_d"]
    assert found["difference"] == pytest.approx(alone["cider_d"] - second["metrics"]["cider_d"]["value"])
    assert 0 < found["p_value"] <= found["p_holm"] <= 1
    same = by_pair[good, good.replace("results", "./results"), "meteor"]
    assert (same["difference"], same["p_value"]) == (0, 1)


@pytest.mark.parametrize(
    ("style", "expected"),
    [
        ("text", "METEOR"),
        ("markdown", "| results | "),
        ("latex", r"\toprule"),
        ("csv", "results,bad\\_one,cider_d,"),
    ],
)
def test_the_table_comes_in_the_form_asked_for(files, capsys, tmp_path, style, expected):
    good, references = files(CAPTIONS, REFERENCES)
    bad = tmp_path / "bad_one.json"
    bad.write_text(json.dumps([{"image_id": key, "caption": "A cat."} for key in CAPTIONS]))
    table = score(capsys, good, str(bad), references, "--format", style)
    assert expected.replace("\\_", "_" if style == "csv" else "\\_") in table
    assert ("bad\\_one" in table) == (style == "latex")


def test_several_candidates_are_averaged_and_the_best_is_said(files, capsys, tmp_path):
    _, references = files(CAPTIONS, REFERENCES)
    sets = [dict(CAPTIONS), {1: "A dog.", 2: "Two dogs running.", 3: "A red bus runs."}]
    paths = []
    for number, captions in enumerate(sets):
        paths.append(tmp_path / f"{number}.json")
        paths[-1].write_text(json.dumps(captions))
    both = tmp_path / "both.json"
    both.write_text(json.dumps({key: [own[key] for own in sets] for key in CAPTIONS}))
    single = [own["metrics"] for own in score_json(capsys, *map(str, paths), references)["systems"]]
    (system,) = score_json(capsys, str(both), references)["systems"]
    for metric in ("rouge_l", "cider_d"):
        mean = (single[0][metric]["value"] + single[1][metric]["value"]) / 2
        assert system["metrics"][metric]["value"] == pytest.approx(mean)
        assert system["best"][metric] > max(own[metric]["value"] for own in single) - 1e-12
    both.write_text(json.dumps({1: [sets[0][1], sets[1][1]], 2: sets[0][2], 3: sets[0][3]}))
    (uneven,) = score_json(capsys, str(both), references)["systems"]
    alone = score_json(capsys, str(paths[0]), references)
    assert uneven["best"]["cider_d"] >= alone["cider_d"] - 1e-12


def test_a_file_that_is_given_twice_is_told(files, capsys):
    results, references = files(CAPTIONS, REFERENCES)
    with pytest.raises(InputError, match=r"results.json: expected every file of captions once"):
        score(capsys, results, results, references)


def test_a_part_of_the_images_is_scored_on_request(files, capsys):
    paths = files({1: CAPTIONS[1], 3: CAPTIONS[3]}, REFERENCES)
    with pytest.raises(InputError, match="received none for 2; --subset scores"):
        score(capsys, *paths, "--no-meteor")
    summary = score_json(capsys, *paths, "--no-meteor", "--subset")
    assert (summary["images"], summary["images_without_results"]) == (2, 1)
    assert summary["idf"] == "the 4 references of these 2 images"
    whole = files({1: CAPTIONS[1], 3: CAPTIONS[3]}, {key: REFERENCES[key] for key in (1, 3)})
    expected = score_json(capsys, *whole, "--no-meteor")
    assert {**summary, "images_without_results": 0} == expected


def test_the_idf_may_come_from_another_corpus(files, capsys, tmp_path):
    results, references = files(CAPTIONS, REFERENCES)
    own = score_json(capsys, results, references, "--no-meteor")
    same = score_json(capsys, results, references, "--no-meteor", "--idf", references)
    assert same["cider_d"] == own["cider_d"]
    assert same["idf"] == f"the 6 captions of 3 images of {references}"
    assert "constant_caption" not in same
    corpus = tmp_path / "corpus.json"
    corpus.write_text(json.dumps({str(key): ["a cat", "grass"] for key in range(50)} | {"x": ["a bus"]}))
    other = score_json(capsys, results, references, "--no-meteor", "--idf", str(corpus))
    assert 0 < other["cider_d"] != own["cider_d"]
    assert other["rouge_l"] == own["rouge_l"]
    one = files({1: "a big red bus"}, {1: ["a big red bus"]})
    assert score_json(capsys, *one, "--no-meteor", "--idf", str(corpus))["cider_d"] == pytest.approx(10)


@pytest.mark.slow
def test_the_idf_of_papers_on_coco(files, capsys):
    summary = score_json(capsys, *files(CAPTIONS, REFERENCES), "--no-meteor", "--idf", "coco2014-val")
    assert summary["idf"] == "the 202654 captions of 40504 images of coco2014-val"
    assert 1 < summary["cider_d"] < 10
