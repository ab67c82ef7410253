"""Trains the small VGG on scenes: its convolutions on crops of single digits first, then all of it.

Shapes: N batch, S = 64 pixels a side, C classes of all heads together.
"""

import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from recap.backbones.backbone import head_slices
from recap.backbones.build import save_backbone
from recap.backbones.config import BackboneConfig
from recap.backbones.images import load_images
from recap.backbones.scene_batches import Batch, SceneBatches
from recap.backbones.scene_heads import HEADS, OBJECT_HEADS, scene_labels
from recap.backbones.small_vgg import Classifier, TwoStreamVgg
from recap.core.artifacts import write_csv
from recap.core.raw_data import RawData
from recap.progress import track
from recap.runtime.checkpoints import Checkpoints, pack_moments, unpack_moments
from recap.runtime.fingerprint import fingerprint
from recap.sources.scenes.graphs import from_json

STEPS_A_ROW = 10
RISE = 0.2
"""Share of the steps in which the learning rate rises."""

Report = Callable[[dict[str, float], int], None]


def train_backbone(
    raw: RawData,
    directory: Path,
    config: BackboneConfig,
    device: torch.device,
    report: Report,
    checkpoints: Path,
) -> dict[str, Any]:
    """Train on the training scenes, drawn afresh each step; score on the test images.

    Args:
        raw: data with scene graphs.
        directory: receives backbone.json, weights.safetensors and history.csv.
        config: the group `backbone`.
        device: where to compute.
        report: receives ``loss`` and ``learning_rate`` every few steps, and the step.
        checkpoints: a folder of this machine's, for what a killed run needs to go on.

    Returns:
        ``parameters``, and for each part of the test images the accuracy of each head, and ``all_right``.

    Raises:
        SystemExit: Ctrl-C or SIGTERM came; a checkpoint is written.
        InputError: another process trains the same backbone with the same checkpoints.
    """
    generator = torch.Generator().manual_seed(config.seed)
    backbone = TwoStreamVgg(config.feature_dim, HEADS)
    crop_model = CropClassifier(backbone)
    for model in (crop_model, backbone):
        initialize(model, generator)
        model.to(device)
    scenes = raw.scenes("train")
    batches = SceneBatches([from_json(values) for values in scenes], config.seed)
    phases = (
        Phase("crops", crop_model, OBJECT_HEADS, batches.crops, 0, config.crop_steps),
        Phase("scenes", backbone, HEADS, batches.whole, config.crop_steps, config.steps),
    )
    what_matters = [config, scenes, str(device), torch.get_num_threads()]
    with Checkpoints(checkpoints / fingerprint(what_matters, [])) as kept:
        state = BackboneState(phases, config)
        kept.resume(state)
        for phase in phases:
            _fit(phase, state, config, report, kept)
        write_csv(directory / "history.csv", ("phase", "step", "loss", "learning_rate"), state.rows)
        description = {"name": backbone.name, "feature_dim": config.feature_dim, "heads": HEADS}
        save_backbone(directory, description, backbone.state_dict())
        parameters = sum(weight.numel() for weight in backbone.parameters())
        metrics = {"parameters": parameters, **_score(backbone.eval(), raw)}
        kept.clear()
    return metrics


class CropClassifier(nn.Module):
    """The backbone's convolutions, the mean of their maps, and a linear layer: reads one digit anywhere."""

    def __init__(self, backbone: TwoStreamVgg) -> None:
        super().__init__()
        self.preprocess = backbone.preprocess
        self.convolutions = backbone.convolutions
        self.classifier = Classifier(*backbone.maps_dims, OBJECT_HEADS)

    def forward(self, x: Tensor) -> Tensor:
        """(N, 3, P, P) float32 -> logits (N, 19), the heads digit, colour and size side by side."""
        return self.classifier(self.convolutions(x).mean(dim=(2, 3)))  # of (N, M, P / 8, P / 8)


def initialize(model: nn.Module, generator: torch.Generator) -> None:
    """Draw the weights of convolutions and linear layers; biases are 0.

    Uniform within 1 / sqrt(inputs): behind batch normalization only the weights' direction counts, and small
    weights turn faster than those of He et al. 2015.
    """
    for module in model.modules():
        if isinstance(module, nn.Conv2d | nn.Linear):
            bound = module.weight[0].numel() ** -0.5
            nn.init.uniform_(module.weight, -bound, bound, generator=generator)
            if module.bias is not None:
                nn.init.zeros_(module.bias)


@dataclass(frozen=True)
class Phase:
    """Steps on one kind of picture: what is fitted, to which heads, on what ``draw(steps, size)`` yields.

    They are counted from ``first`` on, of all phases together.
    """

    name: str
    model: TwoStreamVgg | CropClassifier
    heads: Mapping[str, Sequence[str]]
    draw: Callable[[Iterable[int], int], Iterator[Batch]]
    first: int
    steps: int


class BackboneState:
    """All that a resumed run needs: weights and optimizer, rows of the history, losses without a row."""

    def __init__(self, phases: Sequence[Phase], config: BackboneConfig) -> None:
        self.phases = phases
        self.optimizers = [
            torch.optim.AdamW(phase.model.parameters(), 0.0, weight_decay=config.weight_decay, fused=True)
            for phase in phases
        ]
        self.step = 0
        self.rows: list[tuple[str, int, float, float]] = []
        self.losses: list[Tensor] = []

    def steps_done(self) -> int:
        """Return how many steps lie behind."""
        return self.step

    def optimizer(self) -> torch.optim.AdamW:
        """That of the phase of the last step."""
        return self.optimizers[sum(self.step > phase.first for phase in self.phases[1:])]

    def pack(self) -> tuple[dict[str, Tensor], dict[str, Any]]:
        """Everything as named tensors and JSON values."""
        tensors = pack_moments(self.optimizer())
        for phase in self.phases:
            tensors |= {f"{phase.name}/{name}": value for name, value in phase.model.state_dict().items()}
        losses = [loss.item() for loss in self.losses]
        return tensors, {"step": self.step, "rows": self.rows, "losses": losses}

    def unpack(self, tensors: dict[str, Tensor], values: dict[str, Any]) -> None:
        """Continue from what ``pack`` returned."""
        self.step, self.rows = values["step"], values["rows"]
        self.losses = [torch.tensor(loss) for loss in values["losses"]]
        unpack_moments(self.optimizer(), tensors)
        for phase in self.phases:
            names = phase.model.state_dict()
            phase.model.load_state_dict({name: tensors[f"{phase.name}/{name}"] for name in names})


def one_cycle(step: int, steps: int, peak: float) -> tuple[float, float]:
    """Learning rate and AdamW's first beta at a step (from 0) of a cycle (Smith and Topin 2018).

    The rate rises along a cosine from ``peak`` / 25 during ``RISE`` of the steps and falls to almost 0; beta
    mirrors it between 0.95 and 0.85.
    """
    top = RISE * (steps + 1) - 1
    rising = step <= top
    progress = (step / top if top > 0 else 1.0) if rising else (step - top) / (steps - top)

    def between(first: float, last: float) -> float:
        return last + (first - last) / 2 * (1 + math.cos(math.pi * progress))

    if rising:
        return between(peak / 25, peak), between(0.95, 0.85)
    return between(peak, peak / 25e4), between(0.85, 0.95)


def _fit(
    phase: Phase, state: BackboneState, config: BackboneConfig, report: Report, kept: Checkpoints
) -> None:
    """Do the steps of a phase that are not yet done; the loss is the sum of the heads' cross-entropies.

    Adds a row to the history, the mean loss since the last one, every few steps.
    """
    device = next(phase.model.parameters()).device
    slices = head_slices(phase.heads)
    phase.model.train()
    todo = range(max(state.step - phase.first, 0), phase.steps)
    batches = _one_ahead(phase.draw(todo, config.batch_size))
    for step, (pixels, labels) in zip(todo, track(batches, "training the backbone", len(todo)), strict=True):
        rate, beta = one_cycle(step, phase.steps, config.learning_rate)
        state.step += 1
        optimizer = state.optimizer()
        optimizer.param_groups[0] |= {"lr": rate, "betas": (beta, 0.999)}
        logits = phase.model(phase.model.preprocess(torch.from_numpy(pixels)))
        targets = torch.from_numpy(labels).to(device).unbind(1)
        loss = torch.stack(
            [
                functional.cross_entropy(logits[:, classes], target)
                for classes, target in zip(slices.values(), targets, strict=True)
            ]
        ).sum()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        state.losses.append(loss.detach())
        if (step + 1) % STEPS_A_ROW == 0 or step + 1 == phase.steps:
            mean = float(np.mean([value.item() for value in state.losses]))
            state.rows.append((phase.name, state.step, mean, rate))
            report({"loss": mean, "learning_rate": rate}, state.step)
            state.losses = []
        kept.save_now_and_then(state)


def _one_ahead(batches: Iterator[Batch]) -> Iterator[Batch]:
    """Yield batches, the next of which a thread draws meanwhile: pictures are drawn on one core."""
    with ThreadPoolExecutor(1) as pool:
        following = pool.submit(next, batches, None)
        while (batch := following.result()) is not None:
            following = pool.submit(next, batches, None)
            yield batch


@torch.no_grad()
def _score(backbone: TwoStreamVgg, raw: RawData) -> dict[str, dict[str, float]]:
    paths = raw.image_paths("test")
    parts = np.array([image["part"] for image in raw.captions("test")["images"]])
    labels = scene_labels([from_json(values) for values in raw.scenes("test")])  # (N, heads)
    slices = head_slices(HEADS)
    rows = []
    for start in range(0, len(paths), 250):
        images = load_images(paths[start : start + 250], backbone)
        logits = backbone(backbone.preprocess(images))
        rows.append(torch.stack([logits[:, classes].argmax(1) for classes in slices.values()], dim=1).cpu())
    right = torch.cat(rows).numpy() == labels  # (N, heads)
    return {
        part: {
            "all_right": float(right[parts == part].all(axis=1).mean()),
            **dict(zip(HEADS, right[parts == part].mean(axis=0).tolist(), strict=True)),
        }
        for part in sorted(set(parts.tolist()))
    }
