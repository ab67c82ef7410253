import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from recap.data.vocabulary import SPECIAL_WORDS, Vocabulary, build_vocabulary, parse_vocabulary, split_words
from recap.errors import InputError

WORDS = st.sampled_from(["a", "cat", "dog", "on", "grass", "red"])
CAPTIONS = st.lists(st.lists(WORDS, min_size=1, max_size=9), min_size=1, max_size=12)


@pytest.mark.parametrize(
    ("caption", "words"),
    [
        ("A man, riding a Horse.", ["a", "man", "riding", "a", "horse"]),
        ("it's upside-down\n", ["its", "upside", "down"]),
        ("Ein Mädchen _und_ 2 Äpfel!", ["ein", "mädchen", "und", "2", "äpfel"]),
        (" ... ", []),
        ("<START> of <UNK>", ["start", "of", "unk"]),
    ],
)
def test_words_of_a_caption(caption: str, words: list[str]) -> None:
    assert split_words(caption) == words


@given(CAPTIONS, st.randoms(use_true_random=False))
def test_vocabulary_does_not_depend_on_the_order_of_captions(captions, random) -> None:
    shuffled = list(captions)
    random.shuffle(shuffled)
    assert build_vocabulary(captions, 1, None) == build_vocabulary(shuffled, 1, None)


def test_rare_words_are_left_out_and_ties_go_by_alphabet() -> None:
    captions = [["b", "a"], ["a", "b"], ["c"], ["d", "d", "d"]]
    assert build_vocabulary(captions, 2, None).idx_to_word == (*SPECIAL_WORDS, "d", "a", "b")
    assert build_vocabulary(captions, 1, 6).idx_to_word == (*SPECIAL_WORDS, "d", "a")


@given(CAPTIONS)
def test_decoding_undoes_encoding(captions) -> None:
    vocabulary = build_vocabulary(captions, 1, None)
    encoded = vocabulary.encode(captions, 11)
    assert encoded.dtype == np.int32
    assert [vocabulary.decode(row) for row in encoded] == [" ".join(words) for words in captions]


def test_long_captions_are_cut_and_keep_their_end() -> None:
    vocabulary = Vocabulary((*SPECIAL_WORDS, "a"))
    encoded = vocabulary.encode([["a"] * 9, ["b"]], 5)
    assert encoded.tolist() == [[1, 4, 4, 4, 2], [1, 3, 2, 0, 0]]


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        ([], "an object"),
        ({"idx_to_word": ["a", "b"]}, "<NULL>, <START>, <END>, <UNK> first"),
        ({"idx_to_word": [*SPECIAL_WORDS, 5]}, "words as text"),
        ({"idx_to_word": [*SPECIAL_WORDS, "a", "a"], "word_to_idx": {}}, "every word once"),
        ({"idx_to_word": [*SPECIAL_WORDS, "a"], "word_to_idx": {"a": 3}}, "invert"),
    ],
)
def test_vocabularies_that_are_refused(content, expected: str) -> None:
    with pytest.raises(InputError, match=expected):
        parse_vocabulary(content, "vocab.json")
