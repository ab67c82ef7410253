"""Sampling: the decoder's distribution, one draw an image and a place, whatever the batch and the order."""

from collections import Counter

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from recap.decoders.build import NAMES
from recap.decoding import sampling
from recap.decoding.caption import Constraints, usual_constraints
from recap.decoding.greedy import greedy
from recap.decoding.sampling import sample
from recap.text.vocabulary import START

FREE = Constraints(max_length=1, banned=())


def tokens_of(found):
    return [words.tokens for (words,) in found]


@pytest.mark.parametrize("name", NAMES)
@settings(max_examples=10, deadline=None)
@given(seed=st.integers(0, 2**63 - 1), batch=st.integers(1, 7), order=st.permutations(range(6)))
def test_a_caption_depends_on_seed_and_image_alone(build, draw_features, name, seed, batch, order):
    decoder, features = build(name, sharpness=1.0), draw_features(6)
    ids = [7, -1, 2**40, 0, 3, 9]
    options = {"seed": seed, "temperature": 1.3, "top_p": 0.9}
    with torch.no_grad():
        whole = tokens_of(sample(decoder, features, usual_constraints(8), ids, **options))
        mixed = []
        for first in range(0, 6, batch):
            rows = list(order[first : first + batch])
            own_ids = [ids[row] for row in rows]
            mixed += tokens_of(sample(decoder, features[rows], usual_constraints(8), own_ids, **options))
    assert mixed == [whole[row] for row in order]


def test_another_seed_and_another_image_draw_otherwise(build, draw_features):
    decoder, features = build("lstm", sharpness=0.5), draw_features(1).repeat(20, 1)
    with torch.no_grad():
        first = tokens_of(sample(decoder, features, usual_constraints(8), range(20), seed=1))
        second = tokens_of(sample(decoder, features, usual_constraints(8), range(20), seed=2))
        unrelated = tokens_of(sample(decoder, features, usual_constraints(8), range(1, 21), seed=0))
    assert len({tuple(tokens) for tokens in first}) > 10
    assert first != second
    assert first[1:] != unrelated[:-1]


def frequencies(decoder, feature, count, **options):
    with torch.no_grad():
        found = sample(decoder, feature.repeat(count, 1), FREE, range(count), seed=3, **options)
    return Counter(words.tokens[0] for (words,) in found)


@pytest.mark.parametrize(
    ("temperature", "top_k", "top_p"), [(1.0, None, 1.0), (0.5, None, 1.0), (1.0, 3, 0.8)]
)
def test_words_are_drawn_by_their_probability(build, draw_features, temperature, top_k, top_p):
    decoder, feature, count = build("rnn", sharpness=1.0), draw_features(1), 20_000
    with torch.no_grad():
        scores = decoder(feature, torch.tensor([[START]]))[0, 0].numpy() / temperature
    probability = np.exp(scores - scores.max())
    ranked = np.argsort(-probability)
    if top_k:
        probability[ranked[top_k:]] = 0
    probability /= probability.sum()
    before = np.cumsum(probability[ranked]) - probability[ranked]
    probability[ranked[before >= top_p]] = 0
    probability /= probability.sum()
    drawn = frequencies(decoder, feature, count, temperature=temperature, top_k=top_k, top_p=top_p)
    for word, expected in enumerate(probability):
        spread = 5 * np.sqrt(expected * (1 - expected) / count)
        assert drawn[word] / count == pytest.approx(expected, abs=spread + 1e-12)


def test_the_smallest_draw_is_no_word_of_probability_0(build, draw_features, monkeypatch):
    monkeypatch.setattr(sampling, "_uniform", lambda seed, ids, length: np.zeros((len(ids), length)))
    decoder, feature = build("rnn", sharpness=1.0), draw_features(1)
    first = Constraints(max_length=1, banned=(0, 1, 2))
    with torch.no_grad():
        ((words,),) = sample(decoder, feature, first, [0], seed=0)
    assert words.tokens == [3]


@pytest.mark.parametrize("options", [{"top_k": 1}, {"top_p": 1e-9}, {"temperature": 1e-4}])
def test_sampling_cut_to_one_word_is_greedy(build, draw_features, options):
    decoder, features = build("transformer"), draw_features(8)
    with torch.no_grad():
        expected = greedy(decoder, features, usual_constraints(9))
        found = sample(decoder, features, usual_constraints(9), range(8), seed=1, **options)
    assert found == expected  # and log-probabilities are the decoder's own, not the sharpened ones
