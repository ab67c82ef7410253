import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from recap.data.folder import fetch_folder
from recap.data.raw import load_raw, write_source
from recap.errors import InputError

NAMES = {"train": ["b.png", "sub/a.jpg"], "val": ["c.jpeg"]}


@pytest.fixture
def images(tmp_path: Path) -> Path:
    folder = tmp_path / "images"
    generator = np.random.default_rng(0)
    for name in [name for names in NAMES.values() for name in names]:
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(generator.integers(0, 255, (9, 7, 3), np.uint8)).save(path)
    return folder


def captions() -> dict[str, dict[str, Any]]:
    return {
        split: {
            "images": [
                {"id": number, "file_name": name, "flickr_url": f"http://127.0.0.1/{name}", "license": 3}
                for number, name in enumerate(names)
            ],
            "annotations": [
                {"image_id": number, "caption": f"A {word}."}
                for number in reversed(range(len(names)))
                for word in ("cat", "dog")
            ],
        }
        for split, names in NAMES.items()
    }


def write(tmp_path: Path, content: dict[str, Any]) -> dict[str, Path]:
    paths = {split: tmp_path / f"{split}.json" for split in NAMES}
    for split, path in paths.items():
        path.write_text(json.dumps(content[split]))
    return paths


def test_images_are_copied_as_they_are(tmp_path: Path, images: Path) -> None:
    source, summary = fetch_folder(images, write(tmp_path, captions()), tmp_path / "raw")
    write_source(tmp_path / "raw", source)
    raw = load_raw(tmp_path / "raw")
    assert summary == {"train": {"images": 2, "captions": 4}, "val": {"images": 1, "captions": 2}}
    for split, names in NAMES.items():
        copies = [path.read_bytes() for path in raw.image_paths(split)]
        assert copies == [(images / name).read_bytes() for name in names]
    assert raw.captions("train")["images"][1] == {
        "id": 1,
        "file_name": "sub/a.jpg",
        "url": "http://127.0.0.1/sub/a.jpg",
    }
    assert [item["image_id"] for item in raw.captions("train")["annotations"]] == [1, 1, 0, 0]


@pytest.mark.parametrize("spoil", [lambda content: content[:-30], lambda _: b"GIF89a", lambda _: b""])
@pytest.mark.parametrize("name", ["b.png", "sub/a.jpg"])
def test_an_image_that_does_not_decode_is_named(tmp_path: Path, images: Path, name: str, spoil) -> None:
    (images / name).write_bytes(spoil((images / name).read_bytes()))
    with pytest.raises(InputError, match=rf"{name}: expected an image that decodes"):
        fetch_folder(images, write(tmp_path, captions()), tmp_path / "raw")


def change(content: dict[str, Any], split: str, name: str, key: str, value: Any) -> dict[str, Any]:
    content[split][name][0][key] = value
    return content


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (change(captions(), "val", "images", "file_name", "z.png"), r"expected the image z\.png in"),
        (change(captions(), "val", "images", "file_name", "../b.png"), "inside the image folder"),
        (change(captions(), "val", "images", "file_name", "/etc/passwd"), "inside the image folder"),
        (change(captions(), "val", "images", "file_name", None), r"images\[0\]\.file_name: expected text"),
        (change(captions(), "val", "images", "id", True), r"images\[0\]\.id: expected an integer"),
        (change(captions(), "train", "images", "id", 1), "every image id once, received 1"),
        (change(captions(), "train", "images", "file_name", "sub/a.jpg"), "every image file_name once"),
        (change(captions(), "val", "annotations", "image_id", 9), "received image_id 9"),
        (
            change(captions(), "val", "annotations", "caption", ["a"]),
            r"annotations\[0\]\.caption: expected text",
        ),
        ({**captions(), "val": []}, "expected COCO format, an object, received list"),
        ({**captions(), "val": {"images": []}}, "a filled list 'images', received none"),
        ({**captions(), "val": {**captions()["val"], "annotations": {}}}, "a filled list 'annotations'"),
        (
            {
                **captions(),
                "train": {**captions()["train"], "annotations": [{"image_id": 0, "caption": "a"}]},
            },
            r"a caption for each image, received none for sub/a\.jpg",
        ),
    ],
)
def test_captions_that_are_refused(tmp_path: Path, images: Path, content, expected: str) -> None:
    with pytest.raises(InputError, match=expected) as caught:
        fetch_folder(images, write(tmp_path, content), tmp_path / "raw")
    assert "\n" not in str(caught.value)


def test_absent_files(tmp_path: Path, images: Path) -> None:
    paths = write(tmp_path, captions())
    with pytest.raises(InputError, match=r"data\.folder\.images: expected a folder"):
        fetch_folder(tmp_path / "nowhere", paths, tmp_path / "raw")
    paths["val"].write_text("{")
    with pytest.raises(InputError, match=r"val\.json: expected JSON"):
        fetch_folder(images, paths, tmp_path / "raw")
    paths["val"].unlink()
    with pytest.raises(InputError, match=r"val\.json: expected a readable file"):
        fetch_folder(images, paths, tmp_path / "raw")
