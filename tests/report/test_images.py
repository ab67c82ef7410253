"""Images inside the page: small, without what files say beside their pixels."""

import base64
import io
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from recap.errors import InputError
from recap.report.images import THUMBNAIL_SIDE, InlineImage, inline_image


def decoded(image: InlineImage) -> Image.Image:
    return Image.open(io.BytesIO(base64.b64decode(image.uri.partition(",")[2])))


def test_small_images_keep_every_pixel(tmp_path: Path) -> None:
    pixels = np.random.default_rng(1).integers(0, 255, (64, 50, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(tmp_path / "a.png")
    image = inline_image(tmp_path / "a.png")
    assert (image.width, image.height, image.pixelated) == (50, 64, True)
    assert image.uri.startswith("data:image/png;base64,")
    assert np.array_equal(np.asarray(decoded(image)), pixels)


def test_photographs_become_thumbnails_that_stand_upright(tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6  # orientation: turn to the right
    exif[0x010F] = "A maker's name"
    pixels = np.random.default_rng(1).integers(0, 255, (600, 900, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(tmp_path / "a.jpg", exif=exif)
    image = inline_image(tmp_path / "a.jpg")
    assert image.height == THUMBNAIL_SIDE > image.width
    assert not image.pixelated
    assert b"maker" not in base64.b64decode(image.uri.partition(",")[2])
    assert inline_image(tmp_path / "a.jpg") == image
    assert inline_image(tmp_path / "a.jpg", side=1400).height == 900


@pytest.mark.parametrize("mode", ["L", "RGBA", "P", "CMYK"])
def test_every_mode_is_shown(tmp_path: Path, mode: str) -> None:
    path = tmp_path / ("a.jpg" if mode == "CMYK" else "a.png")
    Image.new(mode, (300, 200)).save(path)
    assert decoded(inline_image(path)).mode == "RGB"


def test_a_spoilt_image_is_named(tmp_path: Path) -> None:
    (tmp_path / "a.png").write_bytes(b"\x89PNG no more")
    with pytest.raises(InputError, match=r"a\.png: expected an image"):
        inline_image(tmp_path / "a.png")
    with pytest.raises(InputError, match=r"b\.png: expected an image"):
        inline_image(tmp_path / "b.png")
