"""The way in for files that people give: regular ones that fit into memory, and JSON that says one thing."""

import json
import os
import re
import stat
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from recap.errors import InputError, expecting

LARGEST = 1 << 30
"""Bytes of a file that is read as a whole."""
_KINDS = {stat.S_IFDIR: "a folder", stat.S_IFIFO: "a pipe", stat.S_IFSOCK: "a socket"}
_SURROGATES = re.compile("[\ud800-\udfff]")
"""Halves of characters, which cut texts have; no file can hold them."""


def check_regular(path: Path) -> None:
    """Refuse a folder, a pipe, a device: what may have no end. What is not there is left to who opens it.

    Raises:
        InputError: the path is one.
    """
    try:
        _check_mode(path, path.stat().st_mode)
    except (OSError, ValueError):
        return


def read_file(path: Path) -> bytes:
    """Read a regular file of at most ``LARGEST`` bytes.

    Raises:
        InputError: it is none, or cannot be read.
    """
    with (
        expecting(f"{path}: expected a readable file", OSError, ValueError),  # the latter: no path at all
        open(path, "rb", opener=_open) as file,
    ):
        status = os.fstat(file.fileno())
        _check_mode(path, status.st_mode)
        if status.st_size > LARGEST:
            raise InputError(f"{path}: expected at most {LARGEST} bytes, received {status.st_size}")
        content = file.read(status.st_size + 1)
    if len(content) != status.st_size:  # the kernel's own files have no size
        raise InputError(f"{path}: expected a file of {status.st_size} bytes as it says, received another")
    return content


def read_json(path: Path) -> Any:
    """Read a JSON file, as ``parse_json`` does.

    Raises:
        InputError: it cannot be read, or is not JSON, or has a key twice in an object.
    """
    return parse_json(read_file(path), str(path))


def parse_json(content: bytes | str, where: str) -> Any:
    """Parse JSON; a lone surrogate, as cut texts have it, becomes U+FFFD.

    Raises:
        InputError: it is not JSON, or an object has a key twice; ``where`` is named.
    """
    with expecting(f"{where}: expected JSON", ValueError, RecursionError):
        value = json.loads(content, object_pairs_hook=_once)
    escape = b"\\u" if isinstance(content, bytes) else "\\u"
    return value if content.isascii() and escape not in content else _whole(value)  # type: ignore[operator]


def _open(name: str, flags: int) -> int:
    return os.open(name, flags | os.O_NONBLOCK)  # a pipe that nobody writes into would keep it waiting


def _check_mode(path: Path, mode: int) -> None:
    if not stat.S_ISREG(mode):
        kind = _KINDS.get(stat.S_IFMT(mode), "a device")
        raise InputError(f"{path}: expected a regular file, received {kind}")


def _once(pairs: Sequence[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        keys = [key for key, _ in pairs]
        key = next(key for key in found if keys.count(key) > 1)
        raise ValueError(f"the key {json.dumps(key)[:80]} twice in an object")
    return found


def _whole(value: Any) -> Any:
    if isinstance(value, str):
        return _SURROGATES.sub("\ufffd", value)
    if isinstance(value, list):
        return [_whole(item) for item in value]
    if isinstance(value, dict):
        return {_whole(key): _whole(item) for key, item in value.items()}
    return value
