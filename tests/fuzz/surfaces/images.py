"""Image files: as images of the source `folder`, and as images that networks look at."""

import io
import random
import struct
import zlib
from pathlib import Path

import numpy as np
from PIL import Image
from tests.fuzz.mutations import mutate_bytes
from tests.fuzz.surface import Failed

from recap.backbones.images import load_images
from recap.backbones.small_vgg import SmallVgg
from recap.core.image_files import read_image
from recap.errors import InputError

FORMATS = ("PNG", "JPEG", "WEBP", "GIF", "BMP", "TIFF", "ICO", "PPM", "TGA")
MODES = ("RGB", "L", "RGBA", "P", "1", "I;16", "LA", "CMYK", "F", "I")


def png(width: int, height: int, pixels: bytes, depth: int = 8, colour: int = 0) -> bytes:
    """A PNG that declares what it likes."""

    def chunk(name: bytes, content: bytes) -> bytes:
        checksum = zlib.crc32(name + content)
        return struct.pack(">I", len(content)) + name + content + struct.pack(">I", checksum)

    head = struct.pack(">IIBBBBB", width, height, depth, colour, 0, 0, 0)
    body = chunk(b"IDAT", zlib.compress(pixels, 9)) + chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + body


class Images:
    def __init__(self) -> None:
        self.backbone = SmallVgg(8, {"digit": ("one", "two")}).eval()

    def draw(self, generator: random.Random) -> bytes:
        if generator.random() < 0.1:
            width, height = generator.choice(
                (
                    (1, 100_000),
                    (100_000, 1),
                    (30_000, 30_000),
                    (2**31 - 1, 1),
                    (0, 1),
                    (1, 2**31 - 1),
                    (9000, 9000),
                )
            )
            rows = min(height, 100_000)
            pixels = (b"\0" * (1 + min(width, 30_000))) * rows if rows * width < 1e7 else b"\0" * 1_000_000
            return png(width, height, pixels, generator.choice((1, 8, 16)), generator.choice((0, 2, 3, 6)))
        values = np.random.default_rng(generator.randrange(2**32)).integers(0, 255, (9, 12, 4), np.uint8)
        image = Image.fromarray(values).resize(
            (generator.choice((1, 5, 12, 70)), generator.choice((1, 9, 64)))
        )
        file = io.BytesIO()
        mode, kind = generator.choice(MODES), generator.choice(FORMATS)
        options = (
            {"exif": Image.Exif()} if generator.random() < 0.3 and kind in ("JPEG", "PNG", "WEBP") else {}
        )
        for exif in options.values():
            exif[0x0112] = generator.choice((1, 3, 6, 8, 9, 2**15))
        frames = [image.convert("RGB")] * generator.choice((0, 0, 3))
        if frames and kind in ("GIF", "WEBP", "PNG", "TIFF"):
            options |= {"save_all": True, "append_images": frames}
        try:
            image.convert("RGB").convert(mode).save(file, kind, **options)
        except (OSError, ValueError, KeyError):
            image.convert("RGB").save(file := io.BytesIO(), "PNG")
        content = file.getvalue()
        return content if generator.random() < 0.15 else mutate_bytes(content, generator)

    def run(self, content: bytes) -> bool:
        path = Path("image.png")
        path.write_bytes(content)
        if read_image(path).mode != "RGB":
            raise Failed("expected an image in RGB")
        try:
            pixels = load_images([path], self.backbone)
        except InputError as error:
            raise Failed(f"expected networks to take what fetch takes, received {error}") from None
        if pixels.shape != (1, self.backbone.input_size, self.backbone.input_size, 3):
            raise Failed(f"expected an image of the network's size, received {pixels.shape}")
        return True
