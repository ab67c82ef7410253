"""The source `coco`: an archive in the layout of CS231n's coco_captioning.zip.

Its part "train" gives training and validation images, its part "val" the test images.
Shapes: M captions of a part, N images of a part, D feature width.
"""

import re
import shutil
import zipfile
from collections.abc import Iterable, Iterator
from pathlib import Path, PurePosixPath
from typing import Any, Literal

import h5py
import numpy as np
from numpy.typing import NDArray

from recap.core.feature_files import BLOCK_ROWS, finite, write_feature_blocks
from recap.core.hdf5 import Expected, open_checked, read_rows
from recap.core.input_files import check_regular, read_json
from recap.core.raw_data import Source, encoded_directory, number_captions, write_captions
from recap.errors import InputError, expecting
from recap.progress import track
from recap.sources.archives import extract_member, find_member, open_archive
from recap.sources.config import CocoConfig
from recap.sources.folder import read_credit
from recap.sources.splits import deal
from recap.text.captions import Captions, check_captions, read_encoded, save_captions
from recap.text.coco_files import check_coco_captions
from recap.text.vocabulary import parse_vocabulary

# What is known of the published files; source: the assignment pages of CS231n and public git-lfs pointers.
IMAGE_ROWS = {"train": 82783, "val": 40504}
CAPTION_ROWS = {"train": 400135, "val": 195954}
STEPS = 17
WORDS = 1004
VGG_WIDTH = 4096
PCA_WIDTH = 512

MEMBER_BYTES = {
    "coco2014_captions.h5": 42_922_600,
    "train2014_vgg16_fc7_pca.h5": 169_541_728,
    "train2014_images.txt": 4_470_282,
    "train2014_urls.txt": 5_186_859,
    "val2014_images.txt": 2_025_200,
    "val2014_urls.txt": 2_538_571,
    "coco2014_vocab.json": 24_226,
}
"""Sizes of members; those of the other members are not published, their shapes are checked."""

PARTS = {"train": "train", "test": "val"}
"""What the archive calls the images of a split."""
CAPTIONS_MEMBER = "coco2014_captions.h5"
VOCABULARY_MEMBER = "coco2014_vocab.json"


def fetch_coco(
    archive_path: Path,
    originals: dict[str, Path] | None,
    config: CocoConfig,
    validation_share: float,
    directory: Path,
) -> tuple[Source, dict[str, Any]]:
    """Check a CS231n-layout archive and write it in the raw layout.

    Args:
        archive_path: the zip file.
        originals: the COCO-format caption files of "train" and "test"; None for the decoded ones.
        config: group `data.coco`; ``check`` "official" demands the published sizes and shapes.
        validation_share: about which part of the archive's training images choose.
        directory: data/raw, empty.

    Returns:
        What data/raw holds, and counts.

    Raises:
        InputError: the archive, a member or a caption file is not as expected.
    """
    official = config.check == "official"
    unpacked = directory / "unpacked"
    with open_archive(archive_path) as archive:
        names = [CAPTIONS_MEMBER, VOCABULARY_MEMBER]
        kinds = ("vgg16_fc7.h5", "images.txt", "urls.txt")
        names += [f"{part}2014_{kind}" for part in PARTS.values() for kind in kinds]
        members = {name: find_member(archive, name) for name in names}
        if official:
            for name, size in MEMBER_BYTES.items():
                received = find_member(archive, name).file_size
                if received != size:
                    raise InputError(
                        f"{archive_path}: {name}: expected {size} bytes (data.coco.check: official), "
                        f"received {received}"
                    )
            members |= {name: find_member(archive, name) for name in map(pca_member, PARTS.values())}
        for name, member in track(members.items(), "unpacking", len(members)):
            extract_member(archive, member, unpacked / name)
    images = {part: read_images(unpacked, part, official, archive_path) for part in PARTS.values()}
    captions = _read_captions(unpacked, images, official, archive_path)
    places = {"test": ("val", list(range(len(images["val"]))))}
    dealt = deal([image["id"] for image in images["train"]], {"validation": validation_share})
    places |= {split: ("train", rows) for split, rows in dealt.items()}
    width = None
    for part in PARTS.values():
        name = f"{part}2014_vgg16_fc7.h5"
        where = f"{archive_path}: {name}"
        shape = (len(images[part]), VGG_WIDTH if official else width)
        with open_checked(unpacked / name, {"features": Expected(shape, "<f4")}, where) as data_sets:
            features = data_sets["features"]
            width = features.shape[1]
            for split, (own_part, rows) in places.items():
                if own_part == part:
                    path = directory / "features" / f"{split}.h5"
                    blocks = _chosen(_finite_blocks(features, where), rows, len(features))
                    write_feature_blocks(path, (len(rows), width), blocks)
        (unpacked / name).unlink()
        if official:
            _check_pca(unpacked / pca_member(part), len(images[part]), archive_path)
    own = {split: _captions_of(rows, *captions.of(part)) for split, (part, rows) in places.items()}
    save_captions(encoded_directory(directory), Captions(captions.vocabulary, own))
    annotations = {}
    for split, part in PARTS.items():
        if originals is None:
            annotations[part] = _decoded(captions, images[part], part)
        else:
            path = unzipped(originals[split], part, unpacked)
            annotations[part] = _original(path, images[part], originals[split])
    for split, (part, rows) in places.items():
        kept = [images[part][row] for row in rows]
        ids = {image["id"] for image in kept}
        write_captions(
            directory, split, kept, [item for item in annotations[part] if item["image_id"] in ids]
        )
    shutil.rmtree(unpacked)
    references: Literal["decoded", "original"] = "decoded" if originals is None else "original"
    source = Source("coco", images=False, features=True, encoded=True, scenes=False, references=references)
    counts = {
        split: {"images": len(rows), "captions": len(own[split][0])} for split, (_, rows) in places.items()
    }
    return source, {**counts, "feature_dim": width}


def pca_member(part: str) -> str:
    """Return the name of the reduced features of a part."""
    return f"{part}2014_vgg16_fc7_pca.h5"


def read_images(directory: Path, part: str, official: bool, archive_path: Path) -> list[dict[str, Any]]:
    """Return the images of a part in row order, from ``*_images.txt`` and ``*_urls.txt``."""
    names = _read_lines(directory / f"{part}2014_images.txt", archive_path)
    urls = _read_lines(directory / f"{part}2014_urls.txt", archive_path)
    where = f"{archive_path}: {part}2014_images.txt"
    if official and len(names) != IMAGE_ROWS[part]:
        raise InputError(f"{where}: expected {IMAGE_ROWS[part]} images, received {len(names)}")
    if len(urls) != len(names):
        raise InputError(
            f"{archive_path}: {part}2014_urls.txt: expected a URL for each of {len(names)} images, "
            f"received {len(urls)}"
        )
    images = []
    seen = set()
    for name, url in zip(names, urls, strict=True):
        file_name = PurePosixPath(name).name
        number = image_number(file_name)
        if number is None or number in seen:
            raise InputError(
                f"{where}: expected names that end in an image id of their own, received {name!r}"
            )
        seen.add(number)
        images.append({"id": number, "file_name": file_name, "url": url})
    return images


def image_number(file_name: str) -> int | None:
    """Return the number that a file name ends with, which of COCO's images is the id.

    >>> image_number("COCO_train2014_000000057870.jpg")
    57870
    """
    number = re.search(r"(?<!\d)(\d{1,18})\.\w+$", file_name)
    return None if number is None else int(number[1])


def _read_lines(path: Path, archive_path: Path) -> list[str]:
    with expecting(f"{archive_path}: {path.name}: expected UTF-8 text", UnicodeDecodeError):
        lines = path.read_text(encoding="utf-8").split("\n")
    return [line.strip() for line in lines if line.strip()]


def _read_captions(
    directory: Path, images: dict[str, list[dict[str, Any]]], official: bool, archive_path: Path
) -> Captions:
    """Read captions, image indices and vocabulary of the archive, checked."""
    where = f"{archive_path}: {VOCABULARY_MEMBER}"
    vocabulary = parse_vocabulary(read_json(directory / VOCABULARY_MEMBER), where)
    if official and len(vocabulary) != WORDS:
        raise InputError(f"{where}: expected {WORDS} words, received {len(vocabulary)}")
    where = f"{archive_path}: {CAPTIONS_MEMBER}"
    shapes = {part: (CAPTION_ROWS[part], STEPS) if official else (None, None) for part in PARTS.values()}
    captions = read_encoded(directory / CAPTIONS_MEMBER, vocabulary, shapes, where)
    check_captions(captions, {part: len(images[part]) for part in PARTS.values()}, where)
    return captions


def _captions_of(
    rows: list[int], encoded: NDArray[np.int32], image_rows: NDArray[np.int32]
) -> tuple[NDArray[np.int32], NDArray[np.int32]]:
    """Return the captions (M, L) of the images of some rows, ascending, and the image of each among these."""
    places = np.searchsorted(rows, image_rows).clip(max=len(rows) - 1)  # (M,)
    own = np.asarray(rows)[places] == image_rows
    return encoded[own], places[own].astype(np.int32)


def _chosen(
    blocks: Iterable[NDArray[np.float32]], rows: list[int], count: int
) -> Iterator[NDArray[np.float32]]:
    """Some of the ``count`` rows of blocks (rows, D) float32."""
    own = np.zeros(count, dtype=bool)
    own[rows] = True
    start = 0
    for block in blocks:
        yield block[own[start : start + len(block)]]
        start += len(block)


def _finite_blocks(features: h5py.Dataset, where: str) -> Iterator[NDArray[np.float32]]:
    """Yield blocks of rows (rows, D) float32, none of them NaN or infinite."""
    starts = track(range(0, len(features), BLOCK_ROWS), "checking features")
    return finite((read_rows(features, start, start + BLOCK_ROWS, where) for start in starts), where)


def _check_pca(path: Path, rows: int, archive_path: Path) -> None:
    """Check the course's own reduced features, which are left: `reduce` makes ours."""
    where = f"{archive_path}: {path.name}"
    with open_checked(path, {"features": Expected((rows, PCA_WIDTH), "<f4")}, where) as data_sets:
        for _ in _finite_blocks(data_sets["features"], where):
            pass


def _decoded(captions: Captions, images: list[dict[str, Any]], part: str) -> list[dict[str, Any]]:
    encoded, rows = captions.of(part)
    return number_captions(
        {"image_id": images[row]["id"], "caption": captions.vocabulary.decode(caption)}
        for caption, row in zip(encoded.tolist(), rows.tolist(), strict=True)
    )


def unzipped(path: Path, part: str, unpacked: Path) -> Path:
    """Return the caption file itself, out of the archive that COCO publishes."""
    check_regular(path)
    if not zipfile.is_zipfile(path):
        return path
    target = unpacked / f"captions_{part}2014.json"
    with open_archive(path) as archive:
        extract_member(archive, find_member(archive, target.name), target)
    return target


def _original(path: Path, images: list[dict[str, Any]], where: Path) -> list[dict[str, Any]]:
    """Return the original captions of the images, joined by image id; give the images their licences."""
    by_image: dict[int, list[dict[str, Any]]] = {image["id"]: [] for image in images}
    content = read_json(path)
    entries, originals = check_coco_captions(content, str(where))
    known = {entry["id"]: entry for entry in entries}
    for row in images:
        terms = read_credit(known.get(row["id"], {}), content.get("licenses"))
        row |= {key: terms[key] for key in ("license", "license_url") if terms[key]}
    for annotation in number_captions(originals):
        if annotation["image_id"] in by_image:
            by_image[annotation["image_id"]].append(annotation)
    for image, annotations in by_image.items():
        if not annotations:
            raise InputError(
                f"{where}: expected captions of every image of the archive, received none of {image}"
            )
    return [annotation for annotations in by_image.values() for annotation in annotations]
