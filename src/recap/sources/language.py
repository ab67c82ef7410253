"""Captions of images that are not there, from which decoders learn language."""

from collections.abc import Mapping
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from recap.core.input_files import read_json
from recap.core.raw_data import LANGUAGE, SPLITS, RawData, number_captions, write_captions
from recap.errors import InputError
from recap.sources.cs231n import image_number, unzipped
from recap.text.coco_files import check_coco_captions


def write_language(path: Path, raw: RawData) -> dict[str, int]:
    """Write captions_language.json into data/raw, without the captions of any image of a split.

    An image is left out when its id, or the number that its file name ends with, is that of an image of the
    training, validation or test split: COCO gives one number to an image in all its editions.

    Args:
        path: captions in COCO format, or a zip with COCO 2014's captions_train2014.json.
        raw: data/raw, where the splits are written.

    Returns:
        Counts: ``images`` and ``captions`` that are kept, ``images_left_out``.

    Raises:
        InputError: the file is not COCO format, or nothing is left of it.
    """
    with TemporaryDirectory(dir=raw.directory) as unpacked:
        content = read_json(unzipped(path, "train", Path(unpacked)))
    entries, annotations = check_coco_captions(content, str(path), named=False)
    shown = {number for split in SPLITS for image in raw.captions(split)["images"] for number in _ids(image)}
    kept = {entry["id"] for entry in entries if not _ids(entry) & shown}
    own = [annotation for annotation in number_captions(annotations) if annotation["image_id"] in kept]
    if not own:
        raise InputError(
            f"{path}: expected captions of images that are in no split, received none in {len(entries)}"
        )
    captioned = {annotation["image_id"] for annotation in own}
    images = [{"id": entry["id"]} for entry in entries if entry["id"] in captioned]
    write_captions(raw.directory, LANGUAGE, images, own)
    return {"images": len(images), "captions": len(own), "images_left_out": len(entries) - len(kept)}


def _ids(image: Mapping[str, Any]) -> set[int]:
    """Return the id of an image and the number at the end of its file name, if there is one."""
    number = image_number(str(image.get("file_name", "")))
    return {image["id"]} if number is None else {image["id"], number}
