"""It is the official CIDEr-D, and a caption that is cut off earns less."""

from collections.abc import Sequence

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pycocoevalcap.cider.cider import Cider

from recap.metrics.cider_d import CiderD, InverseFrequency

END = "<END>"
WORDS = st.sampled_from(["a", "cat", "dog", "on", "the", "mat", "runs"])
CAPTION = st.lists(WORDS, max_size=12).map(lambda words: [*words, END])


def score(captions: Sequence[Sequence[str]], references: Sequence[Sequence[Sequence[str]]]) -> list[float]:
    idf = InverseFrequency(references)
    return [CiderD(own, idf)(words) for words, own in zip(captions, references, strict=True)]


def official(captions: Sequence[Sequence[str]], references: Sequence[Sequence[Sequence[str]]]) -> np.ndarray:
    originals = {image: [" ".join(words) for words in own] for image, own in enumerate(references)}
    candidates = {image: [" ".join(words)] for image, words in enumerate(captions)}
    scores: np.ndarray = Cider().compute_score(originals, candidates)[1]
    return scores


@settings(max_examples=60, deadline=None)
@given(
    pairs=st.lists(
        st.tuples(st.lists(WORDS, max_size=14), st.lists(CAPTION, min_size=1, max_size=5), st.booleans()),
        min_size=1,
        max_size=6,
    )
)
def test_it_is_the_official_score(pairs: list[tuple[list[str], list[list[str]], bool]]) -> None:
    captions = [[*words, END] if ended else words for words, _, ended in pairs]
    references = [own for _, own, _ in pairs]
    assert score(captions, references) == pytest.approx(official(captions, references), abs=1e-6)


def test_words_that_no_reference_has_count_in_the_norm() -> None:
    references = [[["a", "cat", END]], [["a", "dog", END]]]
    captions = [["a", "cat", "zebra", END], ["zebra"]]
    scores = score(captions, references)
    assert scores == pytest.approx(official(captions, references), abs=1e-6)
    assert 0 < scores[0] < score([["a", "cat", END], ["a"]], references)[0]


def test_a_caption_that_is_cut_off_earns_less() -> None:
    cat, dog = ["a", "cat", "on", "the", "mat"], ["the", "dog", "runs", "on", "a", "road"]
    with_end, without = [[[*cat, END]], [[*dog, END]]], [[cat], [dog]]
    ended = CiderD(with_end[0], InverseFrequency(with_end))
    endless = CiderD(without[0], InverseFrequency(without))
    assert ended([*cat, END]) > ended(cat)
    # "a cat on the" loses more where the end counts
    assert ended(cat[:-1]) / ended([*cat, END]) < 0.9 * endless(cat[:-1]) / endless(cat)


@settings(max_examples=30, deadline=None)
@given(
    caption=CAPTION,
    said=st.lists(st.tuples(CAPTION, st.floats(-2, 2)), min_size=1, max_size=6),
)
def test_weighted_references_add_up(caption: list[str], said: list[tuple[list[str], float]]) -> None:
    references = [words for words, _ in said]
    idf = InverseFrequency([[words] for words in references])
    weighted = CiderD(references, idf, [weight for _, weight in said])
    alone = sum(weight * CiderD([words], idf)(caption) for words, weight in said)
    assert weighted(caption) == pytest.approx(alone, abs=1e-9)
