"""A time limit for work that waits for others, such as a server."""

import signal
from collections.abc import Iterator
from contextlib import contextmanager


class OverTimeError(BaseException):
    """The time is over; no library's handler of exceptions may catch it."""


@contextmanager
def time_limit(seconds: float | None) -> Iterator[None]:
    """Raise OverTimeError in a block of the main thread after so many seconds, and again until it ends."""

    def end(signal_number: int, frame: object) -> None:
        raise OverTimeError

    signal.signal(signal.SIGALRM, end)
    # again every second: code that runs when the first one comes may swallow it
    signal.setitimer(signal.ITIMER_REAL, seconds or 0, 1)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
