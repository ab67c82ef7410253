"""Length and variety of captions."""

import pytest

from recap.metrics.diversity import diversity


def test_shares_of_distinct_words_and_bigrams():
    received = diversity(["a cat sits", "a cat runs", "dog"], ["a cat runs"])
    assert received == pytest.approx(
        {"length": 7 / 3, "vocabulary": 5, "distinct_1": 5 / 7, "distinct_2": 3 / 4, "novel": 2 / 3}
    )


def test_no_training_captions_no_word_on_novelty():
    assert "novel" not in diversity(["a"], None)


def test_a_word_alone_is_distinct():
    assert diversity(["dog"], None) == {"length": 1, "vocabulary": 1, "distinct_1": 1, "distinct_2": 0}


def test_empty_captions_have_no_variety():
    assert diversity(["", ""], []) == {
        "length": 0.0,
        "vocabulary": 0,
        "distinct_1": 0.0,
        "distinct_2": 0.0,
        "novel": 1.0,
    }
