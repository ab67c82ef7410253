"""Gives a checkout back what `dvc exp run` takes from it for a moment, where a kill comes just then.

DVC stashes uncommitted changes, leaves the branch, and writes the experiment's settings into params.yaml;
what is then in the checkout becomes the experiment, and DVC puts all back.
"""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from recap.core import paths
from recap.core.artifacts import write_json
from recap.core.input_files import read_json
from recap.errors import InputError
from recap.workspace.definition import flatten
from recap.workspace.git import ask_git, names_in
from recap.workspace.lock_file import mapping

BEFORE = paths.STATE / "before_experiment.json"


@contextmanager
def keep_workspace(root: Path, settings: Mapping[str, Any]) -> Iterator[None]:
    """Note the state of a checkout for ``put_back`` while an experiment with these settings runs."""
    before = {"head": _head(root), "commit": _commit(root), "stash": _stash(root), "settings": dict(settings)}
    write_json(root / BEFORE, before)
    try:
        yield
    finally:
        (root / BEFORE).unlink()


def put_back(root: Path) -> None:
    """Put a checkout back as it was before an experiment that was killed.

    Raises:
        InputError: it cannot be told from changes made since.
    """
    if not (root / BEFORE).is_file():
        return
    before = read_json(root / BEFORE)
    if _commit(root) == before["commit"] and _head(root) != before["head"] != "HEAD":
        ask_git(root, "symbolic-ref", "HEAD", before["head"])
    stash = _stash(root)
    if stash and stash != before["stash"]:
        if _changed(root, "HEAD") and _changed(root, stash) - {str(paths.PARAMS)}:
            raise InputError(
                f"{root.resolve()}: expected the files that an experiment left which was killed, received "
                f"changes made since; `git stash pop` gives back those before it; then remove {BEFORE}"
            )
        ask_git(root, "reset", "--quiet", "--hard")
        ask_git(root, "stash", "pop", "--quiet", "--index")
    elif _changed(root, "HEAD") == {str(paths.PARAMS)}:
        committed = flatten(mapping(ask_git(root, "show", f"HEAD:./{paths.PARAMS}")))
        present = flatten(mapping((root / paths.PARAMS).read_bytes()))
        if present == {**committed, **before["settings"]}:
            ask_git(root, "checkout", "--quiet", "HEAD", "--", str(paths.PARAMS))
    (root / BEFORE).unlink()


def _head(root: Path) -> str:
    """Return the branch that is checked out, as refs/heads/NAME, or HEAD."""
    return ask_git(root, "rev-parse", "--symbolic-full-name", "HEAD").decode().strip()


def _commit(root: Path) -> str:
    return ask_git(root, "rev-parse", "HEAD").decode().strip()


def _stash(root: Path) -> str:
    """Return the commit of the latest stash; empty without one."""
    return ask_git(root, "for-each-ref", "--format=%(objectname)", "refs/stash").decode().strip()


def _changed(root: Path, commit: str) -> set[str]:
    """Return the tracked files that differ from a commit."""
    return set(names_in(ask_git(root, "diff", "--name-only", "-z", commit, "--")))
