"""A step of training by itself: its gradient is clipped to the norm that the settings allow."""

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from tests.settings import settings

from recap.core.feature_files import open_features
from recap.decoders.build import build_decoder, describe
from recap.decoders.config import DecodersConfig
from recap.text.batches import CaptionedFeatures
from recap.text.captions import load_captions
from recap.training.config import TrainConfig
from recap.training.loop import Task, fit
from recap.training.state import TrainingState

CONFIG = settings(
    TrainConfig, batch_size=240, warmup_steps=0, gradient_clip=1e9, patience=1, label_smoothing=0.0, seed=0
)
LSTM = replace(
    settings(DecodersConfig).lstm, wordvec_dim=8, hidden_dim=8, dropout=0.0, learning_rate=0.5, epochs=1
)


def one_step(task: Path, config: TrainConfig) -> tuple[float, float]:
    """How far the weights go in a step of plain gradient descent, and the gradient's norm as recorded."""
    captions = load_captions(task / "captions")
    data = {
        split: CaptionedFeatures(*captions.of(split), open_features(task / "features" / f"{split}.h5"))
        for split in ("train", "validation")
    }
    model = describe("lstm", LSTM, 8, len(captions.vocabulary))
    decoder = build_decoder(model, torch.Generator().manual_seed(0))
    before = torch.nn.utils.parameters_to_vector(decoder.parameters()).detach().clone()
    state = TrainingState(decoder, torch.optim.SGD(decoder.parameters(), lr=1.0))
    fit(Task("lstm", data["train"], data["validation"], config, LSTM), state, lambda metrics, step: None)
    assert len(state.steps) == 1
    after = torch.nn.utils.parameters_to_vector(decoder.parameters()).detach()
    return (after - before).norm().item(), state.steps[0][4]


def test_a_step_goes_as_far_as_its_gradient_says(task: Path) -> None:
    moved, norm = one_step(task, CONFIG)
    assert moved == pytest.approx(0.5 * norm, rel=1e-4)
    assert norm > 0.1


def test_a_long_gradient_is_clipped_and_its_own_norm_recorded(task: Path) -> None:
    _, norm = one_step(task, CONFIG)
    moved, recorded = one_step(task, replace(CONFIG, gradient_clip=norm / 8))
    assert moved == pytest.approx(0.5 * norm / 8, rel=1e-3)
    assert recorded == pytest.approx(norm)
