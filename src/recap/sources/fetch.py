"""Images and captions, or features and captions, from any source into the raw layout."""

from pathlib import Path
from typing import Any

from recap.core.directories import make_empty
from recap.core.raw_data import RawData, Source, write_source
from recap.errors import InputError
from recap.sources.config import DataConfig
from recap.sources.cs231n import fetch_coco
from recap.sources.download import Files, locate
from recap.sources.folder import fetch_folder
from recap.sources.language import write_language


def fetch(config: DataConfig, directory: Path, files: Files) -> dict[str, Any]:
    """Write data/raw; what was in it goes first. Returns counts of the source.

    Raises:
        InputError: what the source needs is not there, or not as expected.
    """
    make_empty(directory)
    if config.source == "scenes":
        from recap.sources.draw_scenes import write_scenes

        summary = write_scenes(config.scenes, directory)
        source = Source(
            "scenes", images=True, features=False, encoded=False, scenes=True, references="original"
        )
    elif config.source == "coco":
        archive = _locate(files, "data.coco.archive", config.coco.archive)
        given = (config.coco.train_captions, config.coco.test_captions)
        originals = None
        if given != (None, None):
            originals = {
                "train": _locate(files, "data.coco.train_captions", given[0]),
                "test": _locate(files, "data.coco.test_captions", given[1]),
            }
        source, summary = fetch_coco(archive, originals, config.coco, config.validation_share, directory)
    else:
        train = _path("data.folder.train_captions", config.folder.train_captions)
        images = _path("data.folder.images", config.folder.images)
        others = {"validation": config.folder.validation_captions, "test": config.folder.test_captions}
        caption_files = {"train": train} | {split: Path(path) for split, path in others.items() if path}
        shares = {"validation": config.validation_share, "test": config.test_share}
        missing = {split: share for split, share in shares.items() if split not in caption_files}
        source, summary = fetch_folder(images, caption_files, missing, directory)
    if config.language_captions is not None:
        if source.scenes:
            raise InputError(
                "data.language_captions: expected null where data.source is scenes, "
                f"received {config.language_captions}"
            )
        path = locate(config.language_captions, files)
        summary = {**summary, "language": write_language(path, RawData(directory, source))}
    write_source(directory, source)
    return summary


def _locate(files: Files, setting: str, value: str | None) -> Path:
    if value is None:
        raise InputError(f"{setting}: expected a path or URL, received nothing")
    return locate(value, files)


def _path(setting: str, value: str | None) -> Path:
    if value is None:
        raise InputError(f"{setting}: expected a path, received nothing")
    return Path(value)
