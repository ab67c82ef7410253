"""Captions without pictures: whose pictures are in a split is left out, by id and by name."""

import json
import zipfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from tests.settings import settings
from tests.sources.test_fetch import coco, files

from recap.core.raw_data import SPLITS, load_raw
from recap.errors import InputError
from recap.sources.config import DataConfig
from recap.sources.fetch import fetch
from recap.text.captions import load_language
from recap.text.config import TokenizeConfig
from recap.text.encode import tokenize

Make = Callable[[dict[str, bytes]], Path]
SHOWN = (1, 6, 102)  # of the archive: training, training, test


def write_captions(path: Path, images: list[dict]) -> Path:
    annotations = [
        {"id": 1, "image_id": image["id"], "caption": f"A cat number {image['id']}, {word}."}
        for word in ("really", "perhaps")
        for image in images
    ]
    path.write_text(json.dumps({"images": images, "annotations": annotations}))
    return path


def fetch_with(captions: Path, archive: Path, tmp_path: Path) -> dict:
    config = replace(coco(archive), language_captions=str(captions))
    return fetch(config, tmp_path / "raw", files(tmp_path))


@pytest.mark.parametrize("zipped", [False, True])
def test_captions_of_pictures_of_any_split_are_left_out(
    zipped: bool, tmp_path: Path, members: dict[str, bytes], make_archive: Make
) -> None:
    images = [{"id": number, "file_name": f"COCO_train2014_{number:012}.jpg"} for number in (*SHOWN, 7, 500)]
    # of another edition: ids of its own, COCO's numbers in the names
    images += [{"id": 90 + number, "file_name": f"{number:012}.jpg"} for number in (3, 101, 501)]
    captions = write_captions(tmp_path / "captions_train2014.json", images)
    if zipped:
        with zipfile.ZipFile(tmp_path / "annotations.zip", "w") as archive:
            archive.write(captions, "annotations/captions_train2014.json")
        captions = tmp_path / "annotations.zip"
    summary = fetch_with(captions, make_archive(members), tmp_path)
    assert summary["language"] == {"images": 3, "captions": 6, "images_left_out": 5}
    raw = load_raw(tmp_path / "raw")
    shown = {image["id"] for split in SPLITS for image in raw.captions(split)["images"]}
    language = raw.captions("language")
    assert {image["id"] for image in language["images"]} == {7, 500, 591}
    assert not shown & {annotation["image_id"] for annotation in language["annotations"]}
    assert language["annotations"][0]["caption"] == "A cat number 7, really."
    assert sorted(path.name for path in raw.directory.iterdir()) == ["annotations", "features"]


def test_they_are_written_in_the_words_of_training(
    tmp_path: Path, members: dict[str, bytes], make_archive: Make
) -> None:
    captions = write_captions(tmp_path / "more.json", [{"id": 7}, {"id": 8}])
    fetch_with(captions, make_archive(members), tmp_path)
    summary = tokenize(tmp_path / "raw", tmp_path / "captions", settings(TokenizeConfig))
    assert summary["language"]["captions"] == 4
    assert summary["vocabulary"] == 8
    language = load_language(tmp_path / "captions")
    assert language is not None
    encoded, rows = language
    assert encoded[0].tolist() == [1, 4, 5, 3, 3, 3, 2, 0]  # a cat <UNK> <UNK> <UNK>
    assert rows.tolist() == [0, 0, 1, 1]


def test_without_them_nothing_changes(tmp_path: Path, members: dict[str, bytes], make_archive: Make) -> None:
    (tmp_path / "captions").mkdir()
    (tmp_path / "captions" / "language.h5").write_bytes(b"of an earlier run")
    fetch(coco(make_archive(members)), tmp_path / "raw", files(tmp_path))
    assert not load_raw(tmp_path / "raw").has_language()
    summary = tokenize(tmp_path / "raw", tmp_path / "captions", settings(TokenizeConfig))
    assert "language" not in summary
    assert not (tmp_path / "captions" / "language.h5").exists()


def test_nothing_is_left_of_them(tmp_path: Path, members: dict[str, bytes], make_archive: Make) -> None:
    captions = write_captions(tmp_path / "same.json", [{"id": number} for number in SHOWN])
    with pytest.raises(
        InputError, match=r"same\.json: expected captions of images that are in no split, .* 3$"
    ):
        fetch_with(captions, make_archive(members), tmp_path)


def test_scenes_take_none(tmp_path: Path) -> None:
    config = settings(DataConfig, language_captions="more.json")
    with pytest.raises(
        InputError, match=r"^data\.language_captions: expected null where data\.source is scenes"
    ):
        fetch(config, tmp_path / "raw", files(tmp_path))
