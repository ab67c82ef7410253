"""Re-hashes every output against dvc.lock, without trust in any cache; compares two runs output by output."""

import json
import math
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from recap.core.hashes import hash_output, output_files, size_output
from recap.errors import InputError
from recap.proof.differences import difference_from, one_line
from recap.proof.lock import Lock, LockedOutput, read_lock
from recap.proof.pipeline import present_inputs
from recap.report.promise import ABSOLUTE_TOLERANCE, RELATIVE_TOLERANCE
from recap.workspace.git import ask_git, names_in

Verdict = Literal["identical", "equivalent", "different", "missing", "stale"]

EXACT_STAGES = ("fetch", "tokenize")
"""Stages without floating-point training: the same bytes on every machine."""


@dataclass(frozen=True)
class Finding:
    """The result of checking an output."""

    output: LockedOutput  # as the expected dvc.lock records it
    verdict: Verdict
    received: str | None  # the MD5 found in its place; None when it is missing
    difference: str = ""  # the first one, or why it is stale, in one line; empty when not known


def verify(root: Path) -> Iterator[Finding]:
    """Hash every output that ``root/dvc.lock`` records and compare.

    An output that is as recorded is stale when the command, a dependency or a param of its stage is not.

    Raises:
        InputError: as in ``read_lock``.
    """
    lock = read_lock(root)
    stale = stale_stages(root, lock)
    for output in lock.outputs:
        path = root / output.path
        md5 = hash_output(path) if path.exists() else None
        if md5 is None:
            yield Finding(output, "missing", None)
        elif md5 != output.md5:
            yield Finding(output, "different", md5, difference_from(root, output, path))
        elif output.size != (size := size_output(path)):
            yield Finding(output, "different", md5, f"dvc.lock says {output.size} bytes, there are {size}")
        elif output.files is not None and output.files != (files := len(output_files(path))):
            yield Finding(output, "different", md5, f"dvc.lock says {output.files} files, there are {files}")
        elif output.stage in stale:
            yield Finding(output, "stale", md5, stale[output.stage])
        else:
            yield Finding(output, "identical", md5)


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


def rerun(root: Path, environment: Mapping[str, str]) -> Iterator[Finding]:
    """Run the pipeline of a checkout from nothing in a fresh folder and compare output by output.

    Raises:
        InputError: as in ``read_lock``, or the checkout is no git repository, or its pipeline fails.
    """
    read_lock(root)
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
    listed = ask_git(root, "ls-files", "-z", "--cached", "--others", "--exclude-standard")
    for name in names_in(listed):
        source = root / name
        if name != "dvc.lock" and source.is_file():
            (fresh / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(source, fresh / name)
    ask_git(fresh, "init", "--quiet")


def compare(expected: Path, received: Path) -> Iterator[Finding]:
    """Compare the run of another checkout with this one's, by their dvc.lock and metrics.

    Equal hashes are identical. Where either lock says that bytes are not promised (``runtime.arithmetic:
    native``, ``runtime.device: cuda``), an output of a stage that trains or computes features is equivalent
    when every metric of the run is within the tolerances. Everything else is different.

    Raises:
        InputError: as in ``read_lock``.
    """
    ours, theirs = read_lock(expected), read_lock(received)
    hashes = {output.path: output.md5 for output in theirs.outputs}
    metrics = [output.path for output in ours.outputs if output.path.endswith("metrics.json")]
    agrees = {path: _metrics_agree(expected / path, received / path) for path in metrics}
    for output in ours.outputs:
        md5 = hashes.get(output.path)
        if md5 is None or md5 == output.md5:
            yield Finding(output, "missing" if md5 is None else "identical", md5)
            continue
        all_agree = bool(agrees) and all(agrees.values())
        verdict: Verdict = "different"
        is_exact = output.stage in EXACT_STAGES or all(lock.is_exact(output.stage) for lock in (ours, theirs))
        if not is_exact and agrees.get(output.path, all_agree):
            verdict = "equivalent"
        yield Finding(output, verdict, md5, difference_from(expected, output, received / output.path))


def _metrics_agree(expected: Path, received: Path) -> bool:
    try:
        ours, theirs = (json.loads(path.read_text(encoding="utf-8")) for path in (expected, received))
    except (OSError, ValueError):
        return False
    return _agree(ours, theirs)


def _agree(ours: Any, theirs: Any) -> bool:
    if isinstance(ours, dict) and isinstance(theirs, dict):
        return ours.keys() == theirs.keys() and all(_agree(ours[key], theirs[key]) for key in ours)
    if isinstance(ours, bool) or isinstance(theirs, bool):
        return ours is theirs
    if isinstance(ours, int | float) and isinstance(theirs, int | float):
        return math.isclose(ours, theirs, rel_tol=RELATIVE_TOLERANCE, abs_tol=ABSOLUTE_TOLERANCE)
    return bool(ours == theirs)
