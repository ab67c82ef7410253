"""What a recipe changes in a decoder: smoothed targets, weighted captions, words read, tied word vectors."""

from pathlib import Path

import pytest
import torch
from torch import Tensor

from recap.data.vocabulary import NULL
from recap.decoders.build import NAMES, build_decoder, load_decoder, save_decoder
from recap.decoders.decoder import Decoder
from recap.errors import InputError

WORDS = 9
CAPTIONS = torch.tensor([[1, 4, 5, 2, 0], [1, 6, 2, 0, 0], [1, 7, 8, 4, 2]])


def build(name: str, *, tied: bool = False) -> Decoder:
    model = {"name": name, "feature_dim": 5, "vocabulary_size": WORDS, "wordvec_dim": 8, "dropout": 0.0}
    if name == "transformer":
        model |= {"heads": 2, "layers": 1, "feedforward_dim": 12, "memory_tokens": 2}
    else:
        model["hidden_dim"] = 8
    return build_decoder(model | {"tied": tied}, torch.Generator().manual_seed(0)).double()


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


@pytest.mark.parametrize("name", NAMES)
def test_words_read_need_not_be_the_targets(name: str) -> None:
    decoder = build(name)
    read = torch.tensor([[1, 8, 8, 2], [1, 3, 2, 0], [1, 4, 4, 4]])
    targets = CAPTIONS[:, 1:]
    chosen = log_probabilities(decoder, read).gather(2, targets[:, :, None])[:, :, 0][targets != NULL]
    loss = decoder.loss(features(), CAPTIONS, read=read)
    torch.testing.assert_close(loss, -chosen.mean(), rtol=0, atol=1e-12)


@pytest.mark.parametrize("name", NAMES)
def test_tied_word_vectors_are_the_weights_of_the_scores(name: str) -> None:
    decoder, own = build(name, tied=True), build(name)
    assert "scores.weight" not in decoder.state_dict()
    tied, untied = (sum(value.numel() for value in model.parameters()) for model in (decoder, own))
    assert untied - tied == WORDS * 8
    # what is tied gives the scores of two equal copies, and the sum of their gradients
    own.load_state_dict(decoder.state_dict() | {"scores.weight": decoder.words.weight.detach()})
    gradients = {}
    for model in (decoder, own):
        loss = model.loss(features(), CAPTIONS)
        loss.backward()
        gradients[model] = (loss.detach(), model.words.weight.grad)
    torch.testing.assert_close(gradients[decoder][0], gradients[own][0], rtol=0, atol=1e-12)
    summed = gradients[own][1] + own.get_parameter("scores.weight").grad
    torch.testing.assert_close(gradients[decoder][1], summed, rtol=0, atol=1e-12)


@pytest.mark.parametrize("name", NAMES)
def test_a_tied_decoder_comes_back_tied(name: str, tmp_path: Path) -> None:
    model = {"name": name, "feature_dim": 5, "vocabulary_size": WORDS, "wordvec_dim": 8, "dropout": 0.0}
    if name == "transformer":
        model |= {"heads": 2, "layers": 1, "feedforward_dim": 12, "memory_tokens": 2}
    else:
        model["hidden_dim"] = 8
    model["tied"] = True
    decoder = build_decoder(model, torch.Generator().manual_seed(0))
    save_decoder(tmp_path, decoder, model)
    loaded = load_decoder(tmp_path)
    assert torch.equal(loaded(features().float(), CAPTIONS), decoder.eval()(features().float(), CAPTIONS))
    with torch.no_grad():
        loaded.words.weight.zero_()
    scores = loaded(features().float(), CAPTIONS)
    assert torch.equal(scores, torch.zeros_like(scores))  # biases are 0 before training


def test_word_vectors_of_another_width_cannot_be_tied() -> None:
    model = {"name": "lstm", "feature_dim": 5, "vocabulary_size": WORDS, "wordvec_dim": 8, "dropout": 0.0}
    with pytest.raises(InputError, match="as wide as the hidden state, 12, to tie them, received 8"):
        build_decoder(model | {"hidden_dim": 12, "tied": True})
