"""Progress of long work: a bar on a terminal, plain lines in a log."""

import sys
import time
from collections.abc import Iterable, Iterator, Sized
from typing import TypeVar

Item = TypeVar("Item")
SECONDS_BETWEEN_LINES = 10.0


def track(items: Iterable[Item], description: str, total: int | None = None) -> Iterator[Item]:
    """Yield the items and tell on stderr how far the work is.

    Args:
        items: what to go through.
        description: what the work is, a few words.
        total: how many items there are; ``len(items)`` when None and known.
    """
    if total is None and isinstance(items, Sized):
        total = len(items)
    if sys.stderr.isatty():
        from tqdm import tqdm

        yield from tqdm(items, desc=description, total=total, leave=False)
        return
    start = last = time.monotonic()
    for done, item in enumerate(items, start=1):
        yield item
        moment = time.monotonic()
        if moment - last >= SECONDS_BETWEEN_LINES:
            last = moment
            of_total = f" of {total}" if total else ""
            print(f"{description}: {done}{of_total}, {moment - start:.0f} s", file=sys.stderr, flush=True)


def track_bytes(chunks: Iterable[bytes], description: str, done: int, total: int | None) -> Iterator[bytes]:
    """Yield chunks of bytes and tell on stderr how far, how fast, and how long still.

    Args:
        chunks: what arrives.
        description: what it is, a few words.
        done: bytes that were there before.
        total: bytes in all, None when unknown.
    """
    if sys.stderr.isatty():
        from tqdm import tqdm

        with tqdm(desc=description, initial=done, total=total, unit="B", unit_scale=True, leave=False) as bar:
            for chunk in chunks:
                yield chunk
                bar.update(len(chunk))
        return
    start = last = time.monotonic()
    received = 0
    for chunk in chunks:
        yield chunk
        received += len(chunk)
        moment = time.monotonic()
        if moment - last >= SECONDS_BETWEEN_LINES:
            last = moment
            speed = received / (moment - start)
            left = f" of {total / 1e6:.0f}, {(total - done - received) / speed:.0f} s left" if total else ""
            line = f"{description}: {(done + received) / 1e6:.0f} MB{left}, {speed / 1e6:.1f} MB/s"
            print(line, file=sys.stderr, flush=True)
