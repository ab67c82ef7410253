"""One reader of images: the right pixels of every format, or one line."""

import io
import resource
import struct
import subprocess
import sys
import zlib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from recap.backbones.images import fit
from recap.core.image_files import FORMATS, LARGEST_SIDE, SIZE_VARIABLE, read_image
from recap.errors import InputError

GREY, GREY_AND_ALPHA, RGB, PALETTE = 0, 4, 2, 3


def chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def png(width: int, height: int, bits: int, kind: int, rows: bytes, further: bytes = b"") -> io.BytesIO:
    """A PNG as its standard has it; Pillow writes only some of what others write."""
    head = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, bits, kind, 0, 0, 0))
    body = chunk(b"IDAT", zlib.compress(rows, 9)) + chunk(b"IEND", b"")
    return io.BytesIO(b"\x89PNG\r\n\x1a\n" + head + further + body)


def file_of(image: Image.Image, kind: str, **options) -> io.BytesIO:
    file = io.BytesIO()
    image.save(file, kind, **options)
    file.seek(0)
    return file


def pixels(file: io.BytesIO | Path) -> list:
    image = read_image(file)
    assert image.mode == "RGB"
    return np.asarray(image).tolist()


def noise(width: int = 40, height: int = 30) -> Image.Image:
    return Image.fromarray(np.random.default_rng(0).integers(0, 256, (height, width, 3), np.uint8))


@pytest.mark.parametrize("kind", FORMATS)
def test_every_format_of_the_list_is_read(kind: str) -> None:
    colour = (200, 40, 90)
    (((*received,),),) = pixels(file_of(Image.new("RGB", (1, 1), colour), kind))
    assert np.abs(np.subtract(received, colour)).max() <= (3 if kind in ("JPEG", "WEBP") else 0)


def test_other_formats_are_refused_without_starting_their_decoder(tmp_path: Path) -> None:
    (tmp_path / "a.png").write_bytes(b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n%%EndComments\n")
    noise().save(tmp_path / "b.ppm")
    for name in ("a.png", "b.ppm"):
        with pytest.raises(InputError, match=rf"{name}: expected an image that decodes, received: none of J"):
            read_image(tmp_path / name)


def test_the_first_picture_of_an_animation_is_read() -> None:
    frames = [Image.new("RGB", (1, 1), colour) for colour in ("red", "blue")]
    for kind in ("GIF", "WEBP", "PNG", "TIFF"):
        options = {"lossless": True} if kind == "WEBP" else {}
        file = file_of(frames[0], kind, save_all=True, append_images=frames[1:], **options)
        assert pixels(file) == [[[255, 0, 0]]], kind


def test_grey_of_16_bits_keeps_its_upper_bits() -> None:
    rows = b"\0" + struct.pack(">4H", 0, 0x40FF, 0x8000, 0xFFFF)
    expected = [[[0] * 3, [64] * 3, [128] * 3, [255] * 3]]
    assert pixels(png(4, 1, 16, GREY, rows)) == expected
    wide = Image.fromarray(np.array([[0, 0x40FF, 0x8000, 0xFFFF]], dtype=np.uint16))
    assert pixels(file_of(wide, "TIFF")) == expected
    inverted = file_of(wide, "TIFF", tiffinfo={262: 0})
    assert pixels(inverted) == [[[255] * 3, [191] * 3, [127] * 3, [0] * 3]]
    both = b"\0" + struct.pack(">4H", 0x4000, 0xFFFF, 0x4000, 0)
    assert pixels(png(2, 1, 16, GREY_AND_ALPHA, both)) == [[[64] * 3, [255] * 3]]


@pytest.mark.parametrize("mode", ["I", "F"])
def test_grey_values_without_a_range_are_refused(mode: str) -> None:
    with pytest.raises(InputError, match="grey values of 32 bits"):
        read_image(file_of(Image.new(mode, (2, 2)), "TIFF"))


@pytest.mark.parametrize("kind", ["PNG", "WEBP", "TIFF"])
def test_alpha_is_laid_on_white(kind: str) -> None:
    image = Image.new("RGBA", (3, 1))
    for x, colour in enumerate([(10, 20, 30, 0), (10, 20, 30, 255), (100, 0, 200, 51)]):
        image.putpixel((x, 0), colour)
    options = {"lossless": True, "exact": True} if kind == "WEBP" else {}
    assert pixels(file_of(image, kind, **options)) == [[[255] * 3, [10, 20, 30], [224, 204, 244]]]


def test_a_transparent_colour_is_laid_on_white() -> None:
    palette = Image.new("P", (2, 1))
    palette.putpalette([9, 9, 9, 200, 0, 0])
    palette.putpixel((1, 0), 1)
    for kind in ("GIF", "PNG"):
        assert pixels(file_of(palette, kind, transparency=0)) == [[[255] * 3, [200, 0, 0]]]
    colours = chunk(b"PLTE", bytes([0, 0, 0, 100, 0, 200])) + chunk(b"tRNS", bytes([0, 51]))
    assert pixels(png(2, 1, 8, PALETTE, b"\0\0\1", colours)) == [[[255] * 3, [224, 204, 244]]]


@pytest.mark.parametrize(
    ("bits", "row", "key", "greys"),
    [
        (1, b"\x40", 0, [255, 255]),
        (2, b"\x60", 1, [255, 170]),
        (4, b"\x25", 2, [255, 85]),
        (8, b"\x07\x08", 7, [255, 8]),
        (16, b"\x01\x02\x01\x03", 0x0102, [255, 1]),
    ],
)
def test_the_transparent_grey_of_a_png_is_the_one_that_it_names(
    bits: int, row: bytes, key: int, greys: list[int]
) -> None:
    file = png(2, 1, bits, GREY, b"\0" + row, chunk(b"tRNS", struct.pack(">H", key)))
    assert pixels(file) == [[[grey] * 3 for grey in greys]]


def test_the_transparent_colour_of_a_png_of_16_bits() -> None:
    rows = b"\0" + struct.pack(">6H", 0x0102, 0x0304, 0x0506, 0x0708, 0x090A, 0x0B0C)
    key = chunk(b"tRNS", struct.pack(">3H", 0x0102, 0x0304, 0x0506))
    assert pixels(png(2, 1, 16, RGB, rows, key)) == [[[255] * 3, [7, 9, 11]]]


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("kind", ["PNG", "TIFF", "WEBP"])
def test_every_orientation_of_exif_is_undone(orientation: int, kind: str) -> None:
    upright = np.arange(6, dtype=np.uint8).reshape(2, 3) * 40
    stored = {
        1: upright,
        2: upright[:, ::-1],
        3: upright[::-1, ::-1],
        4: upright[::-1],
        5: upright.T,
        6: upright.T[::-1],
        7: upright.T[::-1, ::-1],
        8: upright.T[:, ::-1],
    }[orientation]
    exif = Image.Exif()
    exif[0x0112] = orientation
    options = {"lossless": True} if kind == "WEBP" else {}
    image = Image.fromarray(np.ascontiguousarray(stored)).convert("RGB")
    received = np.asarray(read_image(file_of(image, kind, exif=exif, **options)))
    assert np.array_equal(received, np.repeat(upright[:, :, None], 3, axis=2))


def test_broken_exif_does_not_spoil_good_pixels() -> None:
    file = file_of(noise(), "PNG", exif=b"Exif\0\0MM\0*\xff\xff\xff\xff")
    assert np.array_equal(np.asarray(read_image(file)), np.asarray(noise()))


def test_the_size_is_bounded_before_a_pixel_is_decoded(monkeypatch: pytest.MonkeyPatch) -> None:
    bomb = png(20_000, 20_000, 8, GREY, b"")
    with pytest.raises(InputError, match=r"at most 100 million pixels .* received 20000 x 20000"):
        read_image(bomb)
    with pytest.raises(InputError, match=f"{LARGEST_SIDE} a side, received 1 x 100001"):
        read_image(png(1, LARGEST_SIDE + 1, 8, GREY, b""))
    monkeypatch.setenv(SIZE_VARIABLE, "0.001")
    with pytest.raises(InputError, match=r"at most 0\.001 million pixels"):
        read_image(file_of(noise(), "PNG"))
    for value in ("0", "-1", "many", "nan"):
        monkeypatch.setenv(SIZE_VARIABLE, value)
        with pytest.raises(InputError, match=f"{SIZE_VARIABLE}: expected a number above 0"):
            read_image(file_of(noise(), "PNG"))


@pytest.mark.parametrize("size", [(1, LARGEST_SIDE), (LARGEST_SIDE, 1)])
def test_a_thin_image_takes_no_more_than_its_pixels(size: tuple[int, int], tmp_path: Path) -> None:
    Image.new("RGB", size, "red").save(tmp_path / "a.png")
    image = read_image(tmp_path / "a.png")
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    fitted = fit(image, 256, 224)
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 50_000  # kilobytes
    assert fitted.size == (224, 224)
    assert fitted.getcolors() == [(224 * 224, (255, 0, 0))]


def test_the_centre_of_a_thin_image_is_that_of_the_whole_resized() -> None:
    for size in ((9, 200), (200, 9)):
        image = noise(*size)
        long = 16 * max(size) // min(size)
        whole = image.resize((16, long) if size[0] < size[1] else (long, 16), Image.Resampling.BILINEAR)
        left, top = round((whole.width - 14) / 2), round((whole.height - 14) / 2)
        expected = np.asarray(whole.crop((left, top, left + 14, top + 14))).astype(int)
        assert np.abs(np.asarray(fit(image, 16, 14)).astype(int) - expected).max() <= 1


def test_what_is_no_regular_file_is_refused_and_never_waited_for(tmp_path: Path) -> None:
    for path in (tmp_path, Path("/dev/null"), Path("/dev/zero")):
        with pytest.raises(InputError, match="no regular file"):
            read_image(path)
    with pytest.raises(InputError, match="File name too long"):
        read_image(tmp_path / ("a" * 300))


FUZZ = """
import io, random, sys, warnings
import numpy as np
from pathlib import Path
from PIL import Image
from recap.core.image_files import read_image
from recap.errors import InputError
warnings.simplefilter("ignore")
folder, cases = Path(sys.argv[1]), int(sys.argv[2])
draw = random.Random(7)
refused = 0
for path in sorted(folder.iterdir()):
    whole = path.read_bytes()
    for _ in range(cases):
        spoilt = bytearray(whole)
        for _ in range(draw.choice((1, 1, 2, 8))):
            spoilt[draw.randrange(len(spoilt))] = draw.randrange(256)
        if draw.random() < 0.2:
            del spoilt[draw.randrange(len(spoilt)):]
        try:
            assert read_image(io.BytesIO(bytes(spoilt))).mode == "RGB"
        except InputError as error:
            assert len(str(error).splitlines()) == 1
            refused += 1
print(refused)
"""


@pytest.mark.parametrize("cases", [40, pytest.param(1500, marks=pytest.mark.slow)])
def test_spoilt_files_are_read_or_refused_in_one_line(tmp_path: Path, cases: int) -> None:
    """In a process of its own, whose memory is bounded."""
    exif = Image.Exif()
    exif[0x0112] = 6
    for kind in FORMATS:
        noise(12, 9).save(tmp_path / f"a.{kind}", kind, **({"exif": exif} if kind != "BMP" else {}))
        noise(12, 9).convert("P").save(tmp_path / f"b.{kind}", "GIF" if kind == "GIF" else "PNG")
    noise(12, 9).save(tmp_path / "c.TIFF", "TIFF", compression="tiff_lzw")
    command = f"ulimit -v 4000000; exec {sys.executable} - {tmp_path} {cases}"
    done = subprocess.run(["sh", "-c", command], input=FUZZ, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr[-2000:]
    assert int(done.stdout) > cases
