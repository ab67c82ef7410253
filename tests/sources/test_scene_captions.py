"""The grammar writes only true sentences of 5 to 15 words, and reads nothing but its own sentences."""

import re
from collections import Counter

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from recap.sources.scenes.captions import RARE_WORDS, SIZES, Statement, read_caption, write_captions
from recap.sources.scenes.graphs import DIGITS, Scene, sample_scene, training_pairs

IMAGES = [[digit] for digit in DIGITS]
RARE = {word for group in RARE_WORDS.values() for word in group.split()}


def scenes_of(seed: int, count: int) -> list[Scene]:
    generator = np.random.default_rng(seed)
    return [sample_scene(generator, IMAGES, training_pairs(0)) for _ in range(count)]


def words_of(sentence: str) -> list[str]:
    return re.findall(r"[a-z0-9]+", sentence.lower())


@given(st.integers(0, 2**32 - 1))
def test_captions_differ_and_have_five_to_fifteen_words(seed: int) -> None:
    (captions,) = write_captions(scenes_of(seed, 1), 5, np.random.default_rng(seed))
    assert len(set(captions)) == 5
    for caption in captions:
        assert 5 <= len(words_of(caption)) <= 15
        assert caption[0].isupper()
        assert caption.endswith(".")


def test_rare_words_occur_and_stay_below_a_threshold_of_five() -> None:
    captions = write_captions(scenes_of(1, 2000), 5, np.random.default_rng(2))
    counts = Counter(word for own in captions for caption in own for word in words_of(caption))
    rare = {word: count for word, count in counts.items() if word in RARE}
    assert sum(rare.values()) > 80
    assert max(rare.values()) <= 4
    assert min(count for word, count in counts.items() if word not in RARE) >= 5


def test_no_rare_word_is_a_common_one_or_stands_for_two() -> None:
    words = [word for group in RARE_WORDS.values() for word in group.split()]
    assert len(words) == len(set(words))
    captions = write_captions(scenes_of(3, 300), 3, np.random.default_rng(3))
    common = Counter(word for own in captions for caption in own for word in words_of(caption))
    assert all(common[word] <= 4 for word in words)


def test_the_same_seed_writes_the_same_captions() -> None:
    scenes = scenes_of(4, 30)
    first, second, other = (write_captions(scenes, 5, np.random.default_rng(seed)) for seed in (1, 1, 2))
    assert first == second != other


def test_articles_agree() -> None:
    captions = write_captions(scenes_of(5, 500), 5, np.random.default_rng(5))
    text = " ".join(" ".join(own) for own in captions).lower()
    assert re.search(r"\ban (orange|enormous|image|8|eight|emerald|oversized)", text)
    assert not re.search(r"\ba (orange|enormous|image|8|eight|emerald|oversized)", text)
    assert not re.search(r"\ban (one|red|tiny|small|white)", text)


def test_all_claims_of_a_sentence_are_read() -> None:
    caption = "Two digits: a tiny violet 7 to the left of a scarlet three on a grey backdrop."
    assert sorted(read_caption(caption) or [], key=repr) == sorted(
        [
            Statement("count", "2", None),
            Statement("size", "small", 0),
            Statement("colour", "purple", 0),
            Statement("digit", "7", 0),
            Statement("relation", "left of", None),
            Statement("colour", "red", 1),
            Statement("digit", "3", 1),
            Statement("background", "gray", None),
        ],
        key=repr,
    )


def test_places_and_the_other_form_of_a_mention_are_read() -> None:
    caption = "a striped field with an inked number eight in pink at the bottom and an orange 2 on the left"
    assert sorted((s.kind, s.value, s.mention) for s in read_caption(caption) or []) == [
        ("background", "striped", None),
        ("colour", "orange", 1),
        ("colour", "pink", 0),
        ("digit", "2", 1),
        ("digit", "8", 0),
        ("position", "bottom", 0),
        ("position", "left", 1),
    ]


@pytest.mark.parametrize(
    "caption",
    [
        "",
        "a dog on the grass",
        "a red seven a blue three",
        "a red seven and",
        "a red red seven",
        "a red",
        "red seven on a white background",
        "a red seven on a white background on a white background",
        "a red seven left of left of a blue three",
        "a <UNK> seven",
        "two digits",
    ],
)
def test_what_is_no_sentence_is_not_read(caption: str) -> None:
    assert read_caption(caption) is None


def test_sizes_have_no_word_in_common() -> None:
    assert not set(SIZES["small"]) & set(SIZES["large"])
