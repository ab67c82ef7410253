"""MD5 of files and folders as DVC forms it, from their bytes."""

import hashlib
import json
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path


def hash_file(path: Path) -> str:
    """MD5 of a file's bytes, as DVC records it."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "md5").hexdigest()


def folder_files(path: Path) -> dict[str, Path]:
    """The files below a folder by their path in it, with "/" between its parts, sorted by it."""
    files = [file for file in path.rglob("*") if file.is_file()]
    return dict(sorted((file.relative_to(path).as_posix(), file) for file in files))


def hash_output(path: Path) -> str:
    """MD5 of a file, or of a folder as DVC forms it: of the sorted list of its files' hashes."""
    if path.is_file():
        return hash_file(path)
    files = folder_files(path)
    with ThreadPoolExecutor() as pool:
        hashes = pool.map(hash_file, files.values())
    entries = [{"md5": md5, "relpath": relative} for relative, md5 in zip(files, hashes, strict=True)]
    return hashlib.md5(json.dumps(entries, sort_keys=True).encode()).hexdigest() + ".dir"


def size_output(path: Path) -> int:
    """Bytes of a file, or of all files below a folder."""
    files = [path] if path.is_file() else folder_files(path).values()
    return sum(file.stat().st_size for file in files)
