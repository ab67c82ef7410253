"""The floor and the ceiling are what the official scorer says of the same captions."""

import random
import time

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from recap.metrics import baselines as consensus
from recap.metrics.baselines import best_constant_caption, leave_one_out
from recap.metrics.scores import score_captions

CAPTION = st.lists(st.sampled_from(["a", "the", "cat", "dog", "red", "on"]), min_size=1, max_size=8).map(
    " ".join
)
SETS = st.lists(st.lists(CAPTION, min_size=1, max_size=4), min_size=1, max_size=5)


@settings(deadline=None, max_examples=50)
@given(SETS)
def test_the_floor_is_the_best_of_all_constant_captions(references):
    candidates = [caption for own in references for caption in own]
    officials = [
        score_captions([caption] * len(references), references).cider_d.mean() for caption in candidates
    ]
    caption, score = best_constant_caption(references)
    assert score == pytest.approx(max(officials), abs=1e-9)
    assert score_captions([caption] * len(references), references).cider_d.mean() == pytest.approx(
        score, abs=1e-9
    )


@settings(deadline=None, max_examples=50)
@given(SETS)
def test_the_ceiling_is_cider_against_the_other_captions(references):
    """The official scorer gives the mean over all references; the caption itself, one of them, comes off."""
    expected = []
    for image, own in enumerate(references):
        if len(own) < 2:
            continue
        scores = []
        for caption in own:
            captions = ["" if other != image else caption for other in range(len(references))]
            full = score_captions(captions, references).cider_d[image] * len(own)
            itself = _similarity_to_itself(caption, references)
            scores.append((full - itself) / (len(own) - 1))
        expected.append(np.mean(scores))
    assert leave_one_out(references) == pytest.approx(np.array(expected), abs=1e-9)


def _similarity_to_itself(caption, references):
    """10 for every order of n-grams of which the caption has one with a positive idf, over the 4 orders."""
    words = caption.split()
    total = 0.0
    for order in range(1, 5):
        ngrams = [tuple(words[start : start + order]) for start in range(len(words) - order + 1)]
        for ngram in ngrams:
            images = sum(
                any(
                    ngram == tuple(other.split()[start : start + order])
                    for other in own
                    for start in range(len(other.split()) - order + 1)
                )
                for own in references
            )
            if images < len(references):
                total += 2.5
                break
    return total


def test_images_with_one_caption_have_no_ceiling():
    assert leave_one_out([["a cat"], ["a dog"]]).shape == (0,)


def test_words_do_not_run_over_captions():
    caption, score = best_constant_caption([["a"], ["a"]])
    assert (caption, score) == ("a", 0.0)


def test_the_size_of_the_blocks_changes_no_bit(monkeypatch):
    draw = random.Random(2)
    words = ["a", "the", "cat", "dog", "red", "on", "mat"]
    references = [
        [" ".join(draw.choices(words, k=draw.randint(1, 9))) for _ in range(draw.randint(1, 5))]
        for _ in range(40)
    ]
    whole = best_constant_caption(references), leave_one_out(references).tolist()
    monkeypatch.setattr(consensus, "ROWS_AT_ONCE", 7)
    monkeypatch.setattr(consensus, "PAIRS_AT_ONCE", 11)
    assert (best_constant_caption(references), leave_one_out(references).tolist()) == whole


def test_many_captions_of_an_image_are_compared_as_pairs_are(monkeypatch):
    draw = random.Random(4)
    words = ["a", "the", "cat", "dog", "red", "on", "mat", "a a a"]
    references = [
        [" ".join(draw.choices(words, k=draw.randint(0, 9))) for _ in range(size)]
        for size in (1, 40, 2, 30, 5, 60)
    ]
    in_pairs = leave_one_out(references)
    monkeypatch.setattr(consensus, "MANY", 10)
    monkeypatch.setattr(consensus, "CELLS_AT_ONCE", 50)
    assert leave_one_out(references) == pytest.approx(in_pairs, rel=1e-12)


def test_the_time_of_people_is_in_proportion_to_the_captions_of_an_image():
    def seconds(captions):
        draw = random.Random(5)
        own = [" ".join(draw.choices("abcdefghij", k=draw.randint(5, 15))) for _ in range(captions)]
        start = time.process_time()
        leave_one_out([own, ["a b"], ["c"]])
        return time.process_time() - start

    assert seconds(3_000) < 25 * min(seconds(300) for _ in range(3)) + 0.1
