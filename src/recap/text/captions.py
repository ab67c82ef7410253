"""The layout of data/captions: encoded captions as CS231n has them, the vocabulary, the references.

Shapes: M captions of a split, L steps of a caption (17 in CS231n), V words of the vocabulary.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from recap.core.artifacts import write_hdf5, write_json
from recap.core.hdf5 import Expected, open_checked, read_rows
from recap.core.input_files import read_json
from recap.core.raw_data import LANGUAGE, SPLITS
from recap.errors import InputError
from recap.text.vocabulary import END, NULL, START, Vocabulary, parse_vocabulary

Encoded = tuple[NDArray[np.int32], NDArray[np.int32]]
"""Encoded captions (M, L), and (M,) the row of the image of each."""


@dataclass(frozen=True)
class Captions:
    """Encoded captions by split."""

    vocabulary: Vocabulary
    splits: Mapping[str, Encoded]

    def of(self, split: str) -> Encoded:
        """Return the captions and image rows of a split."""
        return self.splits[split]


def save_captions(directory: Path, captions: Captions) -> None:
    """Write captions.h5 and vocabulary.json."""
    arrays: dict[str, NDArray[Any]] = {}
    for split, (encoded, rows) in captions.splits.items():
        arrays[f"{split}_captions"], arrays[f"{split}_image_idxs"] = encoded, rows
    write_hdf5(directory / "captions.h5", arrays)
    write_json(directory / "vocabulary.json", captions.vocabulary.to_json())


def save_language(directory: Path, encoded: Encoded) -> None:
    """Write language.h5: captions of images that are not there."""
    write_hdf5(language_path(directory), dict(zip(_names(LANGUAGE), encoded, strict=True)))


def language_path(directory: Path) -> Path:
    """Return the file of captions of images that are not there."""
    return directory / "language.h5"


def load_captions(directory: Path) -> Captions:
    """Read what `tokenize` wrote of images into memory (captions of all COCO take 43 MB).

    Raises:
        InputError: a file is absent or holds something else.
    """
    return _load(directory, directory / "captions.h5", SPLITS)


def load_language(directory: Path) -> Encoded | None:
    """Read the captions of images that are not there; None where `tokenize` wrote none.

    Raises:
        InputError: a file holds something else.
    """
    path = language_path(directory)
    return _load(directory, path, [LANGUAGE]).of(LANGUAGE) if path.is_file() else None


def _load(directory: Path, path: Path, splits: Sequence[str]) -> Captions:
    words = directory / "vocabulary.json"
    vocabulary = parse_vocabulary(read_json(words), str(words))
    return read_encoded(path, vocabulary, dict.fromkeys(splits, (None, None)), str(path))


def read_encoded(
    path: Path, vocabulary: Vocabulary, shapes: Mapping[str, tuple[int | None, int | None]], where: str
) -> Captions:
    """Read encoded captions and image rows from an HDF5 file in the CS231n layout.

    Args:
        path: the file.
        vocabulary: of the captions.
        shapes: by split (M, L), None where any will do.
        where: named in the error.

    Raises:
        InputError: the file is absent or holds something else.
    """
    expected: dict[str, Expected] = {}
    for split, shape in shapes.items():
        name, rows_name = _names(split)
        expected |= {name: Expected(shape, "<i4"), rows_name: Expected(shape[:1], "<i4")}
    with open_checked(path, expected, where) as data_sets:
        arrays = {name: read_rows(data, 0, len(data), where) for name, data in data_sets.items()}
    return Captions(
        vocabulary, {split: (arrays[_names(split)[0]], arrays[_names(split)[1]]) for split in shapes}
    )


def load_references(directory: Path, split: str) -> dict[str, Any]:
    """Return a split's original captions in COCO's form, ``images`` in row order, with ``part`` if any."""
    return read_json(directory / f"references_{split}.json")


def check_captions(captions: Captions, images: dict[str, int], where: str) -> None:
    """Check encoded captions, with the number of images of each split, for a decoder to learn from.

    Raises:
        InputError: a shape or dtype is another, a number or image index is outside its range, or a caption
            is not <START>, words, <END>, <NULL> to the end; ``where`` is named.
    """
    for split, (encoded, rows) in captions.splits.items():
        name, rows_name = _names(split)
        if encoded.ndim != 2 or encoded.shape[1] < 2 or encoded.dtype != np.int32:
            raise InputError(
                f"{where}: {name}: expected (M, L) int32, received {encoded.shape} {encoded.dtype}"
            )
        if rows.shape != encoded.shape[:1] or rows.dtype != np.int32:
            raise InputError(
                f"{where}: {rows_name}: expected ({len(encoded)},) int32, received {rows.shape} {rows.dtype}"
            )
        _refuse_first(
            (encoded < 0) | (encoded >= len(captions.vocabulary)),
            f"{where}: {name}: expected numbers of the {len(captions.vocabulary)} words",
            encoded,
        )
        _refuse_first(
            (rows < 0) | (rows >= images[split]),
            f"{where}: {rows_name}: expected rows of {images[split]} images",
            rows,
        )
        is_end = encoded == END  # (M, L)
        wrong = (encoded[:, 0] != START) | (is_end.sum(axis=1) != 1)
        # <NULL> exactly behind <END>: elsewhere it would hide a word from the loss
        wrong |= ((encoded == NULL) != (np.cumsum(is_end, axis=1) - is_end > 0)).any(axis=1)
        wrong |= (encoded[:, 1:] == START).any(axis=1)
        _refuse_first(wrong, f"{where}: {name}: expected <START>, words, one <END>, then <NULL>", encoded)


def _names(split: str) -> tuple[str, str]:
    return f"{split}_captions", f"{split}_image_idxs"


def _refuse_first(wrong: NDArray[np.bool_], expectation: str, values: NDArray[np.int32]) -> None:
    """Raise InputError for the first row that is wrong."""
    rows = np.flatnonzero(wrong.any(axis=1) if wrong.ndim == 2 else wrong)
    if len(rows):
        raise InputError(f"{expectation}, received {values[rows[0]].tolist()} in row {rows[0]}")
