"""Writers: whole or not at all, and the same bytes on every write."""

import os
from pathlib import Path
from typing import BinaryIO

import h5py
import numpy as np
import pytest
import torch

from recap.core import artifacts


def test_a_write_that_fails_leaves_the_old_file_and_nothing_else(tmp_path: Path) -> None:
    path = tmp_path / "output.json"
    artifacts.write_json(path, {"old": 1})

    def fail_half_way(file: BinaryIO) -> None:
        file.write(b"half")
        raise RuntimeError

    with pytest.raises(RuntimeError):
        artifacts.write_atomically(path, fail_half_way)
    assert path.read_text() == '{\n  "old": 1\n}\n'
    assert list(tmp_path.iterdir()) == [path]


def test_the_same_content_gives_the_same_bytes(tmp_path: Path) -> None:
    generator = np.random.default_rng(0)
    array = generator.normal(size=(5, 7)).astype(np.float32)
    pixels = generator.integers(0, 256, size=(8, 9, 3), dtype=np.uint8)
    for name in ("a", "b"):
        artifacts.write_hdf5(tmp_path / f"{name}.h5", {"features": array, "index": np.arange(5)})
        tensors = {"z": torch.from_numpy(array), "a": torch.from_numpy(array).T}
        artifacts.write_safetensors(tmp_path / f"{name}.safetensors", tensors)
        artifacts.write_png(tmp_path / f"{name}.png", pixels)
        artifacts.write_csv(tmp_path / f"{name}.csv", ["x", "y"], [(1, 0.1), (2, None)])
    for suffix in ("h5", "safetensors", "png", "csv"):
        assert (tmp_path / f"a.{suffix}").read_bytes() == (tmp_path / f"b.{suffix}").read_bytes(), suffix
    with h5py.File(tmp_path / "a.h5") as file:
        assert file["features"].id.get_offset() is not None, "contiguous, so that readers can map it"
        np.testing.assert_array_equal(file["features"][...], array)
    assert (tmp_path / "a.csv").read_text() == "x,y\n1,0.1\n2,\n"


def test_a_device_or_a_pipe_is_never_replaced(tmp_path: Path) -> None:
    path = tmp_path / "pipe"
    os.mkfifo(path)
    (tmp_path / "link").symlink_to("/dev/null")
    for own in (path, tmp_path / "link"):
        with pytest.raises(OSError, match="a device or a pipe"):
            artifacts.write_text(own, "x")
    assert path.is_fifo()
    assert sorted(own.name for own in tmp_path.iterdir()) == ["link", "pipe"]


def test_json_refuses_what_is_no_json(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="Out of range float"):
        artifacts.write_json(tmp_path / "x.json", {"x": float("nan")})
    assert list(tmp_path.iterdir()) == []
