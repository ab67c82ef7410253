"""Captions and features from a folder in the CS231n layout, as the dict that models and solvers take.

Shapes: M captions of a split, L steps of a caption, I images of a split, D feature, N batch.
"""

import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

import h5py
import numpy as np
from numpy.typing import ArrayLike, NDArray

from recap.errors import InputError, expecting

BASE_DIR = Path("cs231n", "datasets", "coco_captioning")
"""Where the course keeps its data, seen from its notebooks."""

Array = NDArray[Any]
Content = TypeVar("Content")


def load_coco_data(
    base_dir: Path | str = BASE_DIR, max_train: int | None = None, pca_features: bool = True
) -> dict[str, Any]:
    """Read a folder in the CS231n layout into memory.

    Args:
        base_dir: the folder.
        max_train: keep this many training captions, drawn with replacement from NumPy's global generator.
        pca_features: the features after PCA, not those of fc7.

    Returns:
        {train,val}_captions (M, L) int32, {train,val}_image_idxs (M,) int32, {train,val}_features (I, D)
        float32, {train,val}_urls (I,) text, idx_to_word (list), word_to_idx (dict).

    Raises:
        InputError: a file is absent or cannot be read.
    """
    base = Path(base_dir)
    data: dict[str, Any] = _read(base / "coco2014_captions.h5", _read_arrays)
    for split in ("train", "val"):
        path = base / f"{split}2014_vgg16_fc7{'_pca' if pca_features else ''}.h5"
        features = _read(path, _read_arrays)
        if "features" not in features:
            raise InputError(f"{path}: expected a data set 'features', received {sorted(features)}")
        data[f"{split}_features"] = features["features"]
        urls = _read(base / f"{split}2014_urls.txt", Path.read_text)
        data[f"{split}_urls"] = np.asarray([line.strip() for line in urls.splitlines()])
    data |= _read(base / "coco2014_vocab.json", lambda path: json.loads(path.read_text(encoding="utf-8")))
    if max_train is not None:
        # as the course does, so that a seed gives the same captions
        chosen = np.random.randint(len(data["train_captions"]), size=max_train)  # noqa: NPY002
        data["train_captions"] = data["train_captions"][chosen]
        data["train_image_idxs"] = data["train_image_idxs"][chosen]
    return data


def sample_coco_minibatch(
    data: Mapping[str, Any], batch_size: int = 100, split: str = "train"
) -> tuple[Array, Array, Array]:
    """Draw N captions of a split, with replacement, from NumPy's global generator.

    Returns:
        Captions (N, L) int32, the features of their images (N, D) float32, the URLs of these (N,).
    """
    captions = data[f"{split}_captions"]
    chosen = np.random.choice(len(captions), batch_size)  # noqa: NPY002, the generator that notebooks seed
    rows = data[f"{split}_image_idxs"][chosen]
    return captions[chosen], data[f"{split}_features"][rows], data[f"{split}_urls"][rows]


def decode_captions(captions: ArrayLike, idx_to_word: Sequence[str] | Mapping[int, str]) -> Any:
    """Turn encoded captions (N, L), or one (L,), into texts: up to <END>, which stays, without <NULL>.

    >>> decode_captions([[1, 4, 2, 0], [4, 0, 4, 2]], ["<NULL>", "<START>", "<END>", "<UNK>", "cat"])
    ['<START> cat <END>', 'cat cat <END>']
    """
    captions = np.asarray(captions)
    if captions.ndim == 1:
        return decode_captions(captions[None], idx_to_word)[0]
    texts = []
    for caption in captions.tolist():
        words = []
        for number in caption:
            word = idx_to_word[number]
            if word != "<NULL>":
                words.append(word)
            if word == "<END>":
                break
        texts.append(" ".join(words))
    return texts


def _read_arrays(path: Path) -> dict[str, Array]:
    with h5py.File(path, "r") as hdf5:
        return {name: np.asarray(hdf5[name]) for name in hdf5}


def _read(path: Path, read: Callable[[Path], Content]) -> Content:
    with expecting(f"{path}: expected a file of the CS231n layout", OSError, ValueError):
        return read(path)
