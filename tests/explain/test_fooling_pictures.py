"""The table and the pictures of fooling."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from recap.backbones.backbone import Backbone
from recap.explain.pictures.fooling import draw_fooling
from recap.explain.pictures.gallery import Gallery


def test_the_table_counts_what_was_fooled(tiny_backbone: Backbone, tmp_path: Path) -> None:
    pixels = np.random.default_rng(1).integers(0, 256, (70, 12, 12, 3), dtype=np.uint8)
    names = [f"{row}.png" for row in range(70)]
    gallery = Gallery(tmp_path)
    table = draw_fooling(gallery, tiny_backbone, torch.from_numpy(pixels), names, "digit", 3)
    assert table["pairs"] == 70
    assert table["success_rate"] == 1
    assert 1 <= table["mean_iterations"] <= 100
    # Steps of length 1 in normalised units, at most so many: no change is longer, in pixels of 0..1.
    assert 0 < table["median_linf"] < table["median_l2"] <= 0.25 * 100
    assert gallery.finish() == 3
    entries = json.loads((tmp_path / "index.json").read_bytes())
    for entry in entries:
        assert entry["kind"] == "fooling"
        assert entry["before"] != entry["after"]
        assert entry["image"] in names
        with Image.open(tmp_path / entry["file"]) as image:
            assert image.size[0] == pytest.approx(4 * 192, abs=40)
