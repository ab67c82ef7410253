"""The backbone of the pipeline: trained here, fetched, the user's, or none where features are all there is.

Features that come with a source are what decoders learn from; a backbone that is named beside them is the one
that made them, and lets the decoders caption images.
"""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

from recap.backbones.build import DESCRIPTION_FILE, keep_grid, load_backbone
from recap.backbones.config import BackboneConfig, FeaturesConfig
from recap.core.artifacts import write_json
from recap.core.directories import make_empty
from recap.core.feature_files import open_features
from recap.core.raw_data import SPLITS, RawData, load_raw
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
        config, features_config: the groups `backbone` and `features`, which names the backbone.
        device: where to train.
        report: receives training metrics, and the step.
        files: keeps what comes from URLs.
        checkpoints: keeps what a killed training needs to go on.

    Returns:
        Metrics of the backbone; none where there is none.

    Raises:
        InputError: a backbone that does not fit the source, or weights that cannot be used.
    """
    raw = load_raw(raw_directory)
    make_empty(directory)
    name = features_config.backbone
    if features_config.grid and (name == "given" or raw.source.features):
        raise InputError("features.grid: expected false for features that are given, received true")
    if name == "given" or (raw.source.features and name == "small_vgg"):
        write_json(directory / DESCRIPTION_FILE, {"name": "none"})
        return {}
    if name == "small_vgg":
        if not raw.source.scenes:
            raise InputError(
                "features.backbone: expected another for images without scene graphs, such as squeezenet1_1, "
                "received small_vgg"
            )
        from recap.backbones.training import train_backbone

        metrics = train_backbone(raw, directory, config, device, report, checkpoints)
    else:
        from recap.backbones.fetched import prepare_fetched

        metrics = prepare_fetched(features_config, directory, files)
        if raw.source.features:
            _check_width(raw, load_backbone(directory).feature_dim, name)
    if features_config.grid:
        keep_grid(directory)
    return metrics


def _check_width(raw: RawData, width: int, name: str) -> None:
    for split in SPLITS:
        path = raw.features_path(split)
        if (received := open_features(path).shape[1]) != width:
            raise InputError(
                f"features.backbone: expected the one that made the {received} features of {path.name}, "
                f"received {name} of {width}"
            )
