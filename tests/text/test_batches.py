"""Batches: every caption once, in like lengths, trimmed, with the features of its image."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from recap.errors import InputError
from recap.text.batches import CaptionedFeatures, shuffled_batches, sorted_batches
from recap.text.vocabulary import NULL

LENGTHS = st.lists(st.integers(2, 17), min_size=1, max_size=80).map(np.array)


@given(lengths=LENGTHS, batch_size=st.integers(1, 20), seed=st.integers(0, 9))
def test_an_epoch_has_every_caption_once(lengths: np.ndarray, batch_size: int, seed: int) -> None:
    batches = shuffled_batches(lengths, batch_size, np.random.default_rng(seed))
    assert sorted(np.concatenate(batches)) == list(range(len(lengths)))
    assert sorted(map(len, batches), reverse=True)[:-1] == [batch_size] * (len(batches) - 1)
    again = shuffled_batches(lengths, batch_size, np.random.default_rng(seed))
    assert all(np.array_equal(first, second) for first, second in zip(batches, again, strict=True))


@given(lengths=LENGTHS, batch_size=st.integers(1, 20))
def test_batches_waste_no_more_than_sorting_leaves(lengths: np.ndarray, batch_size: int) -> None:
    def steps(batches: list[np.ndarray]) -> int:
        return sum(len(batch) * lengths[batch].max() for batch in batches)

    in_order = sorted_batches(lengths, batch_size)
    assert [lengths[batch].max() for batch in in_order] == sorted(lengths[batch].max() for batch in in_order)
    shuffled = shuffled_batches(lengths, batch_size, np.random.default_rng(1))
    assert steps(list(shuffled)) == steps(list(in_order))


def test_epochs_differ_in_order_and_in_company() -> None:
    lengths = np.full(40, 5)
    generator = np.random.default_rng(2)
    first, second = (shuffled_batches(lengths, 8, generator) for _ in range(2))
    assert {frozenset(batch) for batch in first} != {frozenset(batch) for batch in second}
    mixed = np.arange(2, 42)
    order = [int(mixed[batch].min()) for batch in shuffled_batches(mixed, 8, generator)]
    assert order != sorted(order)


def test_a_batch_is_trimmed_and_has_the_features_of_its_images() -> None:
    captions = np.array([[1, 5, 2, NULL, NULL], [1, 5, 6, 2, NULL], [1, 5, 6, 7, 2]], dtype=np.int32)
    features = np.arange(8, dtype=np.float32).reshape(4, 2)
    data = CaptionedFeatures(captions, np.array([3, 0, 1], dtype=np.int32), features)
    assert data.lengths().tolist() == [3, 4, 5]
    chosen_features, chosen = data.batch(np.array([1, 0]))
    assert chosen.tolist() == [[1, 5, 6, 2], [1, 5, 2, NULL]]
    assert chosen_features.tolist() == [[0.0, 1.0], [6.0, 7.0]]


def test_a_missing_feature_row_is_refused() -> None:
    captions, rows = np.array([[1, 2]], dtype=np.int32), np.array([4], dtype=np.int32)
    with pytest.raises(InputError, match="expected a row for image 4, received 4 rows"):
        CaptionedFeatures(captions, rows, np.zeros((4, 2), np.float32))
    with pytest.raises(InputError, match="expected at least one, received none"):
        CaptionedFeatures(captions[:0], rows[:0], np.zeros((4, 2), np.float32))
