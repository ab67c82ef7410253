"""Attention weights that are drawn are those that the fused attention uses."""

import pytest
import torch
from torch import Tensor

from recap.decoders.transformer import TransformerDecoder
from recap.explain.word_attention import _weights, attention_weights


@pytest.fixture
def decoder() -> TransformerDecoder:
    decoder = TransformerDecoder(5, 11, 8, 2, 3, 16, 4, 0.5)
    decoder.initialise(torch.Generator().manual_seed(0))
    return decoder.eval()


def noise(*shape: int) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(1))


def test_each_row_sums_to_one_and_looks_at_no_later_word(decoder: TransformerDecoder) -> None:
    layers = attention_weights(decoder, noise(1, 5), torch.tensor([4, 5, 6, 7, 2]))
    assert len(layers) == 3
    for words in layers:
        assert words.shape == (2, 5, 5)
        assert torch.allclose(words.sum(dim=2), torch.ones(2, 5))
        assert words.triu(1).abs().max() == 0
        assert (words[:, 0, 0] == 1).all()


def test_weights_times_values_are_the_fused_attention(decoder: TransformerDecoder) -> None:
    attention = decoder.layers[1].self_attention
    x = noise(2, 6, 8)
    keys, values = attention.keys_and_values(x)
    attended = _weights(attention, x, keys) @ values  # (N, A, T, W / A)
    expected = attention(x, keys, values, causal=True)
    assert torch.allclose(attention.output(attended.transpose(1, 2).flatten(2)), expected, atol=1e-6)


def test_the_decoder_is_left_as_it_was(decoder: TransformerDecoder) -> None:
    attention_weights(decoder, noise(1, 5), torch.tensor([4, 2]))
    assert not any(module._forward_pre_hooks for module in decoder.modules())
