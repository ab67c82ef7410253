"""Words that the constraints forbid are written by no search; the others are chosen as before."""

from dataclasses import replace
from functools import partial

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.settings import GREEDY

from recap.decoding.beam import beam
from recap.decoding.caption import Constraints, usual_constraints
from recap.decoding.greedy import greedy
from recap.decoding.sampling import sample
from recap.decoding.search import forbid
from recap.decoding.searches import make_constraints, make_search
from recap.text.vocabulary import END, SPECIAL_WORDS, Vocabulary

SEARCHES = {
    "greedy": greedy,
    "sample": partial(sample, seed=4),
    "beam": partial(beam, width=3, n_best=3),
    "diverse_beam": partial(beam, width=4, groups=2, diversity=1.0, n_best=4),
}


@pytest.mark.parametrize("search", SEARCHES)
@settings(max_examples=25, deadline=None)
@given(
    seed=st.integers(0, 1000),
    max_length=st.integers(1, 12),
    data=st.data(),
    banned=st.sets(st.integers(4, 8), max_size=2),
    banned_last=st.sets(st.integers(4, 8), max_size=3),
    trigrams=st.booleans(),
)
def test_no_search_breaks_a_constraint(
    build, draw_features, search, seed, max_length, data, banned, banned_last, trigrams
):
    banned = {*usual_constraints(1).banned, *banned}
    constraints = Constraints(
        max_length,
        tuple(sorted(banned)),
        data.draw(st.integers(0, max_length)),
        tuple(sorted(banned_last)),
        trigrams,
    )
    words = 9
    possible = set(range(words)) - banned - {END}
    with torch.no_grad():
        found = SEARCHES[search](build("lstm", seed, words), draw_features(4, seed), constraints, range(4))
    assert len(found) == 4
    for captions in found:
        assert captions
        for caption in captions:
            said = [token for token in caption.tokens if token != END]
            assert END not in caption.tokens[:-1]
            assert 1 <= len(caption.tokens) == len(caption.log_probabilities) <= max_length
            assert not banned & set(said)
            triples = list(zip(said, said[1:], said[2:], strict=False))
            assert trigrams or len(set(triples)) == len(triples)
            if len(possible - banned_last) >= 1 and trigrams:  # else a caption may have to end as it is
                assert len(said) >= constraints.min_length
                assert not said or said[-1] not in banned_last


def test_a_word_that_would_repeat_a_trigram_is_not_allowed():
    said = torch.tensor([[5, 6, 7, 8, 5, 6], [5, 6, 7, 5, 6, 5], [5, 5, 5, 5, 5, 5]])
    rest = torch.zeros(3, 9)
    forbid(rest, said, Constraints(10, banned=(0,), repeat_trigrams=False))
    forbidden = [[word for word in range(9) if rest[row, word] == float("-inf")] for row in range(3)]
    assert forbidden == [[0, 7], [0], [0, 5]]


def test_the_last_word_is_checked_at_the_end_and_at_the_maximum_length():
    constraints = Constraints(3, banned=(), min_length=1, banned_last=(4, 5))
    said = torch.tensor([[6, 4], [4, 6]])
    rest = torch.zeros(2, 7)
    forbid(rest, said, constraints)
    assert (rest == float("-inf")).tolist() == [
        [False, False, True, False, True, True, False],
        [False, False, False, False, True, True, False],
    ]
    first = torch.zeros(1, 7)
    forbid(first, said[:1, :0], constraints)
    assert (first == float("-inf")).nonzero()[:, 1].tolist() == [END]


def test_a_caption_ends_where_no_word_is_allowed():
    constraints = Constraints(5, banned=(0, 1, 3, 4), min_length=2)
    rest = torch.tensor([[-1.0, -2.0, -3.0, -4.0, -5.0]])
    forbid(rest, torch.zeros((1, 0)).long(), constraints)
    assert rest[0].tolist() == [float("-inf"), float("-inf"), -3.0, float("-inf"), float("-inf")]


def test_settings_become_the_search_and_the_constraints(build, draw_features):
    vocabulary = Vocabulary((*SPECIAL_WORDS, *"abcde"))
    decoder, features = build("rnn"), draw_features(3)
    config = replace(
        GREEDY,
        search="diverse_beam",
        beam_width=4,
        groups=2,
        diversity=0.5,
        length_normalisation=0.7,
        banned_words=("b", "zebra"),
        banned_last_words=("a",),
        repeat_trigrams=False,
        min_length=2,
        max_length=6,
        allow_unknown=True,
    )
    constraints = make_constraints(config, vocabulary)
    assert constraints == Constraints(6, (0, 1, 5), 2, (4,), False)
    with torch.no_grad():
        found = make_search(config)(decoder, features, constraints, range(3))
        options = {"width": 4, "groups": 2, "diversity": 0.5, "length_normalisation": 0.7}
        assert found == beam(decoder, features, constraints, **options)
        plain = make_search(replace(GREEDY, search="beam", beam_width=4, groups=2, diversity=9.0))
        assert plain(decoder, features, constraints, range(3)) == beam(
            decoder, features, constraints, width=4
        )
        drawn = make_search(replace(GREEDY, search="sample", seed=5, top_k=3, top_p=0.7, temperature=2.0))
        expected = sample(
            decoder, features, constraints, range(3), seed=5, top_k=3, top_p=0.7, temperature=2.0
        )
        assert drawn(decoder, features, constraints, range(3)) == expected
        assert make_search(GREEDY) is greedy
