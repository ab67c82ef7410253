"""Settings of the stage `fetch`: which source, and what it needs to know."""

from typing import Annotated, Literal

from annotated_types import Ge, Gt, Le, Lt
from pydantic.dataclasses import dataclass

from recap.core.config import STRICT, Seed


@dataclass(config=STRICT, frozen=True)
class ScenesConfig:
    """The embedded source: scenes drawn from real handwritten digits."""

    train_images: Annotated[int, Ge(10), Le(1_000_000)]
    validation_images: Annotated[int, Ge(1), Le(100_000)]
    test_images: Annotated[int, Ge(3), Le(100_000)]
    seed: Seed


@dataclass(config=STRICT, frozen=True)
class CocoConfig:
    """An archive in the CS231n layout."""

    archive: str | None
    check: Literal["official", "any"]
    train_captions: str | None
    test_captions: str | None


@dataclass(config=STRICT, frozen=True)
class FolderConfig:
    """The user's own images with COCO-format captions."""

    images: str | None
    train_captions: str | None
    validation_captions: str | None
    test_captions: str | None


@dataclass(config=STRICT, frozen=True)
class ImagesConfig:
    """Images of a source that comes with URLs only, for the report."""

    fetch: bool
    timeout: Annotated[float, Gt(0), Le(600)]


Share = Annotated[float, Gt(0), Lt(1)]


@dataclass(config=STRICT, frozen=True)
class DataConfig:
    """Group `data` of params.yaml."""

    source: Literal["scenes", "coco", "folder"]
    validation_share: Share
    test_share: Share
    language_captions: str | None
    offline: bool
    images: ImagesConfig
    scenes: ScenesConfig
    coco: CocoConfig
    folder: FolderConfig
