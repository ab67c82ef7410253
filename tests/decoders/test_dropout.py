"""Where decoders drop: features, words and hidden states, each scaled so that its expectation stays."""

from collections.abc import Iterator

import pytest
import torch
from torch import Tensor

from recap.decoders.build import build_decoder
from recap.decoders.decoder import Decoder

WIDTH, COUNT, DROPOUT = 8, 4000, 0.5
VALUE, SCALE = 0.25, 1 / (1 - DROPOUT)
PLAIN = torch.full((COUNT, WIDTH), VALUE)
START_ONLY = torch.ones(COUNT, 1, dtype=torch.int64)


@pytest.fixture(autouse=True)
def _seeded() -> Iterator[None]:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        yield


def build(name: str, **sizes: int) -> Decoder:
    """A decoder in training whose weights are all 0."""
    model = {"name": name, "feature_dim": WIDTH, "vocabulary_size": 9, "wordvec_dim": WIDTH}
    decoder = build_decoder(model | sizes | {"dropout": DROPOUT}, torch.Generator().manual_seed(0)).train()
    with torch.no_grad():
        for parameter in decoder.parameters():
            parameter.zero_()
    return decoder


def recurrent(cell: str, source: str) -> Decoder:
    """A recurrence that hands on features or words as they come, through its nonlinearity alone."""
    decoder = build(cell, hidden_dim=WIDTH)
    block = slice(2 * WIDTH, 3 * WIDTH) if cell == "lstm" else slice(None)
    with torch.no_grad():
        if source == "features":
            decoder.get_parameter("projection.weight").copy_(torch.eye(WIDTH))
            decoder.get_parameter("recurrence.weight_hh_l0")[block] = torch.eye(WIDTH)
        else:
            decoder.get_parameter("words.weight").fill_(VALUE)
            decoder.get_parameter("recurrence.weight_ih_l0")[block] = torch.eye(WIDTH)
    return decoder


def through(cell: str, value: float) -> float:
    """One step of a recurrence from `recurrent`; an LSTM's other gates are half open."""
    hidden = torch.tensor(value).tanh()
    return float(hidden if cell == "rnn" else 0.5 * (0.5 * hidden).tanh())


@pytest.mark.parametrize("source", ["features", "words"])
@pytest.mark.parametrize("cell", ["rnn", "lstm"])
def test_a_recurrent_decoder_drops_what_it_is_given_and_its_hidden_states(cell: str, source: str) -> None:
    decoder = recurrent(cell, source)
    features = PLAIN if source == "features" else torch.zeros_like(PLAIN)
    hidden = decoder.hidden(features, START_ONLY)[:, 0].detach()  # (N, H)
    # an entry is there when neither its source nor the hidden state is dropped
    torch.testing.assert_close(hidden.max().item(), SCALE * through(cell, SCALE * VALUE))
    assert set((hidden != 0).flatten().tolist()) == {False, True}
    present = hidden[hidden != 0]
    torch.testing.assert_close(present, torch.full_like(present, float(hidden.max())))
    share = len(present) / hidden.numel()
    assert share == pytest.approx((1 - DROPOUT) ** 2, abs=0.02)


@pytest.mark.parametrize("cell", ["rnn", "lstm"])
def test_a_recurrent_decoder_that_is_used_drops_nothing(cell: str) -> None:
    decoder = recurrent(cell, "features")
    hidden = decoder.eval().hidden(PLAIN, START_ONLY)
    torch.testing.assert_close(hidden, torch.full_like(hidden, through(cell, VALUE)))


def transformer() -> Decoder:
    """A Transformer of one layer whose memory is the feature, and whose values are the memory."""
    decoder = build("transformer", heads=1, layers=1, feedforward_dim=WIDTH, memory_tokens=1)
    with torch.no_grad():
        decoder.get_parameter("projection.weight").copy_(torch.eye(WIDTH))
        decoder.get_parameter("layers.0.memory_attention.value.weight").copy_(torch.eye(WIDTH))
    return decoder


def shares(values: Tensor) -> dict[float, float]:
    """How often each value stands in a tensor."""
    found, counts = values.detach().flatten().unique(return_counts=True)
    return dict(zip(found.tolist(), (counts / values.numel()).tolist(), strict=True))


def test_a_transformer_drops_features() -> None:
    values = transformer().start(PLAIN)[3]  # of the memory
    assert shares(values) == {
        0.0: pytest.approx(DROPOUT, abs=0.02), SCALE * VALUE: pytest.approx(1 - DROPOUT, abs=0.02)
    }  # fmt: skip


def given_to_norm(decoder: Decoder, place: int) -> Tensor:
    """What one of a layer's three norms is given, (N, W), for features of ``VALUE`` and one word."""
    seen: list[Tensor] = []
    norm = decoder.get_submodule(f"layers.0.norms.{place}")
    handle = norm.register_forward_pre_hook(lambda module, given: seen.append(given[0]))
    decoder.hidden(PLAIN, START_ONLY)
    handle.remove()
    return seen[0][:, 0]


def test_a_transformer_drops_embedded_words() -> None:
    decoder = transformer()
    with torch.no_grad():
        decoder.get_parameter("words.weight").fill_(VALUE)
    # even columns of position 0 are sines, 0; odd ones cosines, 1
    assert shares(given_to_norm(decoder, 0)[:, ::2]) == {
        0.0: pytest.approx(DROPOUT, abs=0.02), SCALE * VALUE: pytest.approx(1 - DROPOUT, abs=0.02)
    }  # fmt: skip


@pytest.mark.parametrize(
    ("part", "place"), [("self_attention.output", 0), ("memory_attention.output", 1), ("contract", 2)]
)
def test_a_transformer_drops_what_each_part_adds(part: str, place: int) -> None:
    decoder = transformer()
    with torch.no_grad():
        decoder.get_parameter(f"layers.0.{part}.bias").fill_(VALUE)
    # before the first norm stands the embedded word, of which position 0 leaves odd columns alone
    own = given_to_norm(decoder, place)[:, ::2] if place == 0 else given_to_norm(decoder, place)
    assert shares(own) == {
        0.0: pytest.approx(DROPOUT, abs=0.02), SCALE * VALUE: pytest.approx(1 - DROPOUT, abs=0.02)
    }  # fmt: skip
