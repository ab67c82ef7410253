"""Describes the first difference of two outputs in terms of their format: array, key, line or pixel."""

import itertools
import json
import warnings
from collections.abc import Callable, Collection
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from recap.core.hashes import folder_files, hash_file, hash_output
from recap.proof.lock import LockedOutput
from recap.workspace.cache import Cache

if TYPE_CHECKING:
    from numpy.typing import NDArray

LONGEST_VALUE = 60
LONGEST_ANSWER = 300
CHUNK_BYTES = 2**20
NOTHING = object()
"""Stands for what one side does not have."""


def difference_from(root: Path, output: LockedOutput, received: Path) -> str:
    """Find where ``received``, a file or folder, differs first from what a checkout's dvc.lock records.

    Recorded content, in the checkout or in DVC's cache, that does not hash to its MD5 is not used. Empty when
    it is nowhere, or nothing differs.
    """
    if not received.exists():
        return ""
    own, cache = root / output.path, Cache(root)
    try:
        if own.exists() and not own.samefile(received) and hash_output(own) == output.md5:
            return first_difference(own, received)
        recorded = cache.expand("", output.md5) or {}  # "/name" -> MD5, of a file "" -> MD5
    except OSError:
        return "cannot be read"
    except (ValueError, TypeError, LookupError):  # a folder's list that its MD5 fits, and yet is none
        return ""
    theirs = _files(received)

    def compare(name: str) -> str:
        md5 = recorded[name and f"/{name}"]
        if hash_file(theirs[name]) == md5:
            return ""
        cached = cache.path(md5)
        if cached.is_file() and hash_file(cached) == md5:
            return _file_difference(cached, theirs[name], name or output.path)
        return "differs" if name else ""

    return _first({name[1:] for name in recorded}, theirs, compare) if recorded else ""


def first_difference(expected: Path, received: Path) -> str:
    """Describe in one line where two files or folders differ first; empty when they hold the same bytes.

    Of folders, the first file by name that is missing, extra or different. The suffix of a file says how it
    is read: safetensors, HDF5, JSON, text, PNG; others, and broken ones, are compared by bytes.
    """
    ours, theirs = _files(expected), _files(received)
    return _first(
        ours, theirs, lambda name: _file_difference(ours[name], theirs[name], name or received.name)
    )


def _files(path: Path) -> dict[str, Path]:
    """Return the files below a folder by name, or the file itself under the empty name."""
    return folder_files(path) if path.is_dir() else {"": path}


def _first(ours: Collection[str], theirs: Collection[str], compare: Callable[[str], str]) -> str:
    """Find the first name that one side lacks, or of which ``compare`` says something."""
    if ("" in ours) != ("" in theirs):
        return f"expected a {_kind(ours)}, received a {_kind(theirs)}"
    for name in sorted({*ours, *theirs}):
        if name not in theirs or name not in ours:
            return _absent(name, missing=name in ours)
        if found := compare(name):
            return one_line(f"{name}: {found}" if name else found)
    return ""


def _kind(names: Collection[str]) -> str:
    return "file" if "" in names else "folder"


def _absent(name: str, *, missing: bool) -> str:
    return one_line(f"{name}: {'missing' if missing else 'extra'}")


def _file_difference(expected: Path, received: Path, name: str) -> str:
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


def _arrays_difference(
    read: Callable[[Path], "dict[str, NDArray[Any]]"], expected: Path, received: Path
) -> str:
    """Find the first array, by name, that one side lacks, or that differs in layout or bits."""
    import numpy as np

    ours, theirs = read(expected), read(received)
    for name in sorted(ours.keys() | theirs.keys()):
        if name not in ours or name not in theirs:
            return _absent(name, missing=name in ours)
        left, right = ours[name], theirs[name]
        layouts = [f"{side.dtype} {side.shape}" for side in (left, right)]
        if layouts[0] != layouts[1]:
            return f"{name}: expected {layouts[0]}, received {layouts[1]}"
        bits = [np.ascontiguousarray(side).reshape(-1).view(np.uint8) for side in (left, right)]
        differs = bits[0] != bits[1]
        if differs.any():
            place = np.unravel_index(int(differs.argmax()) // left.itemsize, left.shape)
            return f"{name}{[*map(int, place)]}: expected {left[place]!s}, received {right[place]!s}"
    return ""


def _read_safetensors(path: Path) -> "dict[str, NDArray[Any]]":
    from safetensors.numpy import load_file

    return load_file(path)


def _read_hdf5(path: Path) -> "dict[str, NDArray[Any]]":
    from recap.core.hdf5 import open_readers  # follows no link to elsewhere

    with open_readers(path, path.name) as readers:
        return {name: read() for name, read in readers.items()}


def _read_png(path: Path) -> "dict[str, NDArray[Any]]":
    import numpy as np
    from PIL import Image

    with Image.open(path, formats=["PNG"]) as image:
        return {"pixels": np.asarray(image)}


Compare = Callable[[Path, Path], str]
TEXT = ("text", "lines", _text_difference)
FORMATS: dict[str, tuple[str, str, Compare]] = {
    ".h5": ("HDF5", "values", partial(_arrays_difference, _read_hdf5)),
    ".json": ("JSON", "values", _json_difference),
    ".png": ("PNG", "pixels", partial(_arrays_difference, _read_png)),
    ".safetensors": ("safetensors", "values", partial(_arrays_difference, _read_safetensors)),
    **dict.fromkeys((".txt", ".csv", ".md", ".html", ".svg", ".yaml", ".js", ".css"), TEXT),
}
"""By a file's ending: the format's name, what it holds, and what finds the first difference of it."""
