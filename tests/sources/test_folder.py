import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image

from recap.core.raw_data import Source, load_raw, write_source
from recap.errors import InputError
from recap.sources.folder import fetch_folder

NAMES = {"train": ["b.png", "sub/a.jpg"], "validation": ["d.png"], "test": ["c.jpeg"]}
SHARES = {"validation": 0.3, "test": 0.3}


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
    terms = {"id": 3, "name": "Attribution License", "url": "http://127.0.0.1/by"}
    return {
        split: {
            "licenses": [terms],
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
    source, summary = fetch_folder(images, write(tmp_path, captions()), {}, tmp_path / "raw")
    write_source(tmp_path / "raw", source)
    raw = load_raw(tmp_path / "raw")
    assert summary == {
        "train": {"images": 2, "captions": 4, "images_without_captions": 0},
        "validation": {"images": 1, "captions": 2, "images_without_captions": 0},
        "test": {"images": 1, "captions": 2, "images_without_captions": 0},
    }
    for split, names in NAMES.items():
        copies = [path.read_bytes() for path in raw.image_paths(split)]
        assert copies == [(images / name).read_bytes() for name in names]
    assert raw.captions("train")["images"][1] == {
        "id": 1,
        "file_name": "sub/a.jpg",
        "url": "http://127.0.0.1/sub/a.jpg",
        "license": "Attribution License",
        "license_url": "http://127.0.0.1/by",
    }
    assert [item["image_id"] for item in raw.captions("train")["annotations"]] == [1, 1, 0, 0]


@pytest.mark.parametrize("spoil", [lambda content: content[:-30], lambda _: b"GIF89a", lambda _: b""])
@pytest.mark.parametrize("name", ["b.png", "sub/a.jpg"])
def test_an_image_that_does_not_decode_is_named(tmp_path: Path, images: Path, name: str, spoil) -> None:
    (images / name).write_bytes(spoil((images / name).read_bytes()))
    with pytest.raises(InputError, match=rf"{name}: expected an image that decodes"):
        fetch_folder(images, write(tmp_path, captions()), {}, tmp_path / "raw")


def change(content: dict[str, Any], split: str, name: str, key: str, value: Any) -> dict[str, Any]:
    content[split][name][0][key] = value
    return content


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (change(captions(), "test", "images", "file_name", "z.png"), r"expected the image z\.png in"),
        (change(captions(), "test", "images", "file_name", "../b.png"), "inside the image folder"),
        (change(captions(), "test", "images", "file_name", "/etc/passwd"), "inside the image folder"),
        (change(captions(), "test", "images", "file_name", None), r"images\[0\]\.file_name: expected text"),
        (change(captions(), "test", "images", "id", True), r"images\[0\]\.id: expected an integer"),
        (change(captions(), "train", "images", "id", 1), "every image id once, received image id 1"),
        (change(captions(), "train", "images", "file_name", "sub/a.jpg"), "every image file_name once"),
        (change(captions(), "test", "annotations", "image_id", 9), "received 9"),
        (
            change(captions(), "test", "annotations", "caption", ["a"]),
            r"annotations\[0\]\.caption: expected text",
        ),
        ({**captions(), "test": []}, "expected an object with images and annotations, received a list"),
        ({**captions(), "test": {"images": []}}, "expected a list of annotations, received nothing"),
        (
            {**captions(), "test": {**captions()["test"], "annotations": {}}},
            "expected a list of annotations, received an object",
        ),
        (change(captions(), "train", "images", "file_name", "sub/./a.jpg"), "every image file_name once"),
        (change(captions(), "test", "images", "file_name", "."), "inside the image folder"),
        (change(captions(), "test", "images", "file_name", "sub"), "expected the image sub in"),
        (change(captions(), "test", "images", "file_name", "c" * 300), "received no such file"),
        (change(captions(), "test", "images", "file_name", f"{'c' * 300}/b.png"), "received no such file"),
        (change(captions(), "test", "images", "file_name", "c\ud83d.jpeg"), "received no such file"),
    ],
)
def test_captions_that_are_refused(tmp_path: Path, images: Path, content, expected: str) -> None:
    with pytest.raises(InputError, match=expected) as caught:
        fetch_folder(images, write(tmp_path, content), {}, tmp_path / "raw")
    assert "\n" not in str(caught.value)


def test_absent_files(tmp_path: Path, images: Path) -> None:
    paths = write(tmp_path, captions())
    with pytest.raises(InputError, match=r"data\.folder\.images: expected a folder"):
        fetch_folder(tmp_path / "nowhere", paths, {}, tmp_path / "raw")
    paths["test"].write_text("{")
    with pytest.raises(InputError, match=r"test\.json: expected JSON"):
        fetch_folder(images, paths, {}, tmp_path / "raw")
    paths["test"].unlink()
    with pytest.raises(InputError, match=r"test\.json: expected a readable file"):
        fetch_folder(images, paths, {}, tmp_path / "raw")


def test_images_without_captions_are_left_out_and_counted(
    tmp_path: Path, images: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    content = captions()
    content["train"]["annotations"] = [{"image_id": 0, "caption": "a"}]
    (images / "sub/a.jpg").unlink()  # nobody asks for it
    _, summary = fetch_folder(images, write(tmp_path, content), {}, tmp_path / "raw")
    assert summary["train"] == {"images": 1, "captions": 1, "images_without_captions": 1}
    assert "left out, without captions: 'sub/a.jpg'" in capsys.readouterr().err
    write_source(tmp_path / "raw", Source("folder", True, False, False, False, "original"))
    (path,) = load_raw(tmp_path / "raw").image_paths("train")
    assert path.name == "b.png"


@pytest.mark.parametrize(
    ("on_disk", "named"),
    [
        ("cafe\u0301/e\u0301.png", "caf\u00e9/\u00e9.png"),
        ("caf\u00e9.png", "cafe\u0301.png"),
        ("a.png", "./a.png"),
        ("n" * 251 + ".png", "n" * 251 + ".png"),
        ("m" * 241 + ".png", "m" * 241 + ".png"),
        ("a picture: \u2028 #1 100%.png", "a picture: \u2028 #1 100%.png"),
    ],
)
def test_every_name_that_a_file_system_holds(tmp_path: Path, images: Path, on_disk: str, named: str) -> None:
    path = images / on_disk
    path.parent.mkdir(exist_ok=True)
    (images / "c.jpeg").rename(path)
    content = change(captions(), "test", "images", "file_name", named)
    source, _ = fetch_folder(images, write(tmp_path, content), {}, tmp_path / "raw")
    write_source(tmp_path / "raw", source)
    (copy,) = load_raw(tmp_path / "raw").image_paths("test")
    assert copy.read_bytes() == path.read_bytes()


def test_half_an_emoji_in_a_caption_becomes_a_character_that_files_can_hold(
    tmp_path: Path, images: Path
) -> None:
    content = change(captions(), "test", "annotations", "caption", "a cat \ud83d")
    source, _ = fetch_folder(images, write(tmp_path, content), {}, tmp_path / "raw")
    write_source(tmp_path / "raw", source)
    said = load_raw(tmp_path / "raw").captions("test")["annotations"][0]["caption"]
    assert said == "a cat \ufffd"


VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(10**30), 10**30)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(st.characters(), max_size=5)
    | st.sampled_from(["b.png", "c.jpeg", "sub/a.jpg", "images", "a cat"]),
    lambda children: (
        st.lists(children, max_size=3) | st.dictionaries(st.text(max_size=3), children, max_size=3)
    ),
    max_leaves=6,
)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.data())
def test_captions_of_any_shape_are_read_or_refused_in_one_line(tmp_path: Path, images: Path, data) -> None:
    content = captions()
    for _ in range(data.draw(st.integers(1, 3))):
        split = data.draw(st.sampled_from(["train", "test"]))
        name = data.draw(st.sampled_from(["images", "annotations"]))
        if not isinstance(content[split].get(name), list) or data.draw(st.booleans()):
            content[split][name] = data.draw(VALUES)
        elif content[split][name]:
            entry = content[split][name][0]
            key = data.draw(st.sampled_from(["id", "file_name", "image_id", "caption", "coco_url"]))
            content[split][name][0] = {**entry, key: data.draw(VALUES)} if isinstance(entry, dict) else 0
    shutil.rmtree(tmp_path / "raw", ignore_errors=True)
    said = ""
    try:
        fetch_folder(images, write(tmp_path, content), {}, tmp_path / "raw")
    except InputError as error:
        said = str(error)
    assert len(said.splitlines()) <= 1


@pytest.mark.parametrize(
    "text", ["[" * 100_000, '{"a":' * 100_000, "1" * 5000, "\ufeff{}", "NaN", '"\\ud83d"']
)
def test_json_that_is_no_caption_file(tmp_path: Path, images: Path, text: str) -> None:
    paths = write(tmp_path, captions())
    paths["test"].write_text(text)
    with pytest.raises(InputError, match=r"test\.json: expected ") as caught:
        fetch_folder(images, paths, {}, tmp_path / "raw")
    assert len(str(caught.value)) < 300
