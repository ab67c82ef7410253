"""The source `folder`: the user's own images with captions in COCO format."""

import os
import sys
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from pathlib import Path, PurePosixPath
from typing import Any

from recap.core.artifacts import write_bytes
from recap.core.image_files import read_image
from recap.core.input_files import read_json
from recap.core.raw_data import Source, number_captions, write_captions
from recap.errors import InputError
from recap.progress import track
from recap.sources.splits import deal
from recap.text.coco_files import check_coco_captions, same_name

CREDIT = ("url", "license", "license_url")
"""What is kept of an image beside its name."""


def fetch_folder(
    images: Path, caption_files: Mapping[str, Path], shares: Mapping[str, float], directory: Path
) -> tuple[Source, dict[str, Any]]:
    """Check the images and captions of all splits and write them in the raw layout.

    Args:
        images: the folder that the file names of the captions start from.
        caption_files: COCO-format captions of "train" and of other splits.
        shares: about which part of the training images splits get that have no captions of their own.
        directory: data/raw, empty.

    Returns:
        What data/raw holds, and counts.

    Raises:
        InputError: a file is not COCO format, or has no captions, or an image is absent or does not decode.
    """
    if not images.is_dir():
        raise InputError(f"data.folder.images: expected a folder, received {images}")
    _listing.cache_clear()
    counts: dict[str, dict[str, int]] = {}
    for part, path in caption_files.items():
        content = read_json(path)
        entries, annotations = check_coco_captions(content, str(path))
        captioned = {annotation["image_id"] for annotation in annotations}
        left_out = [entry for entry in entries if entry["id"] not in captioned]
        if left_out:
            more = f" and {len(left_out) - 1} more" if len(left_out) > 1 else ""
            print(f"{path}: left out, without captions: {left_out[0]['file_name']!r}{more}", file=sys.stderr)
        entries = [entry for entry in entries if entry["id"] in captioned]
        dealt = {part: list(range(len(entries)))}
        if part == "train" and shares:
            dealt = deal([entry["id"] for entry in entries], shares)
        for split, rows in dealt.items():
            own = [entries[row] | read_credit(entries[row], content.get("licenses")) for row in rows]
            counts[split] = _write_split(split, own, annotations, images, path, directory)
        counts[part]["images_without_captions"] = len(left_out)
    source = Source("folder", images=True, features=False, encoded=False, scenes=False, references="original")
    return source, counts


def _write_split(
    split: str,
    entries: list[dict[str, Any]],
    annotations: list[dict[str, Any]],
    images: Path,
    path: Path,
    directory: Path,
) -> dict[str, int]:
    """Copy the images of a split and write its captions; returns how many there are."""
    names = [same_name(entry["file_name"]) for entry in entries]
    sources = [find_image(entry["file_name"], images, path) for entry in entries]
    target = directory / "images" / split
    # decoding leaves Python's lock, so threads share the work; the order of results is that of the names
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        copies = pool.map(lambda source, name: _copy(source, target / name), sources, names)
        for _ in track(copies, f"checking {split} images", len(names)):
            pass
    kept = [
        {"id": entry["id"], "file_name": name} | {key: entry[key] for key in CREDIT if entry[key]}
        for entry, name in zip(entries, names, strict=True)
    ]
    ids = {entry["id"] for entry in entries}
    own = number_captions(annotation for annotation in annotations if annotation["image_id"] in ids)
    write_captions(directory, split, kept, own)
    return {"images": len(kept), "captions": len(own)}


def read_credit(entry: Mapping[str, Any], licenses: Any) -> dict[str, str | None]:
    """Return where an image can be seen and under which licence it is, as far as COCO's fields tell."""
    known = [own for own in licenses if isinstance(own, dict)] if isinstance(licenses, list) else []
    terms = next((own for own in known if "license" in entry and own.get("id") == entry["license"]), {})
    found = (
        next((entry[key] for key in ("coco_url", "flickr_url") if isinstance(entry.get(key), str)), None),
        terms.get("name"),
        terms.get("url"),
    )
    return {key: value if isinstance(value, str) else None for key, value in zip(CREDIT, found, strict=True)}


def find_image(name: str, images: Path, captions: Path) -> Path:
    """Return the file of a name, also where its accents are written in another of Unicode's forms."""
    parts = PurePosixPath(name).parts
    if not parts or name.startswith("/") or ".." in parts or "\\" in name or "\0" in name:
        raise InputError(f"{captions}: expected file names inside the image folder, received {name!r}")
    found = images
    for part in parts:
        found = found / part if _exists(found / part) else found / _listing(found).get(same_name(part), part)
    if not _exists(found) or not found.is_file():
        raise InputError(f"{captions}: expected the image {name} in {images}, received no such file")
    return found


def _exists(path: Path) -> bool:
    try:
        return path.exists()
    except OSError:  # such as a name too long
        return False


@cache
def _listing(folder: Path) -> dict[str, str]:
    """Return the names in a folder by what their spellings have in common."""
    try:
        return {same_name(name): name for name in sorted(entry.name for entry in folder.iterdir())}
    except OSError:  # absent, a file, or a name too long
        return {}


def _copy(path: Path, target: Path) -> None:
    """Decode an image to the last pixel, then copy its bytes as they are."""
    read_image(path)
    write_bytes(target, path.read_bytes())
