"""Reads caption files in COCO's format; a fault of one is an error of one line."""

import json
import unicodedata
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

from recap.core.input_files import read_json
from recap.errors import InputError

WHOLE_SET = "test"
"""The part of images whose file names no part."""


@dataclass(frozen=True)
class References:
    """Images with the captions that people wrote; position i of every field belongs to image i.

    Attributes:
        image_ids: one id an image.
        captions: one or more original captions an image, in the order of the annotations.
        parts: the part of the set that an image belongs to, "test" when the file names none.
    """

    image_ids: tuple[int, ...]
    captions: tuple[tuple[str, ...], ...]
    parts: tuple[str, ...]


def check_coco_captions(
    content: Any, where: str, *, named: bool = True
) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """Check a caption file that is already parsed; returns its images and annotations.

    Args:
        content: ``{"images": [{"id", "file_name", ...}], "annotations": [{"image_id", "caption", ...}]}``.
        where: named in the error.
        named: True demands a file name of every image.

    Raises:
        InputError: it has another form, holds none, an image id or file name twice, or an annotation of an
            image that it does not list.
    """
    if not isinstance(content, dict):
        raise InputError(
            f"{where}: expected an object with images and annotations, received {_kind(content)}"
        )
    ids: set[int] = set()
    names: set[str] = set()
    for place, image in _entries(where, content, "images"):
        image_id = _integer(place, image, "id")
        if image_id in ids:
            raise InputError(f"{place}: expected every image id once, received image id {image_id} again")
        ids.add(image_id)
        if named:
            name = same_name(_text(place, image, "file_name"))
            if name in names:
                raise InputError(
                    f"{place}: expected every image file_name once, received {image['file_name']!r} again"
                )
            names.add(name)
    for place, annotation in _entries(where, content, "annotations"):
        image_id = _integer(place, annotation, "image_id")
        if image_id not in ids:
            raise InputError(f"{place}: expected the id of an image in images, received {image_id}")
        _text(place, annotation, "caption")
    for name in ("images", "annotations"):
        if not content[name]:
            raise InputError(f"{where}: expected at least one of {name}, received none")
    return content["images"], content["annotations"]


def same_name(name: str) -> str:
    """Return what the spellings of a file's name share: ./a.png and a.png, composed accents or not."""
    return unicodedata.normalize("NFC", str(PurePosixPath(name)))


def read_references(path: Path) -> References:
    """Read the captions that people wrote of each image.

    Args:
        path: as for ``check_coco_captions``; images need no file names.

    Raises:
        InputError: as there, or the file cannot be read, or an image has no caption.
    """
    images, annotations = check_coco_captions(read_json(path), str(path), named=False)
    captions: dict[int, list[str]] = {image["id"]: [] for image in images}
    parts = {image["id"]: str(image.get("part", WHOLE_SET)) for image in images}
    for annotation in annotations:
        captions[annotation["image_id"]].append(annotation["caption"])
    for image_id, own in captions.items():
        if not own:
            raise InputError(
                f"{path}: expected a caption for every image, received none for image {image_id}"
            )
    return References(tuple(captions), tuple(map(tuple, captions.values())), tuple(parts.values()))


def _entries(file: object, document: dict[str, Any], name: str) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield every entry of a list of objects with the words that say where it is."""
    entries = document.get(name)
    if not isinstance(entries, list):
        raise InputError(f"{file}: expected a list of {name}, received {_kind(entries)}")
    for index, entry in enumerate(entries):
        if not isinstance(entry, dict):
            raise InputError(f"{file}: {name}[{index}]: expected an object, received {_kind(entry)}")
        yield f"{file}: {name}[{index}]", entry


def _integer(where: str, entry: dict[str, Any], key: str) -> int:
    value = entry.get(key)
    if isinstance(value, bool) or not isinstance(value, int):
        raise InputError(f"{where}.{key}: expected an integer, received {_shown(value)}")
    return check_id(f"{where}.{key}", value)


def check_id(where: str, value: int) -> int:
    """Return an image id that arrays hold and draws of captions depend on.

    Raises:
        InputError: it has more than 64 bits.
    """
    if not -(2**63) <= value < 2**63:
        raise InputError(f"{where}: expected an integer of at most 64 bits, received {_shown(value)}")
    return value


def _text(where: str, entry: dict[str, Any], key: str) -> str:
    value = entry.get(key)
    if not isinstance(value, str):
        raise InputError(f"{where}.{key}: expected text, received {_shown(value)}")
    return value


def _shown(value: object) -> str:
    return "nothing" if value is None else json.dumps(value)[:80]


def _kind(value: object) -> str:
    names = {dict: "an object", list: "a list", str: "text", bool: "true or false", type(None): "nothing"}
    return names.get(type(value), "a number")
