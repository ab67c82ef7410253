"""Images from files to the pixels that a backbone takes.

Shapes: N images, S side of the backbone's square input in pixels.
"""

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from recap.backbones.backbone import Backbone
from recap.core.image_files import ImageSource, read_image

# Pillow decodes outside the interpreter lock.
DECODING_THREADS = 4
THIN = 16  # sides as the longer to the shorter


def load_images(sources: Sequence[ImageSource], backbone: Backbone) -> Tensor:
    """Read images as a backbone takes them: (N, S, S, 3) uint8 RGB, resized as torchvision's evaluation does.

    Raises:
        InputError: a file does not decode as an image; it is named.
    """

    def load(source: ImageSource) -> np.ndarray:
        resampling = Image.Resampling[backbone.interpolation.upper()]
        image = fit(read_image(source), backbone.shorter_side, backbone.input_size, resampling)
        return np.asarray(image)

    with ThreadPoolExecutor(DECODING_THREADS) as pool:
        return torch.from_numpy(np.stack(list(pool.map(load, sources))))


def fit(
    image: Image.Image,
    shorter_side: int,
    size: int,
    resampling: Image.Resampling = Image.Resampling.BILINEAR,
) -> Image.Image:
    """Resize the shorter side to ``shorter_side`` pixels and cut out the ``size`` x ``size`` centre.

    Of a thin image only the centre is resized: the whole could take gigabytes.
    """
    own_width, own_height = width, height = image.size
    if min(width, height) != shorter_side:
        width, height = (
            (shorter_side, shorter_side * height // width)
            if width <= height
            else (shorter_side * width // height, shorter_side)
        )
    left, top = round((width - size) / 2), round((height - size) / 2)
    if max(width, height) > THIN * min(width, height):
        across, down = own_width / width, own_height / height
        box = (left * across, top * down, (left + size) * across, (top + size) * down)
        return image.resize((size, size), resampling, box=box)
    if (width, height) != image.size:
        image = image.resize((width, height), resampling)
    return image.crop((left, top, left + size, top + size))
