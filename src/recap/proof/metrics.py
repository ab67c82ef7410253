"""Compares metrics with those of a git revision."""

import json
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from recap.errors import InputError, expecting
from recap.tracking.views import flatten
from recap.workspace.git import ask_git

FOLDER, NAME = "reports", "metrics.json"


@dataclass(frozen=True)
class MetricChange:
    """A metric that differs."""

    path: str  # of the file, and the keys in it: ``reports/decoders/lstm/metrics.json:seen.cider_d``
    base: Any  # its value in the revision; None where it is not there
    this: Any  # its value in the working tree, likewise

    @property
    def difference(self) -> float | int | None:
        """This value less the base's; None where one is no number."""
        if isinstance(self.this, int | float) and isinstance(self.base, int | float):
            return self.this - self.base
        return None


def metric_changes(root: Path, revision: str) -> list[MetricChange]:
    """Return the metrics in ``reports/**/metrics.json`` that differ from those of a git revision, by path.

    Raises:
        InputError: git does not know the revision, or a file is no JSON object.
    """
    try:
        answer = ask_git(root, "rev-parse", "--verify", "--end-of-options", f"{revision}^{{commit}}")
    except InputError as error:
        raise InputError(
            f"--base: expected a revision that git knows, received {revision!r}: {error}"
        ) from None
    base, this = _base_metrics(root, answer.decode().strip(), revision), _own_metrics(root)
    return [
        MetricChange(path, base.get(path), this.get(path))
        for path in sorted(base.keys() | this.keys())
        if path not in base or path not in this or base[path] != this[path]
    ]


def _own_metrics(root: Path) -> dict[str, Any]:
    values: dict[str, Any] = {}
    for path in sorted((root / FOLDER).rglob(NAME)):
        with expecting(f"{path}: expected a readable file", OSError):
            values |= _flatten(path.relative_to(root).as_posix(), path.read_bytes(), "")
    return values


def _base_metrics(root: Path, commit: str, revision: str) -> dict[str, Any]:
    values: dict[str, Any] = {}
    listing = ask_git(root, "ls-tree", "-r", "-z", "--name-only", commit, f"{FOLDER}/")
    for path in os.fsdecode(listing).split("\0"):
        if path.rpartition("/")[2] == NAME:
            values |= _flatten(path, ask_git(root, "show", f"{commit}:./{path}"), f"{revision}:")
    return values


def _flatten(path: str, content: bytes, where: str) -> dict[str, Any]:
    """Return the values of a metrics file by its path and their keys."""
    try:
        values = json.loads(content)
    except (ValueError, RecursionError):
        values = None
    if not isinstance(values, dict):
        raise InputError(f"{where}{path}: expected metrics as a JSON object, received something else")
    return {f"{path}:{keys}": value for keys, value in flatten(values).items()}
