"""The entries of dvc.lock, and the outputs that they name."""

import hashlib
import json
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from recap.core import paths
from recap.core.artifacts import write_text
from recap.core.plain_yaml import parse_yaml
from recap.errors import InputError
from recap.workspace.cache import Cache
from recap.workspace.definition import look_up
from recap.workspace.git import ask_git

Find = Callable[[str], Mapping[str, bytes]]
"""Finds the file at a path, or those below it, in a working tree or a commit: path -> content."""
Entry = Mapping[str, Any]
"""What dvc.lock says of a stage."""


def parse_lock(content: bytes) -> dict[str, Entry]:
    """Return the stages of a dvc.lock, by name; none of a file that is no YAML."""
    with suppress(ValueError):
        stages = mapping(content).get("stages")
        return stages if isinstance(stages, dict) else {}
    return {}


def order_new_entries(root: Path, order: Sequence[str]) -> None:
    """Put the stages of dvc.lock that the last commit's does not name behind the others, in an order."""
    path = root / paths.LOCK
    content = path.read_text(encoding="utf-8")
    try:
        committed = list(parse_lock(ask_git(root, "show", f"HEAD:./{paths.LOCK}")))
    except InputError:  # no commit, or none that has it
        committed = []
    places = {name: place for place, name in enumerate(dict.fromkeys([*committed, *order]))}

    def place(entry: str) -> int:
        name = entry.partition("\n")[0].strip().removesuffix(":").strip("'\"")
        return places.get(name, len(places))

    def sort(found: re.Match[str]) -> str:
        entries = re.split(r"^(?=  \S)", found[2], flags=re.MULTILINE)
        return found[1] + "".join(sorted(entries, key=place))

    ordered = re.sub(r"^(stages:\n)((?:[ ].*\n)*)", sort, content, flags=re.MULTILINE)
    if ordered != content:
        write_text(path, ordered)


def stage_key(name: str, entry: Entry) -> str:
    """Return the SHA-256 of what determines a stage's outputs, the same for a run and for its reuse."""
    deps = {dep["path"]: dep.get("md5") for dep in entry.get("deps", [])}
    return digest(name, entry["cmd"], entry_params(entry), deps)


def entry_params(entry: Entry) -> dict[str, Any]:
    """Return the params that a stage read: name -> value or group."""
    return {name: value for group in entry.get("params", {}).values() for name, value in group.items()}


def made_outputs(lock: Mapping[str, Entry]) -> dict[str, str]:
    """Return the outputs that a dvc.lock names: path -> MD5."""
    return {out["path"]: out["md5"] for entry in lock.values() for out in entry.get("outs", [])}


def records(
    lock: Mapping[str, Entry],
    name: str,
    params: Mapping[str, Any],
    sources: Mapping[str, str],
    data: Mapping[str, str],
) -> bool:
    """Return whether a dvc.lock records a stage with these params, code and outputs of other stages."""
    entry, made = lock.get(name, {}), made_outputs(lock)
    with suppress(KeyError, TypeError):
        read = entry["cmd"] and entry.get("params", {}).get("params.yaml", {})
        if any(look_up(params, key) != value for key, value in read.items()):
            return False
        for path, md5 in ((dep["path"], dep.get("md5")) for dep in entry.get("deps", [])):
            if md5 != sources.get(path, made.get(path, md5)):
                return False
            if any(made.get(own) != content for own, content in data.items() if overlap(own, path)):
                return False
        return True
    return False


class Outputs:
    """The outputs that a dvc.lock names, read from DVC's cache, or from their place."""

    def __init__(self, lock: Mapping[str, Entry], cache: Cache, find: Find) -> None:
        self.lock = lock
        self.cache = cache
        self._find = find
        self.made = made_outputs(lock)

    def files(self, paths: Iterable[str]) -> dict[str, str]:
        """Return the files that are one of the paths or lie in one: path -> MD5."""
        wanted = list(paths)
        found: dict[str, str] = {}
        for output, md5 in self.made.items():
            if any(overlap(output, path) for path in wanted):
                found |= self.cache.expand(output, md5) or {}
        return {name: md5 for name, md5 in found.items() if any(overlap(name, path) for path in wanted)}

    def content(self, path: str, md5: str) -> bytes:
        """Read an output's file.

        Raises:
            FileNotFoundError: they are neither in the cache nor in their place.
        """
        with suppress(OSError):
            content = self.cache.path(md5).read_bytes()
            if hashlib.md5(content).hexdigest() == md5:
                return content
        content = self._find(path).get(path, b"")
        if hashlib.md5(content).hexdigest() != md5:
            raise FileNotFoundError(f"{path}: neither DVC's cache nor the working tree has it")
        return content

    def inputs(self, entry: Entry) -> dict[str, str]:
        """Return the data that a stage read: path -> MD5; the user's own files by their settings."""
        found: dict[str, str] = {}
        for path, md5 in ((dep["path"], dep.get("md5", "")) for dep in entry.get("deps", [])):
            if any(overlap(path, output) for output in self.made):
                found[path] = md5
            elif path.startswith(f"{paths.INPUTS}/"):
                found |= json.loads(self.content(path, md5))
        return {path: md5[:36] for path, md5 in found.items() if md5}  # all that MLflow takes


def title(name: str) -> str:
    """Return a stage's name in MLflow for its name in DVC: train/lstm for train@lstm."""
    return name.replace("@", "/")


def overlap(one: str, other: str) -> bool:
    """Return whether one path is the other or lies in it."""
    return one == other or one.startswith(f"{other}/") or other.startswith(f"{one}/")


def mapping(content: bytes) -> dict[str, Any]:
    """Parse a map in YAML; empty when the content is another value."""
    values = parse_yaml(content)
    return values if isinstance(values, dict) else {}


def digest(*content: Any) -> str:
    """Return the SHA-256 of values, as JSON."""
    return hashlib.sha256(json.dumps(content, sort_keys=True, default=str).encode()).hexdigest()
