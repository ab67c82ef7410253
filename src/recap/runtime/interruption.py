"""Ctrl-C and SIGTERM take effect between two steps."""

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from types import FrameType
from typing import Any

SIGNALS = (signal.SIGINT, signal.SIGTERM)


@dataclass
class NotedSignal:
    """The number of the signal that came, or 0."""

    number: int = 0


@contextmanager
def note_signals() -> Iterator[NotedSignal]:
    """Note the first Ctrl-C or SIGTERM within the context; the next one acts as usual."""
    noted = NotedSignal()
    before: dict[int, Any] = {}

    def restore() -> None:
        while before:
            signal.signal(*before.popitem())

    def note(number: int, frame: FrameType | None) -> None:
        noted.number = number
        restore()

    if threading.current_thread() is threading.main_thread():  # no other thread may handle signals
        before |= {number: signal.signal(number, note) for number in SIGNALS}
    try:
        yield noted
    finally:
        restore()
