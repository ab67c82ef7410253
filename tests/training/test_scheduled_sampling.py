"""Which words are replaced, and that the new ones are drawn from the decoder."""

import torch
from torch import Tensor

from recap.decoders.build import build_decoder
from recap.decoders.decoder import Decoder
from recap.training.scheduled_sampling import draw_words, words_to_read

CAPTIONS = torch.tensor([[1, 4, 5, 6, 2], [1, 7, 2, 0, 0]]).repeat(400, 1)


def decoder() -> Decoder:
    model = {"name": "lstm", "feature_dim": 3, "vocabulary_size": 8, "wordvec_dim": 4, "hidden_dim": 4}
    return build_decoder(model | {"dropout": 0.5}, torch.Generator().manual_seed(0)).train()


def features() -> Tensor:
    return torch.ones(len(CAPTIONS), 3)


def generator() -> torch.Generator:
    return torch.Generator().manual_seed(5)


def test_no_share_reads_what_people_wrote() -> None:
    assert torch.equal(words_to_read(decoder(), features(), CAPTIONS, 0.0, generator()), CAPTIONS[:, :-1])


def test_the_share_of_words_is_replaced_and_neither_the_first_nor_padding() -> None:
    model = decoder()
    read = words_to_read(model, features(), CAPTIONS, 0.25, generator())
    assert model.training  # as it was
    people = CAPTIONS[:, :-1]
    assert torch.equal(read[:, 0], people[:, 0])
    assert torch.equal(read[1::2, 3], people[1::2, 3])
    # the untrained decoder says nearly every one of 8 words alike, the people's own too
    changed = (read != people)[:, 1:][people[:, 1:] != 0].float().mean().item()
    assert abs(changed - 0.25 * 7 / 8) < 0.04


def test_words_are_drawn_from_the_distribution_after_the_words_of_people() -> None:
    model = decoder()
    with torch.no_grad():
        model.scores.weight.mul_(4)  # far from uniform
    read = words_to_read(model, features(), CAPTIONS, 1.0, generator())
    model.eval()
    expected = model(features(), CAPTIONS[:, :-2]).softmax(2)[0, 1]  # after <START> and word 4
    drawn = torch.bincount(read[::2, 2], minlength=8) / 400
    torch.testing.assert_close(drawn, expected.detach(), rtol=0, atol=0.08)


def test_draws_follow_the_softmax() -> None:
    scores = torch.tensor([0.0, 1.0, 2.0, -1.0])
    drawn = draw_words(scores.expand(40_000, 4), generator())
    frequencies = torch.bincount(drawn, minlength=4) / 40_000
    torch.testing.assert_close(frequencies, scores.softmax(0), rtol=0, atol=0.01)
