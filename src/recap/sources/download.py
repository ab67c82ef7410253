"""Files from elsewhere, complete and verified, or a clear error.

The order of steps: wait for the lock of this file; take the local copy when it is still what was verified;
else try the URL and its mirrors, resuming what an earlier attempt left in ``.part``; check the length, the
size and the SHA-256; flush to disk; only then rename to the final name. So the final name never holds a
half file, and two processes never write the same one.
"""

import os
import random
import shutil
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from filelock import FileLock

from recap.core.artifacts import write_json
from recap.core.config import parse
from recap.core.input_files import read_json
from recap.errors import InputError
from recap.sources.registry import Known, RemoteFile, find_remote, hash_file, is_url, mismatch
from recap.sources.transfer import TransientError, UnusableError, discard, record_path, transfer

FAILURES_IN_A_ROW = 7  # attempts at one address that bring no byte, or too few
ATTEMPTS = 500  # attempts at one address in all
LONGEST_WAIT = 60.0  # seconds between attempts
LONGEST_ASKED_WAIT = 600.0  # seconds that a server may ask for


@dataclass(frozen=True)
class Files:
    """Where files from elsewhere are kept, what is known of them, and whether the network may be used."""

    directory: Path
    registry: Path
    offline: bool


def download(
    remote: RemoteFile, directory: Path, offline: bool, wait: Callable[[float], None] = time.sleep
) -> Path:
    """Return the whole, verified local copy of a file elsewhere.

    Args:
        remote: where it is and what is known of it.
        directory: keeps the copies.
        offline: True demands a copy that is there already.
        wait: sleeps for a number of seconds.

    Raises:
        InputError: no address has the file, it is not what is known of it, or it is absent offline.
    """
    with _writing(directory):
        directory.mkdir(parents=True, exist_ok=True)
        path = directory / remote.name
        with FileLock(f"{path}.lock"):
            problem = _check_copy(path, remote)
            if problem is None:
                return path
            if offline:
                raise InputError(
                    f"{remote.url}: expected a copy in {directory} (offline), received {problem}; "
                    "bring one with `recap data add`"
                )
            part = directory / f"{remote.name}.part"
            problems = []
            for url in (remote.url, *remote.mirrors):
                problem = _from_address(url, part, remote, wait)
                if problem is None:
                    _publish(part, path)
                    return path
                problems.append(f"{url}: {problem}")
            raise InputError(
                f"{remote.name}: expected it from one of its addresses, received {'; '.join(problems)}; "
                f"a copy from elsewhere: `recap data add {remote.url} FILE`"
            )


@contextmanager
def _writing(directory: Path) -> Iterator[None]:
    """Tell in one line what the disk or the rights in a folder prevent."""
    try:
        yield
    except OSError as error:
        place = error.filename or directory
        raise InputError(f"{place}: expected a file that can be kept, received: {error.strerror}") from None


def bring(remote: RemoteFile, file: Path, directory: Path) -> Path:
    """Take a file that the user has as the local copy; it is verified like a download.

    Raises:
        InputError: the file cannot be read, or is not what is known of it.
    """
    if not file.is_file():
        raise InputError(f"{file}: expected a file, received none")
    problem = mismatch(file, remote)
    if problem:
        raise InputError(f"{file}: {problem}")
    path = directory / remote.name
    with _writing(directory):
        directory.mkdir(parents=True, exist_ok=True)
        with FileLock(f"{path}.lock"):
            part = directory / f"{remote.name}.part"
            discard(part)
            shutil.copyfile(file, part)
            _publish(part, path)
    return path


def locate(place: str, files: Files) -> Path:
    """Return the local file at a path or URL of the settings.

    Raises:
        InputError: as in ``download``; a path is returned as it is.
    """
    if not is_url(place):
        return Path(place)
    return download(find_remote(place, files.registry), files.directory, files.offline)


def _check_copy(path: Path, remote: RemoteFile) -> str | None:
    """Return why the local copy cannot be used, None when it can: when it is what it was on first use."""
    if not path.is_file() or not record_path(path).is_file():
        return "none"
    problem = mismatch(path, remote)
    if problem:
        return f"another: {problem}"
    try:
        record = parse("record", read_json(record_path(path)), Known)
    except InputError:
        record = Known()
    if None in (record.size, record.sha256):
        return "one whose record is broken"
    problem = mismatch(path, RemoteFile(remote.url, (), record.size, record.sha256))
    return f"a broken one: {problem}" if problem else None


def _publish(part: Path, path: Path) -> None:
    with open(part, "rb") as file:
        os.fsync(file.fileno())
    write_json(record_path(path), {"sha256": hash_file(part), "size": part.stat().st_size})
    part.replace(path)
    discard(part)
    folder = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)


def _from_address(url: str, part: Path, remote: RemoteFile, wait: Callable[[float], None]) -> str | None:
    """Attempt after attempt at one address; returns None when the part is whole and right, or the reason."""
    failures = 0
    reason = "nothing"
    for _ in range(ATTEMPTS):
        before = _size(part)
        asked, is_slow = None, False
        try:
            resumed = transfer(url, part, remote)
            problem = mismatch(part, remote)
            if problem is None:
                return None
            discard(part)
            reason = problem
            if not resumed:
                return reason
        except UnusableError as error:
            return str(error)
        except TransientError as error:
            reason, asked, is_slow = str(error), error.wait, error.is_slow
        failures = 0 if _size(part) > before and not is_slow else failures + 1
        if failures >= FAILURES_IN_A_ROW:
            break
        if asked is not None and asked > LONGEST_ASKED_WAIT:
            return f"{reason}, and the server asks to wait {asked:.0f} s"
        # jitter keeps many clients from coming back at the same moment
        seconds = min(2.0**failures, LONGEST_WAIT) * random.uniform(0.5, 1.0)
        seconds = max(seconds, asked or 0.0)
        print(f"{url}: {reason}; again in {seconds:.0f} s", file=sys.stderr, flush=True)
        wait(seconds)
    return f"{reason}, {failures} times in a row" if failures else reason


def _size(part: Path) -> int:
    return part.stat().st_size if part.exists() else 0
