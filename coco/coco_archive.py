"""The archive of CS231n, made of its captions' half and the features of its images.

Shapes: N images of a part, D feature width, K components.
"""

import shutil
import tempfile
import zipfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import torch
from numpy.typing import NDArray

from recap.backbones.build import load_backbone
from recap.backbones.config import FeaturesConfig
from recap.backbones.fetched import prepare_fetched
from recap.core.artifacts import write_atomically
from recap.core.feature_files import open_features, write_feature_blocks
from recap.errors import InputError
from recap.features.extraction import compute_features
from recap.features.given import read_given
from recap.features.pca import fit_pca, project
from recap.features.shards import Batches, fill_shard, read_shards
from recap.progress import track
from recap.runtime.fingerprint import fingerprint
from recap.sources.cs231n import (
    MEMBER_BYTES,
    PARTS,
    PCA_WIDTH,
    pca_member,
    read_images,
)
from recap.sources.download import Files
from recap.sources.folder import find_image

BLOCK_ROWS = 8192
FOLDER = "coco_captioning"
_COPY_BYTES = 1 << 20


def make_archive(members: Path, features: "Path | Seen", target: Path) -> dict[str, Any]:
    """Zip captions, images' names and features as ``coco_captioning.zip`` has them.

    Args:
        members: the folder that ``rebuild_captions`` wrote.
        features: what ``read_given`` takes, or the images and what sees them.
        target: the archive, a new file.

    Returns:
        ``feature_dim``, and the number of images of each part.

    Raises:
        InputError: an image or its features are absent, or the archive is there already.
    """
    if target.exists():
        raise InputError(f"{target}: expected a new file, received one that is there")
    summary: dict[str, Any] = {}
    with tempfile.TemporaryDirectory(prefix=f".{target.name}.", dir=target.parent) as folder:
        work = Path(folder)
        for part in PARTS.values():
            images = read_images(members, part, False, members)
            path = work / f"{part}2014_vgg16_fc7.h5"
            blocks = _given(features, images) if isinstance(features, Path) else features.look(part, images)
            first = next(blocks)
            summary[part], width = len(images), first.shape[1]
            if summary.setdefault("feature_dim", width) != width:
                raise InputError(
                    f"{part}: expected {summary['feature_dim']} features as of the others, received {width}"
                )
            write_feature_blocks(path, (len(images), width), _same_width(first, blocks, part))
        _reduce(work)
        files = sorted(members.iterdir()) + sorted(work.iterdir())
        write_atomically(target, lambda file: _zip(files, file))
    return summary


class Seen:
    """Images in a folder, and the backbone that sees them."""

    def __init__(
        self, images: Path, config: FeaturesConfig, files: Files, work: Path, device: torch.device
    ) -> None:
        """Prepare the backbone that ``config`` names, to see the images of the folders train2014 and val2014.

        ``files`` keeps what comes from URLs, ``work`` the backbone and what a killed run computed.
        """
        self._images, self._batch, self._work, self._device = images, config.batch_size, work, device
        folder = work / "backbone"
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        prepare_fetched(config, folder, files)
        self._inputs = sorted(folder.iterdir())
        self._backbone = load_backbone(folder).to(device)

    def look(self, part: str, images: Sequence[dict[str, Any]]) -> Iterator[NDArray[np.float32]]:
        """The features (rows, D) of the images of a part of the archive."""
        folder = self._images / f"{part}2014"
        folder = folder if folder.is_dir() else self._images
        paths = [find_image(image["file_name"], folder, self._images) for image in images]
        batches = Batches((len(paths), self._backbone.feature_dim), self._batch, 1)
        work = self._work / fingerprint([self._batch, str(self._device)], [*self._inputs, *paths])
        fill_shard(
            work,
            batches,
            0,
            lambda first, last: compute_features(paths[first:last], self._backbone),
            f"features of {part}",
        )
        yield from read_shards(work, batches)
        shutil.rmtree(work)


def _given(place: Path, images: Sequence[dict[str, Any]]) -> Iterator[NDArray[np.float32]]:
    ids = [image["id"] for image in images]
    for start in track(range(0, len(ids), BLOCK_ROWS), "reading features"):
        yield read_given(place, ids[start : start + BLOCK_ROWS])


def _same_width(
    first: NDArray[np.float32], blocks: Iterator[NDArray[np.float32]], part: str
) -> Iterator[NDArray[np.float32]]:
    yield first
    for block in blocks:
        if block.shape[1] != first.shape[1]:
            raise InputError(
                f"{part}: expected {first.shape[1]} features as of the others, received {block.shape[1]}"
            )
        yield block


def _reduce(work: Path) -> None:
    """Write the course's reduced features too, where there are enough; `fetch` checks and leaves them."""
    train, *_ = paths = [work / f"{part}2014_vgg16_fc7.h5" for part in PARTS.values()]
    if min(open_features(train).shape) <= PCA_WIDTH:
        return
    pca = fit_pca(train, PCA_WIDTH)
    for part, path in zip(PARTS.values(), paths, strict=True):
        name = pca_member(part)
        write_feature_blocks(work / name, (len(open_features(path)), PCA_WIDTH), project(path, pca))
        published, size = MEMBER_BYTES.get(name, 0), (work / name).stat().st_size
        if 0 < published - size < _COPY_BYTES:  # bytes behind the end of an HDF5 file mean nothing
            with open(work / name, "r+b") as file:
                file.truncate(published)


def _zip(files: Sequence[Path], file: BinaryIO) -> None:
    """The same bytes for the same files: the date is the first that a zip knows."""
    with zipfile.ZipFile(file, "w") as archive:
        for path in track(files, "packing", len(files)):
            member = zipfile.ZipInfo(f"{FOLDER}/{path.name}")
            member.compress_type = zipfile.ZIP_DEFLATED
            with open(path, "rb") as content, archive.open(member, "w", force_zip64=True) as packed:
                shutil.copyfileobj(content, packed, _COPY_BYTES)
