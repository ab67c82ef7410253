"""What a surface of the fuzzing suite is, and what counts as a failure of a case."""

import contextlib
import io
import random
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Protocol

from recap.errors import InputError

LONGEST_LINE = 12_000  # a message repeats what it was given


class Failed(Exception):
    """A case broke a promise that is no exception by itself."""


class Surface(Protocol):
    """One kind of input. An instance lives in a process of its own, in an empty folder."""

    def draw(self, generator: random.Random) -> bytes:
        """An input; the same for the same generator."""
        ...

    def run(self, content: bytes) -> bool:
        """Use an input as users' are used; whether it was accepted.

        Raises:
            InputError: it was refused.
            Exception: whatever else is a failure.
        """
        ...


def check_message(message: str, lines: int = 60) -> None:
    """Check that a refusal is told in words, not in a traceback.

    Raises:
        Failed: it is not.
    """
    told = message.rstrip("\n").split("\n")
    if "Traceback" in message or not message.strip():
        raise Failed(f"expected a line, received {message[-500:]!r}")
    if len(told) > lines or max(map(len, told)) > LONGEST_LINE:
        raise Failed(f"expected a short message, received {len(told)} lines of {len(message)} letters")


def run_command(arguments: Sequence[str], codes: Sequence[int] = (0, 1)) -> int:
    """Run `recap` with arguments in this process; returns the exit code.

    Raises:
        InputError: it left with exit code 2.
        Failed: it left with another code than the given ones, or told nothing.
    """
    from recap.cli.main import main

    output = io.TextIOWrapper(io.BytesIO(), "utf-8")
    with tempfile.TemporaryFile("w+", errors="backslashreplace") as errors:  # processes may write there too
        with contextlib.redirect_stdout(output), contextlib.redirect_stderr(errors):
            try:
                code: Any = main(arguments)
            except SystemExit as error:  # argparse
                code = error.code or 0
        errors.seek(0)
        told = errors.read()
    if code == 2:
        check_message(told)
        raise InputError(told)
    if code not in codes:
        raise Failed(f"expected the exit code {codes}, received {code}: {told[-500:]}")
    return int(code)


def check_unpublished(folder: Path, mark: str) -> None:
    """Check that a refused input left no draft, and not the file that says that a folder is whole.

    Raises:
        Failed: there is one.
    """
    drafts = [path.name for path in folder.rglob("*") if path.name.endswith((".tmp", ".part"))]
    if drafts or (folder / mark).exists():
        raise Failed(f"expected nothing half-written, received {drafts or mark}")
