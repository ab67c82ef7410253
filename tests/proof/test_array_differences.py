"""The first difference of files of arrays and pixels: name, index and values."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image
from safetensors.numpy import save_file

import recap.proof.array_differences
from recap.proof.differences import first_difference


def write_hdf5(path: Path, arrays: dict[str, Any]) -> None:
    with h5py.File(path, "w") as hdf5:
        for name, values in arrays.items():
            hdf5.create_dataset(name, data=values)


def write_npz(path: Path, arrays: dict[str, Any]) -> None:
    np.savez(path, **arrays)


def write_safetensors(path: Path, arrays: dict[str, Any]) -> None:
    save_file({name: np.array(values, order="C") for name, values in arrays.items()}, path)


ARRAYS: dict[str, tuple[str, Callable[[Path, dict[str, Any]], None]]] = {
    ".h5": ("data set", write_hdf5),
    ".npz": ("array", write_npz),
    ".safetensors": ("tensor", write_safetensors),
}


@pytest.fixture
def pair(tmp_path: Path) -> Callable[[str, Any, Any], str]:
    """Writes two files of a format, of arrays by name or of pixels, and gives their first difference."""

    def difference(ending: str, expected: Any, received: Any) -> str:
        paths = tmp_path / f"expected{ending}", tmp_path / f"received{ending}"
        for path, content in zip(paths, (expected, received), strict=True):
            if isinstance(content, dict):
                ARRAYS[ending][1](path, content)
            else:
                Image.fromarray(content).save(path)
        return first_difference(*paths)

    return difference


@pytest.mark.parametrize("ending", list(ARRAYS))
def test_an_element_is_named_by_array_index_and_values(pair, ending: str) -> None:
    ours = {"a": np.zeros(3, np.int32), "b": np.arange(6, dtype=np.float32).reshape(2, 3) / 10}
    theirs = {"a": ours["a"], "b": ours["b"].copy()}
    theirs["b"][1, 2], theirs["b"][1, 1] = 7, 8
    assert pair(ending, ours, theirs) == f"{ARRAYS[ending][0]} b[1, 1]: expected 0.4, received 8.0"


@pytest.mark.parametrize("ending", list(ARRAYS))
@pytest.mark.parametrize(
    ("ours", "theirs", "found"),
    [
        ({"a": np.zeros(2)}, {"b": np.zeros(2)}, " a: missing"),
        ({"b": np.zeros(2)}, {"a": np.ones(2), "b": np.ones(2)}, " a: extra"),
        ({"a": np.zeros(2)}, {"a": np.zeros(2, np.float32)}, " a: dtype: expected float64, received float32"),
        ({"a": np.zeros(2)}, {"a": np.zeros((2, 1))}, " a: shape: expected (2,), received (2, 1)"),
        ({"a": np.array(1.5)}, {"a": np.array(2.5)}, " a: expected 1.5, received 2.5"),
        ({"a": np.array([0.0])}, {"a": np.array([-0.0])}, " a[0]: expected 0.0, received -0.0"),
        ({"a": np.array([np.nan, 1])}, {"a": np.array([np.nan, 2])}, " a[1]: expected 1.0, received 2.0"),
        ({"a": np.array([True])}, {"a": np.array([False])}, " a[0]: expected True, received False"),
        ({"a": np.zeros((0, 3))}, {"a": np.zeros((0, 4))}, " a: shape: expected (0, 3), received (0, 4)"),
    ],
)
def test_names_types_and_shapes_come_before_values(pair, ending: str, ours, theirs, found: str) -> None:
    assert pair(ending, ours, theirs) == ARRAYS[ending][0] + found


def test_bits_that_print_alike_are_said_to_differ(pair) -> None:
    ours = np.array([0x7FC00000], np.uint32).view(np.float32)
    theirs = np.array([0x7FC00001], np.uint32).view(np.float32)
    assert pair(".npz", {"a": ours}, {"a": theirs}) == "array a[0]: expected nan, received nan (other bits)"


def test_the_rows_of_a_long_data_set_are_counted_from_its_start(pair, monkeypatch) -> None:
    monkeypatch.setattr(recap.proof.array_differences, "BLOCK_BYTES", 100)
    ours = np.zeros((70, 5), np.float32)
    theirs = ours.copy()
    theirs[63, 4] = 1
    assert pair(".h5", {"x/y": ours}, {"x/y": theirs}) == "data set x/y[63, 4]: expected 0.0, received 1.0"


def test_texts_in_hdf5_are_compared(pair) -> None:
    found = pair(".h5", {"a": np.array([b"one", b"two"])}, {"a": np.array([b"one", b"ten"])})
    assert found == "data set a[1]: expected b'two', received b'ten'"
    found = pair(".h5", {"a": ["one", "two"]}, {"a": ["one", "ten"]})
    assert found == "data set a[1]: expected b'two', received b'ten'"


def test_links_out_of_hdf5_are_not_followed(pair, tmp_path: Path) -> None:
    write_hdf5(tmp_path / "secret.h5", {"a": np.zeros(1)})
    paths = tmp_path / "x.h5", tmp_path / "y.h5"
    for path, target in zip(paths, ("secret.h5", "elsewhere.h5"), strict=True):
        with h5py.File(path, "w") as hdf5:
            hdf5["a"] = h5py.ExternalLink(target, "a")
    assert first_difference(*paths).startswith("same values, other bytes; byte ")


def test_pixels_are_named_by_row_and_column(pair) -> None:
    ours = np.zeros((4, 5, 3), np.uint8)
    theirs = ours.copy()
    theirs[2, 3], theirs[3, 0] = (1, 2, 3), 9
    found = pair(".png", ours, theirs)
    assert found == "pixel row 2, column 3: expected [0, 0, 0], received [1, 2, 3]"
    grey = pair(".png", ours[:, :, 0], theirs[:, :, 0])
    assert grey == "pixel row 2, column 3: expected 0, received 1"
    assert pair(".png", ours, ours[:3]) == "pixels: expected 5x4 RGB, received 5x3 RGB"
    assert pair(".png", ours, ours[:, :, 0]) == "pixels: expected 5x4 RGB, received 5x4 L"


def test_nothing_in_an_archive_is_unpickled_or_unpacked_without_bound(pair, monkeypatch) -> None:
    objects = np.array([{}], dtype=object)
    assert pair(".npz", {"a": objects}, {"a": np.zeros(1)}).startswith("cannot be read as npz")
    monkeypatch.setattr(recap.proof.array_differences, "UNPACKED_BYTES", 100)
    assert pair(".npz", {"a": np.zeros(99)}, {"a": np.ones(99)}).startswith("cannot be read as npz")


@pytest.mark.parametrize("ending", list(ARRAYS))
@given(data=st.data())
def test_the_first_of_several_elements_is_found(tmp_path_factory, ending: str, data: st.DataObject) -> None:
    shape = tuple(data.draw(st.lists(st.integers(1, 4), min_size=1, max_size=3)))
    ours = np.arange(np.prod(shape), dtype=np.int64).reshape(shape)
    changed = data.draw(st.sets(st.integers(0, ours.size - 1), max_size=3))
    theirs = ours.copy()
    theirs.reshape(-1)[sorted(changed)] = -1
    folder = tmp_path_factory.mktemp("arrays")
    for name, values in (("ours", ours), ("theirs", theirs)):
        ARRAYS[ending][1](folder / f"{name}{ending}", {"x": values})
    found = first_difference(folder / f"ours{ending}", folder / f"theirs{ending}")
    if not changed:
        assert "x[" not in found
    else:
        index = [int(part) for part in np.unravel_index(min(changed), shape)]
        assert found == f"{ARRAYS[ending][0]} x{index}: expected {min(changed)}, received -1"
