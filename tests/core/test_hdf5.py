import zlib
from collections.abc import Callable
from pathlib import Path

import h5py
import numpy as np
import pytest

from recap.core.hdf5 import Expected, open_checked, read_rows
from recap.errors import InputError

VALUES = np.arange(12, dtype=np.float32).reshape(4, 3)
EXPECTED = {"features": Expected((None, 3), "<f4")}


def read(path: Path) -> np.ndarray:
    with open_checked(path, EXPECTED, "archive.zip: features.h5") as data_sets:
        return read_rows(data_sets["features"], 0, 100, "archive.zip: features.h5")


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"chunks": (2, 3)},
        {"compression": "gzip"},
        {"compression": "gzip", "chunks": (3, 2)},
        {"compression": "gzip", "shuffle": True, "fletcher32": True},
        {"shuffle": True, "chunks": (3, 2)},
        {"fletcher32": True, "maxshape": (None, 3)},
    ],
)
def test_plain_data_sets_are_read(tmp_path: Path, options) -> None:
    with h5py.File(tmp_path / "a.h5", "w") as hdf5:
        hdf5.create_dataset("features", data=VALUES, **options)
        hdf5["extra"] = h5py.ExternalLink("/etc/passwd", "/")
    np.testing.assert_array_equal(read(tmp_path / "a.h5"), VALUES)


def external_link(hdf5: h5py.File) -> None:
    hdf5["features"] = h5py.ExternalLink("other.h5", "/features")


def soft_link(hdf5: h5py.File) -> None:
    hdf5["other"] = VALUES
    hdf5["features"] = h5py.SoftLink("/other")


def external_storage(hdf5: h5py.File) -> None:
    hdf5.create_dataset("features", shape=(4, 3), dtype="<f4", external=[("/etc/passwd", 0, 48)])


def virtual(hdf5: h5py.File) -> None:
    layout = h5py.VirtualLayout((4, 3), "<f4")
    layout[:] = h5py.VirtualSource("other.h5", "features", (4, 3))
    hdf5.create_virtual_dataset("features", layout)


def terabytes(hdf5: h5py.File) -> None:
    hdf5.create_dataset("features", shape=(1 << 39, 3), dtype="<f4", chunks=(1024, 3))


def terabytes_contiguous(hdf5: h5py.File) -> None:
    hdf5.create_dataset("features", shape=(1 << 39, 3), dtype="<f4")


def objects(hdf5: h5py.File) -> None:
    hdf5.create_dataset("features", data=np.array([["a", "b", "c"]], object), dtype=h5py.string_dtype())


def narrow(hdf5: h5py.File) -> None:
    hdf5["features"] = VALUES[:, :2]


def flat(hdf5: h5py.File) -> None:
    hdf5["features"] = VALUES[0]


def null(hdf5: h5py.File) -> None:
    hdf5["features"] = h5py.Empty("<f4")


def group(hdf5: h5py.File) -> None:
    hdf5.create_group("features")


def double(hdf5: h5py.File) -> None:
    hdf5["features"] = VALUES.astype(np.float64)


def nothing(hdf5: h5py.File) -> None:
    hdf5["other"] = VALUES


def unknown_filter(hdf5: h5py.File) -> None:
    hdf5.create_dataset("features", data=VALUES, compression="lzf")


def wide_chunks(hdf5: h5py.File) -> None:
    data_set = hdf5.create_dataset(
        "features", data=VALUES, chunks=(1 << 23, 3), maxshape=(None, 3), compression=9
    )
    assert data_set.id.get_storage_size() < 1 << 20


def deflated(content: bytes, *, times: int) -> Callable[[h5py.File], None]:
    """One chunk of 4 x 3 with any packed content, behind so many filters."""

    def fill(hdf5: h5py.File) -> None:
        properties = h5py.h5p.create(h5py.h5p.DATASET_CREATE)
        properties.set_chunk((4, 3))
        for _ in range(times):
            properties.set_filter(h5py.h5z.FILTER_DEFLATE, 0, (9,))
        space = h5py.h5s.create_simple((4, 3))
        data_set = h5py.h5d.create(hdf5.id, b"features", h5py.h5t.IEEE_F32LE, space, properties)
        packed = content
        for _ in range(times):
            packed = zlib.compress(packed, 9)
        data_set.write_direct_chunk((0, 0), packed)

    return fill


@pytest.mark.parametrize(
    ("fill", "expected"),
    [
        (unknown_filter, r"no filters of chunks but shuffle and one deflate, received \[32000\]"),
        (deflated(bytes(1 << 26), times=2), r"one deflate, received \[1, 1\]"),
        (deflated(bytes(1 << 17), times=1), "chunks of 48 bytes, received one of another size"),
        (deflated(bytes(1 << 21), times=1), r"chunks of 48 bytes, received one packed to \d+"),
        (deflated(bytes(47), times=1), "chunks of 48 bytes, received one of another size"),
        (external_link, "received a link to elsewhere"),
        (soft_link, "received a link to elsewhere"),
        (external_storage, "received external storage"),
        (virtual, "received a virtual data set"),
        (terabytes, r"received \d+ bytes"),
        (terabytes_contiguous, r"received \d+ bytes"),
        (objects, "expected float32, received object"),
        (narrow, r"expected the shape \(any, 3\), received \(4, 2\)"),
        (flat, r"expected the shape \(any, 3\), received \(3,\)"),
        (null, r"received None"),
        (group, "received a group"),
        (double, "expected float32, received float64"),
        (nothing, "expected a data set, received none"),
    ],
)
def test_hostile_files(tmp_path: Path, fill: Callable[[h5py.File], None], expected: str) -> None:
    path = tmp_path / "a.h5"
    with h5py.File(path, "w") as hdf5:
        fill(hdf5)
    assert path.stat().st_size < 10_000
    with pytest.raises(InputError, match=expected) as caught:
        read(path)
    assert str(caught.value).startswith("archive.zip: features.h5: ")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("link", [h5py.SoftLink("/elsewhere"), h5py.ExternalLink("other.h5", "/")])
def test_a_link_in_the_middle_of_a_path_is_never_followed(tmp_path: Path, link) -> None:
    with h5py.File(tmp_path / "other.h5", "w") as hdf5:
        hdf5["features"] = VALUES
    with h5py.File(tmp_path / "a.h5", "w") as hdf5:
        hdf5["elsewhere/features"] = VALUES
        hdf5["group"] = link
    expected = {"group/features": Expected((None, 3), "<f4")}
    with pytest.raises(InputError), open_checked(tmp_path / "a.h5", expected, "a.h5"):
        pass


@pytest.mark.parametrize("keep", [0, 100, 700, -4])
def test_cut_files(tmp_path: Path, keep: int) -> None:
    path = tmp_path / "a.h5"
    with h5py.File(path, "w") as hdf5:
        hdf5["features"] = VALUES
    path.write_bytes(path.read_bytes()[:keep])
    with pytest.raises(InputError, match="expected a whole HDF5 file"):
        read(path)


def test_broken_chunks(tmp_path: Path) -> None:
    path = tmp_path / "a.h5"
    values = np.random.default_rng(0).normal(size=(64, 3)).astype(np.float32)
    with h5py.File(path, "w") as hdf5:
        data_set = hdf5.create_dataset("features", data=values, chunks=(64, 3), compression="gzip")
        offset = data_set.id.get_chunk_info(0).byte_offset
    content = bytearray(path.read_bytes())
    content[offset : offset + 40] = bytes(40)
    path.write_bytes(content)
    with pytest.raises(InputError, match="expected a whole HDF5 file"):
        read(path)
