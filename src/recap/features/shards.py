"""Feature extraction that may be killed at any image, and shared between processes.

A process appends each of its batches to a shard file, followed by a CRC-32; what a killed run left is taken
up to the first batch that is not whole. Batches stay the same whoever computes them, so the features are the
same bits. Shapes: N images, D feature width.
"""

import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

import numpy as np
from numpy.typing import NDArray

from recap.progress import track

CHECK_BYTES = 4


@dataclass(frozen=True)
class Batches:
    """The batches of a split, features (N, D), and how many processes share them."""

    shape: tuple[int, int]
    size: int
    ranks: int

    def rows(self, batch: int) -> tuple[int, int]:
        """First row of a batch and the row behind it."""
        return batch * self.size, min((batch + 1) * self.size, self.shape[0])

    def of_rank(self, rank: int) -> range:
        """Return the batches of a process."""
        count = -(-self.shape[0] // self.size)
        return range(rank * count // self.ranks, (rank + 1) * count // self.ranks)


def fill_shard(
    directory: Path,
    batches: Batches,
    rank: int,
    compute: Callable[[int, int], NDArray[np.float32]],
    description: str,
) -> None:
    """Compute what the shard of a process lacks.

    Args:
        directory: holds the shards of one split.
        batches: of the split.
        rank: of this process.
        compute: the features (rows, D) float32 from a row to before another.
        description: of the work, a few words.
    """
    directory.mkdir(parents=True, exist_ok=True)
    path = _shard(directory, batches, rank)
    path.touch()
    mine = batches.of_rank(rank)
    with open(path, "r+b", buffering=0) as file:
        whole = [block.nbytes + CHECK_BYTES for block in _read(file, batches, mine)]
        file.seek(sum(whole))
        file.truncate()
        for batch in track(mine[len(whole) :], description):
            content = np.ascontiguousarray(compute(*batches.rows(batch)), dtype="<f4").tobytes()
            file.write(content + _check(content))


def read_shards(directory: Path, batches: Batches) -> Iterator[NDArray[np.float32]]:
    """Yield the features of all processes in row order, batch by batch; end where a shard is not whole."""
    for rank in range(batches.ranks):
        with open(_shard(directory, batches, rank), "rb") as file:
            yield from _read(file, batches, batches.of_rank(rank))


def _shard(directory: Path, batches: Batches, rank: int) -> Path:
    return directory / f"{rank}-of-{batches.ranks}.shard"


def _read(file: BinaryIO, batches: Batches, run: range) -> Iterator[NDArray[np.float32]]:
    """Whole batches from the beginning of a shard."""
    for batch in run:
        first, last = batches.rows(batch)
        content = file.read((last - first) * batches.shape[1] * 4)
        if file.read(CHECK_BYTES) != _check(content):
            return
        yield np.frombuffer(content, dtype="<f4").reshape(last - first, -1)  # (rows, D)


def _check(content: bytes) -> bytes:
    return zlib.crc32(content).to_bytes(CHECK_BYTES, "little")
