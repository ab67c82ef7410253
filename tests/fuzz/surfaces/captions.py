"""Caption and results files: `recap score`, and the source `folder`."""

import random
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image
from tests.fuzz.mutations import json_bytes, mutate_bytes, mutate_json
from tests.fuzz.surface import check_unpublished, run_command

from recap.errors import InputError
from recap.sources.config import CocoConfig, DataConfig, FolderConfig, ImagesConfig, ScenesConfig
from recap.sources.download import Files
from recap.sources.fetch import fetch

TEXTS = ("A cat on the grass.", "Two dogs, a ball!", "the red bus is here", "people — walking", "a")
NONE = CocoConfig(None, "any", None, None)


def caption_file() -> dict[str, Any]:
    """A caption file of three images."""
    images = [{"id": number, "file_name": f"{number}.png", "height": 4, "width": 4} for number in (1, 5, 9)]
    annotations = [
        {"id": number, "image_id": image["id"], "caption": text}
        for number, (image, text) in enumerate((image, text) for image in images for text in TEXTS[:3])
    ]
    return {"info": {"year": 2014}, "images": images, "annotations": annotations, "licenses": []}


def write_folder(folder: Path) -> None:
    """Images of the caption file and the file itself."""
    folder.mkdir()
    for number, image in enumerate(caption_file()["images"]):
        Image.fromarray(np.full((4, 4, 3), 80 * number, np.uint8)).save(folder / image["file_name"])
    Path("good.json").write_bytes(json_bytes(caption_file()))


def score(results: str, references: str) -> bool:
    """Score without Java, which is slow."""
    command = ["score", results, references, "--no-meteor", "--resamples", "2", "--training", references]
    return run_command(command, codes=(0,)) == 0


class Captions:
    def __init__(self) -> None:
        write_folder(Path("images"))
        results = [
            {"image_id": number, "caption": text} for number, text in zip((1, 5, 9), TEXTS, strict=False)
        ]
        Path("results.json").write_bytes(json_bytes(results))

    def draw(self, generator: random.Random) -> bytes:
        if generator.random() < 0.6:
            return json_bytes(mutate_json(caption_file(), generator))
        return mutate_bytes(json_bytes(caption_file()), generator)

    def run(self, content: bytes) -> bool:
        Path("captions.json").write_bytes(content)
        refused = None
        try:
            score("results.json", "captions.json")
        except InputError as error:
            refused = error
        config = DataConfig(
            source="folder",
            validation_share=0.1,
            test_share=0.1,
            offline=True,
            language_captions=None,
            images=ImagesConfig(fetch=False, timeout=1.0),
            scenes=ScenesConfig(train_images=10, validation_images=3, test_images=3, seed=0),
            coco=NONE,
            folder=FolderConfig("images", "captions.json", None, "good.json"),
        )
        try:
            fetch(config, Path("raw"), Files(Path("downloads"), Path("downloads.json"), offline=True))
        except InputError:
            check_unpublished(Path("raw"), "annotations/source.json")
            raise
        if refused:
            raise refused
        return True


class Results:
    def __init__(self) -> None:
        Path("references.json").write_bytes(json_bytes(caption_file()))
        self.results = [
            {"image_id": number, "caption": text} for number, text in zip((1, 5, 9), TEXTS, strict=False)
        ]

    def draw(self, generator: random.Random) -> bytes:
        if generator.random() < 0.6:
            return json_bytes(mutate_json(self.results, generator))
        return mutate_bytes(json_bytes(self.results), generator)

    def run(self, content: bytes) -> bool:
        Path("results.json").write_bytes(content)
        return score("results.json", "references.json")
