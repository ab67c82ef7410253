"""A stand-in for the official COCO files of CS231n: same members, shapes and sizes, invented content.

It exercises everything at full size without the network: features of low rank plus noise, captions with
COCO's distribution of lengths and Zipf's of words. Nothing can be learned from it.

Shapes: N images of a split, M captions, D feature width, V words.
"""

import io
import json
import tempfile
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

import h5py
import numpy as np
from numpy.typing import NDArray

from recap.core.artifacts import write_atomically
from recap.core.feature_files import declare_features
from recap.progress import track
from recap.sources.cs231n import CAPTION_ROWS, IMAGE_ROWS, MEMBER_BYTES, PCA_WIDTH, STEPS, VGG_WIDTH, WORDS
from recap.text.vocabulary import END, NULL, SPECIAL_WORDS, START, Vocabulary

PARTS = ("train", "val")
ORIGINAL_ROWS = {"train": 414_113, "val": 202_654}
LENGTHS = {
    **{7: 8, 8: 161, 9: 223, 10: 214, 11: 153, 12: 99, 13: 58, 14: 34, 15: 18},
    **{16: 11, 17: 7, 18: 4, 19: 3, 20: 2, 21: 1, 22: 1, 25: 1, 49: 1},
}
"""Captions in a thousand by number of words, as in the captions of COCO val2017."""

ORIGINAL_WORDS = 25_000
RANK = 96
NOISE = 0.3
BLOCK_ROWS = 4096
FIRST_ID = {"train": 9, "val": 600_009}


def write_synthetic_coco(directory: Path, scale: float, seed: int) -> list[Path]:
    """Write coco_captioning.zip and annotations_trainval2014.zip; the same bytes for the same arguments.

    Args:
        directory: receives the archives.
        scale: 1 gives the official shapes and sizes; less gives that share of images and captions.
        seed: of all content.

    Returns:
        The paths of the two archives.
    """
    images = {split: _scaled(rows, scale) for split, rows in IMAGE_ROWS.items()}
    paths = [directory / "coco_captioning.zip", directory / "annotations_trainval2014.zip"]

    def write_archive(file: BinaryIO) -> None:
        with zipfile.ZipFile(file, "w", zipfile.ZIP_STORED) as archive:
            _write_texts(archive, images, exact=scale == 1)
            _write_captions(archive, images, scale, np.random.default_rng((seed, 0)))
            for split in PARTS:
                for name, width in ((f"{split}2014_vgg16_fc7.h5", VGG_WIDTH), (_pca_name(split), PCA_WIDTH)):
                    generator = np.random.default_rng((seed, 1, width, PARTS.index(split)))
                    basis = _basis(width, np.random.default_rng((seed, 2, width)))
                    _write_features(archive, name, images[split], basis, generator, scale == 1)

    def write_annotations(file: BinaryIO) -> None:
        with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as archive:
            for split in PARTS:
                generator = np.random.default_rng((seed, 3, PARTS.index(split)))
                rows = max(_scaled(ORIGINAL_ROWS[split], scale), images[split])
                _write_originals(archive, split, images[split], rows, generator)

    write_atomically(paths[0], write_archive)
    write_atomically(paths[1], write_annotations)
    return paths


def _scaled(rows: int, scale: float) -> int:
    return max(round(rows * scale), 2)


def _pca_name(split: str) -> str:
    return f"{split}2014_vgg16_fc7_pca.h5"


def _member(name: str) -> zipfile.ZipInfo:
    """A member with a fixed date."""
    return zipfile.ZipInfo(f"coco_captioning/{name}", date_time=(2016, 1, 1, 0, 0, 0))


def _file_name(split: str, row: int) -> str:
    return f"COCO_{split}2014_{FIRST_ID[split] + row:012}.jpg"


def _write_texts(archive: zipfile.ZipFile, images: dict[str, int], exact: bool) -> None:
    """Names, URLs and vocabulary, of the official sizes where ``exact``."""
    for split in PARTS:
        rows = range(images[split])
        names = "".join(f"coco/images/{split}2014/{_file_name(split, row)}\n" for row in rows)
        archive.writestr(_member(f"{split}2014_images.txt"), names)
        size = MEMBER_BYTES[f"{split}2014_urls.txt"] if exact else 62 * images[split]
        longer = size - size // images[split] * images[split]  # lines that are one byte longer
        lines = []
        for row in rows:
            length = size // images[split] + (row < longer) - 1
            lines.append(f"http://farm{row % 9 + 1}.staticflickr.com/{row:0{length - 36}}_z.jpg\n")
        archive.writestr(_member(f"{split}2014_urls.txt"), "".join(lines))
    words = _words(WORDS - len(SPECIAL_WORDS))
    if exact:
        missing = MEMBER_BYTES["coco2014_vocab.json"] - len(_vocabulary_text(words))
        words[-1] += "a" * (missing // 2)  # a word stands in the file twice
    text = _vocabulary_text(words)
    if exact:
        text += " " * (MEMBER_BYTES["coco2014_vocab.json"] - len(text))
    archive.writestr(_member("coco2014_vocab.json"), text)


def _words(count: int) -> list[str]:
    """Different words of one to three syllables."""
    syllables = [consonant + vowel for consonant in "bdfgklmnprstvz" for vowel in "aeiou"]  # 70
    base = len(syllables)
    words = []
    for number in range(count):
        parts = [syllables[number % base]]
        while number := number // base:
            parts.append(syllables[number % base])
        words.append("".join(parts))
    # 0 in a higher place is a syllable as well, so spellings can repeat; a final n keeps them apart
    seen: set[str] = set()
    for place, word in enumerate(words):
        while word in seen:
            word += "n"
        seen.add(word)
        words[place] = word
    return words


def _vocabulary_text(words: list[str]) -> str:
    return json.dumps(Vocabulary((*SPECIAL_WORDS, *words)).to_json())


def _lengths(count: int, longest: int, generator: np.random.Generator) -> NDArray[np.int64]:
    """Words of each caption, at most ``longest``."""
    lengths = np.array([length for length in LENGTHS if length <= longest])
    weights = np.array([LENGTHS[length] for length in lengths], float)
    return generator.choice(lengths, size=count, p=weights / weights.sum())


def _frequencies(words: int) -> NDArray[np.float64]:
    """Zipf's law."""
    weights = 1 / np.arange(1, words + 1)
    return weights / weights.sum()


def _image_rows(captions: int, images: int) -> NDArray[np.int32]:
    """The image of each caption, in order, every image nearly as often."""
    return (np.arange(captions, dtype=np.int64) * images // captions).astype(np.int32)


def _write_captions(
    archive: zipfile.ZipFile, images: dict[str, int], scale: float, generator: np.random.Generator
) -> None:
    arrays = {}
    for split in PARTS:
        count = max(_scaled(CAPTION_ROWS[split], scale), images[split])
        lengths = _lengths(count, STEPS - 2, generator)[:, None]  # (M, 1)
        words = generator.choice(
            np.arange(END + 1, WORDS, dtype=np.int32),
            size=(count, STEPS),
            p=_frequencies(WORDS - END - 1),
        )
        step = np.arange(STEPS)  # (L,)
        captions = np.where(step <= lengths, words, np.where(step == lengths + 1, END, NULL))
        captions[:, 0] = START
        arrays[f"{split}_captions"] = captions.astype(np.int32)
        arrays[f"{split}_image_idxs"] = _image_rows(count, images[split])
    file = io.BytesIO()
    with h5py.File(file, "w") as hdf5:
        for name in sorted(arrays):
            hdf5.create_dataset(name, data=arrays[name], track_times=False)
    content = file.getvalue()
    if scale == 1:  # bytes behind the end of an HDF5 file mean nothing
        content = content.ljust(MEMBER_BYTES["coco2014_captions.h5"], b"\0")
    archive.writestr(_member("coco2014_captions.h5"), content)


def _basis(width: int, generator: np.random.Generator) -> NDArray[np.float32]:
    """(RANK, D) directions of falling weight."""
    rank = min(RANK, width)
    weights = 0.96 ** np.arange(rank, dtype=np.float32)[:, None]
    return weights * generator.standard_normal((rank, width), dtype=np.float32)


def _write_features(
    archive: zipfile.ZipFile,
    name: str,
    rows: int,
    basis: NDArray[np.float32],
    generator: np.random.Generator,
    exact: bool,
) -> None:
    width = basis.shape[1]
    with tempfile.TemporaryFile() as file:
        offset = declare_features(file, (rows, width))
        file.seek(0)
        head = file.read(offset)
        file.seek(offset + 4 * rows * width)
        tail = file.read()
    with archive.open(_member(name), "w", force_zip64=True) as member:
        member.write(head)
        for block in track(_feature_blocks(rows, basis, generator), name, -(-rows // BLOCK_ROWS)):
            member.write(block.data)
        member.write(tail)
        if exact and name in MEMBER_BYTES:
            member.write(bytes(MEMBER_BYTES[name] - len(head) - 4 * rows * width - len(tail)))


def _feature_blocks(
    rows: int, basis: NDArray[np.float32], generator: np.random.Generator
) -> Iterator[NDArray[np.float32]]:
    for start in range(0, rows, BLOCK_ROWS):
        count = min(BLOCK_ROWS, rows - start)
        scores = generator.standard_normal((count, len(basis)), dtype=np.float32)
        noise = generator.standard_normal((count, basis.shape[1]), dtype=np.float32)
        noise *= NOISE
        noise += scores @ basis
        noise += 0.5
        yield noise


def _write_originals(
    archive: zipfile.ZipFile, split: str, images: int, rows: int, generator: np.random.Generator
) -> None:
    """COCO's caption file of a split, caption by caption."""
    words = np.array(_words(ORIGINAL_WORDS))
    lengths = _lengths(rows, 49, generator)
    drawn = words[generator.choice(len(words), size=int(lengths.sum()), p=_frequencies(len(words)))].tolist()
    info = zipfile.ZipInfo(f"annotations/captions_{split}2014.json", date_time=(2016, 1, 1, 0, 0, 0))
    info.compress_type = zipfile.ZIP_DEFLATED
    with archive.open(info, "w", force_zip64=True) as member:
        listed = [{"id": FIRST_ID[split] + row, "file_name": _file_name(split, row)} for row in range(images)]
        member.write(b'{"images": ' + json.dumps(listed).encode() + b', "annotations": [')
        position = 0
        for number, (row, length) in enumerate(
            zip(_image_rows(rows, images).tolist(), lengths.tolist(), strict=True)
        ):
            caption = " ".join(drawn[position : position + length]).capitalize() + "."
            position += length
            annotation = {"image_id": FIRST_ID[split] + row, "id": number + 1, "caption": caption}
            member.write((", " if number else "").encode() + json.dumps(annotation).encode())
        member.write(b"]}")
