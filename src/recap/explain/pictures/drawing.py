"""Pictures from arrays: crisp enlargement, heat over an image, panels side by side with their labels.

Shapes: H and W height and width in pixels.
"""

from collections.abc import Sequence
from functools import cache

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont
from scipy.ndimage import gaussian_filter

Pixels = NDArray[np.uint8]
GAP = 10
LABEL_HEIGHT = 24
FONT_SIZE = 15
PAPER = (255, 255, 255)
INK = (34, 34, 34)
FADED_CONTRAST = 0.55


def enlarge(pixels: Pixels, side: int) -> Pixels:
    """Enlarge an image (H, W, 3) to a height of about ``side``; each pixel becomes a sharp square."""
    factor = max(1, round(side / pixels.shape[0]))
    return pixels.repeat(factor, axis=0).repeat(factor, axis=1)


def scale_heat(values: NDArray[np.floating]) -> NDArray[np.float32]:
    """Prepare a map (H, W), not negative, for display: smoothed by about a pixel in 100, scaled to 0..1.

    The top 0.5 % of the pixels all become 1.
    """
    smooth = gaussian_filter(values.astype(np.float64), sigma=values.shape[0] / 112)
    top = float(np.quantile(smooth, 0.995)) or float(smooth.max()) or 1.0
    return np.clip(smooth / top, 0, 1).astype(np.float32)


def heat_over(pixels: Pixels, heat: NDArray[np.floating]) -> Pixels:
    """Lay a map (H, W) in 0..1 over a faded image (H, W, 3): the redder, the larger the value."""
    grey = pixels @ np.array([0.299, 0.587, 0.114])  # (H, W)
    faded = (255 - FADED_CONTRAST * (255 - grey))[:, :, None]  # (H, W, 1)
    opacity = np.clip(1.4 * heat, 0, 1)[:, :, None]
    colours = _heat_colours()[np.rint((0.25 + 0.75 * heat) * 255).astype(int)]  # (H, W, 3)
    mixed = (1 - opacity) * faded + opacity * colours
    return np.rint(mixed).astype(np.uint8)


@cache
def _heat_colours() -> NDArray[np.float64]:
    """Return 256 colours (256, 3) in 0..255 from yellow to red."""
    from matplotlib import colormaps

    return np.asarray(colormaps["YlOrRd"](np.arange(256))[:, :3] * 255)


def side_by_side(panels: Sequence[Pixels], labels: Sequence[str]) -> Pixels:
    """Put panels (H, W, 3) in a row on white, each with its label below; a label that is too wide is cut."""
    height = max(panel.shape[0] for panel in panels)
    width = sum(panel.shape[1] for panel in panels) + GAP * (len(panels) - 1)
    sheet = Image.new("RGB", (width, height + LABEL_HEIGHT), PAPER)
    draw = ImageDraw.Draw(sheet)
    font = _font()
    left = 0
    for panel, label in zip(panels, labels, strict=True):
        sheet.paste(Image.fromarray(panel), (left, 0))
        text = _cut(label, panel.shape[1], font)
        draw.text((left, height + 4), text, fill=INK, font=font)
        left += panel.shape[1] + GAP
    return np.asarray(sheet)


def stack(rows: Sequence[Pixels]) -> Pixels:
    """Put rows of panels one below the other on white, with a gap."""
    width = max(row.shape[1] for row in rows)
    padded = [np.pad(row, ((0, GAP), (0, width - row.shape[1]), (0, 0)), constant_values=255) for row in rows]
    return np.concatenate(padded)[:-GAP]


@cache
def _font() -> ImageFont.FreeTypeFont | ImageFont.ImageFont:
    # Pillow's own font, so that every machine draws the same letters
    return ImageFont.load_default(size=FONT_SIZE)


def _cut(text: str, width: int, font: ImageFont.FreeTypeFont | ImageFont.ImageFont) -> str:
    if font.getlength(text) <= width:
        return text
    while text and font.getlength(text + "…") > width:
        text = text[:-1]
    return text.rstrip() + "…"
