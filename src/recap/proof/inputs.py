"""Compares the inputs that dvc.lock records of each stage with the present ones."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from recap.proof.differences import one_line
from recap.proof.lock import Lock
from recap.proof.pipeline import present_inputs


def stale_stages(root: Path, lock: Lock) -> dict[str, str]:
    """Find stages that DVC would run again for inputs that no stage makes: name -> a line that names these.

    Raises:
        InputError: DVC cannot read the pipeline.
    """
    made = {output.path for output in lock.outputs}
    stale = {}
    for stage, present in present_inputs(root, made).items():
        ours, theirs = _inputs(lock.entries[stage], made), _inputs(present, made)
        names = [
            name
            for name in sorted(ours.keys() | theirs.keys())
            if (name in ours, ours.get(name)) != (name in theirs, theirs.get(name))
        ]
        if names:
            stale[stage] = one_line(f"not as dvc.lock records it: {', '.join(names)}")
    return stale


def _inputs(entry: Mapping[str, Any], made: set[str]) -> dict[str, Any]:
    """Return the inputs of a stage, by name."""
    dependencies = {own["path"]: dict(own) for own in entry.get("deps") or [] if own["path"] not in made}
    params = {
        f"{file}:{key}": value
        for file, values in (entry.get("params") or {}).items()
        for key, value in values.items()
    }
    return {"the command": entry["cmd"], **dependencies, **params}
