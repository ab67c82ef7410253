"""Features of the user's, by image id, in each of the forms that they come in."""

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest

from recap.errors import InputError
from recap.features.given import read_given

FEATURES = np.random.default_rng(0).normal(size=(3, 4)).astype(np.float32)
IDS = (7, 12, 300)


def a_folder(place: Path) -> Path:
    for image_id, row in zip(IDS, FEATURES, strict=True):
        (place / "inner").mkdir(exist_ok=True)
        np.save(place / "inner" / f"COCO_val2014_{image_id:012d}.npy", row[None].astype(np.float64))
    return place


def named_arrays(place: Path) -> Path:
    np.savez(place / "own.npz", **{str(image_id): row for image_id, row in zip(IDS, FEATURES, strict=True)})
    return place / "own.npz"


def two_arrays(place: Path) -> Path:
    np.savez(place / "own.npz", image_ids=np.array(IDS), features=FEATURES)
    return place / "own.npz"


def hdf5(place: Path) -> Path:
    with h5py.File(place / "own.h5", "w") as file:
        file["image_ids"], file["features"] = np.array(IDS), FEATURES
    return place / "own.h5"


def hdf5_of_images(place: Path) -> Path:
    with h5py.File(place / "own.h5", "w") as file:
        for image_id, row in zip(IDS, FEATURES, strict=True):
            file.create_dataset(
                f"COCO_val2014_{image_id:012d}", data=row[None].astype(np.float64), chunks=(1, 2)
            )
    return place / "own.h5"


@pytest.mark.parametrize("write", [a_folder, named_arrays, two_arrays, hdf5, hdf5_of_images])
def test_rows_come_by_image_id(write: Callable[[Path], Path], tmp_path: Path) -> None:
    place = write(tmp_path)
    np.testing.assert_array_equal(read_given(place, [300, 7]), FEATURES[[2, 0]])
    with pytest.raises(InputError, match="expected features of image 8, received none"):
        read_given(place, [7, 8])


@pytest.mark.timeout(60)
@pytest.mark.parametrize("name", ["own.npz", "own.h5"])
def test_a_pipe_is_refused_and_not_waited_for(name: str, tmp_path: Path) -> None:
    os.mkfifo(tmp_path / name)
    with pytest.raises(InputError, match="expected a regular file, received a pipe"):
        read_given(tmp_path / name, [7])


def save(**arrays: Any) -> Callable[[Path], Path]:
    def write(place: Path) -> Path:
        np.savez(place / "own.npz", **arrays)
        return place / "own.npz"

    return write


def text(place: Path) -> Path:
    (place / "own.npz").write_text("no arrays")
    return place / "own.npz"


def pickled(place: Path) -> Path:
    np.save(place / "7.npy", np.array([{}], dtype=object), allow_pickle=True)
    return place


def stored(**values: Any) -> Callable[[Path], Path]:
    def write(place: Path) -> Path:
        with h5py.File(place / "own.h5", "w") as file:
            for name, value in values.items():
                file[name] = value
        return place / "own.h5"

    return write


@pytest.mark.parametrize(
    ("write", "message"),
    [
        (lambda place: place, "features.given: expected features of images, received none"),
        (lambda place: place / "absent.npz", "expected arrays of NumPy, received: No such file"),
        (lambda place: place / "absent.h5", "absent.h5: expected a whole HDF5 file"),
        (stored(dog=FEATURES[0]), "names that end in an image id of their own, received 'dog'"),
        (stored(**{"7": "a word"}), "own.h5: 7: expected numbers, received object"),
        (stored(**{"7": h5py.ExternalLink("/etc/passwd", "/7")}), "7: expected a data set, received a link"),
        (stored(**{"7": h5py.Empty("f4")}), r"7: expected the shape \(\), received None"),
        (stored(**{"7/7": FEATURES[0]}), "7: expected a data set, received a group"),
        (stored(**{"7": FEATURES}), r"image 7: expected finite features \(D,\), received \(3, 4\)"),
        (stored(features=FEATURES), "image_ids: expected a data set, received none"),
        (text, "own.npz: expected arrays of NumPy"),
        (pickled, "expected arrays of NumPy, received: Object arrays cannot be loaded"),
        (save(dog=FEATURES[0]), "expected names that end in an image id of their own, received 'dog'"),
        (save(a7=FEATURES[0], b7=FEATURES[1]), "an image id of their own, received 'b7'"),
        (save(**{"7": FEATURES}), r"image 7: expected finite features \(D,\), received \(3, 4\)"),
        (save(**{"7": FEATURES[0], "12": FEATURES[0, :3]}), "image 12: expected 4 features as of the others"),
        (save(**{"7": np.array([1.0, np.nan])}), "image 7: expected finite features"),
        (save(**{"7": np.array([1e300])}), "image 7: expected finite features"),
        (save(**{"7": np.array(["a"])}), "image 7: expected an array of numbers, received <U1"),
        (save(image_ids=np.arange(2), features=FEATURES), r"expected image_ids \(N,\) and features \(N, D\)"),
    ],
)
def test_others_are_told_in_a_line(write: Callable[[Path], Path], message: str, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=message) as caught:
        read_given(write(tmp_path), [7, 12])
    assert "\n" not in str(caught.value)
