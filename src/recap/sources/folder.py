"""The source `folder`: the user's own images with captions in COCO format."""

import os
import sys
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from pathlib import Path, PurePosixPath
from typing import Any

from recap.core.artifacts import write_bytes
from recap.core.image_files import read_image
from recap.core.raw_data import SPLITS, Source, write_captions
from recap.errors import InputError
from recap.progress import track
from recap.text.coco_files import read_coco_captions, same_name


def fetch_folder(
    images: Path, caption_files: dict[str, Path], directory: Path
) -> tuple[Source, dict[str, Any]]:
    """Check the images and captions of both splits and write them in the raw layout.

    Args:
        images: the folder that the file names of the captions start from.
        caption_files: COCO-format captions of "train" and "val".
        directory: data/raw, empty.

    Returns:
        What data/raw holds, and counts.

    Raises:
        InputError: a caption file is not COCO format, names an absent image or captions none; an image does
            not decode.
    """
    if not images.is_dir():
        raise InputError(f"data.folder.images: expected a folder, received {images}")
    _listing.cache_clear()
    counts = {}
    for split in SPLITS:
        path = caption_files[split]
        entries, annotations = read_coco_captions(path)
        captioned = {annotation["image_id"] for annotation in annotations}
        left_out = [entry for entry in entries if entry["id"] not in captioned]
        if left_out:
            more = f" and {len(left_out) - 1} more" if len(left_out) > 1 else ""
            print(f"{path}: left out, without captions: {left_out[0]['file_name']!r}{more}", file=sys.stderr)
        entries = [entry for entry in entries if entry["id"] in captioned]
        names = [same_name(entry["file_name"]) for entry in entries]
        sources = [_find(entry["file_name"], images, path) for entry in entries]
        target = directory / "images" / split
        # decoding leaves Python's lock, so threads share the work; the order of results is that of the names
        with ThreadPoolExecutor(os.cpu_count()) as pool:
            copies = pool.map(
                lambda source, name, target=target: _copy(source, target / name), sources, names
            )
            for _ in track(copies, f"checking {split} images", len(names)):
                pass
        kept = [
            {"id": entry["id"], "file_name": name, **_url(entry)}
            for entry, name in zip(entries, names, strict=True)
        ]
        numbered = [
            {"id": number, "image_id": annotation["image_id"], "caption": annotation["caption"]}
            for number, annotation in enumerate(annotations, start=1)
        ]
        write_captions(directory, split, kept, numbered)
        counts[split] = {
            "images": len(kept),
            "captions": len(numbered),
            "images_without_captions": len(left_out),
        }
    source = Source("folder", images=True, features=False, encoded=False, scenes=False, references="original")
    return source, counts


def _url(entry: dict[str, Any]) -> dict[str, str]:
    """Return where the image can be seen, if COCO's fields tell."""
    for key in ("coco_url", "flickr_url"):
        if isinstance(entry.get(key), str):
            return {"url": entry[key]}
    return {}


def _find(name: str, images: Path, captions: Path) -> Path:
    """The file of a name, also where its accents are written in another of Unicode's forms."""
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
    """The names in a folder by what their spellings have in common."""
    if not folder.is_dir():
        return {}
    return {same_name(name): name for name in sorted(entry.name for entry in folder.iterdir())}


def _copy(path: Path, target: Path) -> None:
    """Decode an image to the last pixel, then copy its bytes as they are."""
    read_image(path)
    write_bytes(target, path.read_bytes())
