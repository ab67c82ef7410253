"""What is known of files elsewhere: mirrors, size, SHA-256; kept in a JSON file that is committed.

A file that is not pinned is taken as it comes on first use and recorded beside the copy; `recap data pin`
writes what was found into the registry, and from then on nothing else is accepted.
"""

import hashlib
import re
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any
from urllib.parse import urlsplit

from recap.artifacts import write_json
from recap.data.raw import read_json
from recap.errors import InputError

SHORTEST_SHA256 = 8  # hex digits, as in the names of published weights


@dataclass(frozen=True)
class RemoteFile:
    """A file elsewhere; ``sha256`` in full or its first 8 or more hex digits, None where unknown."""

    url: str
    mirrors: tuple[str, ...]
    size: int | None
    sha256: str | None

    @property
    def name(self) -> str:
        """The name of the local copy: of its own for every URL, and recognisable."""
        base = re.sub(r"[^A-Za-z0-9._-]", "_", PurePosixPath(urlsplit(self.url).path).name) or "file"
        return f"{hashlib.sha256(self.url.encode()).hexdigest()[:8]}-{base}"


def is_url(text: str) -> bool:
    """Whether text names something to download rather than a path."""
    return text.startswith(("http://", "https://"))


def find_remote(url: str, registry: Path, sha256: str | None = None) -> RemoteFile:
    """What the registry knows of a URL; nothing but the URL when it is not listed.

    Args:
        url: http or https.
        registry: the JSON file, ``{url: {"mirrors": [...], "sha256": ..., "size": ...}}``.
        sha256: known from elsewhere, such as a setting; comes before the registry's.

    Raises:
        InputError: the registry cannot be read or has another form.
    """
    entry = _read(registry).get(url, {})
    try:
        return RemoteFile(
            url, tuple(entry.get("mirrors", ())), entry.get("size"), sha256 or entry.get("sha256")
        )
    except (AttributeError, TypeError):
        raise InputError(
            f"{registry}: {url}: expected mirrors, sha256 and size, received {entry!r}"
        ) from None


def pin(registry: Path, remote: RemoteFile, path: Path) -> None:
    """Record size and SHA-256 of a verified local copy."""
    entries = _read(registry)
    entry = entries.get(remote.url, {})
    entries[remote.url] = entry | {"sha256": hash_file(path), "size": path.stat().st_size}
    write_json(registry, entries)


def hash_file(path: Path) -> str:
    """SHA-256 of a file, 64 hex digits."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def mismatch(path: Path, remote: RemoteFile) -> str | None:
    """How a file differs from what is known of it ("expected ..., received ..."), None when it does not."""
    size = path.stat().st_size
    if remote.size is not None and size != remote.size:
        return f"expected {remote.size} bytes, received {size}"
    if remote.sha256 is not None:
        received = hash_file(path)
        if len(remote.sha256) < SHORTEST_SHA256 or not received.startswith(remote.sha256.lower()):
            return f"expected SHA-256 {remote.sha256}, received {received}"
    return None


def _read(registry: Path) -> dict[str, Any]:
    entries = read_json(registry) if registry.exists() else {}
    if not isinstance(entries, dict):
        raise InputError(f"{registry}: expected an object of URLs, received {type(entries).__name__}")
    return entries
