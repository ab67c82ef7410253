"""The layout of data/raw, which every source writes and the later stages read.

The folder ``annotations`` holds all text, so that a stage can depend on it without the images. In it
``source.json`` says what there is. Row i of anything of a split belongs to ``images[i]`` of
``captions_{split}.json``, which is in COCO format.
"""

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from recap.core.artifacts import write_json
from recap.errors import InputError

SPLITS = ("train", "val")
ANNOTATIONS = "annotations"

_SURROGATES = re.compile("[\ud800-\udfff]")
"""Halves of characters, which cut texts have; no file can hold them."""


@dataclass(frozen=True)
class Source:
    """What data/raw holds."""

    source: Literal["scenes", "coco", "folder"]
    images: bool
    features: bool
    encoded: bool
    scenes: bool
    references: Literal["original", "decoded"]


@dataclass(frozen=True)
class RawData:
    """A folder in the raw layout; files are read when asked for."""

    directory: Path
    source: Source

    def captions(self, split: str) -> dict[str, Any]:
        """COCO-format captions of a split: ``images`` in row order, and ``annotations``."""
        captions: dict[str, Any] = read_json(self.directory / ANNOTATIONS / f"captions_{split}.json")
        return captions

    def image_paths(self, split: str) -> list[Path]:
        """The image files of a split in row order; only where ``source.images``."""
        folder = self.directory / "images" / split
        return [folder / image["file_name"] for image in self.captions(split)["images"]]

    def scenes(self, split: str) -> list[dict[str, Any]]:
        """The scene graphs of a split in row order; only where ``source.scenes``."""
        scenes: list[dict[str, Any]] = read_json(self.directory / ANNOTATIONS / f"scenes_{split}.json")
        return scenes

    def features_path(self, split: str) -> Path:
        """The HDF5 file with the features of a split; only where ``source.features``."""
        return self.directory / "features" / f"{split}.h5"

    @property
    def encoded_directory(self) -> Path:
        """The folder of captions.h5 and vocabulary.json; only where ``source.encoded``."""
        return encoded_directory(self.directory)


def load_raw(directory: Path) -> RawData:
    """Open a folder that `fetch` wrote.

    Raises:
        InputError: there is no readable source.json in it.
    """
    return RawData(directory, Source(**read_json(directory / ANNOTATIONS / "source.json")))


def write_source(directory: Path, source: Source) -> None:
    """Write source.json; the last file that `fetch` writes."""
    write_json(directory / ANNOTATIONS / "source.json", vars(source))


def write_captions(
    directory: Path,
    split: str,
    images: Sequence[Mapping[str, Any]],
    annotations: Sequence[Mapping[str, Any]],
) -> None:
    """Write the captions of a split in COCO format.

    Args:
        directory: data/raw.
        split: "train" or "val".
        images: in row order, each with ``id``, ``file_name`` and, where known, ``part`` and ``url``.
        annotations: each with ``id``, ``image_id`` and ``caption``, the original text.
    """
    captions = {"images": list(images), "annotations": list(annotations)}
    write_json(directory / ANNOTATIONS / f"captions_{split}.json", captions, compact=True)


def write_graphs(directory: Path, split: str, graphs: Sequence[Mapping[str, Any]]) -> None:
    """Write the scene graphs of a split, in row order, into data/raw."""
    write_json(directory / ANNOTATIONS / f"scenes_{split}.json", list(graphs), compact=True)


def encoded_directory(directory: Path) -> Path:
    """The folder in data/raw of captions that come encoded, and their vocabulary."""
    return directory / ANNOTATIONS / "encoded"


def read_json(path: Path) -> Any:
    """Read a JSON file; half a character, as cut texts have it, becomes U+FFFD.

    Raises:
        InputError: it cannot be read, or is not JSON.
    """
    try:
        content = path.read_bytes()
        value = json.loads(content)
        return value if content.isascii() and b"\\u" not in content else _whole(value)
    except OSError as error:
        raise InputError(f"{path}: expected a readable file, received: {error.strerror}") from None
    except (ValueError, RecursionError) as error:
        raise InputError(f"{path}: expected JSON, received: {' '.join(str(error).split())}") from None


def _whole(value: Any) -> Any:
    if isinstance(value, str):
        return _SURROGATES.sub("\ufffd", value)
    if isinstance(value, list):
        return [_whole(item) for item in value]
    if isinstance(value, dict):
        return {_whole(key): _whole(item) for key, item in value.items()}
    return value
