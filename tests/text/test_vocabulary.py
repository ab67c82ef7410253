import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from recap.errors import InputError
from recap.metrics.scores import score_captions
from recap.metrics.tokenization.by_name import tokenizer
from recap.text.vocabulary import (
    SPECIAL_WORDS,
    Vocabulary,
    build_vocabulary,
    parse_vocabulary,
    split_tokens,
    split_words,
)

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


SCRIPTS = [
    "लड़का हिन्दी की किताब पढ़ता है",
    "একটি ছেলে বই পড়ছে এখানে",
    "ஒரு பையன் இங்கே ஓடுகிறான் இன்று",
    "ผู้ชาย กำลังวิ่ง บน ถนน",
    "كِتَاب جَدِيد عَلَى الطَّاوِلَة",
    "İstanbul büyük bir şehir",
    "മനുഷ്യൻ അവന്\u200d വഴി വീട്",
    "می\u200cخواهم به خانه بروم",
]
"""Words with a space between them and nothing else: combining marks, joiners, the half-space."""


@pytest.mark.parametrize("caption", SCRIPTS)
def test_words_of_any_script_stay_whole(caption: str) -> None:
    assert split_words(caption) == caption.lower().split()
    assert split_words(f"«{caption}»!") == caption.lower().split()


@pytest.mark.parametrize(
    ("caption", "words"),
    [
        ("Cafe\u0301 CAF\u00c9", ["caf\u00e9", "caf\u00e9"]),  # one word, however it is written
        ("J\u030cur\u030c", ["\u01f0u\u0159"]),  # only the small letter has a composed form
        ("a snow\u00adman in the\u200e snow\ufeff", ["a", "snowman", "in", "the", "snow"]),
        ("می\u200cخواهم\u200c.", ["می\u200cخواهم"]),
        ("tea \u2615\ufe0f, 2\ufe0f\u20e3", ["tea", "2\ufe0f\u20e3"]),  # marks belong to what is before them
        ("ΟΔΟΣ", ["οδος"]),
    ],
)
def test_the_same_word_is_always_the_same_characters(caption: str, words: list[str]) -> None:
    assert split_words(caption) == words


def test_characters_keep_their_marks() -> None:
    assert split_tokens("हिन्दी", "char") == ["हि", "न्", "दी"]
    assert split_tokens("ผู้ กำ", "char") == ["ผู้", " ", "กำ"]
    assert split_tokens("İe\u0301", "char") == ["i\u0307", "\u00e9"]


@given(st.text(max_size=30))
def test_words_are_their_own_words(caption: str) -> None:
    words = split_words(caption)
    assert split_words(" ".join(words)) == words
    assert "".join(split_tokens(caption, "char")) == " ".join(words)


@pytest.mark.parametrize("name", ["ptb", "whitespace"])
def test_what_a_decoder_can_say_of_a_caption_scores_full_marks(name) -> None:
    captions = [*SCRIPTS, "un cafe\u0301 noir tre\u0300s chaud", "two snow\u00admen in the\u200e garden"]
    tokenize = tokenizer(name)
    own = tokenize([" ".join(split_words(caption)) for caption in captions])
    people = [[caption] for caption in tokenize([caption.lower() for caption in captions])]
    assert score_captions(own, people).cider_d == pytest.approx(10.0)


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
