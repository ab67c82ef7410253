"""Greedy captions: the likeliest allowed word at every step, whatever the batch, with its own probability."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from recap.core.feature_files import open_features, write_features
from recap.decoders.build import NAMES
from recap.decoders.decoder import Decoder
from recap.decoding.caption import Caption, Constraints, usual_constraints
from recap.decoding.generate import generate
from recap.text.vocabulary import END, NULL, SPECIAL_WORDS, START, UNK, Vocabulary

VOCABULARY = Vocabulary((*SPECIAL_WORDS, *"abcdefg"))
FEATURE_DIM = 5


def draw_features(count: int, seed: int = 1) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=(count, FEATURE_DIM))


def recompute(
    decoder: Decoder, feature: np.ndarray, constraints: Constraints
) -> tuple[list[int], list[float]]:
    """One caption the slow way: the whole prefix again at every step."""
    prefix, probabilities = [START], []
    for _ in range(constraints.max_length):
        scores = decoder(torch.from_numpy(feature[None]), torch.tensor([prefix]))[0, -1]
        log_probabilities = scores.log_softmax(0).tolist()
        allowed = [token for token in range(len(VOCABULARY)) if token not in constraints.banned]
        prefix.append(max(allowed, key=lambda token: log_probabilities[token]))
        probabilities.append(log_probabilities[prefix[-1]])
        if prefix[-1] == END:
            return prefix[1:-1], probabilities
    return prefix[1:], probabilities


@pytest.mark.parametrize("name", NAMES)
@settings(max_examples=10, deadline=None)
@given(seed=st.integers(0, 100), batch_size=st.integers(1, 7), max_length=st.integers(1, 9))
def test_greedy_equals_the_slow_way_in_any_batch(
    name: str, seed: int, batch_size: int, max_length: int, build: Callable[..., Decoder]
) -> None:
    decoder, features = build(name, seed, len(VOCABULARY)), draw_features(6)
    constraints = usual_constraints(max_length)
    captions = generate(decoder, features, VOCABULARY, constraints, batch_size)
    assert len(captions) == 6
    for caption, feature in zip(captions, features, strict=True):
        tokens, log_probabilities = recompute(decoder, feature, constraints)
        assert list(caption.tokens) == tokens
        assert caption.log_probabilities == pytest.approx(log_probabilities, abs=1e-10)
        assert caption.text == " ".join(VOCABULARY.idx_to_word[token] for token in tokens)


class _Fixed(Decoder):
    """Scores that depend on the step alone, the same for every image."""

    def __init__(self, preferences: list[list[int]]) -> None:
        super().__init__(1, len(VOCABULARY), 1)
        self.preferences = preferences

    def hidden(self, features: Tensor, captions: Tensor) -> Tensor:
        raise NotImplementedError

    def start(self, features: Tensor) -> tuple[Tensor, ...]:
        return (torch.zeros(len(features), dtype=torch.int64),)

    def step(self, tokens: Tensor, state: tuple[Tensor, ...]) -> tuple[Tensor, tuple[Tensor, ...]]:
        scores = torch.full((len(tokens), len(VOCABULARY)), -50.0)
        for row, moment in enumerate(state[0].tolist()):
            for rank, token in enumerate(self.preferences[moment]):
                scores[row, token] = 10.0 - rank
        return scores, (state[0] + 1,)


def test_special_words_are_never_said_and_unknown_only_when_allowed() -> None:
    decoder = _Fixed([[NULL, START, UNK, 5], [UNK, START, 6], [NULL, END], [7]])
    features = np.zeros((2, FEATURE_DIM), np.float32)
    captions = generate(decoder, features, VOCABULARY, usual_constraints(9), 2)
    assert [caption.tokens for caption in captions] == [(5, 6), (5, 6)]
    allowed = generate(decoder, features, VOCABULARY, usual_constraints(9, allow_unknown=True), 2)
    assert [caption.words for caption in allowed] == [("<UNK>", "<UNK>")] * 2


def test_a_caption_ends_with_end_or_at_the_maximum_length() -> None:
    decoder = _Fixed([[5], [6], [END], [7]])
    features = np.zeros((1, FEATURE_DIM), np.float32)
    (whole,) = generate(decoder, features, VOCABULARY, usual_constraints(9), 1)
    assert whole.tokens == (5, 6)
    assert len(whole.log_probabilities) == 3  # <END> has one too
    (cut,) = generate(decoder, features, VOCABULARY, usual_constraints(1), 1)
    assert cut.tokens == (5,)
    assert len(cut.log_probabilities) == 1


def test_features_may_be_mapped_from_a_file(tmp_path: Path, build: Callable[..., Decoder]) -> None:
    features = draw_features(3).astype(np.float32)
    write_features(tmp_path / "features.h5", features)
    decoder = build("rnn", words=len(VOCABULARY)).float()
    constraints = usual_constraints(5)
    mapped = generate(decoder, open_features(tmp_path / "features.h5"), VOCABULARY, constraints, 2)
    assert mapped == generate(decoder, features, VOCABULARY, constraints, 2)


def test_finished_captions_leave_the_batch(build: Callable[..., Decoder]) -> None:
    sizes: list[int] = []
    decoder = build("lstm", words=len(VOCABULARY), sharpness=8.0)
    step = decoder.step

    def counted(tokens: Tensor, state: tuple[Tensor, ...]) -> tuple[Tensor, tuple[Tensor, ...]]:
        sizes.append(len(tokens))
        return step(tokens, state)

    decoder.step = counted  # type: ignore[method-assign]
    captions = generate(decoder, draw_features(40), VOCABULARY, usual_constraints(12), 40)
    assert sum(sizes) == sum(len(caption.log_probabilities) for caption in captions)
    assert sizes[-1] < 40


def test_a_caption_knows_which_tokens_spell_a_word() -> None:
    spelt = Caption((4,) * 8, (0.0,) * 8, tuple("a  cat a"), separator="")
    assert spelt.text == "a  cat a"
    assert spelt.words == ("a", "cat", "a")
    assert ["".join(spelt.pieces[place] for place in span) for span in spelt.spans] == ["a", "cat", "a"]
    words = Caption((4, 5), (0.0,) * 2, ("a", "cat"), separator=" ")
    assert words.text == "a cat"
    assert words.spans == [range(0, 1), range(1, 2)]
