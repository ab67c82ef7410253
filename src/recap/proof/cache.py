"""Trusts nothing in DVC's cache: objects are named for their content, and that is checked."""

import hashlib
import json
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from recap.core.artifacts import write_bytes
from recap.core.hashes import hash_file, list_folder
from recap.tracking.trees import Cache

HEX_DIGITS = 32


def remove_bad_objects(root: Path) -> Iterator[Path]:
    """Hash every object of a checkout's cache and remove those whose content is not what the name says.

    Yields:
        The objects removed.
    """
    objects = [path for path in sorted(Cache(root).folder.glob("??/*")) if len(_md5(path)) == HEX_DIGITS]
    with ThreadPoolExecutor() as pool:
        for path, md5 in zip(objects, pool.map(hash_file, objects), strict=True):
            if md5 != _md5(path):
                path.unlink()
                yield path


def is_cached(cache: Cache, path: str, md5: str) -> bool:
    """Return whether the cache holds an output as dvc.lock records it, a folder with all of its files."""
    files = cache.expand(path, md5)
    return files is not None and all(cache.path(own).is_file() for own in [md5, *files.values()])


def add(cache: Cache, path: Path) -> None:
    """Copy an output into the cache, as DVC does after a stage."""
    if path.is_dir():
        content = list_folder(path)
        for entry in json.loads(content):
            _add_file(cache, entry["md5"], path / entry["relpath"])
        _publish(cache.path(hashlib.md5(content).hexdigest() + ".dir"), content)
    else:
        _add_file(cache, hash_file(path), path)


def _add_file(cache: Cache, md5: str, path: Path) -> None:
    if not cache.path(md5).is_file():
        _publish(cache.path(md5), path.read_bytes())


def _publish(target: Path, content: bytes) -> None:
    write_bytes(target, content)
    target.chmod(0o444)


def _md5(path: Path) -> str:
    return f"{path.parent.name}{path.name}".removesuffix(".dir")
