"""Gradients of a step: recorded as a graph on a GPU they are those of the pass itself, dropout included."""

import os
from dataclasses import replace

import numpy as np
import pytest
import torch
from tests.settings import settings
from torch import Tensor

from recap.decoders.build import NAMES, build_decoder, describe
from recap.decoders.config import DecodersConfig
from recap.decoders.decoder import Decoder
from recap.runtime.config import RuntimeConfig
from recap.runtime.setup import configure, has_bfloat16
from recap.text.batches import CaptionedFeatures
from recap.text.vocabulary import END, NULL, SPECIAL_WORDS, START
from recap.training.config import TrainConfig
from recap.training.gradients import Backpropagation
from recap.training.seeds import seed_generator

FEATURE_DIM, WORDS, IMAGES = 12, 30, 5
DEVICES = ["cpu", pytest.param("cuda", marks=pytest.mark.gpu)]
LENGTHS = np.array([6, 6, 6, 6, 4, 5, 5, 6, 6, 6, 6, 6])
BATCHES = [
    [0, 1, 2, 3],
    [3, 4, 5, 6],
    [7, 8, 9, 10],
    [5, 6],
    [3, 2, 7, 11],
    [6, 5],
    [4, 3, 1, 5],
    [0, 1, 2, 3],
]


def make_data() -> CaptionedFeatures:
    generator = np.random.default_rng(0)
    captions = generator.integers(len(SPECIAL_WORDS), WORDS, (len(LENGTHS), 7), dtype=np.int32)
    captions[:, 0] = START
    captions[np.arange(len(LENGTHS)), LENGTHS - 1] = END
    captions[np.arange(7) >= LENGTHS[:, None]] = NULL
    rows = generator.integers(0, IMAGES, len(LENGTHS), dtype=np.int32)
    rows[0] = IMAGES - 1
    return CaptionedFeatures(
        captions, rows, generator.standard_normal((IMAGES, FEATURE_DIM), dtype=np.float32)
    )


def gradients(decoder: Decoder) -> list[Tensor]:
    return [parameter.grad.clone() for parameter in decoder.parameters() if parameter.grad is not None]


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
@pytest.mark.parametrize("name", NAMES)
def test_they_are_those_of_the_loss(name: str, precision: str, device: str) -> None:
    if device == "cuda":
        if not torch.cuda.is_available():
            pytest.skip("needs a CUDA device")
        os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
        configure(RuntimeConfig("native", 2, device))
    elif precision == "bfloat16" and not has_bfloat16():
        pytest.skip("needs a processor with AVX-512")
    config, data = settings(TrainConfig, precision=precision, label_smoothing=0.1), make_data()
    own = replace(settings(DecodersConfig).of(name), wordvec_dim=16, dropout=0.3)
    decoder = build_decoder(
        describe(name, own, FEATURE_DIM - 4, WORDS, (2, 2)), torch.Generator().manual_seed(0)
    )
    decoder = decoder.to(device).train()
    backpropagate = Backpropagation(decoder, data, config)
    for step, rows in enumerate(np.array(batch) for batch in BATCHES):
        seed_generator(torch.device(device), step)
        (loss,) = backpropagate(rows)
        result = [loss, *gradients(decoder)]
        decoder.zero_grad()
        seed_generator(torch.device(device), step)
        features, captions = (part.to(device) for part in data.batch(rows))
        with torch.autocast(device, torch.bfloat16, enabled=precision == "bfloat16"):
            expected = decoder.loss(features, captions, smoothing=0.1)
        expected.backward()
        expected = expected.detach()  # a graph that is kept alive would be read by the next recording
        assert torch.equal(loss, expected), (step, loss, expected)
        for (parameter, _), one, other in zip(
            decoder.named_parameters(), result[1:], gradients(decoder), strict=True
        ):
            assert torch.equal(one, other), (step, parameter, float((one - other).abs().max()))
        decoder.zero_grad()
        with torch.no_grad():  # as an optimizer's step does
            for parameter, gradient in zip(decoder.parameters(), result[1:], strict=True):
                parameter -= 0.1 * gradient


def test_a_part_of_a_batch_counts_by_its_factor() -> None:
    config, data = settings(TrainConfig, label_smoothing=0.0), make_data()
    own = replace(settings(DecodersConfig).rnn, dropout=0.0)
    decoder = build_decoder(describe("rnn", own, FEATURE_DIM, WORDS), torch.Generator().manual_seed(0))
    rows = np.array([3, 4, 5])
    (whole,) = Backpropagation(decoder, data, config)(rows)
    expected = gradients(decoder)
    decoder.zero_grad()
    (part,) = Backpropagation(decoder, data, config)(rows, factor=0.25)
    torch.testing.assert_close(part, whole / 4)
    torch.testing.assert_close(gradients(decoder), [own / 4 for own in expected])
