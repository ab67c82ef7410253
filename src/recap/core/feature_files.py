"""Feature files: one HDF5 data set "features" (N, D) float32, contiguous, so that readers can map it.

Reading a batch through h5py costs milliseconds, through the map microseconds, and nothing is loaded that
is not used. Shapes: N images, D feature width.
"""

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import BinaryIO

import numpy as np
from numpy.typing import NDArray

from recap.core.artifacts import write_atomically, write_json
from recap.core.input_files import read_json
from recap.errors import InputError, expecting

DATASET = "features"
GRID_FILE = "grid.json"
"""Beside features whose last columns are maps with places: how many places, and channels of each."""
Grid = tuple[int, int]
NO_GRID: Grid = (0, 0)
BLOCK_ROWS = 2048
"""Rows that are read and computed at once; sums depend on it."""


def write_grid(directory: Path, grid: Grid) -> None:
    """Tell places and channels of the features in a folder; nothing where they have none."""
    if grid != NO_GRID:
        write_json(directory / GRID_FILE, {"places": grid[0], "channels": grid[1]})


def read_grid(directory: Path) -> Grid:
    """Return places and channels of the features in a folder, ``NO_GRID`` where they have none.

    Raises:
        InputError: the file holds something else.
    """
    path = directory / GRID_FILE
    if not path.is_file():
        return NO_GRID
    with expecting(f"{path}: expected places and channels of a grid"):
        found = read_json(path)
        return int(found["places"]), int(found["channels"])


def write_features(path: Path, features: NDArray[np.float32]) -> None:
    """Write features (N, D) float32; the same bytes for the same features."""
    write_feature_blocks(path, features.shape, [features])


def write_feature_blocks(path: Path, shape: tuple[int, ...], blocks: Iterable[NDArray[np.float32]]) -> None:
    """Write features (N, D) that come in blocks (rows, D) float32; only one block is in memory.

    The file appears, whole, when the last block is written.
    """
    if len(shape) != 2:
        raise ValueError(f"features: expected the shape (N, D), received {shape}")

    def write(file: BinaryIO) -> None:
        file.seek(declare_features(file, shape))
        rows = 0
        for block in blocks:
            if block.dtype != np.float32 or block.ndim != 2 or block.shape[1] != shape[1]:
                raise ValueError(
                    f"features: expected a block (rows, {shape[1]}) float32, "
                    f"received {block.shape} {block.dtype}"
                )
            file.write(np.ascontiguousarray(block).data)
            rows += len(block)
        if rows != shape[0]:
            raise ValueError(f"features: expected {shape[0]} rows, received {rows}")

    write_atomically(path, write)


def declare_features(file: BinaryIO, shape: tuple[int, ...]) -> int:
    """Declare the data set (N, D) in an empty file and reserve its place; return the byte where it begins."""
    import h5py

    with h5py.File(file, "w") as hdf5:
        properties = h5py.h5p.create(h5py.h5p.DATASET_CREATE)
        properties.set_layout(h5py.h5d.CONTIGUOUS)
        properties.set_alloc_time(h5py.h5d.ALLOC_TIME_EARLY)
        properties.set_fill_time(h5py.h5d.FILL_TIME_NEVER)
        properties.set_obj_track_times(False)
        space = h5py.h5s.create_simple(shape)
        data_set = h5py.h5d.create(hdf5.id, DATASET.encode(), h5py.h5t.IEEE_F32LE, space, properties)
        return data_set.get_offset() or 0


def open_features(path: Path) -> NDArray[np.float32]:
    """Map a feature file read-only: (N, D) float32; bytes are read from disk when they are used.

    Raises:
        InputError: the file is absent, not HDF5, or holds something else.
    """
    import h5py

    # a broken file makes h5py raise almost anything
    with expecting(f"{path}: expected a feature file (HDF5)"), h5py.File(path, "r") as hdf5:
        link = hdf5.get(DATASET, getlink=True)
        data_set = hdf5[DATASET] if isinstance(link, h5py.HardLink) else None
        if not isinstance(data_set, h5py.Dataset):
            raise InputError(f"{path}: expected a data set {DATASET!r}, received none")
        shape, kind = data_set.shape, data_set.dtype
        properties = data_set.id.get_create_plist()
        is_plain = properties.get_layout() == h5py.h5d.CONTIGUOUS and not properties.get_external_count()
        offset = data_set.id.get_offset()
    if (
        shape is None
        or len(shape) != 2
        or kind != np.dtype("<f4")
        or not is_plain
        or (offset is None and 0 not in shape)
    ):
        raise InputError(
            f"{path}: expected contiguous (N, D) float32 in {DATASET!r}, received {shape} {kind}"
            + ("" if is_plain else ", not contiguous")
        )
    if 0 in shape:
        return np.empty(shape, np.float32)
    if offset + 4 * shape[0] * shape[1] > path.stat().st_size:
        raise InputError(f"{path}: expected all of {shape} float32, received a shorter file")
    return np.memmap(path, dtype="<f4", mode="r", offset=offset, shape=shape)


def read_blocks(path: Path, rows: int = BLOCK_ROWS) -> Iterator[NDArray[np.float32]]:
    """Yield blocks of at most ``rows`` rows (rows, D) float32, in order; read, as a map would stay in memory.

    Raises:
        InputError: as in ``open_features``.
    """
    features = open_features(path)
    offset = features.offset if isinstance(features, np.memmap) else 0
    count, width = features.shape
    del features
    with open(path, "rb") as file:
        file.seek(offset)
        for start in range(0, count, rows):
            wanted = min(rows, count - start)
            block = np.fromfile(file, dtype="<f4", count=wanted * width)
            if block.size != wanted * width:
                raise InputError(f"{path}: expected {count} rows of {width} float32, received fewer")
            yield block.reshape(wanted, width)  # (rows, D)


def finite(blocks: Iterable[NDArray[np.float32]], where: object) -> Iterator[NDArray[np.float32]]:
    """Yield blocks (rows, D) unchanged, after a check.

    Raises:
        InputError: NaN or infinity in a row; the message begins with ``where``.
    """
    start = 0
    for block in blocks:
        is_finite = np.isfinite(block).all(axis=1)
        if not is_finite.all():
            row = start + int(np.argmin(is_finite))
            raise InputError(
                f"{where}: expected finite features of moderate size, received NaN or infinity in row {row}"
            )
        start += len(block)
        yield block
