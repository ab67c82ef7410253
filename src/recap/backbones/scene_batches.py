"""Training batches of scenes, drawn afresh each time: the same scenes with other digit images and places.

A share of the digits has any vivid colour but those in which training scenes never show the digit. What tells
digits apart then holds in every colour, in the unseen ones too; their colour is not learnt from.

Shapes: N scenes or crops, S = 64 and P = 32 pixels a side.
"""

from collections.abc import Iterable, Iterator, Sequence
from functools import lru_cache

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray

from recap.backbones.scene_heads import HEADS, OBJECT_HEADS, object_labels, scene_labels
from recap.sources.scenes.graphs import DIGITS, Scene, resample
from recap.sources.scenes.rendering import (
    PALETTE,
    Colour,
    digit_masks,
    load_digit_images,
    palette_colours,
    render,
)

CROP = 32
CROP_JITTER = 3
"""A crop's middle is at most this many pixels from its digit's."""

NOT_LEARNT = -100
"""The class of a colour that has no name; torch's cross-entropy leaves it out."""
BRIGHT, COLOURFUL = 128, 80
"""The largest channel of a vivid colour at least, and how far the smallest lies below it."""
APART = 64
"""How far such a colour is at least from those in which training scenes never show the digit."""

Batch = tuple[NDArray[np.uint8], NDArray[np.int64]]


class SceneBatches:
    """Draws training scenes afresh by a seed.

    It shows no digit image, and no digit in a named colour, that they do not.

    Args:
        scenes: the training scenes.
        seed: draws.
        recoloured: the share of digits in a colour without a name.
    """

    def __init__(self, scenes: Sequence[Scene], seed: int, recoloured: float) -> None:
        self.scenes = scenes
        self.seed = seed
        self.recoloured = recoloured
        self.masks = digit_masks(load_digit_images()[0])
        shown = {(object_.digit, object_.digit_image) for scene in scenes for object_ in scene.objects}
        pairs = {(object_.digit, object_.colour) for scene in scenes for object_ in scene.objects}
        self.unshown = [
            np.array([PALETTE[name] for name in PALETTE if (digit, name) not in pairs]).reshape(-1, 3)
            for digit in DIGITS
        ]
        self.digit_images = [sorted(image for label, image in shown if label == digit) for digit in DIGITS]

    def whole(self, steps: Iterable[int], batch_size: int) -> Iterator[Batch]:
        """Yield, for each step (from 0), scenes (N, S, S, 3) uint8 and their labels (N, heads) int64."""
        columns = [list(HEADS).index(f"{place}_colour") for place in ("first", "second")]
        for scenes, generator in self._draw(1, steps, batch_size):
            colours = [self.colours(scene, generator) for scene in scenes]
            labels = scene_labels(scenes)
            for row, scene, own in zip(labels, scenes, colours, strict=True):
                for column, changed in zip(columns, _differ(scene, own), strict=False):
                    if changed:
                        row[column] = NOT_LEARNT
            yield render(scenes, self.masks, generator, colours), labels

    def crops(self, steps: Iterable[int], batch_size: int) -> Iterator[Batch]:
        """Yield crops (N, P, P, 3) uint8 around each digit of a step's scenes, and labels (N, 3) int64."""
        column = list(OBJECT_HEADS).index("colour")
        for scenes, generator in self._draw(2, steps, batch_size):
            margin = CROP // 2
            colours = [self.colours(scene, generator) for scene in scenes]
            pixels = render(scenes, self.masks, generator, colours)
            pixels = np.pad(pixels, ((0, 0), *[(margin, margin)] * 2, (0, 0)), mode="edge")
            crops, labels = [], []
            for canvas, scene, own in zip(pixels, scenes, colours, strict=True):
                for object_, changed in zip(scene.objects, _differ(scene, own), strict=True):
                    left, top = object_.center + generator.integers(-CROP_JITTER, CROP_JITTER + 1, size=2)
                    crops.append(canvas[top : top + CROP, left : left + CROP])
                    labels.append(object_labels(object_))
                    if changed:
                        labels[-1][column] = NOT_LEARNT
            yield np.stack(crops), np.array(labels, dtype=np.int64)

    def colours(self, scene: Scene, generator: Generator) -> list[Colour]:
        """Return the colours of a scene's objects, a share of them drawn."""
        return [
            self._vivid_colour(object_.digit, generator) if generator.random() < self.recoloured else named
            for object_, named in zip(scene.objects, palette_colours(scene), strict=True)
        ]

    def _vivid_colour(self, digit: int, generator: Generator) -> Colour:
        while True:
            colour = generator.integers(256, size=3)
            red, green, blue = colour.tolist()
            high, low = max(red, green, blue), min(red, green, blue)
            apart = ((self.unshown[digit] - colour) ** 2).sum(axis=1)
            if high >= BRIGHT and high - low >= COLOURFUL and (apart >= APART**2).all():
                return red, green, blue

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


def _differ(scene: Scene, colours: Sequence[Colour]) -> list[bool]:
    """Return which of a scene's objects are not drawn in the colour of their name."""
    return [own != named for own, named in zip(colours, palette_colours(scene), strict=True)]
