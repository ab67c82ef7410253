"""Reads YAML 1.2 as DVC does, so that all readers of a file see the same values, and plain YAML only."""

import copy
import json
import unicodedata
from collections.abc import Iterator
from functools import lru_cache
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML
from ruamel.yaml.error import MarkedYAMLError, YAMLError
from ruamel.yaml.events import (
    AliasEvent,
    CollectionEndEvent,
    CollectionStartEvent,
    DocumentStartEvent,
    ScalarEvent,
)

from recap.core.input_files import check_regular
from recap.errors import InputError, expecting

LARGEST = 1 << 22  # bytes
DEEPEST = 16  # nested maps and lists; DVC's own files have 6
MOST_NODES = 200_000  # values, aliases written out


def read_yaml(path: Path, expected: str) -> Any:
    """Read a file of texts, numbers, true, false, null, lists, and maps with texts as keys.

    Raises:
        InputError: the file cannot be read, or is not what was ``expected``; the message is one line.
    """
    try:
        return parse_yaml(read_content(path, expected))
    except ValueError as error:
        raise InputError(f"{path}: expected {expected}, received {error}") from None


def read_content(path: Path, expected: str) -> bytes:
    """Read a file, up to one byte more than ``parse_yaml`` takes.

    Raises:
        InputError: the file cannot be read.
    """
    check_regular(path)
    with expecting(f"{path}: expected {expected}", OSError, ValueError), open(path, "rb") as file:
        return file.read(LARGEST + 1)


def parse_yaml(content: bytes) -> Any:
    """Parse what ``read_yaml`` reads; the same content again costs a copy.

    Raises:
        ValueError: it is no plain YAML; the message is one line and says what was received.
    """
    return copy.deepcopy(_parse(content))


@lru_cache(maxsize=32)
def _parse(content: bytes) -> Any:
    if len(content) > LARGEST:
        raise ValueError(f"more than {LARGEST} bytes")
    try:
        text = content.decode()
    except UnicodeDecodeError as error:
        raise ValueError(f"no UTF-8 from byte {error.start} on") from None
    try:
        _check_events(text)
        value = _build(text)
    except MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        place = f" in line {mark.line + 1}" if mark else ""
        raise ValueError(f"no YAML{place}: {shorten(str(error.problem or error.context))}") from None
    except YAMLError as error:
        raise ValueError(f"no YAML: {shorten(str(error))}") from None
    for where, reason in _mistakes(value, ""):
        raise ValueError(f"{reason}{f' at {where}' if where else ''}")
    return value


def _build(text: str) -> Any:
    try:
        return YAML(typ="safe").load(text)
    except ValueError as error:  # a number of thousands of digits, an impossible date
        raise ValueError(f"a value that is none: {shorten(str(error).partition(';')[0])}") from None


def shorten(text: str) -> str:
    """Return a text on one line, cut where it is long."""
    line = " ".join(text.split())
    return line if len(line) <= 100 else f"{line[:97]}..."


def _check_events(text: str) -> None:
    """Reject, before it is built, what is nested too deeply, repeats too much, or names a tag.

    Raises:
        ValueError: there is such a thing.
        YAMLError: the text is no YAML.
    """
    sizes: dict[str, int] = {}  # values in what each anchor names
    opened: list[tuple[str | None, int]] = []
    nodes = 0
    for event in YAML(typ="safe").parse(text):
        line = event.start_mark.line + 1
        if isinstance(event, DocumentStartEvent) and (event.version or event.tags):
            raise ValueError(f"a directive (%) in line {line}")
        if isinstance(event, CollectionEndEvent):
            anchor, before = opened.pop()
            if anchor:
                sizes[anchor] = nodes - before
        elif isinstance(event, AliasEvent):
            if event.anchor not in sizes:
                raise ValueError(f"an alias of no complete value in line {line}: {shorten(event.anchor)}")
            nodes += sizes[event.anchor]
        elif isinstance(event, ScalarEvent | CollectionStartEvent):
            if event.tag is not None:
                raise ValueError(f"a tag (!) in line {line}: {shorten(str(event.tag))}")
            nodes += 1
            if isinstance(event, CollectionStartEvent):
                opened.append((event.anchor, nodes - 1))
            elif event.anchor:
                sizes[event.anchor] = 1
        if len(opened) > DEEPEST:
            raise ValueError(f"more than {DEEPEST} lists and maps in one another in line {line}")
        if nodes > MOST_NODES:
            raise ValueError(f"more than {MOST_NODES} values up to line {line}")


def _mistakes(value: Any, where: str) -> Iterator[tuple[str, str]]:
    """Yield the parts of a value that are not plain: path and description."""
    if isinstance(value, dict):
        for key, entry in value.items():
            if isinstance(key, str):
                yield from _mistakes(key, where)
                yield from _mistakes(entry, f"{where}.{shorten(key)}" if where else shorten(key))
            else:
                yield where, f"a key that is no text, {shorten(repr(key))},"
    elif isinstance(value, list):
        for index, entry in enumerate(value):
            yield from _mistakes(entry, f"{where}.{index}")
    elif isinstance(value, str):
        if any(unicodedata.category(letter) in ("Cc", "Cs") and letter not in "\t\n" for letter in value):
            yield where, f"a text with control characters or half letters, {shorten(json.dumps(value))},"
    elif not isinstance(value, bool | int | float | None):
        yield where, f"a {type(value).__name__}, {shorten(str(value))},"
