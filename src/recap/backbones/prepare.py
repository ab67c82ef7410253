"""The backbone of the pipeline: trained here, fetched, or none where features come with the source."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

from recap.backbones.config import BackboneConfig, FeaturesConfig
from recap.core.artifacts import write_json
from recap.core.directories import make_empty
from recap.core.raw_data import load_raw
from recap.errors import InputError
from recap.sources.download import Files


def prepare_backbone(
    raw_directory: Path,
    directory: Path,
    config: BackboneConfig,
    features_config: FeaturesConfig,
    device: torch.device,
    report: Callable[[dict[str, float], int], None],
    files: Files,
    checkpoints: Path,
) -> dict[str, Any]:
    """Write models/backbone; what was in it goes first.

    Args:
        raw_directory: what `fetch` wrote.
        directory: receives backbone.json, weights.safetensors and, when trained here, history.csv.
        config: the group `backbone`.
        features_config: the group `features`, which names the backbone.
        device: where to train.
        report: receives training metrics, and the step.
        files: keeps what comes from URLs.
        checkpoints: keeps what a killed training needs to go on.

    Returns:
        Metrics of the backbone; none where features come with the source.

    Raises:
        InputError: small_vgg for images without scene graphs, or fetched weights that cannot be used.
    """
    raw = load_raw(raw_directory)
    make_empty(directory)
    if raw.source.features:
        write_json(directory / "backbone.json", {"name": "none"})
        return {}
    if features_config.backbone != "small_vgg":
        from recap.backbones.fetched import prepare_fetched

        return prepare_fetched(features_config, directory, files)
    if not raw.source.scenes:
        raise InputError(
            "features.backbone: expected squeezenet1_1 for images without scene graphs, received small_vgg"
        )
    from recap.backbones.training import train_backbone

    return train_backbone(raw, directory, config, device, report, checkpoints)
