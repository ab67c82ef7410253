"""Re-hash every output against dvc.lock, without trust in any cache."""

import hashlib
import json
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from ruamel.yaml import YAML

from recap.errors import InputError

Verdict = Literal["identical", "different", "missing"]


@dataclass(frozen=True)
class LockedOutput:
    """An output as dvc.lock records it."""

    stage: str
    path: str
    md5: str


def locked_outputs(lock: Path) -> list[LockedOutput]:
    """The outputs that a dvc.lock records, in its order.

    Raises:
        InputError: the file is absent or no dvc.lock.
    """
    try:
        content: dict[str, Any] = YAML(typ="safe", pure=True).load(lock.read_text(encoding="utf-8"))
        return [
            LockedOutput(stage, output["path"], output["md5"])
            for stage, entry in content["stages"].items()
            for output in entry.get("outs", [])
        ]
    except OSError as error:
        raise InputError(f"{lock}: expected a dvc.lock, received: {error.strerror}") from None
    except Exception as error:
        reason = " ".join(str(error).split())
        raise InputError(f"{lock}: expected a dvc.lock, received: {type(error).__name__} {reason}") from None


def hash_file(path: Path) -> str:
    """MD5 of a file's bytes, as DVC records it."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "md5").hexdigest()


def hash_output(path: Path) -> str:
    """MD5 of a file, or of a folder as DVC forms it: of the sorted list of its files' hashes."""
    if path.is_file():
        return hash_file(path)
    files = sorted((file.relative_to(path).as_posix(), file) for file in path.rglob("*") if file.is_file())
    with ThreadPoolExecutor() as pool:
        hashes = pool.map(hash_file, (file for _, file in files))
    entries = [{"md5": md5, "relpath": relative} for (relative, _), md5 in zip(files, hashes, strict=True)]
    return hashlib.md5(json.dumps(entries, sort_keys=True).encode()).hexdigest() + ".dir"


def verify(root: Path) -> Iterator[tuple[LockedOutput, Verdict]]:
    """Hash every output that ``root/dvc.lock`` records and compare.

    Raises:
        InputError: as in ``locked_outputs``.
    """
    for output in locked_outputs(root / "dvc.lock"):
        path = root / output.path
        if not path.exists():
            yield output, "missing"
        else:
            yield output, "identical" if hash_output(path) == output.md5 else "different"
