"""Captions as text to captions as numbers, and the vocabulary between them.

Shapes: M captions of a split, L steps of a caption.
"""

import sys
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from recap.core.artifacts import write_json
from recap.core.directories import make_empty
from recap.core.raw_data import LANGUAGE, SPLITS, RawData, load_raw
from recap.errors import InputError
from recap.text.captions import (
    Captions,
    Encoded,
    check_captions,
    load_captions,
    save_captions,
    save_language,
)
from recap.text.config import TokenizeConfig
from recap.text.vocabulary import (
    END,
    NULL,
    SPECIAL_WORDS,
    START,
    UNK,
    Tokens,
    Vocabulary,
    build_vocabulary,
    split_tokens,
)


def tokenize(raw_directory: Path, directory: Path, config: TokenizeConfig) -> dict[str, Any]:
    """Write data/captions: captions.h5, vocabulary.json, references_{train,validation,test}.json.

    Captions of images that are not there become language.h5.

    The vocabulary is that of the training captions. A caption without any word is left out of captions.h5
    and stays in the references. A source that comes encoded keeps its vocabulary and encoding, checked.

    Args:
        raw_directory: data/raw, as `fetch` wrote it.
        directory: data/captions.
        config: group `tokenize`.

    Returns:
        ``vocabulary`` (tokens, special ones included) and for each split ``captions``, ``mean_length``
        (tokens), ``unknown_share`` (of the tokens), ``cut_share`` (of the captions: those that fill all steps
        and so may have lost their end) and ``empty_captions`` (left out).

    Raises:
        InputError: the captions or the vocabulary are not usable, no token is frequent enough, or a
            validation or test image has no caption.
    """
    raw = load_raw(raw_directory)
    original = {split: raw.captions(split) for split in SPLITS}
    for split in ("validation", "test"):
        _refuse_uncaptioned(original[split], split, str(raw_directory))
    if raw.source.encoded:
        captions = load_captions(raw.encoded_directory)
        images = {split: len(original[split]["images"]) for split in SPLITS}
        check_captions(captions, images, str(raw.encoded_directory))
        empty = dict.fromkeys(SPLITS, 0)
    else:
        captions, empty = _encode(raw, original, config)
    make_empty(directory)
    save_captions(directory, captions)
    summary: dict[str, Any] = {"vocabulary": len(captions.vocabulary)}
    if raw.has_language():
        language = _encode_language(raw, captions)
        save_language(directory, language)
        summary[LANGUAGE] = _describe(language[0])
    for split in SPLITS:
        write_json(directory / f"references_{split}.json", original[split], compact=True)
        summary[split] = {**_describe(captions.of(split)[0]), "empty_captions": empty[split]}
    return summary


def _refuse_uncaptioned(captions: dict[str, Any], split: str, where: str) -> None:
    """Raise InputError for an image without any caption: nothing could be scored against it."""
    captioned = {item["image_id"] for item in captions["annotations"]}
    missing = [image for image in captions["images"] if image["id"] not in captioned]
    if missing:
        raise InputError(
            f"{where}: expected a caption for every {split} image, received none for "
            f"{missing[0]['file_name']} (id {missing[0]['id']}) and {len(missing) - 1} more"
        )


def _encode(
    raw: RawData, original: dict[str, dict[str, Any]], config: TokenizeConfig
) -> tuple[Captions, dict[str, int]]:
    encoded: dict[str, Encoded] = {}
    empty: dict[str, int] = {}
    # one at a time, for the memory; training captions come first and give the vocabulary
    for split in SPLITS:
        words, rows, empty[split] = _split(raw, split, original[split], config.tokens)
        if split == "train":
            vocabulary = build_vocabulary(words, config.min_count, config.max_words, config.tokens)
            _refuse_wordless(vocabulary, words, config)
        encoded[split] = (vocabulary.encode(words, config.max_length), rows)
    return Captions(vocabulary, encoded), empty


def _encode_language(raw: RawData, captions: Captions) -> Encoded:
    """Encode the captions of images that are not there, as long as the training captions, in their words."""
    words, rows, _ = _split(raw, LANGUAGE, raw.captions(LANGUAGE), captions.vocabulary.tokens)
    return captions.vocabulary.encode(words, captions.of("train")[0].shape[1]), rows


def _split(
    raw: RawData, split: str, original: dict[str, Any], tokens: Tokens
) -> tuple[list[list[str]], NDArray[np.int32], int]:
    """Split captions into tokens, image by image, as the course's archive has them.

    Returns:
        The tokens of each caption that has any, the rows of their images (M,), and how many have none.
    """
    row_of = {image["id"]: row for row, image in enumerate(original["images"])}
    # each word is kept once, however often it is said
    pairs = [
        (row_of[item["image_id"]], [sys.intern(token) for token in split_tokens(item["caption"], tokens)])
        for item in original["annotations"]
    ]
    pairs.sort(key=lambda pair: pair[0])  # the order within an image stays
    kept = [(row, caption) for row, caption in pairs if caption]
    if not kept:
        raise InputError(f"{raw.directory}: expected {split} captions with words, received none")
    rows = np.array([row for row, _ in kept], dtype=np.int32)
    return [caption for _, caption in kept], rows, len(pairs) - len(kept)


def _refuse_wordless(vocabulary: Vocabulary, captions: list[list[str]], config: TokenizeConfig) -> None:
    """Raise InputError for a vocabulary with which nothing could be said."""
    if set(vocabulary.idx_to_word) - {*SPECIAL_WORDS, " "}:
        return
    counts = Counter(token for caption in captions for token in caption if token != " ")
    raise InputError(
        f"tokenize.min_count: expected at most {max(counts.values())}, as often as training captions show "
        f"the most frequent of {len(counts)} tokens, received {config.min_count}: no word would be left; "
        "for a script without spaces between words set tokenize.tokens: char"
    )


def _describe(encoded: NDArray[np.int32]) -> dict[str, Any]:
    """Count the words and lengths of encoded captions (M, L)."""
    words = ~np.isin(encoded, (NULL, START, END))
    return {
        "captions": len(encoded),
        "mean_length": float(words.sum() / max(len(encoded), 1)),
        "unknown_share": float((encoded == UNK).sum() / max(int(words.sum()), 1)),
        "cut_share": float((encoded[:, -1] == END).mean()),
    }
