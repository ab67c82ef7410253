"""Data in the CS231n layout: written here, and the real mini archive."""

import json
import shutil
import zipfile
from pathlib import Path

import h5py
import numpy as np
import pytest
import torch

from recap.errors import InputError
from recap.reference.coco_utils import decode_captions, load_coco_data, sample_coco_minibatch

WORDS = ["<NULL>", "<START>", "<END>", "<UNK>", "cat", "dog"]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Three training images with two captions each, two validation images with one."""
    with h5py.File(tmp_path / "coco2014_captions.h5", "w") as hdf5:
        for split, rows in (("train", [0, 0, 1, 1, 2, 2]), ("val", [0, 1])):
            captions = [[1, 4 + row % 2, 2, 0] for row in rows]
            hdf5[f"{split}_captions"] = np.array(captions, dtype=np.int32)
            hdf5[f"{split}_image_idxs"] = np.array(rows, dtype=np.int32)
    for split, count in (("train", 3), ("val", 2)):
        for suffix, width in (("", 8), ("_pca", 2)):
            with h5py.File(tmp_path / f"{split}2014_vgg16_fc7{suffix}.h5", "w") as hdf5:
                hdf5["features"] = np.repeat(np.arange(count, dtype=np.float32), width).reshape(count, width)
        urls = "".join(f"http://example.com/{split}/{row}.jpg\n" for row in range(count))
        (tmp_path / f"{split}2014_urls.txt").write_text(urls)
    vocabulary = {"idx_to_word": WORDS, "word_to_idx": {word: number for number, word in enumerate(WORDS)}}
    (tmp_path / "coco2014_vocab.json").write_text(json.dumps(vocabulary))
    return tmp_path


def test_everything_is_loaded(folder: Path) -> None:
    data = load_coco_data(folder)

    assert data["train_captions"].shape == (6, 4)
    assert data["val_image_idxs"].tolist() == [0, 1]
    assert data["train_features"].shape == (3, 2)
    assert data["train_urls"][2] == "http://example.com/train/2.jpg"
    assert data["idx_to_word"] == WORDS
    assert data["word_to_idx"]["dog"] == 5
    assert load_coco_data(str(folder), pca_features=False)["val_features"].shape == (2, 8)


def test_a_minibatch_keeps_captions_features_and_urls_together(folder: Path) -> None:
    np.random.seed(0)  # noqa: NPY002
    data = load_coco_data(folder)
    for split in ("train", "val"):
        captions, features, urls = sample_coco_minibatch(data, batch_size=50, split=split)
        rows = features[:, 0].astype(int)
        assert features.shape == (50, 2)
        assert len(set(rows)) == len(data[f"{split}_features"])
        assert captions[:, 1].tolist() == (4 + rows % 2).tolist()
        assert urls.tolist() == [f"http://example.com/{split}/{row}.jpg" for row in rows]


def test_a_seed_chooses_the_captions_that_it_chooses_in_the_course(folder: Path) -> None:
    np.random.seed(231)  # noqa: NPY002
    data = load_coco_data(folder, max_train=4)
    np.random.seed(231)  # noqa: NPY002
    chosen = np.random.randint(6, size=4)  # noqa: NPY002
    everything = load_coco_data(folder)

    np.testing.assert_array_equal(data["train_captions"], everything["train_captions"][chosen])
    np.testing.assert_array_equal(data["train_image_idxs"], everything["train_image_idxs"][chosen])
    assert len(data["val_captions"]) == 2


def test_decoding_stops_at_end_and_leaves_null_out() -> None:
    captions = np.array([[1, 4, 0, 5, 2, 4], [4, 5, 4, 5, 4, 5]])
    texts = ["<START> cat dog <END>", "cat dog cat dog cat dog"]

    assert decode_captions(captions, WORDS) == texts
    assert decode_captions(torch.tensor(captions), dict(enumerate(WORDS))) == texts
    assert decode_captions(captions[0], WORDS) == texts[0]


@pytest.mark.parametrize(
    "name", ["coco2014_captions.h5", "train2014_vgg16_fc7_pca.h5", "val2014_urls.txt", "coco2014_vocab.json"]
)
def test_an_absent_or_broken_file_is_named_in_one_line(folder: Path, name: str) -> None:
    (folder / name).write_bytes(b"\xff\xfenot this")
    if name.endswith("txt"):
        (folder / name).unlink()
    with pytest.raises(InputError, match=f"^[^\n]*{name}: expected [^\n]*$"):
        load_coco_data(folder)


def test_features_under_another_name_are_refused(folder: Path) -> None:
    path = folder / "val2014_vgg16_fc7_pca.h5"
    shutil.copy(folder / "coco2014_captions.h5", path)
    with pytest.raises(InputError, match="expected a data set 'features', received \\['train_captions'"):
        load_coco_data(folder)


@pytest.mark.shared
def test_the_real_mini_archive_loads(shared: Path, tmp_path: Path) -> None:
    with zipfile.ZipFile(shared / "real" / "coco_captioning_mini.zip") as archive:
        archive.extractall(tmp_path)
    data = load_coco_data(tmp_path / "coco_captioning")

    assert data["train_captions"].shape == (7780, 17)
    assert data["train_features"].shape == (1607, 512)
    assert len(data["train_urls"]) == 1607
    assert len(data["idx_to_word"]) == 1004
    text = decode_captions(data["train_captions"][0], data["idx_to_word"])
    assert text.startswith("<START> ")
    assert text.endswith(" <END>")
