"""Features that the user has, by image id: a folder of .npy files, an .npz or an HDF5 file.

In a folder each file is named for its image, and in an .npz or HDF5 file each array, by its id or a name that
ends in it; such a file may instead hold ``image_ids`` (N,) int64 and ``features`` (N, D) float32.
Shapes: N images, D feature width.
"""

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import AbstractContextManager, ExitStack
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from recap.core.hdf5 import Expected, open_checked, open_readers, read_rows
from recap.core.input_files import check_regular
from recap.errors import InputError, expecting

IDS, FEATURES = "image_ids", "features"
Read = Callable[[], Any]


def read_given(place: Path, image_ids: Sequence[int]) -> NDArray[np.float32]:
    """Return the features (N, D) of images, in their order.

    Raises:
        InputError: there are none at that place, or not of every image one row of finite numbers.
    """
    with ExitStack() as stack:
        known = _open(place, stack)
        if not known:
            raise InputError(f"features.given: expected features of images, received none in {place}")
        rows: list[NDArray[np.float32]] = []
        for image_id in image_ids:
            if image_id not in known:
                raise InputError(f"{place}: expected features of image {image_id}, received none")
            rows.append(_row(known[image_id], f"{place}: image {image_id}"))
            if rows[-1].shape != rows[0].shape:
                raise InputError(
                    f"{place}: image {image_id}: expected {rows[0].size} features as of the others, "
                    f"received {rows[-1].size}"
                )
    return np.stack(rows) if rows else np.empty((0, 0), np.float32)


def _open(place: Path, stack: ExitStack) -> Mapping[int, Read]:
    if place.is_dir():
        paths = sorted(place.rglob("*.npy"))
        return _by_id(((path.stem, partial(_load, path)) for path in paths), place)
    if place.suffix == ".npz":
        archive = stack.enter_context(_load(place))
        if set(archive.files) != {IDS, FEATURES}:
            return _by_id(((name, partial(archive.__getitem__, name)) for name in archive.files), place)
        with _telling(place):
            ids, features = archive[IDS], archive[FEATURES]
    else:
        readers = stack.enter_context(open_readers(place, str(place)))
        if not {IDS, FEATURES} & set(readers):
            return _by_id(readers.items(), place)
        expected = {IDS: Expected((None,), "<i8"), FEATURES: Expected((None, None), "<f4")}
        data_sets = stack.enter_context(open_checked(place, expected, str(place)))
        ids, features = (
            read_rows(data_sets[name], 0, len(data_sets[name]), str(place)) for name in (IDS, FEATURES)
        )
    if ids.ndim != 1 or features.ndim != 2 or len(ids) != len(features):
        raise InputError(
            f"{place}: expected {IDS} (N,) and {FEATURES} (N, D), received {ids.shape} and {features.shape}"
        )
    return _by_id(((str(name), partial(features.__getitem__, row)) for row, name in enumerate(ids)), place)


def _load(path: Path) -> Any:
    with _telling(path):
        check_regular(path)
        return np.load(path, allow_pickle=False)


def _telling(where: object) -> AbstractContextManager[None]:
    """Turn any error of NumPy into one line; a broken file makes it raise almost anything."""
    return expecting(f"{where}: expected arrays of NumPy")


def _by_id(named: Iterable[tuple[str, Read]], place: Path) -> dict[int, Read]:
    found: dict[int, Read] = {}
    for name, read in named:
        number = re.search("([0-9]{1,18})$", name)
        if number is None or int(number[1]) in found:
            raise InputError(
                f"{place}: expected names that end in an image id of their own, received {name!r}"
            )
        found[int(number[1])] = read
    return found


def _row(read: Read, where: str) -> NDArray[np.float32]:
    with _telling(where):
        values = read()
    if not isinstance(values, np.ndarray) or values.dtype.kind not in "fiu":
        raise InputError(
            f"{where}: expected an array of numbers, received {getattr(values, 'dtype', 'none')}"
        )
    with np.errstate(over="ignore"):  # what becomes infinite is refused as such
        row = values.astype(np.float32).reshape(-1) if values.size == max(values.shape, default=0) else None
    if row is None or not row.size or not np.isfinite(row).all():
        raise InputError(f"{where}: expected finite features (D,), received {values.shape}")
    return row
