"""Small random decoders. One thread: tensors this small lose with a second when the machine is busy."""

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor

from recap.decoders.build import build_decoder
from recap.decoders.decoder import Decoder


@pytest.fixture(autouse=True)
def _one_thread(one_thread: None) -> None:
    pass


@pytest.fixture(scope="session")
def build() -> Callable[..., Decoder]:
    """A decoder in float64 with so many words, by name and seed."""

    def make(name: str, seed: int = 0, words: int = 9, sharpness: float = 3.0) -> Decoder:
        model: dict[str, Any] = {"name": name, "feature_dim": 5, "vocabulary_size": words}
        model |= {"wordvec_dim": 8, "dropout": 0.5}
        if name == "transformer":
            model |= {"heads": 2, "layers": 1, "feedforward_dim": 16, "memory_tokens": 2}
        else:
            model["hidden_dim"] = 8
        if name == "attention_lstm":
            model |= {"attention_dim": 4, "doubly_stochastic": 0.0, "feature_dim": 1, "grid": [2, 2]}
        decoder = build_decoder(model, torch.Generator().manual_seed(seed)).double().eval()
        decoder.scores.weight.data *= sharpness
        return decoder

    return make


@pytest.fixture(scope="session")
def draw_features() -> Callable[[int], Tensor]:
    def draw(count: int, seed: int = 1) -> Tensor:
        return torch.randn(count, 5, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)

    return draw
