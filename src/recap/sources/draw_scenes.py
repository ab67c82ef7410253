"""The source `scenes`: drawn, captioned and written in the layout of data/raw."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from recap.core.artifacts import write_png
from recap.core.raw_data import write_captions, write_graphs
from recap.progress import track
from recap.sources.config import ScenesConfig
from recap.sources.scenes.captions import write_captions as describe
from recap.sources.scenes.graphs import (
    Scene,
    held_out_pairs,
    sample_scene,
    split_digit_images,
    to_json,
    training_pairs,
)
from recap.sources.scenes.rendering import digit_masks, load_digit_images, render

CAPTIONS_A_SCENE = 5
PARTS = ("seen", "seen", "unseen")
"""Validation scenes take these parts in turn."""


def write_scenes(config: ScenesConfig, directory: Path) -> dict[str, Any]:
    """Write images, captions and scene graphs of both splits.

    Validation shows digit images that training never does. Its part "seen" has pairs of colour and digit that
    training scenes have; in "unseen" at least one object's pair is one that training scenes never have.

    Args:
        config: how many scenes, and the seed.
        directory: data/raw, empty.

    Returns:
        Counts of images and captions by split, and of validation images by part.
    """
    digits, labels = load_digit_images()
    digit_images = dict(zip(("train", "val"), split_digit_images(labels, config.seed), strict=True))
    generator = np.random.default_rng([config.seed, 0])
    allowed, held_out = training_pairs(config.seed), held_out_pairs(config.seed)
    training = [
        sample_scene(generator, digit_images["train"], allowed)
        for _ in track(range(config.train_images), "scenes to train on")
    ]
    shown = {(object_.colour, object_.digit) for scene in training for object_ in scene.objects}
    seen = [pair for pair in allowed if pair in shown]
    parts = [PARTS[i % len(PARTS)] for i in range(config.validation_images)]
    validation = [
        sample_scene(generator, digit_images["val"], seen, required=held_out if part == "unseen" else None)
        for part in parts
    ]
    masks = digit_masks(digits)
    images = [{"id": i, "file_name": f"{i:06d}.png"} for i in range(len(training))]
    _write_split("train", training, images, masks, generator, directory)
    images = [
        {"id": len(training) + i, "file_name": f"{i:06d}.png", "part": part} for i, part in enumerate(parts)
    ]
    _write_split("val", validation, images, masks, generator, directory)
    return {
        "train": {"images": len(training), "captions": len(training) * CAPTIONS_A_SCENE},
        "val": {
            "images": len(validation),
            "captions": len(validation) * CAPTIONS_A_SCENE,
            "seen": parts.count("seen"),
            "unseen": parts.count("unseen"),
        },
    }


def _write_split(
    split: str,
    scenes: Sequence[Scene],
    images: Sequence[dict[str, Any]],
    masks: dict[str, np.ndarray],
    generator: np.random.Generator,
    directory: Path,
) -> None:
    folder = directory / "images" / split
    for image, scene in zip(track(images, f"images of {split}"), scenes, strict=True):
        write_png(folder / image["file_name"], render([scene], masks, generator)[0], durable=False)
    ids = [image["id"] for image in images]
    described = describe(scenes, CAPTIONS_A_SCENE, generator)
    captions = [(image_id, caption) for image_id, own in zip(ids, described, strict=True) for caption in own]
    annotations = [
        {"id": number, "image_id": image_id, "caption": caption}
        for number, (image_id, caption) in enumerate(captions, start=1)
    ]
    write_captions(directory, split, images, annotations)
    graphs = [to_json(scene, image_id) for scene, image_id in zip(scenes, ids, strict=True)]
    write_graphs(directory, split, graphs)
