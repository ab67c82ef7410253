"""What a recipe changes in a decoder: smoothed targets and weighted captions."""

import pytest
import torch
from torch import Tensor

from recap.decoders.build import NAMES, build_decoder
from recap.decoders.decoder import Decoder
from recap.text.vocabulary import NULL

WORDS = 9
CAPTIONS = torch.tensor([[1, 4, 5, 2, 0], [1, 6, 2, 0, 0], [1, 7, 8, 4, 2]])


def build(name: str) -> Decoder:
    model = {"name": name, "feature_dim": 5, "vocabulary_size": WORDS, "wordvec_dim": 8, "dropout": 0.0}
    if name == "transformer":
        model |= {"heads": 2, "layers": 1, "feedforward_dim": 12, "memory_tokens": 2}
    else:
        model["hidden_dim"] = 8
    if name == "attention_lstm":
        model |= {"attention_dim": 4, "doubly_stochastic": 0.0, "feature_dim": 1, "grid": [2, 2]}
    return build_decoder(model, torch.Generator().manual_seed(0)).double()


def features() -> Tensor:
    return torch.randn(3, 5, generator=torch.Generator().manual_seed(1), dtype=torch.float64)


def log_probabilities(decoder: Decoder, read: Tensor) -> Tensor:
    return decoder(features(), read).log_softmax(2)


@pytest.mark.parametrize("name", NAMES)
def test_smoothing_gives_every_word_its_part_of_each_target(name: str) -> None:
    decoder = build(name)
    logs = log_probabilities(decoder, CAPTIONS[:, :-1])
    losses = []
    for caption, own in zip(CAPTIONS, logs, strict=True):
        for target, word_logs in zip(caption[1:], own, strict=True):
            if target != NULL:
                wanted = torch.full((WORDS,), 0.2 / WORDS, dtype=torch.float64)
                wanted[target] += 0.8
                losses.append(-(wanted * word_logs).sum())
    loss = decoder.loss(features(), CAPTIONS, smoothing=0.2)
    torch.testing.assert_close(loss, torch.stack(losses).mean(), rtol=0, atol=1e-12)


@pytest.mark.parametrize("name", NAMES)
def test_weights_are_factors_of_whole_captions(name: str) -> None:
    decoder = build(name)
    logs = log_probabilities(decoder, CAPTIONS[:, :-1])
    targets = CAPTIONS[:, 1:]
    chosen = logs.gather(2, targets[:, :, None])[:, :, 0] * (targets != NULL)  # (N, T)
    weights = torch.tensor([2.0, -0.5, 0.25], dtype=torch.float64)
    loss = decoder.loss(features(), CAPTIONS, weights=weights)
    expected = -(chosen.sum(1) * weights).sum() / (targets != NULL).sum()
    torch.testing.assert_close(loss, expected, rtol=0, atol=1e-12)
