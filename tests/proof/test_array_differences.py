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

from recap.proof.differences import first_difference


def write_hdf5(path: Path, arrays: dict[str, Any]) -> None:
    with h5py.File(path, "w") as hdf5:
        for name, values in arrays.items():
            hdf5.create_dataset(name, data=values)


def write_safetensors(path: Path, arrays: dict[str, Any]) -> None:
    save_file({name: np.array(values, order="C") for name, values in arrays.items()}, path)


ARRAYS: dict[str, Callable[[Path, dict[str, Any]], None]] = {
    ".h5": write_hdf5,
    ".safetensors": write_safetensors,
}


@pytest.fixture
def pair(tmp_path: Path) -> Callable[[str, Any, Any], str]:
    """Writes two files of a format, of arrays by name or of pixels, and gives their first difference."""

    def difference(ending: str, expected: Any, received: Any) -> str:
        paths = tmp_path / f"expected{ending}", tmp_path / f"received{ending}"
        for path, content in zip(paths, (expected, received), strict=True):
            if isinstance(content, dict):
                ARRAYS[ending](path, content)
            else:
                Image.fromarray(content).save(path)
        return first_difference(*paths)

    return difference


@pytest.mark.parametrize("ending", list(ARRAYS))
def test_an_element_is_named_by_array_index_and_values(pair, ending: str) -> None:
    ours = {"a": np.zeros(3, np.int32), "b": np.arange(6, dtype=np.float32).reshape(2, 3) / 10}
    theirs = {"a": ours["a"], "b": ours["b"].copy()}
    theirs["b"][1, 2], theirs["b"][1, 1] = 7, 8
    assert pair(ending, ours, theirs) == "b[1, 1]: expected 0.4, received 8.0"


@pytest.mark.parametrize("ending", list(ARRAYS))
@pytest.mark.parametrize(
    ("ours", "theirs", "found"),
    [
        ({"a": np.zeros(2)}, {"b": np.zeros(2)}, "a: missing"),
        ({"b": np.zeros(2)}, {"a": np.ones(2), "b": np.ones(2)}, "a: extra"),
        (
            {"a": np.zeros(2)},
            {"a": np.zeros(2, np.float32)},
            "a: expected float64 (2,), received float32 (2,)",
        ),
        ({"a": np.zeros(2)}, {"a": np.zeros((2, 1))}, "a: expected float64 (2,), received float64 (2, 1)"),
        ({"a": np.array(1.5)}, {"a": np.array(2.5)}, "a[]: expected 1.5, received 2.5"),
        ({"a": np.array([0.0])}, {"a": np.array([-0.0])}, "a[0]: expected 0.0, received -0.0"),
        ({"a": np.array([np.nan, 1])}, {"a": np.array([np.nan, 2])}, "a[1]: expected 1.0, received 2.0"),
        (
            {"a": np.zeros((0, 3))},
            {"a": np.zeros((0, 4))},
            "a: expected float64 (0, 3), received float64 (0, 4)",
        ),
    ],
)
def test_names_types_and_shapes_come_before_values(pair, ending: str, ours, theirs, found: str) -> None:
    assert pair(ending, ours, theirs) == found


def test_links_out_of_hdf5_are_not_followed(pair, tmp_path: Path) -> None:
    for name, value in (("one", 0), ("two", 1)):
        write_hdf5(tmp_path / f"{name}.h5", {"a": np.array([value])})
    paths = tmp_path / "x.h5", tmp_path / "y.h5"
    for path, target in zip(paths, ("one.h5", "two.h5"), strict=True):
        with h5py.File(path, "w") as hdf5:
            hdf5["a"] = h5py.ExternalLink(target, "a")
    assert first_difference(*paths).startswith("cannot be read as HDF5; byte ")


def test_pixels_are_named_by_row_and_column(pair) -> None:
    ours = np.zeros((4, 5, 3), np.uint8)
    theirs = ours.copy()
    theirs[2, 3], theirs[3, 0] = (0, 2, 3), 9
    assert pair(".png", ours, theirs) == "pixels[2, 3, 1]: expected 0, received 2"
    assert pair(".png", ours[:, :, 1], theirs[:, :, 1]) == "pixels[2, 3]: expected 0, received 2"
    assert pair(".png", ours, ours[:3]) == "pixels: expected uint8 (4, 5, 3), received uint8 (3, 5, 3)"


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
        ARRAYS[ending](folder / f"{name}{ending}", {"x": values})
    found = first_difference(folder / f"ours{ending}", folder / f"theirs{ending}")
    if not changed:
        assert "x[" not in found
    else:
        index = [int(part) for part in np.unravel_index(min(changed), shape)]
        assert found == f"x{index}: expected {min(changed)}, received -1"
