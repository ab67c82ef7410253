"""HDF5 files from outside: only plain data sets of the declared shape and dtype are read.

An HDF5 file can point at other files (external and soft links, external storage, virtual data sets) and
can declare terabytes in a kilobyte. So a data set is opened only behind a hard link at the root, and read
only when its storage, shape and dtype are the expected ones. Packed chunks are unpacked here first, up to the
size that they declare: HDF5 itself unpacks whatever comes, and again when a filter is listed twice.
"""

import math
import zlib
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import h5py
import numpy as np
from numpy.typing import NDArray

from recap.errors import InputError

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
    """What a data set must be; None in ``shape`` stands for any length."""

    shape: tuple[int | None, ...]
    dtype: str


@contextmanager
def open_checked(
    path: Path, expected: Mapping[str, Expected], where: str
) -> Iterator[dict[str, h5py.Dataset]]:
    """Open an HDF5 file and give the expected data sets, checked before a value is read.

    Args:
        path: the file.
        expected: by name; what else the file holds is never touched.
        where: named in the error.

    Raises:
        InputError: the file is not HDF5, or a data set is absent or not as expected.
    """
    with ExitStack() as stack:
        with _telling(where):
            hdf5 = stack.enter_context(h5py.File(path, "r"))
            data_sets = {name: _data_set(hdf5, name, want, where) for name, want in expected.items()}
            for data_set in data_sets.values():
                _check_storage(data_set, path.stat().st_size, where)
                _check_chunks(data_set, where)
        yield data_sets


def read_rows(data_set: h5py.Dataset, start: int, stop: int, where: str) -> NDArray[Any]:
    """Rows ``start`` to ``stop`` of a checked data set.

    Raises:
        InputError: they cannot be read.
    """
    with _telling(where):
        rows: NDArray[Any] = data_set[start:stop]
    return rows


@contextmanager
def _telling(where: str) -> Iterator[None]:
    """Tell in one line what HDF5 finds in a file; a broken one makes h5py raise almost anything."""
    try:
        yield
    except InputError:
        raise
    except Exception as error:
        reason = " ".join(str(error).split()) or type(error).__name__
        raise InputError(f"{where}: expected a whole HDF5 file, received: {reason}") from None


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
    if data_set.dtype != np.dtype(expected.dtype):
        raise InputError(f"{place}: expected {np.dtype(expected.dtype).name}, received {data_set.dtype}")
    shape = data_set.shape
    if (
        shape is None
        or len(shape) != len(expected.shape)
        or any(want not in (None, length) for want, length in zip(expected.shape, shape, strict=True))
    ):
        wanted = ", ".join("any" if want is None else str(want) for want in expected.shape)
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
