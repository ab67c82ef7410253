"""One writer an output: a lock for each stage of a checkout, which the kernel releases with the process."""

import fcntl
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from recap.core import paths
from recap.errors import InputError

LONGEST_WAIT = 3.0  # seconds; a process that was killed needs some to go
SECONDS_BETWEEN = 0.05


@contextmanager
def only_writer(stage: str, outputs: tuple[str, ...] = (), folder: Path = paths.LOCKS) -> Iterator[None]:
    """Keep every other process from running the stage in this checkout, whatever its settings.

    Args:
        stage: as DVC names it, such as train@lstm.
        outputs: named in the message.
        folder: keeps the locks.

    Raises:
        InputError: another process runs the stage, and did not end within ``LONGEST_WAIT``.
    """
    folder.mkdir(parents=True, exist_ok=True)
    with open(folder / f"{stage.replace('/', '-')}.lock", "a+", encoding="utf-8") as file:
        until = time.monotonic() + LONGEST_WAIT
        while not _try_lock(file.fileno()):
            if time.monotonic() >= until:
                file.seek(0)
                place = " and ".join(outputs) or "its outputs"
                raise InputError(
                    f"{stage}: expected to be the only process that writes {place}, "
                    f"received a lock that process {file.read().strip() or '(unknown)'} holds"
                )
            time.sleep(SECONDS_BETWEEN)
        with suppress(OSError):  # a full disk: the lock holds, and the stage's own files say it better
            file.truncate(0)
            os.write(file.fileno(), f"{os.getpid()}\n".encode())
        yield


def _try_lock(descriptor: int) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
