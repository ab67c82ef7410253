import io
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest

from recap.core.feature_files import open_features
from recap.core.raw_data import load_raw, write_source
from recap.errors import InputError
from recap.sources import cs231n as coco
from recap.sources.config import CocoConfig
from recap.sources.cs231n import fetch_coco
from recap.text.captions import load_captions

Make = Callable[[dict[str, bytes]], Path]
ANY = CocoConfig(archive=None, check="any", train_captions=None, test_captions=None)
OFFICIAL = CocoConfig(archive=None, check="official", train_captions=None, test_captions=None)


def originals(tmp_path: Path, images: dict[str, range]) -> dict[str, Path]:
    paths = {}
    for split, ids in images.items():
        content = {
            "licenses": [{"id": 4, "name": "CC BY 2.0", "url": "http://127.0.0.1/by"}],
            "images": [
                {"id": number, "file_name": f"{number}.jpg", "license": 4 + number % 2} for number in ids
            ],
            "annotations": [
                {"id": 7, "image_id": number, "caption": f"A {word} cat of {number}."}
                for word in ("red", "blue")
                for number in ids
            ],
        }
        paths[split] = tmp_path / f"{split}.json"
        paths[split].write_text(json.dumps(content))
    return paths


def test_an_archive_becomes_the_raw_layout(
    tmp_path: Path, members: dict[str, bytes], make_archive: Make
) -> None:
    source, summary = fetch_coco(make_archive(members), None, ANY, 0.1, tmp_path / "raw")
    write_source(tmp_path / "raw", source)
    raw = load_raw(tmp_path / "raw")
    assert summary == {
        "train": {"images": 5, "captions": 10},
        "validation": {"images": 1, "captions": 2},
        "test": {"images": 3, "captions": 6},
        "feature_dim": 5,
    }
    assert raw.source.references == "decoded"
    captions = raw.captions("test")
    assert captions["images"][1] == {
        "id": 102,
        "file_name": "COCO_val2014_000000000102.jpg",
        "url": "http://127.0.0.1/102.jpg",
    }
    assert [item["caption"] for item in captions["annotations"][:2]] == ["a cat on grass", "a <UNK>"]
    assert [item["image_id"] for item in captions["annotations"]] == [101, 101, 102, 102, 103, 103]
    for split in ("train", "validation"):
        own = [image["id"] for image in raw.captions(split)["images"]]
        with h5py.File(io.BytesIO(members["train2014_vgg16_fc7.h5"])) as hdf5:
            expected = hdf5["features"][:][np.array(own) - 1]
        np.testing.assert_array_equal(open_features(raw.features_path(split)), expected)
        assert [item["image_id"] for item in raw.captions(split)["annotations"]] == np.repeat(own, 2).tolist()
        encoded, rows = load_captions(raw.encoded_directory).of(split)
        assert rows.tolist() == np.repeat(np.arange(len(own)), 2).tolist()
        assert encoded[:, 2].tolist() == [5, 3] * len(own)
    assert sorted(path.name for path in (tmp_path / "raw").iterdir()) == [
        "annotations",
        "features",
    ]
    assert sorted(path.name for path in (tmp_path / "raw" / "annotations").iterdir()) == [
        "captions_test.json",
        "captions_train.json",
        "captions_validation.json",
        "encoded",
        "source.json",
    ]


def test_original_captions_are_joined_by_image_id(
    tmp_path: Path, members: dict[str, bytes], make_archive: Make
) -> None:
    files = originals(tmp_path, {"train": range(9, 0, -1), "test": range(100, 109)})
    source, _ = fetch_coco(make_archive(members), files, ANY, 0.1, tmp_path / "raw")
    assert source.references == "original"
    content = json.loads((tmp_path / "raw" / "annotations" / "captions_train.json").read_text())
    own, annotations = [image["id"] for image in content["images"]], content["annotations"]
    assert own == sorted(own)
    assert [item["image_id"] for item in annotations] == np.repeat(own, 2).tolist()
    assert annotations[2]["caption"] == f"A red cat of {own[1]}."
    terms = {image["id"]: image.get("license") for image in content["images"]}
    assert terms == {number: None if number % 2 else "CC BY 2.0" for number in own}
    assert len({item["id"] for item in annotations}) == 10


def test_original_captions_of_every_image_are_needed(
    tmp_path: Path, members: dict[str, bytes], make_archive: Make
) -> None:
    files = originals(tmp_path, {"train": range(1, 6), "test": range(101, 104)})
    with pytest.raises(InputError, match="received none of 6"):
        fetch_coco(make_archive(members), files, ANY, 0.1, tmp_path / "raw")


def test_official_sizes_are_demanded(tmp_path: Path, members: dict[str, bytes], make_archive: Make) -> None:
    members |= {f"{split}2014_vgg16_fc7_pca.h5": b"" for split in ("train", "val")}
    with pytest.raises(InputError, match=r"coco2014_captions\.h5: expected 42922600 bytes"):
        fetch_coco(make_archive(members), None, OFFICIAL, 0.1, tmp_path / "raw")


def test_the_official_check_takes_what_has_the_official_shapes(
    tmp_path: Path,
    members: dict[str, bytes],
    make_archive: Make,
    hdf5: Callable[[Any], bytes],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    members |= {
        f"{split}2014_vgg16_fc7_pca.h5": hdf5({"features": np.ones((rows, 2), np.float32)})
        for split, rows in (("train", 6), ("val", 3))
    }
    sizes = {name: len(members[name]) for name in coco.MEMBER_BYTES}
    known = {"CAPTION_ROWS": {"train": 12, "val": 6}, "IMAGE_ROWS": {"train": 6, "val": 3}, "STEPS": 8}
    known |= {"MEMBER_BYTES": sizes, "WORDS": 8, "VGG_WIDTH": 5, "PCA_WIDTH": 2}
    for name, value in known.items():
        monkeypatch.setattr(coco, name, value)
    _, summary = fetch_coco(make_archive(members), None, OFFICIAL, 0.1, tmp_path / "raw")
    assert summary["feature_dim"] == 5
    assert not (tmp_path / "raw" / "unpacked").exists()
    for name, value, expected in (
        ("PCA_WIDTH", 3, r"train2014_vgg16_fc7_pca\.h5: features: expected the shape \(6, 3\)"),
        ("VGG_WIDTH", 4, r"train2014_vgg16_fc7\.h5: features: expected the shape \(6, 4\)"),
        ("CAPTION_ROWS", {"train": 12, "val": 5}, r"val_captions: expected the shape \(5, 8\)"),
        ("IMAGE_ROWS", {"train": 7, "val": 3}, r"train2014_images\.txt: expected 7 images, received 6"),
        ("WORDS", 9, r"coco2014_vocab\.json: expected 9 words, received 8"),
    ):
        with monkeypatch.context() as patch:
            patch.setattr(coco, name, value)
            with pytest.raises(InputError, match=expected):
                fetch_coco(make_archive(members), None, OFFICIAL, 0.1, tmp_path / name)


def test_a_member_that_is_absent(tmp_path: Path, members: dict[str, bytes], make_archive: Make) -> None:
    for name in list(members):
        rest = {other: content for other, content in members.items() if other != name}
        with pytest.raises(InputError, match=f"expected one member {name}, received 0"):
            fetch_coco(make_archive(rest), None, ANY, 0.1, tmp_path / "raw")


def spoil_vocabulary(members: dict[str, bytes], hdf5: Callable[[Any], bytes]) -> None:
    members["coco2014_vocab.json"] = b'{"idx_to_word": ["a", "cat"], "word_to_idx": {"a": 0, "cat": 1}}'


def spoil_json(members: dict[str, bytes], hdf5: Callable[[Any], bytes]) -> None:
    members["coco2014_vocab.json"] = b"<html>"


def spoil_features(members: dict[str, bytes], hdf5: Callable[[Any], bytes]) -> None:
    features = np.ones((3, 5), np.float32)
    features[1, 4] = np.nan
    members["val2014_vgg16_fc7.h5"] = hdf5({"features": features})


def spoil_rows(members: dict[str, bytes], hdf5: Callable[[Any], bytes]) -> None:
    members["val2014_vgg16_fc7.h5"] = hdf5({"features": np.ones((4, 5), np.float32)})


def spoil_width(members: dict[str, bytes], hdf5: Callable[[Any], bytes]) -> None:
    members["val2014_vgg16_fc7.h5"] = hdf5({"features": np.ones((3, 6), np.float32)})


def spoil_urls(members: dict[str, bytes], hdf5: Callable[[Any], bytes]) -> None:
    members["train2014_urls.txt"] += b"http://127.0.0.1/extra.jpg\n"


def spoil_names(members: dict[str, bytes], hdf5: Callable[[Any], bytes]) -> None:
    members["train2014_images.txt"] = members["train2014_images.txt"].replace(b"000002.jpg", b"000001.jpg")


def spoil_text(members: dict[str, bytes], hdf5: Callable[[Any], bytes]) -> None:
    members["train2014_urls.txt"] = b"\xff\xfe"


def spoil_index(members: dict[str, bytes], hdf5: Callable[[Any], bytes]) -> None:
    captions = np.array([[1, 4, 2]], np.int32)
    arrays = {f"{split}_captions": captions for split in ("train", "val")}
    arrays |= {f"{split}_image_idxs": np.array([4], np.int32) for split in ("train", "val")}
    members["coco2014_captions.h5"] = hdf5(arrays)


@pytest.mark.parametrize(
    ("spoil", "expected"),
    [
        (spoil_vocabulary, r"coco2014_vocab\.json: expected the words <NULL>, <START>, <END>, <UNK> first"),
        (spoil_json, r"coco2014_vocab\.json: expected JSON"),
        (spoil_features, r"val2014_vgg16_fc7\.h5: expected finite features.* in row 1"),
        (spoil_rows, r"val2014_vgg16_fc7\.h5: features: expected the shape \(3, 5\), received \(4, 5\)"),
        (spoil_width, r"val2014_vgg16_fc7\.h5: features: expected the shape \(3, 5\), received \(3, 6\)"),
        (spoil_urls, r"train2014_urls\.txt: expected a URL for each of 6 images, received 7"),
        (spoil_names, r"train2014_images\.txt: expected names that end in an image id"),
        (spoil_text, r"train2014_urls\.txt: expected UTF-8"),
        (
            spoil_index,
            r"coco2014_captions\.h5: val_image_idxs: expected rows of 3 images, received 4 in row 0",
        ),
    ],
)
def test_spoilt_members_are_one_line(
    tmp_path: Path,
    members: dict[str, bytes],
    make_archive: Make,
    hdf5: Callable[[Any], bytes],
    spoil: Callable[..., None],
    expected: str,
) -> None:
    spoil(members, hdf5)
    with pytest.raises(InputError, match=expected) as caught:
        fetch_coco(make_archive(members), None, ANY, 0.1, tmp_path / "raw")
    assert "\n" not in str(caught.value)


@pytest.mark.shared
def test_the_real_archive(tmp_path: Path, shared: Path) -> None:
    real = shared / "real"
    files = {"train": real / "captions_train.json", "test": real / "captions_val.json"}
    source, summary = fetch_coco(real / "coco_captioning_mini.zip", files, ANY, 0.1, tmp_path)
    assert source.encoded
    assert summary == {
        "train": {"images": 1436, "captions": 6944},
        "validation": {"images": 171, "captions": 836},
        "test": {"images": 300, "captions": 1451},
        "feature_dim": 1280,
    }
    captions = load_captions(tmp_path / "annotations" / "encoded")
    first = json.loads((tmp_path / "annotations" / "captions_train.json").read_text())["annotations"][0][
        "caption"
    ]
    assert captions.vocabulary.decode(captions.of("train")[0][0]) == first.lower().rstrip(".")
    with pytest.raises(InputError, match="expected 42922600 bytes"):
        fetch_coco(real / "coco_captioning_mini.zip", files, OFFICIAL, 0.1, tmp_path / "again")
