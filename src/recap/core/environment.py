"""Settings in variables of the environment."""

import math
import re
from collections.abc import Mapping

from recap.errors import InputError


def whole_number(
    environment: Mapping[str, str], name: str, least: int, most: int, default: int | None = None
) -> int:
    """Return the whole number that a variable holds, or the default where there is none.

    Raises:
        InputError: it holds something else, or there is neither.
    """
    text = environment.get(name)
    if text is None and default is not None:
        return default
    if text is None or not re.fullmatch(r"[0-9]{1,18}", text) or not least <= int(text) <= most:
        received = "nothing" if text is None else repr(text)
        raise InputError(f"{name}: expected a whole number, {least} to {most}, received {received}")
    return int(text)


def positive_number(environment: Mapping[str, str], name: str, default: float) -> float:
    """Return the number above 0 that a variable holds, or the default where there is none.

    Raises:
        InputError: it holds something else.
    """
    text = environment.get(name)
    if text is None:
        return default
    try:
        number = float(text)
    except ValueError:
        number = math.nan
    if not 0 < number <= 1e9:
        raise InputError(f"{name}: expected a number above 0, at most 1e9, received {text!r}")
    return number


def is_on(environment: Mapping[str, str], name: str) -> bool:
    """Return whether a variable says "on", or is not there.

    Raises:
        InputError: it says neither that nor "off".
    """
    text = environment.get(name, "on")
    if text not in ("on", "off"):
        raise InputError(f"{name}: expected on or off, received {text!r}")
    return text == "on"
