"""Numbers among the options of commands, each refused in words where it is none."""

import argparse
from collections.abc import Callable
from contextlib import suppress

LARGEST_SEED = 2**63 - 1


def whole(least: int, most: int) -> Callable[[str], int]:
    """Return a reader of whole numbers between bounds, as the ``type`` of an argument."""

    def read(text: str) -> int:
        with suppress(ValueError):
            if least <= (number := int(text)) <= most:
                return number
        raise argparse.ArgumentTypeError(
            f"expected a whole number, {least} to {most}, received {text[:80]!r}"
        )

    return read


def seconds(text: str) -> float:
    """Read a time, as the ``type`` of an argument."""
    with suppress(ValueError):
        if 0 < (number := float(text)) <= 1e9:
            return number
    raise argparse.ArgumentTypeError(
        f"expected a number of seconds above 0, at most 1e9, received {text[:80]!r}"
    )
