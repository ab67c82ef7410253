from pathlib import Path

import numpy as np
import pytest

from recap.core.raw_data import SPLITS
from recap.errors import InputError
from recap.text.captions import Captions, check_captions, load_captions, save_captions
from recap.text.vocabulary import SPECIAL_WORDS, Vocabulary

GOOD = [[1, 4, 5, 2, 0], [1, 2, 0, 0, 0], [1, 4, 4, 4, 2]]


def captions_with(train, rows=(0, 1, 1), dtype=np.int32) -> Captions:
    return Captions(
        Vocabulary((*SPECIAL_WORDS, "a", "b")),
        {
            "train": (np.array(train, dtype), np.array(rows, np.int32)),
            "validation": (np.array(GOOD, np.int32), np.zeros(3, np.int32)),
            "test": (np.array(GOOD, np.int32), np.zeros(3, np.int32)),
        },
    )


def test_what_is_saved_is_loaded(tmp_path: Path) -> None:
    captions = captions_with(GOOD)
    save_captions(tmp_path, captions)
    loaded = load_captions(tmp_path)
    check_captions(loaded, {"train": 2, "validation": 1, "test": 1}, "captions.h5")
    assert loaded.vocabulary == captions.vocabulary
    for split in SPLITS:
        for mine, theirs in zip(captions.of(split), loaded.of(split), strict=True):
            np.testing.assert_array_equal(mine, theirs)


@pytest.mark.parametrize(
    ("captions", "expected"),
    [
        (captions_with([[1, 4, 5, 4, 0]] * 3), "one <END>"),
        (captions_with([[4, 4, 5, 2, 0]] * 3), "<START>, words"),
        (captions_with([[1, 4, 2, 4, 0]] * 3), "then <NULL>"),
        (captions_with([[1, 4, 0, 4, 2]] * 3), "then <NULL>"),
        (captions_with([[1, 1, 4, 2, 0]] * 3), "<START>, words"),
        (captions_with([[1, 4, 6, 2, 0]] * 3), "numbers of the 6 words.*in row 0"),
        (captions_with([GOOD[0], [1, -1, 2, 0, 0], GOOD[1]]), "numbers of the 6 words.*in row 1"),
        (captions_with(GOOD, rows=(0, 1, 2)), "rows of 2 images, received 2 in row 2"),
        (captions_with(GOOD, rows=(0, -1, 1)), "rows of 2 images"),
        (captions_with(GOOD, rows=(0, 1)), r"expected \(3,\) int32"),
        (captions_with(GOOD, dtype=np.int64), r"expected \(M, L\) int32"),
        (captions_with(GOOD[0]), r"expected \(M, L\) int32"),
    ],
)
def test_captions_that_no_decoder_can_learn(captions: Captions, expected: str) -> None:
    with pytest.raises(InputError, match=expected):
        check_captions(captions, {"train": 2, "validation": 1, "test": 1}, "captions.h5")


def test_absent_captions_are_one_line(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"vocabulary\.json: expected a readable file"):
        load_captions(tmp_path)
    save_captions(tmp_path, captions_with(GOOD))
    (tmp_path / "captions.h5").write_bytes(b"no HDF5")
    with pytest.raises(InputError, match=r"captions\.h5: expected a whole HDF5 file"):
        load_captions(tmp_path)
