"""One attempt to bring the bytes of a URL into a part file, from where the last attempt ended.

Beside ``file.part`` lies ``file.part.json``: the URL it comes from, the server's validator (a strong ETag, or
the time of the last change) and the length. Bytes are only ever added to a part when the server confirms
that it still serves the same file (If-Range, RFC 9110 section 13.1.5), or when the whole is checked against a
known SHA-256; in every other case the part starts anew.
"""

import asyncio
import re
import shutil
import socket
import ssl
import time
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from pathlib import Path
from typing import Any

import httpx
from pydantic.dataclasses import dataclass

from recap.core.artifacts import write_json
from recap.core.config import STRICT, parse
from recap.core.input_files import read_json
from recap.errors import InputError
from recap.progress import track_bytes
from recap.sources.registry import RemoteFile, check_url

TRANSIENT = {408, 425, 429, 500, 502, 503, 504}
TIMEOUT = httpx.Timeout(60.0, connect=20.0)
SECONDS_TO_ANSWER = 120.0  # until the head of the answer is there, over all redirects
SLOWEST = 1024  # bytes a second, on the average of SECONDS_OF_PATIENCE
SECONDS_OF_PATIENCE = 60.0
REDIRECTS = 10
LONGEST_VALIDATOR = 1000
LONGEST_NUMBER = 18  # digits
NUMBER = f"[0-9]{{1,{LONGEST_NUMBER}}}"


class TransientError(Exception):
    """The attempt broke off; another may do better, after ``wait`` seconds where the server says so.

    ``is_slow``: bytes came, but so few that it is no success.
    """

    def __init__(self, reason: str, wait: float | None = None, *, is_slow: bool = False) -> None:
        super().__init__(reason)
        self.wait = wait
        self.is_slow = is_slow


class UnusableError(Exception):
    """This address does not have the file; another attempt would not change that."""


@dataclass(config=STRICT, frozen=True)
class PartState:
    """What the bytes of a part file are the beginning of."""

    url: str
    validator: str | None
    total: int | None


def transfer(url: str, part: Path, remote: RemoteFile) -> bool:
    """Bring the part file to its full length; return whether bytes of an earlier attempt were used.

    Whatever the server does, the attempt ends: it has a time to begin its answer, a least speed, a number of
    redirects and a number of bytes.

    Raises:
        TransientError: the connection broke, or the server asks for patience.
        UnusableError: the server does not have the file, or another one, or it cannot be kept here.
    """
    try:
        return asyncio.run(_transfer(url, part, remote))
    except TimeoutError:
        raise TransientError(f"no answer within {SECONDS_TO_ANSWER:.0f} s") from None
    except (httpx.UnsupportedProtocol, httpx.LocalProtocolError) as error:
        raise UnusableError(_line(error)) from None
    except httpx.TransportError as error:
        raise (UnusableError if _is_lasting(error) else TransientError)(_line(error)) from None
    # ImportError: a proxy of the environment that needs another package; ValueError: names that are none
    except (httpx.InvalidURL, httpx.HTTPError, ImportError, ValueError) as error:
        raise UnusableError(_line(error)) from None
    except OSError as error:
        raise UnusableError(f"{part}: cannot be written: {error.strerror}") from None


async def _transfer(url: str, part: Path, remote: RemoteFile) -> bool:
    state, have = _resumable(url, part, remote)
    headers = {"Accept-Encoding": "identity"}
    if have:
        headers["Range"] = f"bytes={have}-"
        if state and state.validator and state.url == url:
            headers["If-Range"] = state.validator
    async with httpx.AsyncClient(
        follow_redirects=True,
        timeout=TIMEOUT,
        max_redirects=REDIRECTS,
        event_hooks={"response": [_check_redirect]},
    ) as client:
        async with asyncio.timeout(SECONDS_TO_ANSWER):
            response = await client.send(client.build_request("GET", url, headers=headers), stream=True)
        try:
            have, total = _start(response, url, state, have, part)
            if have == total and have:
                return True
            _check_length(total, remote, part, have)
            expected = remote.size if total is None else total
            if not have:
                discard(part)
                write_json(record_path(part), vars(PartState(url, _validator(response), total)))
            await _append(response, part, have, expected)
        finally:
            await response.aclose()
    received = part.stat().st_size
    if expected is not None and received < expected:
        raise TransientError(f"the connection ended after {received} of {expected} bytes")
    return have > 0


async def _append(response: httpx.Response, part: Path, have: int, total: int | None) -> None:
    """Add the body to the part file as it comes."""
    most = shutil.disk_usage(part.parent).free // 2 if total is None else total
    arrived: list[bytes] = []
    tracked = track_bytes(iter(arrived.pop, None), f"downloading {part.stem}", have, total)
    begin, recent = time.monotonic(), 0
    with open(part, "ab", buffering=0) as file:
        async for chunk in response.aiter_raw():
            have += len(chunk)
            if have > most:
                discard(part)
                raise UnusableError(f"the server sends more than {most} bytes")
            arrived.append(chunk)
            file.write(next(tracked))
            recent += len(chunk)
            seconds = time.monotonic() - begin
            if seconds >= SECONDS_OF_PATIENCE:
                if recent < SLOWEST * seconds:
                    reason = f"the server sends less than {SLOWEST} bytes a second"
                    raise TransientError(reason, is_slow=True)
                begin, recent = time.monotonic(), 0


async def _check_redirect(response: httpx.Response) -> None:
    if response.has_redirect_location:
        try:
            check_url(str(response.url.join(response.headers["Location"])), "redirect")
        except (InputError, httpx.InvalidURL, ValueError) as error:
            raise UnusableError(_line(error)) from None


def _is_lasting(error: BaseException) -> bool:
    """Return whether there is no such name, or its certificate is refused."""
    if isinstance(error, socket.gaierror):
        return error.errno == socket.EAI_NONAME  # EAI_AGAIN: nobody could be asked
    is_refused = isinstance(error, ssl.SSLCertVerificationError)
    return is_refused or (error.__context__ is not None and _is_lasting(error.__context__))


def _line(error: Exception) -> str:
    name = "" if isinstance(error, InputError) else f"{type(error).__name__}: "
    return f"{name}{' '.join(str(error).split())}"[:300]


def discard(part: Path) -> None:
    """Forget the bytes of a part file."""
    record_path(part).unlink(missing_ok=True)
    part.unlink(missing_ok=True)


def record_path(path: Path) -> Path:
    """Return the file beside a file that says what is known of it."""
    return path.with_name(path.name + ".json")


def _resumable(url: str, part: Path, remote: RemoteFile) -> tuple[PartState | None, int]:
    """Return what the part file holds, and how many of its bytes may be continued."""
    try:
        state = parse("part", read_json(record_path(part)), PartState)
        have = part.stat().st_size
    except (InputError, OSError):
        return None, 0
    if state.validator is not None and not _is_validator(state.validator):
        return None, 0
    is_whole_checked = remote.sha256 is not None and len(remote.sha256) == 64
    is_confirmed = state.url == url and state.validator is not None
    return state, have if is_whole_checked or is_confirmed else 0


def _start(
    response: httpx.Response, url: str, state: PartState | None, have: int, part: Path
) -> tuple[int, int | None]:
    """Return how many bytes of the part file the response continues, and the length of the whole."""
    status = response.status_code
    if status in TRANSIENT:
        raise TransientError(f"HTTP {status}", _retry_after(response.headers.get("Retry-After")))
    if response.headers.get("Content-Encoding", "identity") != "identity":
        raise UnusableError("the server packs the file, so its bytes cannot be checked")
    if status == 200:
        length = response.headers.get("Content-Length", "")
        return 0, int(length) if re.fullmatch(NUMBER, length) else None
    if have and state and status in (206, 416):
        received = response.headers.get("Content-Range", "")
        match = re.fullmatch(rf"bytes (?:({NUMBER})-{NUMBER}|\*)/({NUMBER})", received)
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
    """Return what tells whether the file changed; a weak ETag may not (RFC 9110 section 13.1.5)."""
    tag, changed = response.headers.get("ETag"), response.headers.get("Last-Modified")
    if _is_validator(tag) and not tag.startswith("W/"):
        return str(tag)
    return str(changed) if _is_validator(changed) else None


def _is_validator(text: Any) -> bool:
    """Return whether text can be sent back in a header."""
    return (
        isinstance(text, str) and 0 < len(text) <= LONGEST_VALIDATOR and text.isascii() and text.isprintable()
    )


def _retry_after(value: str | None) -> float | None:
    """Return the seconds that a server asks for, given as a number or as a date."""
    if value is None:
        return None
    if re.fullmatch("[0-9]+", value.strip()):
        return float(value[:LONGEST_NUMBER])
    try:
        date = parsedate_to_datetime(value)
    except (TypeError, ValueError, IndexError, OverflowError):
        return None
    if date.tzinfo is None:
        date = date.replace(tzinfo=UTC)
    return max((date - datetime.now(UTC)).total_seconds(), 0.0)
