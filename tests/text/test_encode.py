import json
from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pytest

from recap.core.raw_data import Source, write_captions, write_source
from recap.errors import InputError
from recap.sources.config import CocoConfig
from recap.sources.cs231n import fetch_coco
from recap.text.captions import check_captions, load_captions, load_references, save_captions
from recap.text.config import TokenizeConfig
from recap.text.encode import tokenize

CONFIG = TokenizeConfig(tokens="word", min_count=2, max_words=None, max_length=7)


def write_raw(directory: Path, train: list[tuple[int, str]], others: list[tuple[int, str]]) -> None:
    for split, captions in (("train", train), ("validation", others), ("test", others)):
        ids = sorted({image for image, _ in captions}, reverse=True)
        images = [{"id": number, "file_name": f"{number}.png", "part": "seen"} for number in ids]
        annotations = [
            {"id": number, "image_id": image, "caption": caption}
            for number, (image, caption) in enumerate(captions, start=1)
        ]
        write_captions(directory, split, images, annotations)
    write_source(directory, Source("folder", True, False, False, False, "original"))


def test_text_becomes_the_course_layout(tmp_path: Path) -> None:
    train = [(1, "A cat, a cat!"), (2, "A dog on a cat on a dog on it"), (1, "..."), (2, "The dog")]
    write_raw(tmp_path / "raw", train, [(5, "A bird")])
    summary = tokenize(tmp_path / "raw", tmp_path / "captions", CONFIG)
    captions = load_captions(tmp_path / "captions")
    assert captions.vocabulary.idx_to_word[4:] == ("a", "cat", "dog", "on")
    # image 2 is row 0; the caption without words is left out
    assert captions.of("train")[1].tolist() == [0, 0, 1]
    assert captions.of("train")[0].tolist() == [
        [1, 4, 6, 7, 4, 5, 2],
        [1, 3, 6, 2, 0, 0, 0],
        [1, 4, 5, 4, 5, 2, 0],
    ]
    assert captions.of("test")[0].tolist() == [[1, 4, 3, 2, 0, 0, 0]]
    check_captions(captions, {"train": 2, "validation": 1, "test": 1}, "captions.h5")
    assert summary.pop("test") == summary["validation"]
    assert summary == {
        "vocabulary": 8,
        "train": {
            "captions": 3,
            "mean_length": 11 / 3,
            "unknown_share": 1 / 11,
            "cut_share": 1 / 3,
            "empty_captions": 1,
        },
        "validation": {
            "captions": 1,
            "mean_length": 2.0,
            "unknown_share": 0.5,
            "cut_share": 0.0,
            "empty_captions": 0,
        },
    }
    references = load_references(tmp_path / "captions", "train")
    assert [item["caption"] for item in references["annotations"]] == [caption for _, caption in train]
    assert references["images"][0]["part"] == "seen"


def test_characters_are_spelt_with_a_space_between_words(tmp_path: Path) -> None:
    write_raw(tmp_path / "raw", [(1, "A cat, a cat!"), (2, "An ant -- on a hat")], [(5, "A tiny bird")])
    config = TokenizeConfig(tokens="char", min_count=1, max_words=None, max_length=30)
    summary = tokenize(tmp_path / "raw", tmp_path / "captions", config)
    captions = load_captions(tmp_path / "captions")
    assert sorted(captions.vocabulary.idx_to_word[4:]) == [" ", *"achnot"]
    assert captions.vocabulary.decode(captions.of("train")[0][0]) == "an ant on a hat"
    assert (
        captions.vocabulary.decode(captions.of("validation")[0][0]) == "a t<UNK>n<UNK> <UNK><UNK><UNK><UNK>"
    )
    assert summary["train"]["mean_length"] == (11 + 15) / 2
    assert summary["train"]["cut_share"] == 0.0


@pytest.mark.parametrize("split", ["validation", "test"])
def test_an_image_without_a_caption_is_named_before_anything_is_trained(tmp_path: Path, split: str) -> None:
    write_raw(tmp_path / "raw", [(1, "A cat and a cat")], [(5, "A bird")])
    images = [{"id": number, "file_name": f"{number}.png"} for number in (5, 6, 7)]
    annotations = [{"id": 1, "image_id": 5, "caption": "A bird"}]
    write_captions(tmp_path / "raw", split, images, annotations)
    with pytest.raises(
        InputError, match=rf"every {split} image, received none for 6\.png \(id 6\) and 1 more"
    ):
        tokenize(tmp_path / "raw", tmp_path / "captions", CONFIG)


def test_the_same_bytes_on_every_run(tmp_path: Path) -> None:
    write_raw(tmp_path / "raw", [(1, "A cat and a dog"), (2, "a dog and a cat")], [(5, "A bird")])
    for run in ("first", "second"):
        tokenize(tmp_path / "raw", tmp_path / run, CONFIG)
    for path in (tmp_path / "first").iterdir():
        assert path.read_bytes() == (tmp_path / "second" / path.name).read_bytes()


def test_captions_without_any_word_are_refused(tmp_path: Path) -> None:
    write_raw(tmp_path / "raw", [(1, "A cat"), (1, "A cat")], [(5, "?!")])
    with pytest.raises(InputError, match="expected validation captions with words"):
        tokenize(tmp_path / "raw", tmp_path / "captions", CONFIG)


@pytest.mark.parametrize(
    ("tokens", "min_count", "captions"),
    [
        (
            "word",
            5,
            [f"第{number}个男人骑自行车" for number in range(9)],
        ),  # no spaces: each caption is a word
        ("word", 5, ["A cat", "a cat", "The dog on it"]),
        ("char", 5, ["ab cd", "ef gh", "ij kl", "mn op", "qr st"]),  # only the space is frequent
    ],
)
def test_a_vocabulary_without_words_is_refused(
    tmp_path: Path, tokens: Literal["word", "char"], min_count: int, captions: list[str]
) -> None:
    write_raw(tmp_path / "raw", list(enumerate(captions)), [(5, "A bird")])
    config = TokenizeConfig(tokens, min_count, None, 17)
    with pytest.raises(InputError, match=r"tokenize\.min_count: .* received 5: .* tokenize\.tokens: char"):
        tokenize(tmp_path / "raw", tmp_path / "captions", config)


def test_chinese_is_captioned_by_characters(tmp_path: Path) -> None:
    captions = [f"第{number}个男人骑自行车" for number in range(9)]
    write_raw(tmp_path / "raw", list(enumerate(captions)), [(5, "男人")])
    summary = tokenize(tmp_path / "raw", tmp_path / "captions", TokenizeConfig("char", 5, None, 17))
    assert summary["vocabulary"] == 4 + len("第个男人骑自行车")
    assert summary["test"]["unknown_share"] == 0.0


def test_an_encoded_source_keeps_its_encoding(
    tmp_path: Path, members: dict[str, bytes], make_archive: Callable[[dict[str, Any]], Path]
) -> None:
    config = CocoConfig(archive=None, check="any", train_captions=None, test_captions=None)
    raw = tmp_path / "raw"
    source, _ = fetch_coco(make_archive(members), None, config, 0.1, raw)
    write_source(raw, source)
    summary = tokenize(raw, tmp_path / "captions", CONFIG)
    assert summary["vocabulary"] == 8
    assert summary["train"] == {
        "captions": 10,
        "mean_length": 3.0,
        "unknown_share": 1 / 6,
        "cut_share": 0.0,
        "empty_captions": 0,
    }
    encoded = raw / "annotations" / "encoded"
    for name in ("captions.h5", "vocabulary.json"):
        assert (encoded / name).read_bytes() == (tmp_path / "captions" / name).read_bytes()
    captions = load_captions(encoded)
    captions.of("test")[1][0] = 3
    save_captions(encoded, captions)
    with pytest.raises(InputError, match="test_image_idxs: expected rows of 3 images"):
        tokenize(raw, tmp_path / "captions", CONFIG)


@pytest.mark.shared
def test_our_words_are_those_of_the_official_encoding(tmp_path: Path, shared: Path) -> None:
    """The archive's captions, encoded again from their originals with its vocabulary, mostly agree."""
    from recap.text.vocabulary import split_words

    real = shared / "real"
    files = {"train": real / "captions_train.json", "test": real / "captions_val.json"}
    config = CocoConfig(archive=None, check="any", train_captions=None, test_captions=None)
    fetch_coco(real / "coco_captioning_mini.zip", files, config, 0.1, tmp_path)
    captions = load_captions(tmp_path / "annotations" / "encoded")
    original = json.loads((tmp_path / "annotations" / "captions_test.json").read_text())
    rows = {image["id"]: row for row, image in enumerate(original["images"])}
    ours = captions.vocabulary.encode([split_words(item["caption"]) for item in original["annotations"]], 17)
    mine = {
        (rows[item["image_id"]], *row)
        for item, row in zip(original["annotations"], ours.tolist(), strict=True)
    }
    theirs = np.column_stack(captions.of("test")[::-1]).tolist()
    share = np.mean([tuple(row) in mine for row in theirs])
    assert share > 0.9
