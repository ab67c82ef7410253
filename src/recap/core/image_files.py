"""The one reader of image files: every part of recap reads the same images as `fetch`.

Only the decoders of ``FORMATS`` are ever started, and no pixel is decoded before the size is known.
"""

import os
import stat
from contextlib import suppress
from pathlib import Path
from typing import BinaryIO

import numpy as np
from PIL import Image, ImageFile, ImageOps, UnidentifiedImageError

from recap.core.environment import positive_number
from recap.errors import InputError

FORMATS = ("JPEG", "PNG", "WEBP", "GIF", "BMP", "TIFF")
"""Of animations the first picture is read."""

SIZE_VARIABLE = "RECAP_IMAGE_MEGAPIXELS"
"""The environment variable with the largest size of an image, in millions of pixels."""
LARGEST_MEGAPIXELS = 100.0
LARGEST_SIDE = 100_000

Image.MAX_IMAGE_PIXELS = None  # the limits above take its place, before a pixel is decoded

PHOTOMETRIC_INTERPRETATION, WHITE_IS_ZERO = 262, 0
"""A tag of TIFF that Pillow reads for 8 bits and not for 16."""

_GREY_STEPS = {"L;2": 85, "L;4": 17}
"""What Pillow multiplies grey values of few bits by, and leaves the transparent one as it is."""


ImageSource = Path | BinaryIO | Image.Image
"""A regular file, an open one, or an image of Pillow's, which stays as it is."""


def read_image(source: ImageSource) -> Image.Image:
    """Decode a whole image to RGB with 8 bits a channel, upright.

    Of 16 bits the upper eight are kept. What is transparent is laid on white. Grey values of 32 bits have no
    known range and are refused.

    Raises:
        InputError: it cannot be read, is none of ``FORMATS``, too large, cut short or broken.
    """
    where = source if isinstance(source, Path) else getattr(source, "name", "image")
    limit = positive_number(os.environ, SIZE_VARIABLE, LARGEST_MEGAPIXELS) * 1e6
    try:
        if isinstance(source, Path) and not stat.S_ISREG(source.stat().st_mode):
            raise InputError(f"{where}: expected an image that decodes, received: no regular file")
        with _open(source) as image:
            width, height = image.size
            if width * height > limit or max(width, height) > LARGEST_SIDE:
                raise InputError(
                    f"{where}: expected an image of at most {limit / 1e6:g} million pixels "
                    f"({SIZE_VARIABLE}) and {LARGEST_SIDE} a side, received {width} x {height}"
                )
            layout = _layout(image)
            image.load()
            with suppress(Exception):  # of broken EXIF; the pixels may be good all the same
                ImageOps.exif_transpose(image, in_place=True)
            return _on_white(image, layout)
    except InputError:
        raise
    except UnidentifiedImageError:
        reason = f"none of {', '.join(FORMATS)}"
    except Exception as error:  # a broken file can make Pillow's decoders raise anything
        text = getattr(error, "strerror", None) or str(error) or type(error).__name__
        reason = " ".join(text.split()).replace(str(where), Path(str(where)).name)
    raise InputError(f"{where}: expected an image that decodes, received: {reason}")


def _open(source: ImageSource) -> Image.Image:
    return source.copy() if isinstance(source, Image.Image) else Image.open(source, formats=FORMATS)


def find_images(place: Path) -> list[Path]:
    """Return the images in a folder and those in it, by the ends of their names, in order; a file as it is.

    Raises:
        InputError: there is none in the folder.
    """
    if not place.is_dir():
        return [place]
    ends = {end for end, name in Image.registered_extensions().items() if name in FORMATS}
    found = [
        path
        for path in sorted(place.rglob("*"))
        if path.suffix.lower() in ends and not path.name.startswith(".") and path.is_file()
    ]
    if not found:
        raise InputError(f"{place}: expected a folder with images, received one without")
    return found


def _layout(image: Image.Image) -> str:
    """Return how the file packs a pixel, in Pillow's words; lost when the image is loaded."""
    tiles = image.tile if isinstance(image, ImageFile.ImageFile) else []
    arguments = tiles[0].args if tiles else ""
    return str(arguments if isinstance(arguments, str) else (arguments or ("",))[0])


def _on_white(image: Image.Image, layout: str) -> Image.Image:
    """Convert an image of any mode to RGB, on white."""
    if image.mode in ("I", "F"):
        raise ValueError("grey values of 32 bits or with a sign, whose range is not known")
    if image.mode.startswith("I;16"):
        return _from_16_bits(image, layout)
    key = image.info.get("transparency")
    if isinstance(key, int):
        image.info["transparency"] = key * _GREY_STEPS.get(layout, 1)
    elif isinstance(key, tuple) and layout.startswith("RGB;16"):
        image.info["transparency"] = tuple(value >> 8 for value in key)
    if not image.has_transparency_data:
        return image.convert("RGB")
    white = Image.new("RGBA", image.size, "white")
    white.alpha_composite(image.convert("RGBA"))
    return white.convert("RGB")


def _from_16_bits(image: Image.Image, layout: str) -> Image.Image:
    wide = np.asarray(image)
    grey = (wide >> (4 if layout.endswith(";12") else 8)).astype(np.uint8)
    if getattr(image, "tag_v2", {}).get(PHOTOMETRIC_INTERPRETATION) == WHITE_IS_ZERO:
        grey = 255 - grey
    key = image.info.get("transparency")
    if isinstance(key, int):
        grey[wide == key] = 255
    return Image.fromarray(grey).convert("RGB")
