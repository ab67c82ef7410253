from collections.abc import Callable
from pathlib import Path

import pytest

from recap.data.config import CocoConfig, DataConfig, FolderConfig, ScenesConfig
from recap.data.fetch import fetch
from recap.data.raw import load_raw
from recap.errors import InputError

SCENES = ScenesConfig(train_images=10, validation_images=3, seed=0)
FOLDER = FolderConfig(images=None, train_captions=None, validation_captions=None)


def coco(archive: Path | None, train_captions: str | None = None) -> DataConfig:
    path = None if archive is None else str(archive)
    config = CocoConfig(archive=path, check="any", train_captions=train_captions, validation_captions=None)
    return DataConfig(source="coco", scenes=SCENES, coco=config, folder=FOLDER)


def test_what_an_earlier_run_left_is_gone(
    tmp_path: Path, members: dict[str, bytes], make_archive: Callable[[dict[str, bytes]], Path]
) -> None:
    raw = tmp_path / "raw"
    (raw / "images" / "train").mkdir(parents=True)
    (raw / "images" / "train" / ".000.png.17.tmp").write_bytes(b"half")
    fetch(coco(make_archive(members)), raw)
    assert load_raw(raw).source.source == "coco"
    assert not (raw / "images").exists()


@pytest.mark.parametrize(
    ("config", "expected"),
    [
        (coco(None), r"data\.coco\.archive: expected a path.*received nothing"),
        (coco(Path("nowhere.zip")), r"nowhere\.zip: expected"),
        (coco(Path("nowhere.zip"), "a.json"), r"data\.coco\.validation_captions: expected a path"),
        (
            DataConfig(source="folder", scenes=SCENES, coco=coco(None).coco, folder=FOLDER),
            r"data\.folder\.train_captions: expected a path",
        ),
    ],
)
def test_settings_that_a_source_needs(tmp_path: Path, config: DataConfig, expected: str) -> None:
    with pytest.raises(InputError, match=expected):
        fetch(config, tmp_path / "raw")
