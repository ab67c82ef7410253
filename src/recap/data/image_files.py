"""Image files from outside: whether they decode to the last pixel."""

import warnings
from pathlib import Path

from PIL import Image

FORMATS = ("JPEG", "PNG")


def decoding_problem(path: Path) -> str | None:
    """Why a file is no whole JPEG or PNG image of reasonable size, None when it is one."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error", Image.DecompressionBombWarning)
            with Image.open(path, formats=FORMATS) as image:
                image.load()
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError, Warning) as error:
        return " ".join(str(error).split())
    return None
