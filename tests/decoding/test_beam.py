"""Beam search: the best of all captions where it sees all, greedy at width 1, the model's own likelihood."""

import itertools
from collections import Counter

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from recap.decoders.build import NAMES
from recap.decoding.beam import beam
from recap.decoding.caption import Constraints, usual_constraints
from recap.decoding.greedy import greedy
from recap.text.vocabulary import END, START

FREE = Constraints(max_length=2, banned=())


def log_probabilities(decoder, feature, tokens):
    """Of each token, by the whole sequence at once."""
    scores = decoder(feature[None], torch.tensor([[START, *tokens[:-1]]]))[0]
    return scores.log_softmax(1).gather(1, torch.tensor(tokens)[:, None])[:, 0].tolist()


def enumerate_captions(decoder, feature, words, constraints, normalisation):
    """All captions with their scores, best first."""
    found = []
    for length in range(1, constraints.max_length + 1):
        for tokens in itertools.product(range(words), repeat=length):
            ends = tokens[-1] == END or length == constraints.max_length
            if not ends or END in tokens[:-1] or set(tokens) & set(constraints.banned):
                continue
            score = sum(log_probabilities(decoder, feature, tokens)) / length**normalisation
            found.append((score, list(tokens)))
    return sorted(found, reverse=True)


@pytest.mark.parametrize("name", NAMES)
@settings(max_examples=15, deadline=None)
@given(seed=st.integers(0, 1000), words=st.integers(4, 7), normalisation=st.sampled_from([0.0, 0.7, 1.0]))
def test_width_of_the_vocabulary_finds_the_best_of_all_short_captions(
    build, draw_features, name, seed, words, normalisation
):
    decoder, features = build(name, seed, words), draw_features(3, seed)
    with torch.no_grad():
        found = beam(decoder, features, FREE, width=words, length_normalisation=normalisation)
        for feature, (best,) in zip(features, found, strict=True):
            expected = enumerate_captions(decoder, feature, words, FREE, normalisation)
            assert best.tokens == expected[0][1]


@settings(max_examples=8, deadline=None)
@given(seed=st.integers(0, 1000), normalisation=st.sampled_from([0.0, 1.0]), n_best=st.integers(1, 12))
def test_the_n_best_are_those_of_all_captions(build, draw_features, seed, normalisation, n_best):
    words, constraints = 5, Constraints(max_length=3, banned=(0,))
    decoder, features = build("lstm", seed, words), draw_features(2, seed)
    options = {"width": words**2, "length_normalisation": normalisation, "n_best": n_best}
    with torch.no_grad():
        found = beam(decoder, features, constraints, **options)
        for feature, captions in zip(features, found, strict=True):
            expected = enumerate_captions(decoder, feature, words, constraints, normalisation)[:n_best]
            assert [caption.tokens for caption in captions] == [tokens for _, tokens in expected]


@pytest.mark.parametrize("name", NAMES)
@settings(max_examples=10, deadline=None)
@given(seed=st.integers(0, 1000), max_length=st.integers(1, 8), groups=st.integers(1, 2))
def test_width_one_is_greedy(build, draw_features, name, seed, max_length, groups):
    decoder, features = build(name, seed), draw_features(5, seed)
    constraints = usual_constraints(max_length)
    with torch.no_grad():
        expected = greedy(decoder, features, constraints)
        found = beam(decoder, features, constraints, width=1)
        first_group = beam(decoder, features, constraints, width=groups, groups=groups, n_best=groups)
    for (words,), (own,), several in zip(expected, found, first_group, strict=True):
        assert own.tokens == words.tokens
        assert own.log_probabilities == pytest.approx(words.log_probabilities, abs=1e-10)
        assert words.tokens in [caption.tokens for caption in several]


@pytest.mark.parametrize("name", NAMES)
@settings(max_examples=10, deadline=None)
@given(
    seed=st.integers(0, 1000),
    width=st.integers(1, 6),
    normalisation=st.sampled_from([0.0, 0.5, 1.0]),
    max_length=st.integers(1, 9),
    diverse=st.booleans(),
)
def test_a_caption_has_the_models_own_likelihood_and_they_come_best_first(
    build, draw_features, name, seed, width, normalisation, max_length, diverse
):
    decoder, features = build(name, seed), draw_features(4, seed)
    options = {"groups": width, "diversity": 0.8} if diverse else {}
    with torch.no_grad():
        found = beam(
            decoder,
            features,
            usual_constraints(max_length),
            width=width,
            length_normalisation=normalisation,
            n_best=width,
            **options,
        )
        for feature, captions in zip(features, found, strict=True):
            scores = []
            for caption in captions:
                expected = log_probabilities(decoder, feature, caption.tokens)
                assert caption.log_probabilities == pytest.approx(expected, abs=1e-10)
                scores.append(sum(expected) / len(expected) ** normalisation)
            assert scores == sorted(scores, reverse=True)
            assert len(captions) == width


@settings(max_examples=20, deadline=None)
@given(
    seed=st.integers(0, 1000),
    width=st.integers(2, 5),
    normalisation=st.sampled_from([0.0, 0.7, 1.0]),
    batch=st.integers(1, 5),
)
def test_neither_the_batch_nor_leaving_it_early_changes_the_best(
    build, draw_features, seed, width, normalisation, batch
):
    decoder, features = build("rnn", seed), draw_features(6, seed)
    constraints = usual_constraints(7)
    options = {"width": width, "length_normalisation": normalisation}
    with torch.no_grad():
        alone = [
            words for part in features.split(batch) for words in beam(decoder, part, constraints, **options)
        ]
        full = beam(decoder, features, constraints, n_best=width, **options)
    assert [own[0].tokens for own in alone] == [own[0].tokens for own in full]


def test_a_wider_beam_finds_what_greedy_misses(build, draw_features):
    """Over many decoders the likeliest caption of width 4 is likelier on the whole."""
    gains = []
    for seed in range(10):
        decoder, features = build("lstm", seed), draw_features(20, seed)
        with torch.no_grad():
            one = greedy(decoder, features, usual_constraints(8))
            four = beam(decoder, features, usual_constraints(8), width=4)
        gains += [
            sum(wide.log_probabilities) - sum(narrow.log_probabilities)
            for (narrow,), (wide,) in zip(one, four, strict=True)
        ]
    assert sum(gains) / len(gains) > 0.1
    assert sum(gain < -1e-9 for gain in gains) < len(gains) / 20


def test_finished_hypotheses_leave_the_batch(build, draw_features):
    decoder, sizes = build("lstm", 3, sharpness=8.0), []
    step = decoder.step

    def counted(tokens, state):
        sizes.append(len(tokens))
        return step(tokens, state)

    decoder.step = counted
    with torch.no_grad():
        found = beam(decoder, draw_features(30), usual_constraints(12), width=4, n_best=4)
    # every prefix of a returned caption was read by one row, and no row was one of a finished caption
    assert sizes[0] == 30
    assert max(sizes) <= 120
    lengths = Counter(len(caption.tokens) for own in found for caption in own)
    assert sizes[-1] <= sum(count for length, count in lengths.items() if length >= len(sizes))


def diverse_slowly(decoder, feature, constraints, groups, diversity):
    """One hypothesis a group, the groups one after the other; the whole prefix again at every step."""
    prefixes, done = [[] for _ in range(groups)], [False] * groups
    for _ in range(constraints.max_length):
        counts = Counter()
        for group in range(groups):
            if done[group]:
                continue
            scores = decoder(feature[None], torch.tensor([[START, *prefixes[group]]]))[0, -1]
            logs = scores.log_softmax(0).tolist()
            words = [word for word in range(len(logs)) if word not in constraints.banned]
            word = max(words, key=lambda word: logs[word] - diversity * counts[word])
            counts[word] += 1
            prefixes[group].append(word)
            done[group] = word == END
    return prefixes


@settings(max_examples=15, deadline=None)
@given(seed=st.integers(0, 1000), groups=st.integers(1, 4), diversity=st.sampled_from([0.0, 0.5, 5.0]))
def test_diverse_beam_search_equals_the_slow_way(build, draw_features, seed, groups, diversity):
    decoder, features = build("transformer", seed), draw_features(3, seed)
    constraints = usual_constraints(6)
    with torch.no_grad():
        found = beam(
            decoder, features, constraints, width=groups, groups=groups, diversity=diversity, n_best=groups
        )
        for feature, captions in zip(features, found, strict=True):
            expected = diverse_slowly(decoder, feature, constraints, groups, diversity)
            assert sorted(caption.tokens for caption in captions) == sorted(expected)


def test_groups_without_diversity_are_beams_of_their_own(build, draw_features):
    decoder, features = build("lstm", 5), draw_features(5)
    with torch.no_grad():
        alone = beam(decoder, features, usual_constraints(7), width=3, n_best=3)
        twice = beam(decoder, features, usual_constraints(7), width=6, groups=2, n_best=6)
    for own, doubled in zip(alone, twice, strict=True):
        assert [words.tokens for words in doubled] == [words.tokens for words in own for _ in range(2)]
