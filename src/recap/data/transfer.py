"""One attempt to bring the bytes of a URL into a part file, from where the last attempt ended.

Beside ``file.part`` lies ``file.part.json``: the URL it comes from, the server's validator (a strong ETag, or
the time of the last change) and the length. Bytes are only ever added to a part when the server confirms
that it still serves the same file (If-Range, RFC 9110 section 13.1.5), or when the whole is checked against a
known SHA-256; in every other case the part starts anew.
"""

import json
import re
import shutil
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from pathlib import Path
from typing import Any

import httpx

from recap.artifacts import write_json
from recap.data.registry import RemoteFile
from recap.progress import track_bytes

TRANSIENT = {408, 425, 429, 500, 502, 503, 504}


class TransientError(Exception):
    """The attempt broke off; another may do better, after ``wait`` seconds where the server says so."""

    def __init__(self, reason: str, wait: float | None = None) -> None:
        super().__init__(reason)
        self.wait = wait


class UnusableError(Exception):
    """This address does not have the file; another attempt would not change that."""


@dataclass(frozen=True)
class PartState:
    """What the bytes of a part file are the beginning of."""

    url: str
    validator: str | None
    total: int | None


def transfer(client: httpx.Client, url: str, part: Path, remote: RemoteFile) -> bool:
    """Bring the part file to its full length.

    Args:
        client: follows redirects, has timeouts.
        url: the remote file's URL or one of its mirrors.
        part: receives the bytes; may hold the first of them.
        remote: what is known of the file.

    Returns:
        Whether bytes of an earlier attempt were used.

    Raises:
        TransientError: the connection broke, or the server asks for patience.
        UnusableError: the server does not have the file, or another one.
    """
    state, have = _resumable(url, part, remote)
    headers = {"Accept-Encoding": "identity"}
    if have:
        headers["Range"] = f"bytes={have}-"
        if state and state.validator and state.url == url:
            headers["If-Range"] = state.validator
    try:
        with client.stream("GET", url, headers=headers) as response:
            have, total = _start(response, url, state, have, part)
            if have == total and have:
                return True
            _check_length(total, remote, part, have)
            if not have:
                discard(part)
                write_json(_state_path(part), vars(PartState(url, _validator(response), total)))
            with open(part, "ab", buffering=0) as file:
                for chunk in track_bytes(response.iter_raw(), f"downloading {part.stem}", have, total):
                    file.write(chunk)
    except httpx.TransportError as error:
        raise TransientError(f"{type(error).__name__}: {error}") from None
    except (httpx.InvalidURL, httpx.HTTPError) as error:
        raise UnusableError(f"{type(error).__name__}: {error}") from None
    received = part.stat().st_size
    expected = remote.size if total is None else total
    if expected is not None and received < expected:
        raise TransientError(f"the connection ended after {received} of {expected} bytes")
    return have > 0


def discard(part: Path) -> None:
    """Forget the bytes of a part file."""
    _state_path(part).unlink(missing_ok=True)
    part.unlink(missing_ok=True)


def _state_path(part: Path) -> Path:
    return part.with_name(part.name + ".json")


def _resumable(url: str, part: Path, remote: RemoteFile) -> tuple[PartState | None, int]:
    """What the part file holds, and how many of its bytes may be continued."""
    try:
        content: Any = json.loads(_state_path(part).read_bytes())
        state = PartState(content["url"], content["validator"], content["total"])
        have = part.stat().st_size
    except (OSError, ValueError, KeyError, TypeError):
        return None, 0
    is_whole_checked = remote.sha256 is not None and len(remote.sha256) == 64
    is_confirmed = state.url == url and state.validator is not None
    return state, have if is_whole_checked or is_confirmed else 0


def _start(
    response: httpx.Response, url: str, state: PartState | None, have: int, part: Path
) -> tuple[int, int | None]:
    """How many bytes of the part file the response continues, and the length of the whole."""
    status = response.status_code
    if status in TRANSIENT:
        raise TransientError(f"HTTP {status}", _retry_after(response.headers.get("Retry-After")))
    if response.headers.get("Content-Encoding", "identity") != "identity":
        raise UnusableError("the server packs the file, so its bytes cannot be checked")
    if status == 200:
        length = response.headers.get("Content-Length", "")
        return 0, int(length) if length.isdigit() else None
    if have and state and status in (206, 416):
        match = re.fullmatch(r"bytes (?:(\d+)-\d+|\*)/(\d+)", response.headers.get("Content-Range", ""))
        validator = _validator(response)
        # mirrors validate in their own ways; there the SHA-256 of the whole decides
        is_same = state.url != url or state.validator is None or validator in (None, state.validator)
        if match and is_same and state.total in (None, int(match[2])):
            begin, total = int(match[1] or -1), int(match[2])
            if (status == 206 and begin == have) or (status == 416 and total == have):
                return have, total
        discard(part)
        raise TransientError("the server has another file than the one that was begun")
    raise UnusableError(f"HTTP {status}")


def _check_length(total: int | None, remote: RemoteFile, part: Path, have: int) -> None:
    if total is None:
        if remote.size is None and remote.sha256 is None:
            raise UnusableError("the server does not tell the length and no size or SHA-256 is known")
        return
    if remote.size is not None and total != remote.size:
        raise UnusableError(f"expected {remote.size} bytes, the server has {total}")
    free = shutil.disk_usage(part.parent).free
    if total - have > free:
        raise UnusableError(f"expected {total - have} free bytes in {part.parent}, there are {free}")


def _validator(response: httpx.Response) -> str | None:
    """What tells whether the file changed; a weak ETag may not (RFC 9110 section 13.1.5)."""
    tag: str | None = response.headers.get("ETag")
    if tag and not tag.startswith("W/"):
        return tag
    changed: str | None = response.headers.get("Last-Modified")
    return changed


def _retry_after(value: str | None) -> float | None:
    """Seconds that a server asks for, given as a number or as a date."""
    if value is None:
        return None
    if value.strip().isdigit():
        return float(value)
    try:
        date = parsedate_to_datetime(value)
    except (TypeError, ValueError):
        return None
    if date.tzinfo is None:
        date = date.replace(tzinfo=UTC)
    return max((date - datetime.now(UTC)).total_seconds(), 0.0)
