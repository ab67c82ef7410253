"""What every form of captions is read into, and the words by which the forms tell the same things."""

import dataclasses
import json
import re
import unicodedata
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from recap.errors import InputError

IMAGE = {
    *("image", "images", "img", "image_name", "image_path", "image_file", "file", "file_name", "filename"),
    *("path", "filepath", "file_path", "photo", "picture"),
}
CAPTION = {"caption", "captions", "text", "texts", "comment", "sentence", "sentences", "description", "raw"}
SPLIT = {"split", "set", "partition"}
"""The names of columns and keys, in lower case and without a number at their end."""
SPLITS = {
    **dict.fromkeys(("train", "training", "restval"), "train"),
    **dict.fromkeys(("validation", "valid", "val", "dev"), "validation"),
    **dict.fromkeys(("test", "testing"), "test"),
}
"""What people call the splits; Karpathy's ``restval`` is for training, as everybody uses it."""


@dataclass(frozen=True)
class Picture:
    """An image file and what people say of it."""

    name: str  # of the file, below the folder of images
    captions: tuple[str, ...]  # in the order of the source
    split: str | None = None  # "train", "validation" or "test"; None where the source does not say
    number: int | None = None  # its id, if that is a whole number
    # where it can be seen and under which licence, by the names of ``recap.sources.folder.CREDIT``
    credit: Mapping[str, str | None] = dataclasses.field(default_factory=dict)


@dataclass(frozen=True)
class Found:
    """What a file or folder holds."""

    form: str  # what it is, for people
    pictures: list[Picture]  # all of them
    folder: Path  # where the search for image files begins


def field(name: object) -> str | None:
    """Return which of "image", "caption" and "split" a column or key tells; None for others."""
    text = re.sub(r"[\s_]*\d*$", "", str(name).strip().lstrip("\ufeff").lower()).replace(" ", "_")
    for kind, names in (("image", IMAGE), ("caption", CAPTION), ("split", SPLIT)):
        if text in names:
            return kind
    return None


def read_split(value: object, where: str) -> str | None:
    """Return the split that a word names; None for nothing.

    Raises:
        InputError: it is another word.
    """
    text = str(value or "").strip().lower()
    if text and text not in SPLITS:
        raise InputError(f"{where}: expected a split ({', '.join(SPLITS)}), received {text[:80]!r}")
    return SPLITS.get(text)


def pictures_of(rows: Iterable[Mapping[Any, Any]], where: str) -> list[Picture]:
    """Put rows of an image and one or several captions together, images in the order of their first row.

    Raises:
        InputError: a row has no image or no caption, or an image is in two splits.
    """
    captions: dict[str, list[str]] = {}
    splits: dict[str, str | None] = {}
    for number, row in enumerate(rows, start=1):
        by_field: dict[str, list[Any]] = {"image": [], "caption": [], "split": []}
        for key, value in row.items():
            if (kind := field(key)) and value is not None:
                by_field[kind].append(value)
        place = f"{where}: row {number}"
        if not by_field["image"] or not isinstance(by_field["image"][0], str):
            raise InputError(f"{place}: expected the name of an image, received {_names(row)}")
        if not by_field["caption"]:
            raise InputError(f"{place}: expected a caption, received {_names(row)}")
        name = by_field["image"][0].strip().replace("\\", "/")
        split = read_split((by_field["split"] or [None])[0], place)
        if splits.setdefault(name, split) != split:
            raise InputError(f"{place}: expected {name} in one split, received {splits[name]} and {split}")
        captions.setdefault(name, []).extend(
            text for value in by_field["caption"] for text in texts(value, place)
        )
    return [Picture(name, tuple(own), splits[name]) for name, own in captions.items()]


def texts(value: Any, where: str) -> Iterator[str]:
    """Yield the captions of a value: a text, or a list of texts or of objects with a text ("raw").

    Raises:
        InputError: it is something else.
    """
    if isinstance(value, str):
        try:  # a list in a cell of a table
            cell = json.loads(value) if re.match(r'\["', value) else [value]
        except (ValueError, RecursionError):
            cell = [value]
        yield from cell if all(isinstance(item, str) for item in cell) else [value]
    elif isinstance(value, Mapping):
        text = value.get("raw") or next((value[key] for key in value if field(key) == "caption"), None)
        if text is None:
            tokens = value.get("tokens", [])
            if not isinstance(tokens, list) or not all(isinstance(token, str) for token in tokens):
                raise InputError(f"{where}: expected tokens as a list of text, received {str(tokens)[:80]!r}")
            text = " ".join(tokens)
        yield from texts(text, where)
    elif isinstance(value, list | tuple):
        for item in value:
            yield from texts(item, where)
    else:
        raise InputError(f"{where}: expected captions as text, received {str(value)[:80]!r}")


def decode(content: bytes) -> tuple[str, str]:
    """Return the text of a file, and its encoding: UTF-8, UTF-16 with its mark, else Windows-1252."""
    encoding = "utf-16" if content.startswith((b"\xff\xfe", b"\xfe\xff")) else "utf-8-sig"
    try:
        return content.decode(encoding), "UTF-16" if encoding == "utf-16" else "UTF-8"
    except UnicodeDecodeError:
        return content.decode("cp1252", errors="replace"), "Windows-1252"


_UNSPACED = re.compile(
    "[\u0e00-\u0eff\u0f00-\u0fff\u1000-\u109f\u1780-\u17ff\u3040-\u30ff\u3400-\u9fff\uf900-\ufaff]"
)
"""Letters of Thai, Lao, Tibetan, Burmese, Khmer, Japanese and Chinese."""
_LONGEST_WORD = 4.0  # characters, in the mean; where spaces divide such a script into words, they are shorter


def lacks_spaces(captions: Iterable[str]) -> bool:
    """Return whether captions are in a script without spaces between words, and nobody has put them there."""
    letters = unspaced = words = 0
    for caption in captions:
        own = sum(unicodedata.category(character)[0] == "L" for character in caption)
        letters += own
        unspaced += len(_UNSPACED.findall(caption))
        words += len(caption.split())
    return 2 * unspaced > letters and letters > _LONGEST_WORD * words


def _names(row: Mapping[Any, Any]) -> str:
    return ", ".join(str(key)[:40] for key in row) or "nothing"
