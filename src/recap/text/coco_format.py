"""Caption files in COCO format, checked before anything is used from them."""

import unicodedata
from pathlib import Path, PurePosixPath
from typing import Any

from recap.core.raw_data import read_json
from recap.errors import InputError


def read_coco_captions(path: Path) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """Read the images and annotations of a caption file in COCO format.

    Args:
        path: JSON, ``{"images": [{"id", "file_name", ...}], "annotations": [{"image_id", "caption", ...}]}``.

    Returns:
        The images and the annotations, as they stand in the file.

    Raises:
        InputError: the file cannot be read, has another form, an image id or file name twice, or an
            annotation of an image that it does not list.
    """
    return check_coco_captions(read_json(path), str(path))


def check_coco_captions(content: Any, where: str) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """The same for JSON that is already parsed; ``where`` is named in the error."""
    if not isinstance(content, dict):
        raise InputError(f"{where}: expected COCO format, an object, received {type(content).__name__}")
    images = _entries(content, "images", {"id": int, "file_name": str}, where)
    annotations = _entries(content, "annotations", {"image_id": int, "caption": str}, where)
    for key in ("id", "file_name"):
        seen: set[Any] = set()
        for image in images:
            value = image[key] if key == "id" else same_name(image[key])
            if value in seen:
                raise InputError(f"{where}: expected every image {key} once, received {image[key]!r} again")
            seen.add(value)
    known = {image["id"] for image in images}
    for annotation in annotations:
        if annotation["image_id"] not in known:
            raise InputError(
                f"{where}: expected annotations of images in `images`, "
                f"received image_id {annotation['image_id']}"
            )
    return images, annotations


def same_name(name: str) -> str:
    """What the spellings of a file's name have in common: ./a.png and a.png, composed accents or not."""
    return unicodedata.normalize("NFC", str(PurePosixPath(name)))


def _entries(content: dict[str, Any], name: str, kinds: dict[str, type], where: str) -> list[dict[str, Any]]:
    entries = content.get(name)
    if not isinstance(entries, list) or not entries:
        raise InputError(f"{where}: expected COCO format, a filled list {name!r}, received none")
    for number, entry in enumerate(entries):
        for key, kind in kinds.items():
            value = entry.get(key) if isinstance(entry, dict) else None
            if type(value) is not kind:
                expected = "an integer" if kind is int else "text"
                raise InputError(f"{where}: {name}[{number}].{key}: expected {expected}, received {value!r}")
    return entries
