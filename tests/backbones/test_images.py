"""Reading images as a backbone takes them."""

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from recap.backbones.backbone import Backbone
from recap.backbones.images import fit, load_images
from recap.core.image_files import read_image
from recap.errors import InputError


@given(st.integers(1, 90), st.integers(1, 90))
def test_any_size_becomes_the_square_that_the_backbone_takes(width: int, height: int) -> None:
    image = Image.new("RGB", (width, height), (10, 20, 30))
    fitted = np.asarray(fit(image, 16, 14))
    assert fitted.shape == (14, 14, 3)
    assert (fitted == (10, 20, 30)).all()


def test_an_image_of_the_right_size_stays_as_it_is() -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (12, 12, 3), dtype=np.uint8)
    assert np.array_equal(np.asarray(fit(Image.fromarray(pixels), 12, 12)), pixels)


def test_the_centre_is_cut_out() -> None:
    pixels = np.zeros((16, 32, 3), np.uint8)
    pixels[:, 8:24] = 255
    assert (np.asarray(fit(Image.fromarray(pixels), 16, 16)) == 255).all()


def test_a_sideways_photograph_is_turned_upright(tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.new("RGB", (40, 20)).save(tmp_path / "a.jpg", exif=exif)
    assert read_image(tmp_path / "a.jpg").size == (20, 40)


def test_grey_and_transparent_images_become_rgb(tmp_path: Path, tiny_backbone: Backbone) -> None:
    paths = []
    for mode in ("L", "RGBA", "P", "1"):
        paths.append(tmp_path / f"{mode}.png")
        Image.new(mode, (20, 30)).save(paths[-1])
    assert load_images(paths, tiny_backbone).shape == (4, 12, 12, 3)


@pytest.mark.parametrize("content", [b"", b"no image", b"\x89PNG\r\n\x1a\n", "truncated"])
def test_what_does_not_decode_is_named(content: bytes | str, tmp_path: Path, tiny_backbone: Backbone) -> None:
    path = tmp_path / "broken.png"
    if isinstance(content, str):
        Image.fromarray(np.random.default_rng(0).integers(0, 256, (64, 64, 3), np.uint8)).save(path)
        content = path.read_bytes()[:5000]
    path.write_bytes(content)
    with pytest.raises(
        InputError, match=r"broken\.png: expected an image that decodes, received: "
    ) as caught:
        load_images([path], tiny_backbone)
    assert "\n" not in str(caught.value)
