"""Images from files to the pixels that a backbone takes.

Shapes: N images, S side of the backbone's square input in pixels.
"""

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import torch
from PIL import Image, ImageOps
from torch import Tensor

from recap.errors import InputError
from recap.vision.backbone import Backbone

# Pillow decodes outside the interpreter lock.
DECODING_THREADS = 4


def load_images(paths: Sequence[Path], backbone: Backbone) -> Tensor:
    """Read images as a backbone takes them: (N, S, S, 3) uint8 RGB.

    The shorter side is resized to ``backbone.shorter_side`` (bilinear, antialiased) and the centre is cut
    out, as torchvision's ImageNet evaluation does.

    Raises:
        InputError: a file does not decode as an image; it is named.
    """

    def load(path: Path) -> np.ndarray:
        image = fit(read_image(path), backbone.shorter_side, backbone.input_size)
        return np.asarray(image)

    with ThreadPoolExecutor(DECODING_THREADS) as pool:
        return torch.from_numpy(np.stack(list(pool.map(load, paths))))


def read_image(path: Path) -> Image.Image:
    """Decode an image file to RGB, upright.

    Raises:
        InputError: it cannot be read, or does not decode.
    """
    try:
        with Image.open(path) as image:
            upright = ImageOps.exif_transpose(image)
            return upright.convert("RGB")
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError) as error:
        text = getattr(error, "strerror", None) or str(error)  # without the path, which is told once
        reason = " ".join(text.split()).replace(str(path), path.name)
        raise InputError(f"{path}: expected an image that decodes, received: {reason}") from None


def fit(image: Image.Image, shorter_side: int, size: int) -> Image.Image:
    """Resize the shorter side to ``shorter_side`` pixels and cut out the ``size`` x ``size`` centre."""
    width, height = image.size
    if min(width, height) != shorter_side:
        width, height = (
            (shorter_side, shorter_side * height // width)
            if width <= height
            else (shorter_side * width // height, shorter_side)
        )
        image = image.resize((width, height), Image.Resampling.BILINEAR)
    left, top = round((width - size) / 2), round((height - size) / 2)
    return image.crop((left, top, left + size, top + size))
