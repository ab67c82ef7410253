"""Images as data URIs, small enough for a page: the same bytes for the same pixels."""

import base64
import io
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from PIL import Image

from recap.core.image_files import read_image

PIXEL_ART_SIDE = 128
"""Images up to this wide and high stay as they are, without loss, and are shown with square pixels."""
THUMBNAIL_SIDE = 320
JPEG_QUALITY = 80


@dataclass(frozen=True)
class InlineImage:
    """An image inside the page; ``pixelated`` when it is to be magnified with square pixels."""

    uri: str
    width: int
    height: int
    pixelated: bool


def inline_image(path: Path, side: int = THUMBNAIL_SIDE, panels: int = 1) -> InlineImage:
    """Read an image of a source or a picture that a stage drew. Nothing but pixels is kept of the file.

    Args:
        path: the file.
        side: a larger image is made as small as this, in pixels.
        panels: a row of the picture has so many of them, square; without loss where these are small.

    Raises:
        InputError: the file does not decode.
    """
    image = read_image(path)
    pixelated = max(image.size) <= PIXEL_ART_SIDE * panels
    buffer = io.BytesIO()
    if pixelated:
        image.save(buffer, format="PNG", optimize=True)
    else:
        image.thumbnail((side, side), Image.Resampling.LANCZOS)
        image.save(buffer, format="JPEG", quality=JPEG_QUALITY, optimize=True, progressive=True)
    kind = "png" if pixelated else "jpeg"
    content = base64.b64encode(buffer.getvalue()).decode("ascii")
    return InlineImage(f"data:image/{kind};base64,{content}", *image.size, pixelated)


def stand_in(image: Mapping[str, Any], path: Path | str | None) -> dict[str, Any]:
    """Return what stands for an image: its pixels if there is a file, else why not; number and address.

    Args:
        image: an entry of a caption file.
        path: the file, or a reason why there is none.
    """
    url, terms = (str(image.get(key, "")) for key in ("url", "license_url"))
    return {
        "id": image["id"],
        "inline": inline_image(path) if isinstance(path, Path) else None,
        "reason": path if isinstance(path, str) else None,
        "url": _address(url),
        "license": image.get("license"),
        "license_url": _address(terms),
    }


def _address(text: str) -> str | None:
    """Return a text that may be a link; None for any other."""
    return text if text.startswith(("http://", "https://")) else None
