"""Trains the small VGG on scenes: its convolutions on crops of single digits first, then all of it.

Shapes: N batch, S = 64 pixels a side, C classes of all heads together.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from recap.artifacts import write_csv
from recap.data.raw import RawData
from recap.data.scene_graphs import from_json
from recap.progress import track
from recap.vision.backbone import head_slices
from recap.vision.backbone_config import BackboneConfig
from recap.vision.backbones import save_backbone
from recap.vision.images import load_images
from recap.vision.scene_batches import Batch, SceneBatches
from recap.vision.scene_heads import HEADS, OBJECT_HEADS, scene_labels
from recap.vision.small_vgg import SmallVgg

STEPS_A_ROW = 10
RISE = 0.2
"""Share of the steps in which the learning rate rises."""

Report = Callable[[dict[str, float], int], None]


def train_backbone(
    raw: RawData, directory: Path, config: BackboneConfig, device: torch.device, report: Report
) -> dict[str, Any]:
    """Train on the training scenes, drawn afresh each step; score on the validation images.

    Args:
        raw: data with scene graphs.
        directory: receives backbone.json, weights.safetensors and history.csv.
        config: the group `backbone`.
        device: where to compute.
        report: receives ``loss`` and ``learning_rate`` every few steps, and the step.

    Returns:
        ``parameters``, and for each part of the validation images ``all_right``, the share with every
        attribute right, and the accuracy of each head by its name.
    """
    generator = torch.Generator().manual_seed(config.seed)
    backbone = SmallVgg(config.feature_dim, HEADS)
    crop_model = CropClassifier(backbone)
    for model in (crop_model, backbone):
        initialize(model, generator)
        model.to(device)
    batches = SceneBatches([from_json(values) for values in raw.scenes("train")], config.seed)
    crops = batches.crops(config.crop_steps, config.batch_size)
    rows = _fit(crop_model, OBJECT_HEADS, crops, 0, config.crop_steps, config, report)
    history = [("crops", *row) for row in rows]
    scenes = batches.whole(config.steps, config.batch_size)
    rows = _fit(backbone, HEADS, scenes, config.crop_steps, config.steps, config, report)
    history += [("scenes", *row) for row in rows]
    write_csv(directory / "history.csv", ("phase", "step", "loss", "learning_rate"), history)
    description = {"name": backbone.name, "feature_dim": config.feature_dim, "heads": HEADS}
    save_backbone(directory, description, backbone.state_dict())
    parameters = sum(weight.numel() for weight in backbone.parameters())
    return {"parameters": parameters, **_score(backbone.eval(), raw)}


class CropClassifier(nn.Module):
    """The backbone's convolutions, the mean of their maps, and a linear layer: reads one digit anywhere."""

    def __init__(self, backbone: SmallVgg) -> None:
        super().__init__()
        self.preprocess = backbone.preprocess
        self.convolutions = backbone.convolutions
        self.classifier = nn.Linear(backbone.maps_dim, sum(len(labels) for labels in OBJECT_HEADS.values()))

    def forward(self, x: Tensor) -> Tensor:
        """(N, 3, P, P) float32 -> logits (N, 19), the heads digit, colour and size side by side."""
        x = self.convolutions(x.contiguous(memory_format=torch.channels_last))
        logits: Tensor = self.classifier(x.mean(dim=(2, 3)))  # (N, M, P / 8, P / 8) -> (N, M)
        return logits


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


def _fit(
    model: SmallVgg | CropClassifier,
    heads: Mapping[str, Sequence[str]],
    batches: Iterable[Batch],
    steps_before: int,
    steps: int,
    config: BackboneConfig,
    report: Report,
) -> list[tuple[int, float, float]]:
    """AdamW under a one-cycle schedule (Smith and Topin 2018, arXiv:1708.07120).

    The loss is the sum of the heads' cross-entropies. Returns rows of step, mean loss since the last row,
    learning rate; steps count on from ``steps_before``.
    """
    if steps == 0:
        return []
    optimizer = torch.optim.AdamW(
        model.parameters(), lr=config.learning_rate, weight_decay=config.weight_decay, fused=True
    )
    schedule = torch.optim.lr_scheduler.OneCycleLR(
        optimizer, config.learning_rate, total_steps=steps + 1, pct_start=RISE
    )
    slices = head_slices(heads)
    model.train()
    rows: list[tuple[int, float, float]] = []
    losses: list[float] = []
    for step, (pixels, labels) in enumerate(track(batches, "training the backbone", steps), start=1):
        logits = model(model.preprocess(torch.from_numpy(pixels)))
        targets = torch.from_numpy(labels).to(logits.device).unbind(1)
        loss = torch.stack(
            [
                functional.cross_entropy(logits[:, classes], target)
                for classes, target in zip(slices.values(), targets, strict=True)
            ]
        ).sum()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
        if step % STEPS_A_ROW == 0 or step == steps:
            row = (steps_before + step, float(np.mean(losses)), float(schedule.get_last_lr()[0]))
            rows.append(row)
            report({"loss": row[1], "learning_rate": row[2]}, row[0])
            losses = []
        schedule.step()
    return rows


@torch.no_grad()
def _score(backbone: SmallVgg, raw: RawData) -> dict[str, dict[str, float]]:
    paths = raw.image_paths("val")
    parts = np.array([image["part"] for image in raw.captions("val")["images"]])
    labels = scene_labels([from_json(values) for values in raw.scenes("val")])  # (N, heads)
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
