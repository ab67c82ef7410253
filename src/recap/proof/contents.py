"""Finds the recorded content of an output, in a checkout or in DVC's cache, to compare it."""

import json
from pathlib import Path

from recap.core.hashes import folder_files, hash_file, hash_output
from recap.proof.differences import absent_file, file_difference, first_difference, one_line
from recap.proof.lock import LockedOutput
from recap.workspace.cache import Cache


def difference_from(root: Path, output: LockedOutput, received: Path) -> str:
    """Find where ``received``, a file or folder, differs first from what a checkout's dvc.lock records.

    Recorded content that does not hash to its MD5 is not used. Empty when it is nowhere, or nothing differs.
    """
    if not received.exists():
        return ""
    own = root / output.path
    try:
        if not (own.exists() and own.samefile(received)) and _holds(own, output.md5):
            return first_difference(own, received)
        return _difference_from_cache(Cache(root), output, received)
    except OSError:
        return "cannot be read"


def _holds(path: Path, md5: str) -> bool:
    return path.exists() and hash_output(path) == md5


def _cached(cache: Cache, md5: str) -> Path | None:
    """Return a file of the cache if its content fits its name."""
    path = cache.path(md5)
    return path if path.is_file() and hash_file(path) == md5.removesuffix(".dir") else None


def _difference_from_cache(cache: Cache, output: LockedOutput, received: Path) -> str:
    content = _cached(cache, output.md5)
    if content is None:
        return ""
    is_folder = output.md5.endswith(".dir")
    if is_folder != received.is_dir():
        return "expected a folder, received a file" if is_folder else "expected a file, received a folder"
    if not is_folder:
        return file_difference(content, received, output.path)
    try:
        ours = {str(entry["relpath"]): str(entry["md5"]) for entry in json.loads(content.read_bytes())}
    except (ValueError, TypeError, LookupError):  # a folder's list that its MD5 fits, and yet is none
        return ""
    theirs = folder_files(received)
    for name in sorted(ours.keys() | theirs.keys()):
        if name not in theirs or name not in ours:
            return absent_file(name, missing=name in ours)
        if hash_file(theirs[name]) != ours[name]:
            file = _cached(cache, ours[name])
            found = file_difference(file, theirs[name], name) if file else "differs"
            return one_line(f"{name}: {found}")
    return ""
