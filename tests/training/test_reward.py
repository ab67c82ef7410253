"""The reward is the official CIDEr-D, and a caption that is cut off earns less."""

from collections.abc import Sequence

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pycocoevalcap.cider.cider import Cider

from recap.training.reward import ConsensusReward

END = "<END>"
WORDS = st.sampled_from(["a", "cat", "dog", "on", "the", "mat", "runs"])
CAPTION = st.lists(WORDS, max_size=12).map(lambda words: [*words, END])


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
    reward = ConsensusReward(references)
    rewards = [reward(image, words) for image, words in enumerate(captions)]
    assert rewards == pytest.approx(official(captions, references), abs=1e-6)


def test_words_that_no_reference_has_count_in_the_norm() -> None:
    references = [[["a", "cat", END]], [["a", "dog", END]]]
    reward = ConsensusReward(references)
    captions = [["a", "cat", "zebra", END], ["zebra"]]
    assert [reward(image, words) for image, words in enumerate(captions)] == pytest.approx(
        official(captions, references), abs=1e-6
    )
    assert 0 < reward(0, captions[0]) < reward(0, ["a", "cat", END])


def test_a_caption_that_is_cut_off_earns_less() -> None:
    cat, dog = ["a", "cat", "on", "the", "mat"], ["the", "dog", "runs", "on", "a", "road"]
    ended = ConsensusReward([[[*cat, END]], [[*dog, END]]])
    endless = ConsensusReward([[cat], [dog]])
    assert ended(0, [*cat, END]) > ended(0, cat)
    # "a cat on the" loses more where the end counts
    assert ended(0, cat[:-1]) / ended(0, [*cat, END]) < 0.9 * endless(0, cat[:-1]) / endless(0, cat)
