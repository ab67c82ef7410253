"""The source `scenes`: drawn, captioned and written in the layout of data/raw."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from recap.core.artifacts import write_png
from recap.core.raw_data import number_captions, write_captions, write_graphs
from recap.progress import track
from recap.sources.config import ScenesConfig
from recap.sources.scenes.captions import write_captions as describe
from recap.sources.scenes.graphs import (
    Scene,
    held_out_pairs,
    sample_scene,
    set_aside,
    split_digit_images,
    to_json,
    training_pairs,
)
from recap.sources.scenes.rendering import digit_masks, load_digit_images, render

CAPTIONS_A_SCENE = 5
PARTS = ("seen", "seen", "unseen")
"""Test scenes take these parts in turn."""


def write_scenes(config: ScenesConfig, directory: Path) -> dict[str, Any]:
    """Write images, captions and scene graphs of all splits, no two of which show the same digit image.

    The test part "seen" has pairs of colour and digit that training scenes have, as validation scenes do; in
    "unseen" at least one object's pair is one that neither of them ever has.

    Returns:
        Counts of images and captions by split, and of test images by part.
    """
    digits, labels = load_digit_images()
    training_digits, other_digits = split_digit_images(labels, config.seed)
    generator = np.random.default_rng([config.seed, 0])
    allowed, held_out = training_pairs(config.seed), held_out_pairs(config.seed)
    training = [
        sample_scene(generator, training_digits, allowed)
        for _ in track(range(config.train_images), "scenes to train on")
    ]
    shown = {(object_.colour, object_.digit) for scene in training for object_ in scene.objects}
    seen = [pair for pair in allowed if pair in shown]
    parts = [PARTS[i % len(PARTS)] for i in range(config.test_images)]
    test = [
        sample_scene(generator, other_digits, seen, required=held_out if part == "unseen" else None)
        for part in parts
    ]
    test, validation_digits = set_aside(test, other_digits)
    own_generator = np.random.default_rng([config.seed, 3])
    validation = [
        sample_scene(own_generator, validation_digits, seen) for _ in range(config.validation_images)
    ]
    masks = digit_masks(digits)
    summary: dict[str, dict[str, int]] = {}
    first = 0
    for split, scenes, source in (
        ("train", training, generator),
        ("test", test, generator),
        ("validation", validation, own_generator),
    ):
        images: list[dict[str, Any]] = [
            {"id": first + i, "file_name": f"{i:06d}.png"} for i in range(len(scenes))
        ]
        if split == "test":
            images = [image | {"part": part} for image, part in zip(images, parts, strict=True)]
        _write_split(split, scenes, images, masks, source, directory)
        summary[split] = {"images": len(scenes), "captions": len(scenes) * CAPTIONS_A_SCENE}
        first += len(scenes)
    summary["test"] |= {part: parts.count(part) for part in dict.fromkeys(PARTS)}
    return summary


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
    annotations = number_captions(
        {"image_id": image_id, "caption": caption}
        for image_id, captions in zip(ids, described, strict=True)
        for caption in captions
    )
    write_captions(directory, split, images, annotations)
    graphs = [to_json(scene, image_id) for scene, image_id in zip(scenes, ids, strict=True)]
    write_graphs(directory, split, graphs)
