"""Asks git about a checkout."""

import subprocess
from pathlib import Path

from recap.errors import InputError


def ask_git(root: Path, *arguments: str) -> bytes:
    """Return what a git command prints, run in a checkout.

    Raises:
        InputError: git is absent or refuses; its reason is told in one line.
    """
    try:
        result = subprocess.run(["git", "-C", str(root), *arguments], capture_output=True)
    except OSError as error:
        raise InputError(f"git: expected the program on PATH, received: {error.strerror}") from None
    if result.returncode:
        reason = " ".join(result.stderr.decode(errors="replace").split())
        raise InputError(f"{root}: expected an answer of git {arguments[0]}, received: {reason}")
    return result.stdout
