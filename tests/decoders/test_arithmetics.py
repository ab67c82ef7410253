"""A decoder computes the same, but for rounding, under either arithmetic."""

import pytest
import torch

from recap.decoders.build import NAMES, build_decoder
from recap.decoders.decoder import Decoder
from recap.runtime import kernels

SIZES = {
    "rnn": {"hidden_dim": 12},
    "lstm": {"hidden_dim": 12},
    "transformer": {"heads": 2, "layers": 2, "feedforward_dim": 16, "memory_tokens": 3},
    "attention_lstm": {
        "hidden_dim": 12,
        "attention_dim": 5,
        "doubly_stochastic": 0.5,
        "feature_dim": 2,
        "grid": [2, 2],
    },
}


def loss_and_gradients(decoder: Decoder) -> list[torch.Tensor]:
    generator = torch.Generator().manual_seed(3)
    features = torch.randn(5, 6, generator=generator)
    captions = torch.randint(1, 9, (5, 7), generator=generator)
    loss = decoder.loss(features, captions)
    return [loss, *torch.autograd.grad(loss, list(decoder.parameters()))]


@pytest.mark.parametrize("name", NAMES)
def test_both_arithmetics_agree(name: str) -> None:
    model = {"name": name, "feature_dim": 6, "vocabulary_size": 9, "wordvec_dim": 8, "dropout": 0.0}
    decoder = build_decoder(model | SIZES[name], torch.Generator().manual_seed(1)).train()
    native = loss_and_gradients(decoder)
    kernels.install()
    try:
        portable = loss_and_gradients(decoder)
    finally:
        kernels._kernels.pop()._destroy()
        torch.backends.cuda.enable_flash_sdp(True)
        torch.backends.nnpack.set_flags(True)
    for ours, theirs in zip(portable, native, strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-4, atol=1e-5)
