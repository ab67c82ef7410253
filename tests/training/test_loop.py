"""A step of training by itself: its gradient is clipped to the norm that the recipe allows."""

from dataclasses import replace
from pathlib import Path

import pytest
import torch

from recap.core.feature_files import open_features
from recap.decoders.build import build_decoder
from recap.text.batches import CaptionedFeatures
from recap.text.captions import load_captions
from recap.training.loop import Recipe, Task, fit
from recap.training.state import TrainingState

RECIPE = Recipe(
    batch_size=240, epochs=1, learning_rate=0.5, warmup_steps=0, gradient_clip=1e9, patience=1, seed=0
)


def one_step(task: Path, recipe: Recipe) -> tuple[float, float]:
    """How far the weights go in a step of plain gradient descent, and the gradient's norm as recorded."""
    captions = load_captions(task / "captions")
    data = {
        split: CaptionedFeatures(*captions.of(split), open_features(task / "features" / f"{split}.h5"))
        for split in ("train", "val")
    }
    model = {"name": "lstm", "feature_dim": 8, "wordvec_dim": 8, "hidden_dim": 8, "dropout": 0.0}
    model["vocabulary_size"] = len(captions.vocabulary)
    decoder = build_decoder(model, torch.Generator().manual_seed(0))
    before = torch.nn.utils.parameters_to_vector(decoder.parameters()).detach().clone()
    state = TrainingState(decoder, torch.optim.SGD(decoder.parameters(), lr=1.0))
    fit(Task("lstm", data["train"], data["val"], recipe), state, lambda metrics, step: None)
    assert len(state.steps) == 1
    after = torch.nn.utils.parameters_to_vector(decoder.parameters()).detach()
    return (after - before).norm().item(), state.steps[0][4]


def test_a_step_goes_as_far_as_its_gradient_says(task: Path) -> None:
    moved, norm = one_step(task, RECIPE)
    assert moved == pytest.approx(0.5 * norm, rel=1e-4)
    assert norm > 0.1


def test_a_long_gradient_is_clipped_and_its_own_norm_recorded(task: Path) -> None:
    _, norm = one_step(task, RECIPE)
    moved, recorded = one_step(task, replace(RECIPE, gradient_clip=norm / 8))
    assert moved == pytest.approx(0.5 * norm / 8, rel=1e-3)
    assert recorded == pytest.approx(norm)
