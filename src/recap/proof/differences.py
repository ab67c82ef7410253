"""Describes the first difference of two outputs in terms of their format: array, key, line or pixel."""

import csv
import itertools
import json
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

from recap.core.hashes import folder_files
from recap.proof import array_differences

LONGEST_VALUE = 60
LONGEST_ANSWER = 300
CHUNK_BYTES = 2**20
NOTHING = object()
"""Stands for what one side does not have."""


def first_difference(expected: Path, received: Path) -> str:
    """Describe in one line where two files or folders differ first; empty when they hold the same bytes.

    Of folders, the first file by name that is missing, extra or different. The suffix of a file says how it
    is
    read: safetensors, HDF5, npz, JSON, CSV, text, PNG; others, and broken ones, are compared by bytes.
    """
    if expected.is_dir() != received.is_dir():
        kinds = ["a folder" if path.is_dir() else "a file" for path in (expected, received)]
        return f"expected {kinds[0]}, received {kinds[1]}"
    if not expected.is_dir():
        return file_difference(expected, received, received.name)
    ours, theirs = folder_files(expected), folder_files(received)
    for name in sorted(ours.keys() | theirs.keys()):
        if name not in theirs or name not in ours:
            return absent_file(name, missing=name in ours)
        if found := file_difference(ours[name], theirs[name], name):
            return one_line(f"{name}: {found}")
    return ""


def absent_file(name: str, *, missing: bool) -> str:
    """Describe a file that a folder lacks, or has in excess."""
    return one_line(f"{name}: {'missing' if missing else 'extra'}")


def file_difference(expected: Path, received: Path, name: str) -> str:
    """Describe in one line where two files differ first; empty when they hold the same bytes.

    The suffix of ``name`` says what they hold.
    """
    try:
        bytes_differ = _byte_difference(expected, received)
    except OSError:
        return "cannot be read"
    if not bytes_differ:
        return ""
    kind, contents, compare = FORMATS.get(Path(name).suffix.lower(), ("", "", None))
    if compare is None:
        return bytes_differ
    try:
        with warnings.catch_warnings(action="error"):
            found = compare(expected, received)
    except Exception:  # a broken file may raise anything
        return f"cannot be read as {kind}; {bytes_differ}"
    return one_line(found or f"same {contents}, other bytes; {bytes_differ}")


def one_line(text: str) -> str:
    """Escape everything in a text that does not print, and cut it when it is long."""
    line = "".join(
        char if char.isprintable() else char.encode("unicode_escape", "surrogatepass").decode()
        for char in text
    )
    return line if len(line) <= LONGEST_ANSWER else line[: LONGEST_ANSWER - 1] + "…"


def _byte_difference(expected: Path, received: Path) -> str:
    position = 0
    with open(expected, "rb") as ours, open(received, "rb") as theirs:
        while True:
            left, right = ours.read(CHUNK_BYTES), theirs.read(CHUNK_BYTES)
            if left != right:
                pairs = itertools.zip_longest(left, right)
                offset, values = next((at, pair) for at, pair in enumerate(pairs) if pair[0] != pair[1])
                shown = ("the end" if value is None else f"0x{value:02x}" for value in values)
                return "byte {}: expected {}, received {}".format(position + offset, *shown)
            if not left:
                return ""
            position += len(left)


def _text_difference(expected: Path, received: Path) -> str:
    ours, theirs = (path.read_text(encoding="utf-8").splitlines() for path in (expected, received))
    for number, (left, right) in enumerate(itertools.zip_longest(ours, theirs), 1):
        if left is None or right is None:
            shown = ("the end" if line is None else _excerpt(line, 0) for line in (left, right))
            return "line {}: expected {}, received {}".format(number, *shown)
        if left != right:
            pairs = itertools.zip_longest(left, right)
            column = next(at for at, pair in enumerate(pairs) if pair[0] != pair[1])
            return f"line {number}: expected {_excerpt(left, column)}, received {_excerpt(right, column)}"
    return ""


def _excerpt(line: str, column: int) -> str:
    """Return the part of a line around a column."""
    start = max(column - LONGEST_VALUE // 3, 0)
    stop = start + LONGEST_VALUE
    return f"{'…' if start else ''}{line[start:stop]!r}{'…' if stop < len(line) else ''}"


def _csv_difference(expected: Path, received: Path) -> str:
    tables = []
    for path in (expected, received):
        with open(path, encoding="utf-8", newline="") as file:
            tables.append(list(csv.reader(file, strict=True)))
    header = tables[0][0] if tables[0] else []
    for row, (left, right) in enumerate(itertools.zip_longest(*tables)):
        if left is None or right is None:
            return f"row {row}: {'extra' if left is None else 'missing'}"
        for column, (ours, theirs) in enumerate(itertools.zip_longest(left, right, fillvalue=NOTHING)):
            if ours != theirs:
                place = f"row {row}" if row else "header"
                name = header[column] if row and column < len(header) else column + 1
                return f"{place}, column {name}: expected {_value(ours)}, received {_value(theirs)}"
    return ""


def _json_difference(expected: Path, received: Path) -> str:
    ours, theirs = (json.loads(path.read_text(encoding="utf-8")) for path in (expected, received))
    return _values_difference(ours, theirs, "")


def _values_difference(ours: Any, theirs: Any, path: str) -> str:
    parts: list[tuple[Any, Any, str]]
    if isinstance(ours, dict) and isinstance(theirs, dict):
        parts = [
            (ours.get(key, NOTHING), theirs.get(key, NOTHING), f"{path}.{key}" if path else key)
            for key in sorted(ours.keys() | theirs.keys())
        ]
    elif isinstance(ours, list) and isinstance(theirs, list):
        rows = enumerate(itertools.zip_longest(ours, theirs, fillvalue=NOTHING))
        parts = [(left, right, f"{path}[{index}]") for index, (left, right) in rows]
    elif repr(ours) == repr(theirs):
        return ""
    else:
        return f"{path or 'the value'}: expected {_value(ours)}, received {_value(theirs)}"
    return next((found for part in parts if (found := _values_difference(*part))), "")


def _value(value: Any) -> str:
    if value is NOTHING:
        return "nothing"
    text = json.dumps(value, ensure_ascii=False)
    return text if len(text) <= LONGEST_VALUE else text[: LONGEST_VALUE - 1] + "…"


Compare = Callable[[Path, Path], str]
TEXT = ("text", "lines", _text_difference)
HDF5 = ("HDF5", "values", array_differences.hdf5_difference)
FORMATS: dict[str, tuple[str, str, Compare]] = {
    ".csv": ("CSV", "cells", _csv_difference),
    ".h5": HDF5,
    ".hdf5": HDF5,
    ".json": ("JSON", "values", _json_difference),
    ".npz": ("npz", "values", array_differences.npz_difference),
    ".png": ("PNG", "pixels", array_differences.png_difference),
    ".safetensors": ("safetensors", "values", array_differences.safetensors_difference),
    **dict.fromkeys((".txt", ".md", ".html", ".svg", ".yaml", ".js", ".css"), TEXT),
}
"""By a file's ending: the format's name, what it holds, and what finds the first difference of it."""
