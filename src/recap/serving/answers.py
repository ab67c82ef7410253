"""Rows of features or images in, captions out: what a model of MLflow and `recap serve` have in common.

Shapes: N rows, D feature, K reduced feature.
"""

import base64
import binascii
import contextlib
import io
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from recap.captioner import Captioner
from recap.core.config import parse
from recap.decoding.config import DecodingConfig
from recap.errors import InputError
from recap.text.vocabulary import Vocabulary

COLUMNS = ("features", "image")
MOST_WORDS = 400_000
"""The words that a request may ask to be looked at; it is some ten seconds of a processor."""


class Upload(io.BytesIO):
    """An image that came with a request; ``name`` is what messages call it."""

    def __init__(self, content: bytes, name: str) -> None:
        super().__init__(content)
        self.name = name


def answer(
    captioner: Captioner, rows: Sequence[Mapping[str, Any]], params: Mapping[str, Any], folder: Path | None
) -> list[dict[str, Any]]:
    """Caption rows.

    Args:
        captioner: with the options of decoding of a request that names none.
        rows: N, each with ``features``, D numbers before PCA, or ``image``: base64, an ``Upload``, or a path
            below the folder and relative to it.
        params: fields of ``recap.decoding.config.DecodingConfig``; sampling draws by the row's number.
        folder: below which images may be named by a path; None for nowhere.

    Returns:
        For each ``caption``, ``log_probability`` (nats, of the whole caption), and ``familiar``, False for
        what is unlike the images that the model was trained on; None in models that cannot tell.

    Raises:
        InputError: a row has neither or cannot be used, or an option is none.
    """
    if not rows:
        raise InputError("expected rows with features or an image, received none")
    options = parse("params", vars(captioner.decoding) | dict(params), DecodingConfig)
    _check_effort(options, len(rows))
    for name in ("banned_words", "banned_last_words"):
        asked = set(getattr(options, name)) - set(getattr(captioner.decoding, name))
        check_words(f"params.{name}", sorted(asked), captioner.vocabulary)
    reduced = _reduce(captioner, rows, folder)
    captions = replace(captioner, decoding=options).caption_reduced(reduced)
    return [
        {"caption": caption.text, "log_probability": caption.log_probability, "familiar": is_familiar}
        for caption, is_familiar in zip(captions, captioner.is_familiar(reduced), strict=True)
    ]


def check_words(where: str, words: Iterable[str], vocabulary: Vocabulary) -> None:
    """Raise InputError for a word that the vocabulary lacks: to ban it would change nothing."""
    for word in words:
        if word not in vocabulary.word_to_idx:
            kind = "words" if vocabulary.tokens == "word" else "characters"
            raise InputError(
                f"{where}: expected {kind} of the vocabulary, which is in lowercase, received {word!r}"
            )


def _check_effort(options: DecodingConfig, rows: int) -> None:
    """Raise InputError for a search that would keep other requests waiting."""
    widths = {
        "beam": options.beam_width,
        "diverse_beam": options.beam_width,
        "consensus": options.candidates + options.pseudo_references,
    }
    width = widths.get(options.search, 1)
    if rows * width * options.max_length > MOST_WORDS:
        raise InputError(
            f"expected at most {MOST_WORDS} words to look at, received {rows} rows x {width} hypotheses x "
            f"max_length {options.max_length}"
        )


def _reduce(
    captioner: Captioner, rows: Sequence[Mapping[str, Any]], folder: Path | None
) -> NDArray[np.float32]:
    """Reduce rows with either column to what the decoder reads (N, K); mistakes name the row, not a file."""
    found: list[Path | Upload | ArrayLike] = []
    for number, row in enumerate(rows):
        # the row of a table has NaN where another has a value
        values, image = (None if _is_missing(row.get(name)) else row.get(name) for name in COLUMNS)
        if values is not None and image is not None:
            raise InputError(f"row {number}: expected features or an image, received both")
        if isinstance(values, str):  # must not be taken for a path
            raise InputError(f"row {number}: expected features as numbers, received text")
        if values is not None:
            found.append(values)
        elif isinstance(image, Upload):
            found.append(image)
        elif isinstance(image, str):
            found.append(_image(image, folder, f"row {number}"))
        else:
            raise InputError(f"row {number}: expected features or an image, received neither")
    try:
        return captioner.reduce(found)
    except InputError as error:
        text = str(error)
        for number, source in enumerate(found):
            if isinstance(source, Path):
                text = text.replace(str(source), f"row {number}")
        raise InputError(text) from None


def _is_missing(value: Any) -> bool:
    return isinstance(value, float) and math.isnan(value)


def _image(text: str, folder: Path | None, where: str) -> Path | Upload:
    """Return the file of an image below a folder, or what is written in base64, line breaks and all.

    A text that is neither gets one answer, whether there is such a file or not.
    """
    if folder is not None and len(text) < 4096:
        with contextlib.suppress(OSError, ValueError):  # what can be no path at all
            path = (folder / text).resolve()
            if path.is_relative_to(folder) and path.is_file():
                return path
    try:
        content = base64.b64decode("".join(text.rpartition(",")[2].split()), validate=True)
    except (binascii.Error, ValueError):
        raise InputError(
            f"{where}: expected an image as base64, or the path of an image in the folder of --images, "
            "received neither"
        ) from None
    return Upload(content, where)
