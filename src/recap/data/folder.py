"""The source `folder`: the user's own images with captions in COCO format."""

import os
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path, PurePosixPath
from typing import Any

from recap.artifacts import write_bytes
from recap.data.coco_format import read_coco_captions
from recap.data.image_files import read_image
from recap.data.raw import SPLITS, Source, write_captions
from recap.errors import InputError
from recap.progress import track


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
        InputError: a caption file is not COCO format, names an absent image or leaves one without a
            caption; an image does not decode.
    """
    if not images.is_dir():
        raise InputError(f"data.folder.images: expected a folder, received {images}")
    counts = {}
    for split in SPLITS:
        path = caption_files[split]
        entries, annotations = read_coco_captions(path)
        names = [entry["file_name"] for entry in entries]
        for name in names:
            _check_name(name, images, path)
        captioned = {annotation["image_id"] for annotation in annotations}
        for entry in entries:
            if entry["id"] not in captioned:
                raise InputError(
                    f"{path}: expected a caption for each image, received none for {entry['file_name']}"
                )
        target = directory / "images" / split
        # decoding leaves Python's lock, so threads share the work; the order of results is that of the names
        with ThreadPoolExecutor(os.cpu_count()) as pool:
            copies = pool.map(lambda name, target=target: _copy(images / name, target / name), names)
            for _ in track(copies, f"checking {split} images", len(names)):
                pass
        kept = [{"id": entry["id"], "file_name": entry["file_name"], **_url(entry)} for entry in entries]
        numbered = [
            {"id": number, "image_id": annotation["image_id"], "caption": annotation["caption"]}
            for number, annotation in enumerate(annotations, start=1)
        ]
        write_captions(directory, split, kept, numbered)
        counts[split] = {"images": len(kept), "captions": len(numbered)}
    source = Source("folder", images=True, features=False, encoded=False, scenes=False, references="original")
    return source, counts


def _url(entry: dict[str, Any]) -> dict[str, str]:
    """Where the image can be seen, if COCO's fields tell."""
    for key in ("coco_url", "flickr_url"):
        if isinstance(entry.get(key), str):
            return {"url": entry[key]}
    return {}


def _check_name(name: str, images: Path, captions: Path) -> None:
    parts = PurePosixPath(name).parts
    if not parts or name.startswith("/") or ".." in parts or "\\" in name or "\0" in name:
        raise InputError(f"{captions}: expected file names inside the image folder, received {name!r}")
    if not (images / name).is_file():
        raise InputError(f"{captions}: expected the image {name} in {images}, received no such file")


def _copy(path: Path, target: Path) -> None:
    """Decode an image to the last pixel, then copy its bytes as they are."""
    read_image(path)
    write_bytes(target, path.read_bytes())
