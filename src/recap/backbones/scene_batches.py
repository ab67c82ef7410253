"""Training batches of scenes, drawn afresh each time: the same scenes with other digit images and places.

Shapes: N scenes or crops, S = 64 and P = 32 pixels a side.
"""

from collections.abc import Iterable, Iterator, Sequence
from functools import lru_cache

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray

from recap.backbones.scene_heads import object_labels, scene_labels
from recap.sources.scenes.graphs import DIGITS, Scene, resample
from recap.sources.scenes.rendering import digit_masks, load_digit_images, render

CROP = 32
CROP_JITTER = 3
"""A crop's middle is at most this many pixels from its digit's."""

Batch = tuple[NDArray[np.uint8], NDArray[np.int64]]


class SceneBatches:
    """Draws training scenes afresh by a seed.

    It shows no digit image, and no digit in a colour, that they do not.

    Args:
        scenes: the training scenes.
        seed: draws.
    """

    def __init__(self, scenes: Sequence[Scene], seed: int) -> None:
        self.scenes = scenes
        self.seed = seed
        self.masks = digit_masks(load_digit_images()[0])
        shown = {(object_.digit, object_.digit_image) for scene in scenes for object_ in scene.objects}
        self.digit_images = [sorted(image for label, image in shown if label == digit) for digit in DIGITS]

    def whole(self, steps: Iterable[int], batch_size: int) -> Iterator[Batch]:
        """Yield, for each step (from 0), scenes (N, S, S, 3) uint8 and their labels (N, heads) int64."""
        for scenes, generator in self._draw(1, steps, batch_size):
            yield render(scenes, self.masks, generator), scene_labels(scenes)

    def crops(self, steps: Iterable[int], batch_size: int) -> Iterator[Batch]:
        """Yield crops (N, P, P, 3) uint8 around each digit of a step's scenes, and labels (N, 3) int64."""
        for scenes, generator in self._draw(2, steps, batch_size):
            margin = CROP // 2
            pixels = render(scenes, self.masks, generator)
            pixels = np.pad(pixels, ((0, 0), *[(margin, margin)] * 2, (0, 0)), mode="edge")
            crops, labels = [], []
            for canvas, scene in zip(pixels, scenes, strict=True):
                for object_ in scene.objects:
                    left, top = object_.center + generator.integers(-CROP_JITTER, CROP_JITTER + 1, size=2)
                    crops.append(canvas[top : top + CROP, left : left + CROP])
                    labels.append(object_labels(object_))
            yield np.stack(crops), np.array(labels, dtype=np.int64)

    def _draw(
        self, purpose: int, steps: Iterable[int], batch_size: int
    ) -> Iterator[tuple[list[Scene], Generator]]:
        """Yield scenes, each once before any comes again, at new places, and what draws the rest of the step.

        A step depends on no other, so that a resumed run draws what one that never stopped drew.
        """
        order = lru_cache(2)(
            lambda round_: np.random.default_rng([self.seed, purpose, 0, round_]).permutation(
                len(self.scenes)
            )
        )
        for step in steps:
            generator = np.random.default_rng([self.seed, purpose, 1, step])
            places = range(step * batch_size, (step + 1) * batch_size)
            rows = [order(place // len(self.scenes))[place % len(self.scenes)] for place in places]
            yield [resample(self.scenes[row], generator, self.digit_images) for row in rows], generator
