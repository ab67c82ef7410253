"""MD5 of files and folders as DVC forms it, from their bytes."""

import hashlib
import json
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

COMPILED = "__pycache__"


def hash_file(path: Path) -> str:
    """Return the MD5 of a file's bytes, as DVC records it."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "md5").hexdigest()


def folder_files(path: Path) -> dict[str, Path]:
    """Return the files below a folder by their path in it, with "/" between its parts, sorted.

    Compiled modules are left out, as .dvcignore leaves them out for DVC.
    """
    files = [file for file in path.rglob("*") if file.parent.name != COMPILED and file.is_file()]
    return dict(sorted((file.relative_to(path).as_posix(), file) for file in files))


def output_files(path: Path) -> list[Path]:
    """Return the file itself, or the files below a folder; none where there is neither."""
    return [path] if path.is_file() else list(folder_files(path).values())


def hash_output(path: Path) -> str:
    """Return the MD5 of a file, or of a folder as DVC forms it: of the sorted list of its files' hashes."""
    if path.is_file():
        return hash_file(path)
    return hashlib.md5(list_folder(path)).hexdigest() + ".dir"


def list_folder(path: Path) -> bytes:
    """Return the sorted list of the files below a folder and their hashes, as DVC writes it."""
    files = folder_files(path)
    with ThreadPoolExecutor() as pool:
        return _list(dict(zip(files, pool.map(hash_file, files.values()), strict=True)))


def hash_list(hashes: Mapping[str, str]) -> str:
    """Return the MD5 of a folder as DVC forms it, from its files' paths in it and their hashes."""
    return hashlib.md5(_list(hashes)).hexdigest() + ".dir"


def _list(hashes: Mapping[str, str]) -> bytes:
    entries = [{"md5": md5, "relpath": relative} for relative, md5 in sorted(hashes.items())]
    return json.dumps(entries, sort_keys=True).encode()


def size_output(path: Path) -> int:
    """Return the bytes of a file, or of all files below a folder."""
    return sum(file.stat().st_size for file in output_files(path))
