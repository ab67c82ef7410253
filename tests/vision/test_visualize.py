"""The stage `visualize` as a whole: what it writes is listed, decodes, and is the same on every run."""

import json
import shutil
from pathlib import Path

import pytest
import torch
from PIL import Image

from recap.data.raw import Source, write_captions, write_source
from recap.vision.visualize import visualize
from recap.vision.visualize_config import VisualizeConfig

CPU = torch.device("cpu")
CONFIG = VisualizeConfig(images=2)


@pytest.fixture
def raw(shared: Path, tmp_path: Path) -> Path:
    """Three real photographs as a source."""
    directory = tmp_path / "raw"
    folder = directory / "images" / "val"
    folder.mkdir(parents=True)
    names = ["000000000285.jpg", "000000000785.jpg", "000000002149.jpg"]
    for name in names:
        shutil.copy(shared / "real" / "images" / name, folder / name)
    write_captions(directory, "val", [{"id": i, "file_name": name} for i, name in enumerate(names)], [])
    write_source(directory, Source("folder", True, False, False, False, "original"))
    return directory


@pytest.mark.shared
def test_the_index_lists_every_picture(raw: Path, squeezenet_directory: Path, tmp_path: Path) -> None:
    for name in ("a", "b"):
        summary = visualize(raw, squeezenet_directory, tmp_path / name, CONFIG, CPU)
    entries = json.loads((tmp_path / "a" / "index.json").read_bytes())
    files = {path.name for path in (tmp_path / "a").iterdir()}
    assert files == {entry["file"] for entry in entries} | {"index.json"}
    assert summary == {"pictures": len(entries)}
    saliency = [entry for entry in entries if entry["kind"] == "saliency"]
    assert [entry["image"] for entry in saliency] == ["000000000285.jpg", "000000002149.jpg"]
    assert "brown bear" in saliency[0]["label"]
    for name in files:
        assert (tmp_path / "a" / name).read_bytes() == (tmp_path / "b" / name).read_bytes()
        if name.endswith(".png"):
            with Image.open(tmp_path / "a" / name) as image:
                assert image.mode == "RGB"


def test_a_source_without_images_says_so(tmp_path: Path) -> None:
    write_source(tmp_path / "raw", Source("coco", False, True, True, False, "decoded"))
    summary = visualize(tmp_path / "raw", tmp_path / "absent", tmp_path / "out", CONFIG, CPU)
    assert summary == {"pictures": 0}
    (entry,) = json.loads((tmp_path / "out" / "index.json").read_bytes())
    assert entry["kind"] == "none"
    assert entry["file"] is None
    assert "without images" in entry["label"]
