"""What is known of files elsewhere: mirrors, size, SHA-256; kept in a JSON file that is committed.

A file that is not pinned is taken as it comes on first use and recorded beside the copy; `recap data pin`
writes what was found into the registry, and from then on nothing else is accepted.
"""

import hashlib
import re
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Annotated, Any
from urllib.parse import urlsplit

import pydantic
from annotated_types import Ge, Lt

from recap.core.artifacts import write_json
from recap.core.config import STRICT, parse
from recap.core.input_files import read_json
from recap.errors import InputError

SHORTEST_SHA256 = 8  # hex digits, as in the names of published weights
LONGEST_NAME = 100  # characters of a URL's last part in the name of the copy
LABEL = r"[A-Za-z0-9_]([A-Za-z0-9_-]{0,61}[A-Za-z0-9_])?"
HOST = re.compile(rf"(?=.{{1,253}}$){LABEL}(\.{LABEL})*\.?|[0-9a-fA-F.]*:[0-9a-fA-F:.]*")
SCHEME = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*://")


@pydantic.dataclasses.dataclass(config=STRICT, frozen=True)
class Known:
    """What the registry, or the record beside a copy, says of a file."""

    size: Annotated[int, Ge(0), Lt(1 << 63)] | None = None
    sha256: Annotated[str, pydantic.Field(pattern="^[0-9A-Fa-f]{8,64}$")] | None = None
    mirrors: tuple[str, ...] | None = None


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
        base = base[-LONGEST_NAME:]
        return f"{hashlib.sha256(self.url.encode()).hexdigest()[:8]}-{base}"


def is_url(text: str) -> bool:
    """Return whether text names something to download, not a path; ``check_url`` says whether it can be."""
    return SCHEME.match(text) is not None


def check_url(url: str, where: str) -> str:
    """Return a URL that can be asked for: http or https, with a host and a port that there are.

    Raises:
        InputError: it is no such URL; ``where`` it was found is named.
    """
    import httpx

    try:
        parsed = httpx.URL(url)
        port = urlsplit(url).port  # which also names the copy, and knows how far ports go
        host = parsed.raw_host.decode("ascii") if parsed.host else ""
        found = parsed.scheme in ("http", "https") and port != 0 and HOST.fullmatch(host) is not None
        reason = "another address"
    except (httpx.InvalidURL, ValueError) as error:  # the latter: names that IDNA does not know
        found, reason = False, " ".join(str(error).split())[:200]
    if not found or not url.isprintable():
        raise InputError(f"{where}: expected a URL (http or https), received {url[:200]!r}: {reason}")
    return url


def find_remote(url: str, registry: Path, sha256: str | None = None) -> RemoteFile:
    """Return what the registry knows of a URL; nothing but the URL when it is not listed.

    Args:
        url: http or https.
        registry: the JSON file, ``{url: {"mirrors": [...], "sha256": ..., "size": ...}}``.
        sha256: known from elsewhere, such as a setting; comes before the registry's.

    Raises:
        InputError: the URL cannot be one, or the registry cannot be read or has another form.
    """
    check_url(url, "download")
    known = parse(f"{registry}: {url}", _read(registry).get(url, {}), Known)
    mirrors = tuple(check_url(mirror, f"{registry}: {url}") for mirror in known.mirrors or ())
    return RemoteFile(url, mirrors, known.size, sha256 or known.sha256)


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
    """Return how a file differs from what is known of it ("expected ..., received ..."), or None."""
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
