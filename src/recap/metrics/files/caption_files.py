"""Captions by image from the files that people keep them in, whose images may be named by numbers or text.

| file | what is in it |
|---|---|
| JSON | COCO's captions; COCO's results; or ``{"image": "caption"}`` and ``{"image": ["caption", ...]}`` |
| JSON lines | ``{"image_id": ..., "caption": ...}`` or ``{"image_id": ..., "captions": [...]}`` |
| CSV, TSV | a header that names image and caption; separated by commas, tabs, semicolons or bars |
| text | line i is the caption of image i; several files, joined by commas, give one caption an image each |
"""

import csv
import io
import json
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from recap.core.input_files import parse_json, read_file
from recap.errors import InputError

IMAGE_KEYS = ("image_id", "image", "image_name", "file_name", "id")
CAPTION_KEYS = ("caption", "captions", "comment", "text")
SEPARATORS = ("\t", "|", ";", ",")


def read_captions(name: str) -> dict[str, list[str]]:
    """Read a file, or text files joined by commas.

    Returns:
        The captions of each image, none for one that the file only names, in the order of the file.

    Raises:
        InputError: a file cannot be read or has none of the forms, or there is no caption.
    """
    paths = [Path(name)] if Path(name).exists() else [Path(part) for part in name.split(",")]
    if len(paths) > 1:
        captions = _parallel(paths)
    else:
        captions = {}
        for image, own in _read(paths[0]):
            captions.setdefault(image, []).extend(own)
    if not any(captions.values()):
        raise InputError(f"{name}: expected at least one caption, received none")
    return captions


def _parallel(paths: list[Path]) -> dict[str, list[str]]:
    columns = [_lines(path) for path in paths]
    for path, lines in zip(paths, columns, strict=True):
        if len(lines) != len(columns[0]):
            raise InputError(
                f"{path}: expected {len(columns[0])} lines as in {paths[0]}, received {len(lines)}"
            )
    return {str(place): list(own) for place, own in enumerate(zip(*columns, strict=True), start=1)}


def _read(path: Path) -> Iterator[tuple[str, list[str]]]:
    suffix = path.suffix.lower()
    if suffix == ".txt":
        yield from ((str(place), [line]) for place, line in enumerate(_lines(path), start=1))
    elif suffix in (".csv", ".tsv"):
        yield from _rows(_table(path))
    elif suffix in (".jsonl", ".ndjson"):
        yield from _rows(_json_lines(path))
    else:
        text = read_file(path)
        try:
            content = parse_json(text, str(path))
        except InputError:
            if suffix in ("", ".json"):
                raise
            raise InputError(
                f"{path}: expected captions in .json, .jsonl, .csv, .tsv or .txt, received another file"
            ) from None
        yield from _from_json(path, content)


def _from_json(path: Path, content: Any) -> Iterator[tuple[str, list[str]]]:
    if isinstance(content, list):
        yield from _rows((f"{path}: [{index}]", entry) for index, entry in enumerate(content))
    elif isinstance(content, dict) and {"images", "annotations"} <= content.keys():
        images = _objects(path, content, "images")
        known: set[str] = set()
        for where, image in images:
            name = _image(where, image, ("id",))
            if name in known:
                raise InputError(f"{where}: expected every image id once, received image id {name} again")
            known.add(name)
            yield name, []
        for where, annotation in _objects(path, content, "annotations"):
            name = _image(where, annotation, ("image_id",))
            if name not in known:
                raise InputError(f"{where}: expected the id of an image in images, received {name}")
            yield name, _captions(where, annotation)
    elif isinstance(content, dict) and "image_id" in content:
        raise InputError(f"{path}: expected a list of results, received a single one")
    elif isinstance(content, dict):
        for name, own in content.items():
            yield name, _texts(f"{path}: {name!r}", own)
    else:
        raise InputError(f"{path}: expected an object or a list, received {json.dumps(content)[:80]}")


def _objects(path: Path, content: dict[str, Any], key: str) -> list[tuple[str, Any]]:
    if not isinstance(content[key], list):
        raise InputError(f"{path}: expected a list of {key}, received {json.dumps(content[key])[:80]}")
    return [(f"{path}: {key}[{index}]", entry) for index, entry in enumerate(content[key])]


def _rows(rows: Iterable[tuple[str, Any]]) -> Iterator[tuple[str, list[str]]]:
    for where, row in rows:
        yield _image(where, row, IMAGE_KEYS), _captions(where, row)


def _image(where: str, row: Any, keys: tuple[str, ...]) -> str:
    if not isinstance(row, dict):
        raise InputError(f"{where}: expected an object, received {json.dumps(row)[:80]}")
    for key in keys:
        value = row.get(key)
        if isinstance(value, str | int) and not isinstance(value, bool):
            return str(value)
    raise InputError(f"{where}: expected {' or '.join(keys)}, text or a number, received {_keys(row)}")


def _captions(where: str, row: dict[str, Any]) -> list[str]:
    for key in CAPTION_KEYS:
        if row.get(key) is not None:
            return _texts(f"{where}.{key}", row[key])
    raise InputError(f"{where}: expected {' or '.join(CAPTION_KEYS)}, received {_keys(row)}")


def _texts(where: str, value: Any) -> list[str]:
    texts = value if isinstance(value, list) else [value]
    for text in texts:
        if not isinstance(text, str):
            raise InputError(f"{where}: expected text, received {json.dumps(text)[:80]}")
    return texts


def _keys(row: dict[str, Any]) -> str:
    return ", ".join(map(str, row)) or "nothing"


def _table(path: Path) -> Iterator[tuple[str, Any]]:
    text = _text(path)
    header = text.split("\n", 1)[0]
    separator = next((sign for sign in SEPARATORS if sign in header), ",")
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=separator, strict=True)
    try:
        names = [name.strip().lower() for name in next(reader, [])]
        check_columns(path, names)
        for keys in (IMAGE_KEYS, CAPTION_KEYS) if any(names) else ():
            if not set(keys) & set(names):
                raise InputError(
                    f"{path}: line 1: expected a column {' or '.join(keys)}, received {', '.join(names)}"
                )
        for row in reader:
            fields = [field.strip() for field in row]
            if not any(fields):
                continue
            where = f"{path}: line {reader.line_num}"
            if len(fields) != len(names):
                raise InputError(
                    f"{where}: expected {len(names)} cells as in the header, received "
                    f"{len(fields)}; a cell that holds {separator!r} is put in double quotes"
                )
            yield where, dict(zip(names, fields, strict=True))
    except csv.Error as error:
        raise InputError(f"{path}: line {reader.line_num}: expected a table, received: {error}") from None


def check_columns(path: Path, names: list[str]) -> None:
    """Raise InputError for a header that names two columns the same."""
    twice = next((name for name in names if name and names.count(name) > 1), None)
    if twice:
        raise InputError(f"{path}: line 1: expected every column once, received {twice!r} twice")


def _json_lines(path: Path) -> Iterator[tuple[str, Any]]:
    for number, line in enumerate(_lines(path), start=1):
        if line.strip():
            where = f"{path}: line {number}"
            yield where, parse_json(line, where)


def _lines(path: Path) -> list[str]:
    return _text(path).removesuffix("\n").split("\n")


def _text(path: Path) -> str:
    try:
        text = read_file(path).decode("utf-8-sig")
        return text.replace("\r\n", "\n").replace("\r", "\n")
    except UnicodeDecodeError as error:
        byte = error.object[error.start]
        raise InputError(
            f"{path}: expected text in UTF-8, received another encoding: byte 0x{byte:02x} at {error.start}"
        ) from None
