"""The layout of data/raw, which every source writes and the later stages read.

The folder ``annotations`` holds all text, so that a stage can depend on it without the images. In it
``source.json`` says what there is. Row i of anything of a split belongs to ``images[i]`` of
``captions_{split}.json``, which is in COCO format.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from recap.core.artifacts import write_json
from recap.core.input_files import read_json

SPLITS = ("train", "validation", "test")
"""For training, for choices (of an epoch, of a decoding), and for scores and pictures."""
LANGUAGE = "language"
"""Captions of images that are not there; written where ``data.language_captions`` names some."""
ANNOTATIONS = "annotations"


@dataclass(frozen=True)
class Source:
    """The contents of data/raw."""

    source: Literal["scenes", "coco", "folder"]
    images: bool
    features: bool
    encoded: bool
    scenes: bool
    references: Literal["original", "decoded"]


@dataclass(frozen=True)
class RawData:
    """A folder in the raw layout; files are read when they are asked for."""

    directory: Path
    source: Source

    def captions(self, split: str) -> dict[str, Any]:
        """Read the captions of a split in COCO format: ``images`` in row order, and ``annotations``."""
        return read_json(self.directory / ANNOTATIONS / f"captions_{split}.json")

    def has_language(self) -> bool:
        """Return whether there are captions of ``LANGUAGE``."""
        return (self.directory / ANNOTATIONS / f"captions_{LANGUAGE}.json").is_file()

    def image_paths(self, split: str) -> list[Path]:
        """Return the image files of a split in row order; only where ``source.images``."""
        folder = self.directory / "images" / split
        return [folder / image["file_name"] for image in self.captions(split)["images"]]

    def scenes(self, split: str) -> list[dict[str, Any]]:
        """Read the scene graphs of a split in row order; only where ``source.scenes``."""
        return read_json(self.scenes_path(split))

    def scenes_path(self, split: str) -> Path:
        """Return the file with the scene graphs of a split; only where ``source.scenes``."""
        return self.directory / ANNOTATIONS / f"scenes_{split}.json"

    def features_path(self, split: str) -> Path:
        """Return the HDF5 file with the features of a split; only where ``source.features``."""
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


def number_captions(annotations: Iterable[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Return the ``image_id`` and ``caption`` of annotations, each with a new ``id``, from 1 on."""
    return [
        {"id": number, "image_id": annotation["image_id"], "caption": annotation["caption"]}
        for number, annotation in enumerate(annotations, start=1)
    ]


def write_captions(
    directory: Path, split: str, images: Sequence[Mapping[str, Any]], annotations: Sequence[Mapping[str, Any]]
) -> None:
    """Write the captions of a split in COCO format into data/raw.

    Images, in row order, have ``id``, ``file_name`` and, if known, ``part`` and ``url``; annotations have
    ``id``, ``image_id`` and ``caption``, the original text. The split is one of ``SPLITS``, or ``LANGUAGE``.
    """
    captions = {"images": list(images), "annotations": list(annotations)}
    write_json(directory / ANNOTATIONS / f"captions_{split}.json", captions, compact=True)


def write_graphs(directory: Path, split: str, graphs: Sequence[Mapping[str, Any]]) -> None:
    """Write the scene graphs of a split, in row order, into data/raw."""
    write_json(directory / ANNOTATIONS / f"scenes_{split}.json", list(graphs), compact=True)


def encoded_directory(directory: Path) -> Path:
    """Return the folder in data/raw of captions that come encoded, and their vocabulary."""
    return directory / ANNOTATIONS / "encoded"
