"""Ctrl-C and SIGTERM as a wish that is granted between two steps."""

import signal
import sys
import threading
from types import FrameType, TracebackType
from typing import Any

SIGNALS = (signal.SIGINT, signal.SIGTERM)


class Interrupted(SystemExit):
    """A signal ended the work after a checkpoint; leaves with 128 + the signal's number."""

    def __init__(self, signal_number: int) -> None:
        super().__init__(128 + signal_number)


def tell(signal_number: int, steps: int) -> None:
    """Say that a signal ended the work."""
    name = signal.Signals(signal_number).name
    print(f"{name} after step {steps}: checkpoint written, run again to go on", file=sys.stderr, flush=True)


class Interruption:
    """Within it the first Ctrl-C or SIGTERM is noted in ``signal_number``; the next one acts as before."""

    def __init__(self) -> None:
        self.signal_number = 0
        self._before: dict[int, Any] = {}

    def __enter__(self) -> "Interruption":
        if threading.current_thread() is threading.main_thread():  # no other thread may handle signals
            self._before = {number: signal.signal(number, self._note) for number in SIGNALS}
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._restore()

    def _note(self, signal_number: int, frame: FrameType | None) -> None:
        self.signal_number = signal_number
        self._restore()

    def _restore(self) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)
        self._before = {}
