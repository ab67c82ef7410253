"""From images to features, one row an image, for both splits.

Shapes: N images, D feature width, S side of the backbone's input.
"""

from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from recap.data.features import open_features, write_feature_blocks
from recap.data.raw import SPLITS, RawData, load_raw
from recap.errors import InputError
from recap.progress import track
from recap.vision.backbone import Backbone
from recap.vision.backbones import load_backbone
from recap.vision.features_config import FeaturesConfig
from recap.vision.images import load_images

ROWS_A_BLOCK = 8192


def extract(
    raw_directory: Path,
    backbone_directory: Path,
    features_directory: Path,
    config: FeaturesConfig,
    device: torch.device,
) -> dict[str, float]:
    """Write {train,val}.h5, features (N, D) float32 in row order; features of the source pass through.

    Args:
        raw_directory: what `fetch` wrote.
        backbone_directory: what `backbone` wrote; not read when the source brings features.
        features_directory: receives the two files.
        config: the group `features`.
        device: where the backbone computes.

    Returns:
        ``feature_dim``, ``train_images`` and ``val_images``.

    Raises:
        InputError: an image does not decode (named), or features and captions have different rows.
    """
    raw = load_raw(raw_directory)
    backbone = None if raw.source.features else load_backbone(backbone_directory).to(device)
    summary: dict[str, float] = {}
    for split in SPLITS:
        path = features_directory / f"{split}.h5"
        if backbone is None:
            shape = _pass_through(raw, split, path)
        else:
            paths = raw.image_paths(split)
            shape = (len(paths), backbone.feature_dim)
            blocks = feature_blocks(paths, backbone, config.batch_size, f"features of {split}")
            write_feature_blocks(path, shape, blocks)
        summary[f"{split}_images"], summary["feature_dim"] = shape
    return summary


@torch.no_grad()
def feature_blocks(
    paths: Sequence[Path], backbone: Backbone, batch_size: int, description: str
) -> Iterator[NDArray[np.float32]]:
    """Yield the features of image files in batches: (at most ``batch_size``, D) float32.

    Raises:
        InputError: an image does not decode (named).
    """
    for start in track(range(0, len(paths), batch_size), description):
        images = load_images(paths[start : start + batch_size], backbone)  # (N, S, S, 3) uint8
        yield backbone.features(backbone.preprocess(images)).cpu().numpy()


def _pass_through(raw: RawData, split: str, path: Path) -> tuple[int, int]:
    """Copy the features of a source after checking that each image has its row."""
    features = open_features(raw.features_path(split))
    count, width = features.shape
    images = len(raw.captions(split)["images"])
    if count != images:
        raise InputError(
            f"{raw.features_path(split)}: expected a row for each of {images} images, received {count} rows"
        )
    blocks = (np.asarray(features[start : start + ROWS_A_BLOCK]) for start in range(0, count, ROWS_A_BLOCK))
    write_feature_blocks(path, (count, width), blocks)
    return count, width
