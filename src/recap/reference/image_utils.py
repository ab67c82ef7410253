"""Images behind URLs, many of which no longer exist, and SqueezeNet's normalisation of colours."""

import hashlib
import io
import time
import warnings
from pathlib import Path
from typing import Any

import httpx
import numpy as np
from numpy.typing import NDArray

from recap.core.artifacts import write_bytes
from recap.core.image_files import read_image
from recap.errors import InputError

SQUEEZENET_MEAN = np.array([0.485, 0.456, 0.406], dtype=np.float32)
SQUEEZENET_STD = np.array([0.229, 0.224, 0.225], dtype=np.float32)
"""Mean and standard deviation of ImageNet's red, green and blue, in 0..1."""

IMAGE_CACHE = Path(".cache", "images")
"""Where fetched images are kept, seen from the working directory."""

FIRST_WAIT = 0.2  # seconds before the second attempt; each further wait doubles
TEMPORARY = (429, 500, 502, 503, 504)


def image_from_url(
    url: str,
    cache: Path | str | None = IMAGE_CACHE,
    attempts: int = 3,
    timeout: float = 10.0,
    max_bytes: int = 20_000_000,
) -> NDArray[np.uint8] | None:
    """Fetch an image.

    Args:
        url: http or https.
        cache: folder where the image is looked up first and kept after; None keeps nothing.
        attempts: how often to ask a server that breaks off or is busy; one that refuses is asked once.
        timeout: seconds for each attempt: to connect, between two pieces, and in all.
        max_bytes: what is larger is no image for us.

    Returns:
        (height, width, 3) RGB, or None when the URL is dead, slow, not an image or too large.
    """
    path = Path(cache) / hashlib.sha256(url.encode()).hexdigest() if cache is not None else None
    if path is not None and path.is_file() and (image := _decode(path.read_bytes())) is not None:
        return image
    content = _fetch(url, attempts, timeout, max_bytes)
    image = None if content is None else _decode(content)
    if image is not None and content is not None and path is not None:
        try:
            write_bytes(path, content)
        except OSError as error:
            warnings.warn(f"{path}: the image is not kept: {error}", stacklevel=2)
    return image


def _fetch(url: str, attempts: int, timeout: float, max_bytes: int) -> bytes | None:
    for attempt in range(attempts):
        if attempt:
            time.sleep(FIRST_WAIT * 2 ** (attempt - 1))
        try:
            return _fetch_once(url, timeout, max_bytes)
        except (httpx.UnsupportedProtocol, httpx.TooManyRedirects, httpx.InvalidURL, ValueError):
            return None
        except httpx.HTTPStatusError as error:
            if error.response.status_code not in TEMPORARY:
                return None
        except httpx.HTTPError:
            continue
    return None


def _fetch_once(url: str, timeout: float, max_bytes: int) -> bytes | None:
    """Fetch the body, or None when it is too large."""
    deadline = time.monotonic() + timeout
    headers = {"Accept": "image/*", "Accept-Encoding": "identity"}
    with httpx.stream("GET", url, headers=headers, timeout=timeout, follow_redirects=True) as response:
        response.raise_for_status()
        if int(response.headers.get("Content-Length", 0)) > max_bytes:
            return None
        content = bytearray()
        for piece in response.iter_bytes():
            content += piece
            if len(content) > max_bytes:
                return None
            if time.monotonic() > deadline:  # a slow server keeps within the time between pieces
                raise httpx.ReadTimeout("the whole took too long")
    return bytes(content)


def _decode(content: bytes) -> NDArray[Any] | None:
    """Decode the pixels; None when the bytes are no image, or one with suspiciously many pixels."""
    try:
        return np.asarray(read_image(io.BytesIO(content)))
    except InputError:
        return None
