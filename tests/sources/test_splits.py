import pytest
from hypothesis import given
from hypothesis import strategies as st

from recap.errors import InputError
from recap.sources.splits import deal

SHARES = {"validation": 0.1, "test": 0.2}


def test_shares_are_about_as_large_as_asked_for() -> None:
    dealt = deal(range(20_000), SHARES)
    assert {split: round(len(rows) / 20_000, 2) for split, rows in dealt.items()} == {
        "train": 0.7,
        **SHARES,
    }


@given(st.lists(st.integers(0, 2**40), min_size=3, max_size=60, unique=True), st.randoms())
def test_every_image_is_in_one_split_whatever_the_order(ids: list[int], random) -> None:
    dealt = deal(ids, SHARES)
    assert sorted(row for rows in dealt.values() for row in rows) == list(range(len(ids)))
    assert all(rows and rows == sorted(rows) for rows in dealt.values())
    mixed = random.sample(ids, len(ids))
    again = deal(mixed, SHARES)
    for split, rows in dealt.items():
        assert {ids[row] for row in rows} == {mixed[row] for row in again[split]}


def test_an_image_stays_where_it_is_when_others_come() -> None:
    few, many = deal(range(300), SHARES), deal(range(3000), SHARES)
    for split, rows in few.items():
        assert set(rows) == {row for row in many[split] if row < 300}


def test_what_a_split_has_does_not_hang_on_the_splits_after_it() -> None:
    both, alone = deal(range(3000), SHARES), deal(range(3000), {"validation": 0.1})
    assert both["validation"] == alone["validation"]


def test_every_split_gets_an_image_of_three_and_fewer_are_refused() -> None:
    for shares in (SHARES, {"validation": 0.01, "test": 0.01}, {"validation": 0.9, "test": 0.9}):
        assert [len(rows) for rows in deal([0, 45, 7], shares).values()] == [1, 1, 1]
    with pytest.raises(InputError, match="images: expected at least 3, one for each split, received 2"):
        deal([5, 6], SHARES)
