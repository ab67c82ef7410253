"""Questions to git about a checkout."""

import os
import subprocess
from pathlib import Path

from recap.errors import InputError, expecting

WRITTEN_BY_RUNS = ("dvc.lock", "reports")  # tracked by git, and changed by the pipeline itself


def ask_git(root: Path, *arguments: str) -> bytes:
    """Return the output of a git command in a checkout.

    Raises:
        InputError: git is absent or refuses; the message has its reason in one line.
    """
    with expecting("git: expected the program on PATH", OSError):
        result = subprocess.run(["git", "-C", str(root), *arguments], capture_output=True)
    if result.returncode:
        reason = " ".join(result.stderr.decode(errors="replace").split())
        raise InputError(f"{root}: expected an answer of git {arguments[0]}, received: {reason}")
    return result.stdout


def names_in(answer: bytes) -> list[str]:
    """Return the paths in an answer to an option ``-z``, whatever bytes are in them."""
    return [name for name in os.fsdecode(answer).split("\0") if name]


def git_state(root: Path) -> tuple[str, str, str]:
    """Return the commit, whether tracked files differ from it ("true" or "false"), and the fault of git.

    Files that runs write do not count. Where git does not answer, the first two are empty; the fault is given
    only in a checkout of git.
    """
    try:
        paths = [".", *(f":(exclude){path}" for path in WRITTEN_BY_RUNS)]
        answer = ask_git(
            root, "status", "--porcelain=v2", "--branch", "--untracked-files=no", "--", *paths
        ).decode()
    except InputError as error:
        is_checkout = any((folder / ".git").exists() for folder in (root, *root.parents))
        return "", "", str(error) if is_checkout else ""
    lines = answer.splitlines()
    commit = next((line.split()[-1] for line in lines if line.startswith("# branch.oid ")), "")
    return commit, str(any(not line.startswith("#") for line in lines)).lower(), ""
