"""Finds the first difference of two files of arrays or pixels: name, index and values."""

import math
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from numpy.typing import NDArray

BLOCK_BYTES = 2**24
"""How much of an HDF5 data set is compared at a time."""
UNPACKED_BYTES = 2**32
"""How much an .npz archive may unpack to."""


def safetensors_difference(expected: Path, received: Path) -> str:
    """Find the first tensor, by name, and element that differ; empty when none does."""
    from safetensors import safe_open

    with safe_open(expected, framework="numpy") as ours, safe_open(received, framework="numpy") as theirs:
        return _named_difference("tensor", ours.keys(), theirs.keys(), ours.get_tensor, theirs.get_tensor)


def npz_difference(expected: Path, received: Path) -> str:
    """Find the first array, by name, and element that differ; empty when none does."""
    import zipfile

    import numpy as np

    for path in (expected, received):
        with zipfile.ZipFile(path) as archive:
            if sum(member.file_size for member in archive.infolist()) > UNPACKED_BYTES:
                raise ValueError("an archive that unpacks to too much")
    with np.load(expected, allow_pickle=False) as ours, np.load(received, allow_pickle=False) as theirs:
        return _named_difference("array", ours.files, theirs.files, ours.__getitem__, theirs.__getitem__)


def hdf5_difference(expected: Path, received: Path) -> str:
    """Find the first data set, by name, and element that differ; empty when none does.

    Links to elsewhere are not followed, and data sets that declare more than their file holds are not read.
    """
    from recap.core.hdf5 import Expected, open_checked

    ours, theirs = _layouts(expected), _layouts(received)
    if found := _absent_name("data set", ours, theirs):
        return found
    for name in sorted(ours):
        if found := _layout_difference(f"data set {name}", ours[name], theirs[name]):
            return found
    wanted = {name: Expected(shape, dtype.str) for name, (dtype, shape) in ours.items()}
    with open_checked(expected, wanted, "") as left, open_checked(received, wanted, "") as right:
        for name in sorted(wanted):
            for start, stop in _blocks(left[name]):
                rows = slice(start, stop) if left[name].shape else ()
                found = _element_difference(f"data set {name}", left[name][rows], right[name][rows], start)
                if found:
                    return found
    return ""


def png_difference(expected: Path, received: Path) -> str:
    """Find the first pixel that differs, by row and column; empty when none does."""
    import numpy as np
    from PIL import Image

    with Image.open(expected, formats=["PNG"]) as ours, Image.open(received, formats=["PNG"]) as theirs:
        if (ours.size, ours.mode) != (theirs.size, theirs.mode):
            shown = ["{}x{} {}".format(*image.size, image.mode) for image in (ours, theirs)]
            return f"pixels: expected {shown[0]}, received {shown[1]}"
        pixels = [
            np.asarray(image.convert("RGBA") if image.mode == "P" else image) for image in (ours, theirs)
        ]
    differing = np.argwhere(pixels[0] != pixels[1])
    if not len(differing):
        return ""
    row, column = (int(index) for index in differing[0][:2])
    values = [side[row, column].tolist() for side in pixels]
    return f"pixel row {row}, column {column}: expected {values[0]}, received {values[1]}"


def _named_difference(
    kind: str,
    ours: Sequence[str],
    theirs: Sequence[str],
    our_array: Callable[[str], "NDArray[Any]"],
    their_array: Callable[[str], "NDArray[Any]"],
) -> str:
    if found := _absent_name(kind, ours, theirs):
        return found
    for name in sorted(ours):
        left, right = our_array(name), their_array(name)
        layouts = ((left.dtype, left.shape), (right.dtype, right.shape))
        found = _layout_difference(f"{kind} {name}", *layouts) or _element_difference(
            f"{kind} {name}", left, right
        )
        if found:
            return found
    return ""


def _absent_name(kind: str, ours: Any, theirs: Any) -> str:
    """Find the first name that one side lacks; then the common arrays are not compared."""
    absent = sorted(set(ours) ^ set(theirs))
    if not absent:
        return ""
    return f"{kind} {absent[0]}: " + ("missing" if absent[0] in ours else "extra")


def _layout_difference(name: str, ours: tuple[Any, Any], theirs: tuple[Any, Any]) -> str:
    for what, left, right in zip(("dtype", "shape"), ours, theirs, strict=True):
        if left != right:
            return f"{name}: {what}: expected {left}, received {right}"
    return ""


def _element_difference(name: str, ours: "NDArray[Any]", theirs: "NDArray[Any]", first_row: int = 0) -> str:
    """Find the first element whose bits differ, of arrays of one dtype and shape.

    ``first_row`` is the index of their first row in the whole array, which ``name`` names.
    """
    import numpy as np

    ours, theirs = np.asarray(ours), np.asarray(theirs)
    if ours.size == 0 or ours.dtype.itemsize == 0:
        return ""
    if ours.dtype.hasobject:
        differs = np.array([left != right for left, right in zip(ours.flat, theirs.flat, strict=True)])
    else:
        sides = (np.ascontiguousarray(side).reshape(-1).view(np.uint8) for side in (ours, theirs))
        left, right = (side.reshape(ours.size, ours.dtype.itemsize) for side in sides)
        differs = (left != right).any(axis=1)
    if not differs.any():
        return ""
    flat = int(differs.argmax())
    index = [int(part) for part in np.unravel_index(flat, ours.shape)]
    if index:
        index[0] += first_row
    place = f"{name}[{', '.join(map(str, index))}]" if index else name
    values = [_value(side, flat) for side in (ours, theirs)]
    alike = " (other bits)" if values[0] == values[1] else ""
    return f"{place}: expected {values[0]}, received {values[1]}{alike}"


def _value(array: "NDArray[Any]", flat: int) -> str:
    """Return an element in its shortest exact form."""
    value = array.reshape(-1)[flat]
    return (
        repr(value.item() if hasattr(value, "item") else value) if array.dtype.kind in "SUVO" else str(value)
    )


def _layouts(path: Path) -> dict[str, tuple[Any, Any]]:
    """Return dtype and shape of the data sets of an HDF5 file, by name; those behind links are left out."""
    import h5py

    found: dict[str, tuple[Any, Any]] = {}

    def visit(name: str, node: Any) -> None:
        if isinstance(node, h5py.Dataset):
            found[name] = (node.dtype, node.shape)

    with h5py.File(path, "r") as hdf5:
        hdf5.visititems(visit)
    return found


def _blocks(data_set: Any) -> Iterator[tuple[int, int]]:
    """Yield ranges of rows of about ``BLOCK_BYTES``."""
    if not data_set.shape:
        yield 0, 1
        return
    row_bytes = max(math.prod(data_set.shape[1:]) * data_set.dtype.itemsize, 1)
    rows = max(BLOCK_BYTES // row_bytes, 1)
    for start in range(0, data_set.shape[0], rows):
        yield start, min(start + rows, data_set.shape[0])
