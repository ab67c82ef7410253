"""Re-hash every output against dvc.lock, without trust in any cache; compare two runs output by output."""

import hashlib
import json
import math
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from ruamel.yaml import YAML

from recap.errors import InputError

Verdict = Literal["identical", "equivalent", "different", "missing"]

EXACT_STAGES = ("fetch", "tokenize")
"""Stages without floating-point training: the same bytes on every machine."""

RELATIVE_TOLERANCE = 0.10
ABSOLUTE_TOLERANCE = 0.06
"""How far a metric may be from the other machine's: either bound suffices."""


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


def rerun(root: Path, environment: Mapping[str, str]) -> Iterator[tuple[LockedOutput, Verdict]]:
    """Run the pipeline of a checkout from nothing in a fresh folder and compare output by output.

    Args:
        root: the checkout.
        environment: the variables of the pipeline's processes, ``PATH`` among them.

    Raises:
        InputError: the checkout has no dvc.lock, is no git repository, or its pipeline fails when run afresh.
    """
    locked_outputs(root / "dvc.lock")
    with tempfile.TemporaryDirectory(prefix="recap-rerun-") as folder:
        fresh = Path(folder).resolve()
        _copy_sources(root, fresh)
        command = [sys.executable, "-m", "dvc", "repro"]
        # What DVC prints goes to stderr: stdout holds the verdicts alone.
        result = subprocess.run(command, cwd=fresh, env=dict(environment), stdout=sys.stderr)
        if result.returncode:
            raise InputError(f"{root}: expected a pipeline that runs, received exit code {result.returncode}")
        yield from compare(root, fresh)


def _copy_sources(root: Path, fresh: Path) -> None:
    """Copy the files that git knows or would add, except dvc.lock, into a new git repository."""
    listing = ["git", "-C", str(root), "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    names = subprocess.run(listing, capture_output=True, text=True)
    if names.returncode:
        raise InputError(f"{root}: expected a git repository, received: {names.stderr.strip()}")
    for name in names.stdout.split("\0"):
        source = root / name
        if name and name != "dvc.lock" and source.is_file():
            (fresh / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(source, fresh / name)
    subprocess.run(["git", "init", "--quiet", str(fresh)], check=True)


def compare(expected: Path, received: Path) -> Iterator[tuple[LockedOutput, Verdict]]:
    """Compare the run of another checkout with this one's, by their dvc.lock and metrics.

    Equal hashes are identical. An output of a stage that trains or computes features is equivalent when every
    metric of the run is within the tolerances; everything else is different.

    Args:
        expected: a checkout with dvc.lock and ``reports/**/metrics.json``.
        received: the checkout that is judged, likewise.

    Raises:
        InputError: as in ``locked_outputs``.
    """
    theirs = {output.path: output.md5 for output in locked_outputs(received / "dvc.lock")}
    ours = locked_outputs(expected / "dvc.lock")
    metrics = [output.path for output in ours if output.path.endswith("metrics.json")]
    agrees = {path: _metrics_agree(expected / path, received / path) for path in metrics}
    for output in ours:
        if output.path not in theirs:
            yield output, "missing"
        elif theirs[output.path] == output.md5:
            yield output, "identical"
        elif output.stage in EXACT_STAGES or not agrees.get(output.path, all(agrees.values())):
            yield output, "different"
        else:
            yield output, "equivalent"


def _metrics_agree(expected: Path, received: Path) -> bool:
    try:
        ours, theirs = (json.loads(path.read_text(encoding="utf-8")) for path in (expected, received))
    except (OSError, ValueError):
        return False
    return _agree(ours, theirs)


def _agree(ours: Any, theirs: Any) -> bool:
    if isinstance(ours, dict) and isinstance(theirs, dict):
        return ours.keys() == theirs.keys() and all(_agree(ours[key], theirs[key]) for key in ours)
    if isinstance(ours, int | float) and isinstance(theirs, int | float):
        return math.isclose(ours, theirs, rel_tol=RELATIVE_TOLERANCE, abs_tol=ABSOLUTE_TOLERANCE)
    return bool(ours == theirs)
