"""Draws scenes: real handwritten digits, coloured, on a background.

Shapes: N scenes, S = 64 pixels a side; colours are RGB in 0..255.
"""

from collections.abc import Sequence
from functools import cache

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray
from PIL import Image

from recap.sources.scenes.graphs import SIDE, SIZES, Scene

Colour = tuple[int, int, int]

PALETTE: dict[str, Colour] = {
    "red": (214, 40, 40),
    "orange": (240, 126, 22),
    "yellow": (236, 196, 24),
    "green": (44, 154, 70),
    "blue": (40, 98, 214),
    "purple": (140, 70, 190),
    "pink": (240, 122, 178),
}
PLAIN = {"white": (248, 248, 246), "gray": (150, 152, 156), "black": (26, 26, 32)}
PAPER = ((250, 246, 234), (238, 244, 250), (242, 248, 240), (248, 240, 244))
"""The lighter tone of patterned backgrounds."""
SHADE = 26
"""How much darker a pattern's second tone is."""
JITTER = 10
"""A digit's channels and a background's lightness vary by at most this."""
CONTRAST = 1.8
"""Steepness of the digits' edges after enlarging."""


@cache
def load_digit_images() -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
    """Return the handwritten digits of scikit-learn: images (1797, 8, 8) of ink 0..16, and labels (1797,)."""
    from sklearn.datasets import load_digits

    digits = load_digits()
    return digits.images.astype(np.uint8), digits.target.astype(np.int64)


def digit_masks(images: NDArray[np.uint8]) -> dict[str, NDArray[np.uint8]]:
    """Enlarge digit images (images, 8, 8) to opacities 0..255: size name -> (images, side, side)."""
    masks = {}
    for name, side in SIZES.items():
        enlarged = [
            np.asarray(Image.fromarray(image * 15).resize((side, side), Image.Resampling.BICUBIC))
            for image in images
        ]
        ink = np.stack(enlarged).astype(np.float64) / 240
        masks[name] = np.round(np.clip((ink - 0.5) * CONTRAST + 0.5, 0, 1) * 255).astype(np.uint8)
    return masks


def render(
    scenes: Sequence[Scene],
    masks: dict[str, NDArray[np.uint8]],
    generator: Generator,
) -> NDArray[np.uint8]:
    """Draw N scenes with the masks of ``digit_masks``: (N, S, S, 3) uint8. Shades and patterns are random."""
    pixels = np.empty((len(scenes), SIDE, SIDE, 3), dtype=np.uint8)
    for canvas, scene in zip(pixels, scenes, strict=True):
        _draw_background(canvas, scene.background, generator)
        for object_ in scene.objects:
            left, top, right, bottom = object_.box
            opacity = masks[object_.size][object_.digit_image][:, :, None].astype(np.int32)
            colour = _jitter(PALETTE[object_.colour], 3, generator)
            below = canvas[top:bottom, left:right]
            below[:] = (below * (255 - opacity) + colour * opacity + 127) // 255
    return pixels


def _jitter(colour: Colour, channels: int, generator: Generator) -> NDArray[np.int32]:
    """Vary a colour: each channel for itself (3), or its lightness (1)."""
    jitter = generator.integers(-JITTER, JITTER + 1, size=channels, dtype=np.int32)
    return np.clip(np.array(colour, dtype=np.int32) + jitter, 0, 255)


_Y, _X = np.mgrid[:SIDE, :SIDE]


def _draw_background(canvas: NDArray[np.uint8], background: str, generator: Generator) -> None:
    if background in PLAIN:
        canvas[:] = _jitter(PLAIN[background], 1, generator)
        return
    period = int(generator.integers(8, 13))
    shift_x, shift_y = generator.integers(period, size=2)
    x, y = (_X + shift_x) % period, (_Y + shift_y) % period
    if background == "striped":
        along = (x, y, (_X + _Y + shift_x) % period)[generator.integers(3)]
        dark = along < period // 2
    elif background == "checkered":
        dark = (x < period // 2) ^ (y < period // 2)
    else:
        middle = (period - 1) / 2
        dark = (x - middle) ** 2 + (y - middle) ** 2 <= (period * 0.27) ** 2
    light = _jitter(PAPER[generator.integers(len(PAPER))], 1, generator)
    canvas[:] = np.where(dark[:, :, None], light - SHADE, light)
