import threading
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from recap.features.shards import Batches, fill_shard, read_shards

ROWS = np.random.default_rng(0).normal(size=(23, 3)).astype(np.float32)


class KilledError(Exception):
    pass


def compute(asked: list[int], until: int = 10**9) -> Callable[[int, int], NDArray[np.float32]]:
    def features(first: int, last: int) -> NDArray[np.float32]:
        if len(asked) == until:
            raise KilledError
        asked.append(first)
        return ROWS[first:last]

    return features


@given(st.integers(1, 30), st.integers(1, 4), st.integers(0, 30), st.integers(0, 2))
def test_broken_work_goes_on_where_it_was(
    tmp_path_factory, size: int, ranks: int, until: int, cut: int
) -> None:
    folder = tmp_path_factory.mktemp("shards")
    batches = Batches(ROWS.shape, size, ranks)
    first: list[int] = []
    again: list[int] = []
    try:
        for rank in range(ranks):
            fill_shard(folder, batches, rank, compute(first, until), "test")
    except KilledError:
        pass
    for path in folder.iterdir():  # the last batch was being written
        path.write_bytes(path.read_bytes()[: -cut or None])
    for rank in range(ranks):
        fill_shard(folder, batches, rank, compute(again), "test")
    np.testing.assert_array_equal(np.concatenate(list(read_shards(folder, batches))), ROWS)
    count = -(-len(ROWS) // size)
    assert len(first) + len(again) <= count + (ranks if cut else 0)
    if not cut:
        assert sorted(first + again) == list(range(0, len(ROWS), size))


def test_a_batch_that_rotted_is_computed_again(tmp_path: Path) -> None:
    batches = Batches(ROWS.shape, 5, 1)
    fill_shard(tmp_path, batches, 0, compute([]), "test")
    (path,) = tmp_path.iterdir()
    content = bytearray(path.read_bytes())
    content[70] ^= 1  # in the second of five batches
    path.write_bytes(content)
    again: list[int] = []
    fill_shard(tmp_path, batches, 0, compute(again), "test")
    assert again == [5, 10, 15, 20]
    np.testing.assert_array_equal(np.concatenate(list(read_shards(tmp_path, batches))), ROWS)


@pytest.mark.parametrize("ranks", [2, 3, 7])
def test_processes_share_the_batches(tmp_path: Path, ranks: int) -> None:
    batches = Batches(ROWS.shape, 4, ranks)
    threads = [
        threading.Thread(target=fill_shard, args=(tmp_path, batches, rank, compute([]), "test"))
        for rank in range(ranks)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    np.testing.assert_array_equal(np.concatenate(list(read_shards(tmp_path, batches))), ROWS)
