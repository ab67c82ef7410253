from pathlib import Path

import numpy as np
import pytest

from recap.core import paths
from recap.core.artifacts import write_png
from recap.core.raw_data import Source, write_captions, write_source
from recap.errors import InputError
from recap.report.describe import describe


def test_duplicates_and_overlaps_are_counted(tmp_path: Path) -> None:
    pixels = {name: np.full((4, 4, 3), shade, np.uint8) for shade, name in enumerate(["a", "b", "c"])}
    shown = {"train": ["a", "b", "a"], "validation": ["c"], "test": ["b", "c"]}
    texts = {"train": ["A cat.", "a cat", "a dog sits"], "validation": ["a Cat"]}
    texts["test"] = ["A dog sits!", "two birds"]
    for split, names in shown.items():
        first = {"train": 1, "validation": 9, "test": 3}[split]  # id 3 is in two splits
        images = [{"id": first + row, "file_name": f"{row}.png"} for row in range(len(names))]
        annotations = [
            {"id": row, "image_id": first + row, "caption": text} for row, text in enumerate(texts[split])
        ]
        write_captions(tmp_path, split, images, annotations)
        for row, name in enumerate(names):
            write_png(tmp_path / "images" / split / f"{row}.png", pixels[name])
    write_source(tmp_path, Source("folder", True, False, False, False, "original"))
    found = describe(tmp_path, tmp_path / "none", tmp_path / "none", samples=2, seed=0)
    assert found["splits"]["train"]["duplicates"] == {"captions": 1, "images": 1}
    assert found["splits"]["train"]["lengths"] == {2: 2, 3: 1}
    assert found["overlap"] == {
        "validation": {"image ids": 0, "images": 0, "captions": 1},
        "test": {"image ids": 1, "images": 1, "captions": 1},
    }
    assert found["vocabulary"] == {"words": 4, "once": 2, "curve": {1: 3 / 7, 3: 6 / 7, 4: 1.0}}
    assert [len(sample["captions"]) for sample in found["splits"]["test"]["samples"]] == [1, 1]
    assert "encoded" not in found
    assert "spectrum" not in found


def test_a_spoilt_spectrum_is_told_in_one_line(outputs) -> None:
    root = outputs()
    path = root / paths.REDUCED / "spectrum.csv"
    for content in ("component,cumulative\n1,a half\n", ""):
        path.write_text(content)
        with pytest.raises(InputError, match=r"^[^\n]*spectrum\.csv: expected a table [^\n]*$"):
            describe(root / paths.RAW, root / paths.CAPTIONS, root / paths.REDUCED, samples=1, seed=0)
