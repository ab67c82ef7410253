"""What is in the data: sizes, lengths, words, duplicates and overlaps of the splits, samples, the spectrum.

Shapes: N images of a split, M captions, D feature width.
"""

import hashlib
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from recap.core.feature_files import open_features, read_blocks
from recap.core.raw_data import SPLITS, RawData, load_raw
from recap.report.readers import Split, load_split, read_table
from recap.text.captions import load_captions
from recap.text.vocabulary import END, NULL, START, UNK, split_words

CURVE = (1, 3, 10, 30, 100, 300, 1000, 3000, 10000, 30000)
SHARES = (0.5, 0.9, 0.95, 0.99)
BLOCK_ROWS = 2048


def describe(raw: Path, captions: Path, reduced: Path, samples: int, seed: int) -> dict[str, Any]:
    """Describe the data of a pipeline as far as its stages have run.

    Args:
        raw: data/raw.
        captions: data/captions, or a folder that is not there yet.
        reduced: data/reduced, or a folder that is not there yet.
        samples: images of each split to show.
        seed: draws them.

    Returns:
        ``source``; for each of ``splits`` counts, ``lengths`` (captions by number of words), ``samples`` and
        ``duplicates``; ``overlap``, what other splits have of training; ``vocabulary`` with its ``curve``,
        the share of training words that the most frequent k words cover; ``encoded`` and ``spectrum`` where
        there are any.

    Raises:
        InputError: data/raw is not there, or a file of the data is not readable.
    """
    data = load_raw(raw)
    content = {split: load_split(data, split) for split in SPLITS}
    words = {
        split: [split_words(text) for texts in content[split].references for text in texts]
        for split in SPLITS
    }
    digests = {split: list(_digests(data, split)) for split in SPLITS}
    generator = np.random.default_rng(seed)
    description: dict[str, Any] = {
        "source": vars(data.source),
        "splits": {
            split: {
                "images": len(content[split].images),
                "captions": len(words[split]),
                "lengths": dict(sorted(Counter(map(len, words[split])).items())),
                "duplicates": {
                    "captions": _repeated(" ".join(caption) for caption in words[split]),
                    "images": _repeated(digests[split]),
                },
                "samples": _samples(data, split, content[split], samples, generator),
            }
            for split in SPLITS
        },
        "overlap": {
            split: {
                "image ids": _shared(*([image["id"] for image in content[own].images] for own in pair)),
                "images": _shared(*(digests[own] for own in pair)),
                "captions": _shared(*([" ".join(caption) for caption in words[own]] for own in pair)),
            }
            for split in SPLITS[1:]
            for pair in [("train", split)]
        },
        "vocabulary": _vocabulary(words["train"]),
    }
    if data.source.features:
        for split in SPLITS:
            shape = open_features(data.features_path(split)).shape
            description["splits"][split]["features"] = list(shape)
    if (captions / "captions.h5").exists():
        description["encoded"] = _encoded(captions)
    spectrum = _spectrum(reduced / "spectrum.csv")
    return description | ({"spectrum": spectrum} if spectrum else {})


def _digests(data: RawData, split: str) -> Iterator[bytes]:
    """Yield a digest of the content of each image, or of its features; none for a source without either."""
    if data.source.images:
        for path in data.image_paths(split):
            yield hashlib.blake2b(path.read_bytes(), digest_size=16).digest()
    elif data.source.features:
        for block in read_blocks(data.features_path(split), BLOCK_ROWS):
            for row in block:
                yield hashlib.blake2b(row.data, digest_size=16).digest()


def _repeated(items: Any) -> int:
    """Return how many items equal an earlier one."""
    return sum(count - 1 for count in Counter(items).values())


def _shared(training: list[Any], others: list[Any]) -> int:
    """Return how many of the others are training items as well."""
    known = set(training)
    return sum(item in known for item in others)


def _samples(
    data: RawData, split: str, content: Split, count: int, generator: np.random.Generator
) -> list[dict[str, Any]]:
    images = content.images
    rows = np.sort(generator.permutation(len(images))[:count]).tolist()
    return [
        {
            "row": row,
            "image": str(data.directory / "images" / split / images[row]["file_name"])
            if data.source.images
            else images[row].get("url", images[row]["file_name"]),
            "captions": content.references[row],
        }
        for row in rows
    ]


def _vocabulary(captions: list[list[str]]) -> dict[str, Any]:
    counts = np.array(sorted(Counter(word for words in captions for word in words).values(), reverse=True))
    covered = np.cumsum(counts) / max(counts.sum(), 1)
    steps = [words for words in CURVE if words < len(counts)] + [len(counts)]
    return {
        "words": len(counts),
        "once": int((counts == 1).sum()),
        "curve": {words: float(covered[words - 1]) for words in steps if words},
    }


def _encoded(directory: Path) -> dict[str, Any]:
    captions = load_captions(directory)
    result: dict[str, Any] = {"words": len(captions.vocabulary)}
    for split in SPLITS:
        encoded = captions.of(split)[0]
        words = int((~np.isin(encoded, (NULL, START, END))).sum())
        full = encoded[:, -1] != NULL
        result[split] = {
            "captions": len(encoded),
            "unknown_share": float((encoded == UNK).sum() / max(words, 1)),
            "of_full_length": float(full.mean()) if len(full) else 0.0,
        }
    return result


def _spectrum(path: Path) -> dict[str, Any] | None:
    """Return what the components of a PCA keep; None before `reduce` ran or where features passed through."""
    if not path.exists():
        return None
    cumulative = read_table(path)["cumulative"]
    if not cumulative:
        return None
    reached = {
        share: int(np.searchsorted(cumulative, share)) + 1 for share in SHARES if cumulative[-1] >= share
    }
    return {"components": len(cumulative), "explained": cumulative[-1], "components_for": reached}
