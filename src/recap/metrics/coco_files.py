"""Reads COCO-format references and results; what is wrong with a file is told in one line."""

import json
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from recap.core.raw_data import read_json
from recap.errors import InputError

WHOLE_SET = "validation"
"""The part of images whose file names no part."""


@dataclass(frozen=True)
class References:
    """Images with the captions that people wrote; position i of every field belongs to image i.

    Attributes:
        image_ids: one id an image.
        captions: one or more original captions an image, in the order of the annotations.
        parts: the part of the set that an image belongs to, "validation" when the file names none.
        uncaptioned: ids of images that were left out, as nobody captioned them.
    """

    image_ids: tuple[int, ...]
    captions: tuple[tuple[str, ...], ...]
    parts: tuple[str, ...]
    uncaptioned: tuple[int, ...] = ()


def read_references(path: Path, *, leave_out: bool = False) -> References:
    """Read captions in COCO format: ``images`` with ids, ``annotations`` with image ids and captions.

    Args:
        path: the file.
        leave_out: True leaves out images without captions, False refuses them.

    Raises:
        InputError: the file is not in that format, an image id is doubled, an annotation names an
            absent image, or no image, or not every one, has a caption.
    """
    document = read_json(path)
    if not isinstance(document, dict):
        raise InputError(
            f"{path}: expected an object with images and annotations, received {_kind(document)}"
        )
    captions: dict[int, list[str]] = {}
    parts: dict[int, str] = {}
    for where, image in _entries(path, document, "images"):
        image_id = _image_id(where, image.get("id"), "id")
        if image_id in captions:
            raise InputError(f"{where}: expected every image once, received image id {image_id} again")
        captions[image_id] = []
        parts[image_id] = str(image.get("part", WHOLE_SET))
    for where, annotation in _entries(path, document, "annotations"):
        image_id = _image_id(where, annotation.get("image_id"), "image_id")
        if image_id not in captions:
            raise InputError(f"{where}: expected the id of an image in images, received {image_id}")
        captions[image_id].append(_caption(where, annotation.get("caption")))
    if not captions:
        raise InputError(f"{path}: expected at least one image, received none")
    uncaptioned = tuple(image_id for image_id, own in captions.items() if not own)
    if uncaptioned and (not leave_out or len(uncaptioned) == len(captions)):
        raise InputError(
            f"{path}: expected a caption for every image, received none for image {uncaptioned[0]}"
        )
    for image_id in uncaptioned:
        del captions[image_id], parts[image_id]
    return References(
        tuple(captions), tuple(map(tuple, captions.values())), tuple(parts.values()), uncaptioned
    )


def read_results(path: Path, image_ids: Sequence[int], ignored: Collection[int] = ()) -> list[str]:
    """Read COCO results, a list of ``{"image_id", "caption"}``: exactly one caption an image.

    Args:
        path: the results file.
        image_ids: the images to be captioned.
        ignored: further images, whose captions are not looked at.

    Returns:
        The captions in the order of ``image_ids``.

    Raises:
        InputError: the file is not in that format, or an image id is missing, doubled or unknown.
    """
    document = read_json(path)
    known, unscored = frozenset(image_ids), frozenset(ignored)
    captions: dict[int, str] = {}
    for where, result in _entries(path, {"results": document}, "results"):
        image_id = _image_id(where, result.get("image_id"), "image_id")
        if image_id in unscored:
            continue
        if image_id not in known:
            raise InputError(f"{where}: expected an image of the references, received image id {image_id}")
        if image_id in captions:
            raise InputError(f"{where}: expected one caption an image, received image id {image_id} again")
        captions[image_id] = _caption(where, result.get("caption"))
    missing = [image_id for image_id in image_ids if image_id not in captions]
    if missing:
        others = f" and {len(missing) - 1} more" if len(missing) > 1 else ""
        raise InputError(
            f"{path}: expected a caption for every image, received none for {missing[0]}{others}"
        )
    return [captions[image_id] for image_id in image_ids]


def _entries(path: Path, document: dict[str, Any], name: str) -> Iterator[tuple[str, dict[str, Any]]]:
    """Every entry of a list of objects with the words that say where it is."""
    entries = document.get(name)
    if not isinstance(entries, list):
        raise InputError(f"{path}: expected a list of {name}, received {_kind(entries)}")
    for index, entry in enumerate(entries):
        if not isinstance(entry, dict):
            raise InputError(f"{path}: {name}[{index}]: expected an object, received {_kind(entry)}")
        yield f"{path}: {name}[{index}]", entry


def _image_id(where: str, value: object, key: str) -> int:
    if isinstance(value, bool) or not isinstance(value, int):
        raise InputError(f"{where}.{key}: expected an integer, received {_shown(value)}")
    return value


def _caption(where: str, value: object) -> str:
    if not isinstance(value, str):
        raise InputError(f"{where}.caption: expected text, received {_shown(value)}")
    return value


def _shown(value: object) -> str:
    return "nothing" if value is None else json.dumps(value)[:80]


def _kind(value: object) -> str:
    names = {dict: "an object", list: "a list", str: "text", bool: "true or false", type(None): "nothing"}
    return names.get(type(value), "a number")
