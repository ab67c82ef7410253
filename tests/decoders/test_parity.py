"""The fast decoders are the reference models: the same loss, gradients and captions from the same weights."""

from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.decoders import from_reference
from torch import Tensor

from recap.decoders.decoder import Decoder
from recap.decoding.caption import Constraints
from recap.decoding.greedy import greedy
from recap.reference.rnn import CaptioningRNN
from recap.reference.torch_layers import temporal_softmax_loss
from recap.reference.transformer import CaptioningTransformer
from recap.text.vocabulary import END, NULL, SPECIAL_WORDS, START

HEADS, FEATURE_DIM = 2, 5
WORDS = {word: number for number, word in enumerate((*SPECIAL_WORDS, "cat", "dog", "sat", "on", "mat"))}
NAMES = ("rnn", "lstm", "transformer")
TOLERANCE = 1e-9


def reference_model(name: str, seed: int) -> Any:
    """A reference model in float64 and without dropout, all of its weights random."""
    generator = np.random.default_rng(seed)
    if name == "transformer":
        model = CaptioningTransformer(WORDS, FEATURE_DIM, 8, HEADS, num_layers=2, max_length=20)
        for parameter in model.parameters():
            parameter.data = torch.tensor(0.5 * generator.standard_normal(parameter.shape))
        return model.eval()
    recurrent = CaptioningRNN(WORDS, FEATURE_DIM, 6, 7, name, np.float64)
    for key, value in recurrent.params.items():
        recurrent.params[key] = 0.5 * generator.standard_normal(value.shape)
    return recurrent


def fast(name: str, weights: Any) -> Decoder:
    """The fast decoder with the weights (or gradients) of a reference model."""
    if name == "transformer":
        return from_reference.transformer(weights, HEADS)
    return from_reference.recurrent(weights, name)


def weights_of(model: Any) -> Any:
    return model.params if isinstance(model, CaptioningRNN) else model.state_dict()


def reference_loss(model: Any, features: Tensor, captions: Tensor) -> tuple[float, Any]:
    """Loss, summed over time and averaged over the batch, and gradients under the reference's names."""
    if isinstance(model, CaptioningRNN):
        return model.loss(features.numpy(), captions.numpy())
    targets = captions[:, 1:]
    loss = temporal_softmax_loss(model(features, captions[:, :-1]), targets, targets != NULL)
    names = [name for name, _ in model.named_parameters()]
    return loss.item(), dict(zip(names, torch.autograd.grad(loss, list(model.parameters())), strict=True))


def draw(lengths: list[int], width: int, seed: int) -> tuple[Tensor, Tensor]:
    """Features, and captions of so many words between <START> and <END>."""
    generator = np.random.default_rng(seed)
    captions = np.full((len(lengths), width), NULL)
    for row, length in enumerate(lengths):
        words = generator.integers(len(SPECIAL_WORDS) - 1, len(WORDS), size=length)  # <UNK> too
        captions[row, : length + 2] = [START, *words, END]
    features = generator.standard_normal((len(lengths), FEATURE_DIM))
    return torch.tensor(features), torch.tensor(captions)


def assert_parity(name: str, model: Any, features: Tensor, captions: Tensor) -> None:
    expected_loss, gradients = reference_loss(model, features, captions)
    decoder = fast(name, weights_of(model))
    mean_words = int((captions[:, 1:] != NULL).sum()) / len(captions)
    loss = decoder.loss(features, captions) * mean_words  # a mean over words to one over captions
    loss.backward()

    assert loss.item() == pytest.approx(expected_loss, rel=0, abs=TOLERANCE)
    expected = dict(fast(name, gradients).named_parameters())
    for key, parameter in decoder.named_parameters():
        # torch has a bias for either product of a recurrence; both have the gradient of the course's one
        of = expected[key.replace("bias_hh", "bias_ih")]
        gradient = parameter.grad
        if gradient is None:  # attention to one token asks neither for queries nor for keys
            assert ".memory_attention.query." in key or ".memory_attention.key." in key
            gradient = torch.zeros_like(parameter)
        torch.testing.assert_close(gradient, of.detach(), rtol=0, atol=TOLERANCE)


@pytest.mark.parametrize("name", NAMES)
def test_loss_and_gradients_of_captions_of_every_length(name: str) -> None:
    features, captions = draw(list(range(13)), width=15, seed=0)
    assert_parity(name, reference_model(name, 1), features, captions)


@pytest.mark.parametrize("name", NAMES)
@settings(max_examples=10, deadline=None)
@given(
    lengths=st.lists(st.integers(0, 6), min_size=1, max_size=4),
    padding=st.integers(0, 3),
    seed=st.integers(0, 2**32 - 1),
)
def test_loss_and_gradients_of_any_batch(name: str, lengths: list[int], padding: int, seed: int) -> None:
    features, captions = draw(lengths, max(lengths) + 2 + padding, seed)
    assert_parity(name, reference_model(name, seed), features, captions)


@pytest.mark.parametrize("name", NAMES)
@settings(max_examples=5, deadline=None)
@given(seed=st.integers(0, 2**32 - 1))
def test_greedy_captions_are_the_same_token_by_token(name: str, seed: int) -> None:
    model = reference_model(name, seed)
    features, _ = draw([0] * 9, 2, seed)
    sampled = np.asarray(model.sample(features.numpy(), max_length=12)).tolist()
    expected = [row[: row.index(END) + 1] if END in row else row for row in sampled]
    with torch.inference_mode():
        searched = greedy(fast(name, weights_of(model)), features, Constraints(12, banned=()))

    assert [words.tokens for (words,) in searched] == expected


@pytest.mark.parametrize(
    ("cell", "low", "high", "expected"),
    [("rnn", -1.5, 0.3, 9.83235591003), ("lstm", -0.5, 1.7, 9.82445935443)],
)
def test_course_prints_these_losses(cell: str, low: float, high: float, expected: float) -> None:
    N, D, T = 10, 20, 13
    model = CaptioningRNN({"<NULL>": 0, "cat": 2, "dog": 3}, D, 30, 40, cell, np.float64)
    params = {
        name: np.linspace(-1.4, 1.3, value.size).reshape(value.shape) for name, value in model.params.items()
    }
    features = torch.linspace(low, high, N * D, dtype=torch.float64).reshape(N, D)
    captions = torch.arange(N * T).reshape(N, T) % 3
    mean_words = int((captions[:, 1:] != NULL).sum()) / N

    loss = fast(cell, params).loss(features, captions).item() * mean_words

    assert loss == pytest.approx(expected, rel=0, abs=1e-10)


def test_transformer_scores_are_the_references_on_the_course_inputs() -> None:
    N, D, T = 4, 20, 3
    model = CaptioningTransformer({"<NULL>": 0, "cat": 2, "dog": 3}, D, 30, HEADS, max_length=30).eval()
    for p in model.parameters():
        p.data = torch.linspace(-1.4, 1.3, p.numel(), dtype=torch.float64).reshape(p.shape)
    features = torch.linspace(-1.5, 0.3, N * D, dtype=torch.float64).reshape(N, D)
    captions = torch.arange(N * T).reshape(N, T) % 3

    with torch.inference_mode():
        scores = fast("transformer", model.state_dict())(features, captions)
        torch.testing.assert_close(scores, model(features, captions), rtol=0, atol=1e-5)
        in_float32 = fast("transformer", model.float().state_dict())(features.float(), captions)
        torch.testing.assert_close(in_float32, scores.float(), rtol=1e-5, atol=0)
