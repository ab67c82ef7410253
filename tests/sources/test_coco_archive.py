"""An archive in the course's layout from COCO's captions and features of the user's, as `fetch` reads it."""

import json
import zipfile
from pathlib import Path

import h5py
import numpy as np
import pytest
from PIL import Image
from tests.imports import ROOT

import coco_archive
from coco_archive import make_archive
from coco_captions import rebuild_captions
from make_archive import main
from recap.core.feature_files import open_features
from recap.core.raw_data import encoded_directory, load_raw, write_source
from recap.errors import InputError
from recap.sources.config import CocoConfig
from recap.sources.cs231n import fetch_coco

IDS = {"train": [*range(10, 30)], "val": [101, 102, 103]}


@pytest.fixture
def annotations(tmp_path: Path) -> Path:
    """COCO's zip of a few images."""
    path = tmp_path / "annotations.zip"
    with zipfile.ZipFile(path, "w") as archive:
        for part, ids in IDS.items():
            images = [
                {"id": number, "file_name": f"COCO_{part}2014_{number:012}.jpg", "flickr_url": "http://a/b"}
                for number in ids
            ]
            captions = [
                {"id": 10 * number + which, "image_id": number, "caption": f"A dog, {number} {word}."}
                for number in ids
                for which, word in enumerate(("Runs", "sits"))
            ]
            content = json.dumps({"images": images, "annotations": captions})
            archive.writestr(f"annotations/captions_{part}2014.json", content)
    (tmp_path / "members").mkdir()
    rebuild_captions(path, tmp_path / "members")
    return path


def fetched(archive: Path, annotations: Path, directory: Path) -> Path:
    config = CocoConfig(str(archive), "any", None, None)
    originals = {"train": annotations, "test": annotations}
    source, _ = fetch_coco(archive, originals, config, 0.2, directory)
    write_source(directory, source)
    return directory


def test_fetch_takes_it_with_the_same_captions(
    tmp_path: Path, annotations: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(coco_archive, "PCA_WIDTH", 4)  # 512 of the real one
    draw = np.random.default_rng(0)
    rows = {number: draw.normal(size=8) for ids in IDS.values() for number in ids}
    np.savez(tmp_path / "own.npz", **{f"a{number}": row for number, row in rows.items()})
    archive = tmp_path / "coco_captioning.zip"
    command = [str(annotations), str(archive), "--features", str(tmp_path / "own.npz")]
    main(command)
    with zipfile.ZipFile(archive) as members:
        for path in (tmp_path / "members").iterdir():
            assert members.read(f"coco_captioning/{path.name}") == path.read_bytes()
        reduced = members.extract("coco_captioning/train2014_vgg16_fc7_pca.h5", tmp_path)
    variances = np.var(open_features(Path(reduced)), axis=0)
    assert variances.shape == (4,)
    assert (np.diff(variances) < 0).all()
    raw = fetched(archive, annotations, tmp_path / "raw")
    with h5py.File(tmp_path / "members" / "coco2014_captions.h5") as file:
        expected = file["val_captions"][:]
    with h5py.File(encoded_directory(raw) / "captions.h5") as file:
        np.testing.assert_array_equal(file["test_captions"][:], expected)
    said = load_raw(raw).captions("test")["annotations"]
    assert [row["caption"] for row in said][:2] == ["A dog, 101 Runs.", "A dog, 101 sits."]
    found = {}
    for split in ("train", "validation", "test"):
        images = load_raw(raw).captions(split)["images"]
        features = open_features(raw / "features" / f"{split}.h5")
        found |= {image["id"]: row for image, row in zip(images, features, strict=True)}
    assert set(found) == {*IDS["train"], *IDS["val"]}
    for number, row in found.items():
        np.testing.assert_array_equal(row, rows[number].astype(np.float32))
    before = archive.read_bytes()
    with pytest.raises(InputError, match="expected a new file, received one that is there"):
        main(command)
    assert archive.read_bytes() == before
    archive.unlink()
    main(command)
    assert archive.read_bytes() == before


def test_images_are_seen_by_the_backbone(
    tmp_path: Path, annotations: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "encoders").mkdir()
    (tmp_path / "encoders" / "pixels.py").write_bytes((ROOT / "encoders" / "pixels.py").read_bytes())
    for part, ids in IDS.items():
        (tmp_path / "images" / f"{part}2014").mkdir(parents=True)
        for number in ids:
            file = tmp_path / "images" / f"{part}2014" / f"COCO_{part}2014_{number:012}.jpg"
            Image.new("RGB", (70, 64), (number, 0, 0)).save(file, quality=95)
    monkeypatch.chdir(tmp_path)
    options = ["--images", "images", "--backbone", "encoders/pixels.py:build"]
    main([str(annotations), "own.zip", *options])
    raw = fetched(tmp_path / "own.zip", annotations, tmp_path / "raw")
    features = open_features(raw / "features" / "test.h5")
    assert features.shape == (3, 192)
    np.testing.assert_allclose(features[:, 0], (np.array(IDS["val"]) / 255 - 0.5) / 0.25, atol=0.02)
    (tmp_path / "images" / "val2014" / "COCO_val2014_000000000102.jpg").unlink()
    with pytest.raises(InputError, match="expected the image COCO_val2014_000000000102"):
        main([str(annotations), "other.zip", *options])
    assert not [path.name for path in tmp_path.iterdir() if "other.zip" in path.name]


def test_what_is_missing_is_said_in_a_line(tmp_path: Path, annotations: Path) -> None:
    np.savez(tmp_path / "own.npz", **{"10": np.zeros(4)})
    with pytest.raises(InputError, match="expected features of image 11, received none"):
        make_archive(tmp_path / "members", tmp_path / "own.npz", tmp_path / "own.zip")
    assert not (tmp_path / "own.zip").exists()
