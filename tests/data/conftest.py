"""A small archive in the CS231n layout, built anew so that a test can spoil any part of it."""

import io
import json
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest

WORDS = ["<NULL>", "<START>", "<END>", "<UNK>", "a", "cat", "on", "grass"]
IMAGES = {"train": 6, "val": 3}
WIDTH = 5


def hdf5_bytes(arrays: dict[str, Any]) -> bytes:
    file = io.BytesIO()
    with h5py.File(file, "w") as hdf5:
        for name, values in arrays.items():
            hdf5.create_dataset(name, data=values)
    return file.getvalue()


def small_members() -> dict[str, bytes]:
    """The members of a small archive by file name."""
    generator = np.random.default_rng(0)
    caption = [1, 4, 5, 6, 7, 2, 0, 0]
    short = [1, 4, 3, 2, 0, 0, 0, 0]
    captions: dict[str, Any] = {}
    members: dict[str, bytes] = {}
    first_id = {"train": 1, "val": 101}
    for split, count in IMAGES.items():
        captions[f"{split}_captions"] = np.array([caption, short] * count, np.int32)
        captions[f"{split}_image_idxs"] = np.repeat(np.arange(count, dtype=np.int32), 2)
        features = generator.normal(size=(count, WIDTH)).astype(np.float32)
        members[f"{split}2014_vgg16_fc7.h5"] = hdf5_bytes({"features": features})
        ids = range(first_id[split], first_id[split] + count)
        names = [f"coco/images/{split}2014/COCO_{split}2014_{number:012}.jpg" for number in ids]
        members[f"{split}2014_images.txt"] = "".join(f"{name}\n" for name in names).encode()
        urls = [f"http://127.0.0.1/{number}.jpg\n" for number in ids]
        members[f"{split}2014_urls.txt"] = "".join(urls).encode()
    members["coco2014_captions.h5"] = hdf5_bytes(captions)
    numbers = {word: number for number, word in enumerate(WORDS)}
    members["coco2014_vocab.json"] = json.dumps({"idx_to_word": WORDS, "word_to_idx": numbers}).encode()
    return members


@pytest.fixture
def members() -> dict[str, bytes]:
    return small_members()


@pytest.fixture
def hdf5() -> Callable[[dict[str, Any]], bytes]:
    """The bytes of an HDF5 file with the given arrays."""
    return hdf5_bytes


@pytest.fixture
def make_archive(tmp_path: Path) -> Callable[[dict[str, bytes]], Path]:
    """Zip members, in the folder that the course's archive has."""

    def make(members: dict[str, bytes]) -> Path:
        path = tmp_path / "coco_captioning.zip"
        with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
            for name, content in members.items():
                archive.writestr(f"coco_captioning/{name}", content)
        return path

    return make
