"""Numbers among the options of commands, each refused in words where it is none."""

import argparse
import math
from collections.abc import Callable

LARGEST_SEED = 2**63 - 1


def whole(least: int, most: int) -> Callable[[str], int]:
    """Return a reader of whole numbers between bounds, as the ``type`` of an argument."""

    def read(text: str) -> int:
        try:
            number = int(text)
        except ValueError:
            number = None
        if number is None or not least <= number <= most:
            raise argparse.ArgumentTypeError(
                f"expected a whole number, {least} to {most}, received {text[:80]!r}"
            )
        return number

    return read


def seconds(text: str) -> float:
    """Read a time, as the ``type`` of an argument."""
    try:
        number = float(text)
    except ValueError:
        number = math.nan
    if not 0 < number <= 1e9:
        raise argparse.ArgumentTypeError(
            f"expected a number of seconds above 0, at most 1e9, received {text[:80]!r}"
        )
    return number
