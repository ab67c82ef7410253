"""From images to features, one row an image, for each split.

Shapes: N images, D feature width, S side of the backbone's input.
"""

import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from recap.backbones.backbone import Backbone
from recap.backbones.build import load_backbone
from recap.backbones.config import FeaturesConfig
from recap.backbones.images import load_images
from recap.core.directories import make_empty
from recap.core.feature_files import (
    NO_GRID,
    open_features,
    read_blocks,
    write_feature_blocks,
    write_features,
    write_grid,
)
from recap.core.raw_data import SPLITS, RawData, load_raw
from recap.errors import InputError
from recap.features.given import read_given
from recap.features.shards import Batches, fill_shard, read_shards
from recap.runtime.fingerprint import fingerprint
from recap.runtime.workers import Worker


@dataclass(frozen=True)
class Folders:
    """Where `extract` reads and writes."""

    raw: Path  # what `fetch` wrote
    backbone: Path  # what `backbone` wrote; not read when the source brings features
    features: Path  # receives {train,validation,test}.h5
    work: Path  # keeps what a killed run computed, for one that goes on


def extract(
    folders: Folders, config: FeaturesConfig, device: torch.device, worker: Worker
) -> dict[str, float]:
    """Write {train,validation,test}.h5, features (N, D) float32 in row order; given ones pass through.

    With a grid the maps' places and channels follow in each row, and grid.json says how many.
    What was in the folder of the features goes first.

    Args:
        folders: where to read and write.
        config: the group `features`.
        device: where the backbone computes.
        worker: which of the processes that share the work this is; the first one writes the files.

    Returns:
        ``feature_dim``, ``train_images`` and so on, with a grid ``places`` and ``channels``.

    Raises:
        InputError: an image does not decode (named), or features and captions are of different images.
    """
    raw, grid = load_raw(folders.raw), NO_GRID
    if worker.rank == 0:
        make_empty(folders.features)
    if raw.source.features:
        shapes = {split: _check_rows(raw, split) for split in SPLITS}
        if worker.rank == 0:
            for split in SPLITS:
                blocks = read_blocks(raw.features_path(split))
                write_feature_blocks(folders.features / f"{split}.h5", shapes[split], blocks)
    elif config.backbone == "given":
        if config.given is None:
            raise InputError("features.given: expected a path of features by image id, received null")
        place, shapes = Path(config.given), {}
        for split in SPLITS:
            ids = [image["id"] for image in raw.captions(split)["images"]]
            features = read_given(place, ids)
            shapes[split] = (len(features), features.shape[1])
            if worker.rank == 0:
                write_features(folders.features / f"{split}.h5", features)
    else:
        backbone = load_backbone(folders.backbone).to(device)
        grid = backbone.grid
        paths = {split: raw.image_paths(split) for split in SPLITS}
        inputs = [*sorted(folders.backbone.iterdir()), *(path for split in SPLITS for path in paths[split])]
        settings = [config.batch_size, str(device), torch.get_num_threads()]
        work = folders.work / fingerprint(settings, inputs)
        shapes = {split: (len(paths[split]), backbone.row_dim) for split in SPLITS}
        batches = {split: Batches(shapes[split], config.batch_size, worker.ranks) for split in SPLITS}
        for split in SPLITS:
            fill_shard(
                work / split,
                batches[split],
                worker.rank,
                lambda first, last, split=split: compute_features(paths[split][first:last], backbone),  # type: ignore[misc]
                f"features of {split}",
            )
        worker.wait()
        if worker.rank == 0:
            for split in SPLITS:
                blocks = read_shards(work / split, batches[split])
                write_feature_blocks(folders.features / f"{split}.h5", shapes[split], blocks)
            write_grid(folders.features, grid)
            shutil.rmtree(work)
    places, channels = grid
    return {
        "feature_dim": shapes["train"][1] - places * channels,
        **{f"{split}_images": shapes[split][0] for split in SPLITS},
        **({"places": places, "channels": channels} if places else {}),
    }


@torch.no_grad()
def compute_features(paths: Sequence[Path], backbone: Backbone) -> NDArray[np.float32]:
    """Return the rows (N, D) float32 of image files, all at once.

    Raises:
        InputError: an image does not decode (named).
    """
    images = load_images(paths, backbone)  # (N, S, S, 3) uint8
    return backbone.rows(backbone.preprocess(images)).cpu().numpy()


def _check_rows(raw: RawData, split: str) -> tuple[int, int]:
    """Return the shape (N, D) of the features of a source after checking that each image has its row."""
    count, width = open_features(raw.features_path(split)).shape
    images = len(raw.captions(split)["images"])
    if count != images:
        raise InputError(
            f"{raw.features_path(split)}: expected a row for each of {images} images, received {count} rows"
        )
    return count, width
