import json
import zipfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from recap.core.raw_data import load_raw
from recap.errors import InputError
from recap.sources.config import CocoConfig, DataConfig, FolderConfig, ImagesConfig, ScenesConfig
from recap.sources.download import Files
from recap.sources.fetch import fetch

IMAGES = ImagesConfig(fetch=False, timeout=1.0)
SCENES = ScenesConfig(train_images=10, validation_images=3, test_images=3, seed=0)
FOLDER = FolderConfig(images=None, train_captions=None, validation_captions=None, test_captions=None)


def files(tmp_path: Path, offline: bool = False) -> Files:
    return Files(tmp_path / "downloads", tmp_path / "downloads.json", offline)


def coco(archive: Path | None, train_captions: str | None = None) -> DataConfig:
    path = None if archive is None else str(archive)
    config = CocoConfig(archive=path, check="any", train_captions=train_captions, test_captions=None)
    return DataConfig(
        "coco",
        0.1,
        0.1,
        offline=False,
        language_captions=None,
        images=IMAGES,
        scenes=SCENES,
        coco=config,
        folder=FOLDER,
    )


def test_what_an_earlier_run_left_is_gone(
    tmp_path: Path, members: dict[str, bytes], make_archive: Callable[[dict[str, bytes]], Path]
) -> None:
    raw = tmp_path / "raw"
    (raw / "images" / "train").mkdir(parents=True)
    (raw / "images" / "train" / ".000.png.17.tmp").write_bytes(b"half")
    fetch(coco(make_archive(members)), raw, files(tmp_path))
    assert load_raw(raw).source.source == "coco"
    assert not (raw / "images").exists()


@pytest.mark.parametrize(
    ("config", "expected"),
    [
        (coco(None), r"data\.coco\.archive: expected a path or URL, received nothing"),
        (coco(Path("nowhere.zip")), r"nowhere\.zip: expected"),
        (coco(Path("nowhere.zip"), "a.json"), r"data\.coco\.test_captions: expected a path"),
        (
            DataConfig(
                source="folder",
                validation_share=0.1,
                test_share=0.1,
                offline=False,
                language_captions=None,
                images=IMAGES,
                scenes=SCENES,
                coco=coco(None).coco,
                folder=FOLDER,
            ),
            r"data\.folder\.train_captions: expected a path",
        ),
    ],
)
def test_settings_that_a_source_needs(tmp_path: Path, config: DataConfig, expected: str) -> None:
    with pytest.raises(InputError, match=expected):
        fetch(config, tmp_path / "raw", files(tmp_path))


def test_urls_are_fetched_and_zipped_captions_unpacked(
    tmp_path: Path, members: dict[str, bytes], make_archive: Callable[[dict[str, bytes]], Path], server, reply
) -> None:
    path = tmp_path / "annotations.zip"
    with zipfile.ZipFile(path, "w") as archive:
        for split, ids in (("train", range(1, 7)), ("val", range(101, 104))):
            content = {
                "images": [{"id": number, "file_name": f"{number}.jpg"} for number in ids],
                "annotations": [{"image_id": number, "caption": "A cat."} for number in ids],
            }
            archive.writestr(f"annotations/captions_{split}2014.json", json.dumps(content))
    server.replies["/archive.zip"] = [reply(make_archive(members).read_bytes())]
    server.replies["/annotations.zip"] = [reply(path.read_bytes())]
    urls = [f"{server.url}/{name}.zip" for name in ("archive", "annotations")]
    config = replace(
        coco(None), coco=CocoConfig(urls[0], "any", train_captions=urls[1], test_captions=urls[1])
    )
    fetch(config, tmp_path / "raw", files(tmp_path))
    raw = load_raw(tmp_path / "raw")
    assert raw.source.references == "original"
    assert len(raw.captions("train")["annotations"]) == 5
    server.replies.clear()
    fetch(config, tmp_path / "again", files(tmp_path, offline=True))
    for name in ("annotations/captions_test.json", "features/train.h5"):
        assert (raw.directory / name).read_bytes() == (tmp_path / "again" / name).read_bytes()
