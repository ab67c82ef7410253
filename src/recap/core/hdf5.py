"""HDF5 files from outside: only plain data sets of the declared shape and dtype are read.

An HDF5 file can point at other files (external and soft links, external storage, virtual data sets) and
can declare terabytes in a kilobyte. So a data set is opened only behind a hard link at the root, and read
only when its storage, shape and dtype are the expected ones. Packed chunks are unpacked here first, up to the
size that they declare: HDF5 itself unpacks whatever comes, and again when a filter is listed twice.
"""

import math
import zlib
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import h5py
import numpy as np
from numpy.typing import NDArray

from recap.core.input_files import check_regular
from recap.errors import InputError, expecting

RATIO_LIMIT = 200  # declared bytes to stored bytes, for packed data sets
LARGEST_CHUNK = 64 << 20  # bytes, unpacked
CHECKSUM_BYTES = 4
FILTERS = (
    (),
    (h5py.h5z.FILTER_DEFLATE,),
    (h5py.h5z.FILTER_SHUFFLE,),
    (h5py.h5z.FILTER_SHUFFLE, h5py.h5z.FILTER_DEFLATE),
)
"""The ways to pack a chunk that are known to be bounded; a checksum may follow each."""


@dataclass(frozen=True)
class Expected:
    """The required shape and dtype of a data set; None stands for any length, shape, or kind of number."""

    shape: tuple[int | None, ...] | None
    dtype: str | None


@contextmanager
def open_checked(
    path: Path, expected: Mapping[str, Expected], where: str
) -> Iterator[dict[str, h5py.Dataset]]:
    """Open an HDF5 file and yield the expected data sets, checked before a value is read.

    Args:
        path: the file.
        expected: by name; nothing else in the file is touched.
        where: named in errors.

    Raises:
        InputError: the file is not HDF5, or a data set is absent or not as expected.
    """
    check_regular(path)
    with ExitStack() as stack:
        with _telling(where):
            hdf5 = stack.enter_context(h5py.File(path, "r"))
            size = path.stat().st_size
            data_sets = {name: _checked(hdf5, name, want, size, where) for name, want in expected.items()}
        yield data_sets


@contextmanager
def open_readers(path: Path, where: str) -> Iterator[dict[str, Callable[[], NDArray[Any]]]]:
    """Open an HDF5 file and yield a reader of each data set of numbers at its root, by name.

    Raises:
        InputError: the file is not HDF5; by a reader, the data set is none of numbers or not whole.
    """
    check_regular(path)
    with ExitStack() as stack:
        with _telling(where):
            hdf5, size = stack.enter_context(h5py.File(path, "r")), path.stat().st_size
            names = list(hdf5)

        def read(name: str) -> NDArray[Any]:
            with _telling(where):
                return _checked(hdf5, name, Expected(None, None), size, where)[()]

        yield {name: partial(read, name) for name in names}


def read_rows(data_set: h5py.Dataset, start: int, stop: int, where: str) -> NDArray[Any]:
    """Read rows ``start`` to ``stop`` of a checked data set.

    Raises:
        InputError: they cannot be read.
    """
    with _telling(where):
        return data_set[start:stop]


def _telling(where: str) -> AbstractContextManager[None]:
    """Turn any error of HDF5 into one line; a broken file makes h5py raise almost anything."""
    return expecting(f"{where}: expected a whole HDF5 file")


def _checked(hdf5: h5py.File, name: str, expected: Expected, file_bytes: int, where: str) -> h5py.Dataset:
    data_set = _data_set(hdf5, name, expected, where)
    _check_storage(data_set, file_bytes, where)
    _check_chunks(data_set, where)
    return data_set


def _data_set(hdf5: h5py.File, name: str, expected: Expected, where: str) -> h5py.Dataset:
    place = f"{where}: {name}"
    data_set: h5py.Group | h5py.Dataset = hdf5
    for part in name.split("/"):
        try:
            link = data_set.get(part, getlink=True) if isinstance(data_set, h5py.Group) else None
        except (KeyError, TypeError, ValueError):  # a kind of link that only plug-ins know
            link = None
        if link is None:
            raise InputError(f"{place}: expected a data set, received none")
        if not isinstance(link, h5py.HardLink):
            raise InputError(f"{place}: expected a data set, received a link to elsewhere")
        data_set = data_set[part]
    if not isinstance(data_set, h5py.Dataset):
        raise InputError(f"{place}: expected a data set, received a {type(data_set).__name__.lower()}")
    properties = data_set.id.get_create_plist()
    if properties.get_layout() == h5py.h5d.VIRTUAL:
        raise InputError(f"{place}: expected its values in the file, received a virtual data set")
    if properties.get_external_count():
        raise InputError(f"{place}: expected its values in the file, received external storage")
    if data_set.dtype.kind not in "fiu" if expected.dtype is None else data_set.dtype != expected.dtype:
        wanted = "numbers" if expected.dtype is None else np.dtype(expected.dtype).name
        raise InputError(f"{place}: expected {wanted}, received {data_set.dtype}")
    shape, lengths = data_set.shape, expected.shape
    if (
        shape is None
        or (lengths is not None and len(shape) != len(lengths))
        or any(want not in (None, length) for want, length in zip(lengths or shape, shape, strict=True))
    ):
        wanted = ", ".join("any" if want is None else str(want) for want in lengths or ())
        raise InputError(f"{place}: expected the shape ({wanted}), received {shape}")
    return data_set


def _check_storage(data_set: h5py.Dataset, file_bytes: int, where: str) -> None:
    """Refuse a data set that declares more than the file holds."""
    declared = math.prod(data_set.shape) * data_set.dtype.itemsize
    stored = min(data_set.id.get_storage_size(), file_bytes)
    if data_set.chunks:
        stored *= RATIO_LIMIT
    elif (offset := data_set.id.get_offset()) is not None:
        stored = min(stored, file_bytes - offset)
    if declared > stored:
        raise InputError(
            f"{where}: {data_set.name[1:]}: expected the values of {data_set.shape} in the file, "
            f"received {file_bytes} bytes"
        )


def _check_chunks(data_set: h5py.Dataset, where: str) -> None:
    """Refuse chunks that unpack to another size than they declare, before HDF5 unpacks them."""
    if not data_set.chunks:
        return
    place = f"{where}: {data_set.name[1:]}"
    properties = data_set.id.get_create_plist()
    codes = [properties.get_filter(number)[0] for number in range(properties.get_nfilters())]
    has_checksum = codes[-1:] == [h5py.h5z.FILTER_FLETCHER32]
    packing = tuple(codes[:-1] if has_checksum else codes)
    if packing not in FILTERS:
        raise InputError(
            f"{place}: expected no filters of chunks but shuffle and one deflate, received {codes}"
        )
    size = math.prod(data_set.chunks) * data_set.dtype.itemsize
    if size > LARGEST_CHUNK:
        raise InputError(f"{place}: expected chunks of at most {LARGEST_CHUNK} bytes, received {size}")
    for number in range(data_set.id.get_num_chunks()):
        chunk = data_set.id.get_chunk_info(number)
        if chunk.size > 2 * size + 1024:  # deflate adds a thousandth at most
            raise InputError(f"{place}: expected chunks of {size} bytes, received one packed to {chunk.size}")
        skipped, packed = data_set.id.read_direct_chunk(chunk.chunk_offset)
        if has_checksum and not skipped >> len(packing) & 1:
            packed = packed[:-CHECKSUM_BYTES]
        is_deflated = packing[-1:] == (h5py.h5z.FILTER_DEFLATE,) and not skipped >> len(packing) - 1 & 1
        unpacked = len(zlib.decompressobj().decompress(packed, size + 1)) if is_deflated else len(packed)
        if unpacked != size:
            raise InputError(f"{place}: expected chunks of {size} bytes, received one of another size")
