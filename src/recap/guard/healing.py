"""Mends DVC's own files after a kill: DVC writes them in place; no computed output is lost.

A dvc.lock that lacks a stage costs no work: DVC finds the stage's outputs again in its cache of runs.
"""

import fcntl
from pathlib import Path
from typing import Any

from recap.core import paths
from recap.core.artifacts import write_bytes
from recap.core.hashes import hash_output
from recap.core.plain_yaml import parse_yaml
from recap.errors import InputError
from recap.guard.receipt import forget_wrong, tidy_runs
from recap.workspace.cache import Cache
from recap.workspace.git import ask_git, names_in
from recap.workspace.lock_file import made_outputs
from recap.workspace.rwlock import RWLOCKS, living, read_rwlock, writers
from recap.workspace.side_by_side import LANES

EXPERIMENT_REFS = "refs/exps/exec/"
WITHOUT_OUTPUTS = ("record",)  # the stage that brings runs to MLflow


def keep_lock(root: Path) -> None:
    """Keep a copy of a dvc.lock that is whole, as it is before each stage."""
    try:
        content = (root / paths.LOCK).read_bytes()
    except FileNotFoundError:
        return
    kept = root / paths.KEPT_LOCK
    if (not kept.is_file() or kept.read_bytes() != content) and locked_stages(content) is not None:
        write_bytes(kept, content)


def heal(root: Path) -> list[str]:
    """Mend DVC's files in a checkout; return a line for each thing mended.

    Raises:
        InputError: the cache lacks an output, and cannot take it.
    """
    said = [f"{path}: {fault}, removed" for path in RWLOCKS if (fault := _drop_broken(root / path))]
    if writers(root):
        return said
    tidy_runs(root)
    said += _heal_lock(root) + _leave_experiment(root)
    for name, differing in forget_wrong(root).items():
        said.append(f"{name}: was recorded with another {', '.join(differing)}, forgotten; run it again")
    for leftover in Cache(root).folder.glob("??/.*.tmp"):
        leftover.unlink()
    return said + fill_cache(root)


def fill_cache(root: Path) -> list[str]:
    """Add outputs that the cache lacks; DVC would make them again, or lose them.

    Raises:
        InputError: the cache cannot take one.
    """
    cache = Cache(root)
    absent = {path: md5 for path, md5 in locked_outputs(root).items() if not cache.holds(md5)}
    tracked = names_in(_git(root, "ls-files", "-z", "--", *absent)) if absent else []
    said = []
    for path, md5 in absent.items():
        if path not in tracked and (root / path).exists() and hash_output(root / path) == md5:
            try:
                cache.add(root / path)
            except OSError as error:
                raise InputError(
                    f"{cache.folder}: expected room for {path} in DVC's cache, received: {error.strerror}"
                ) from None
            said.append(f"{path}: was not in DVC's cache, added")
    return said


def locked_outputs(root: Path) -> dict[str, str]:
    """Return the outputs that dvc.lock names, path -> MD5; none where it is absent or cut short."""
    path = root / paths.LOCK
    stages = locked_stages(path.read_bytes()) if path.is_file() else None
    return made_outputs(stages or {})


def locked_stages(content: bytes) -> dict[str, Any] | None:
    """Return the stages of a dvc.lock as it is written, or None when it is cut short."""
    try:
        stages = parse_yaml(content)["stages"]
        if not content.endswith(b"\n"):
            return None
        for name, stage in stages.items():
            outputs = stage.get("outs", []) if name in WITHOUT_OUTPUTS else stage["outs"]
            if not stage["cmd"] or not all(output["md5"] and output["path"] for output in outputs):
                return None
    except Exception:  # a file that is cut short may raise anything
        return None
    return dict(stages)


def _drop_broken(path: Path) -> str:
    """Remove a list of DVC's processes that DVC would stop at; return what is wrong with it."""
    if not _fault(path):
        return ""
    with open(path.with_name(f"{path.name}.lock"), "ab") as guard:
        fcntl.flock(guard, fcntl.LOCK_EX)  # DVC writes the list under this lock
        fault = _fault(path)
        if fault:
            path.unlink()
    return fault


def _fault(path: Path) -> str:
    if read_rwlock(path) is None:
        return "cut short"
    at_work, others = living(path)
    return (
        f"of process {others[0]}, which has ended or is another one since" if others and not at_work else ""
    )


def _heal_lock(root: Path) -> list[str]:
    path = root / paths.LOCK
    try:
        content = path.read_bytes()
    except FileNotFoundError:
        return []
    kept = (root / paths.KEPT_LOCK).read_bytes() if (root / paths.KEPT_LOCK).is_file() else b""
    committed = _git(root, "show", f"HEAD:./{paths.LOCK}")
    stages, whole = locked_stages(content), locked_stages(kept)
    if stages is not None and (content == committed or not _is_beginning(stages, whole or {})):
        return []
    for source, better in (("the copy that the last stage kept", kept), ("the last commit", committed)):
        if locked_stages(better) is not None:
            write_bytes(path, better)
            return [f"{paths.LOCK}: cut short, restored from {source}"]
    path.unlink()
    return [f"{paths.LOCK}: cut short, removed; DVC finds what was computed in its cache"]


def _is_beginning(stages: dict[str, Any], whole: dict[str, Any]) -> bool:
    """Return whether a lock is the beginning of another, but for stages that ran at once."""
    names = list(stages)
    differing = sum(stages[name] != whole.get(name) for name in names)
    return len(names) < len(whole) and names == list(whole)[: len(names)] and differing <= LANES


def _leave_experiment(root: Path) -> list[str]:
    """Set HEAD back to the branch that a killed experiment left."""
    head = _git(root, "rev-parse", "HEAD").decode().strip()
    experiment = _git(root, "rev-parse", "--verify", f"{EXPERIMENT_REFS}EXEC_HEAD").decode().strip()
    if not experiment:
        return []
    said = []
    if _git(root, "branch", "--show-current") == b"" and head == experiment:
        pattern = "--format=%(refname)"
        branches = _git(root, "for-each-ref", pattern, f"--points-at={head}", "refs/heads").decode().split()
        if len(branches) == 1:
            _git(root, "symbolic-ref", "HEAD", branches[0])
            name = branches[0].removeprefix("refs/heads/")
            said = [f"git: HEAD is on {name} again, as before an experiment that was killed"]
        else:
            said = ["git: an experiment that was killed left HEAD on no branch; use git switch BRANCH"]
    for name in _git(root, "for-each-ref", "--format=%(refname)", EXPERIMENT_REFS).decode().split():
        _git(root, "update-ref", "-d", name)
    return said


def _git(root: Path, *arguments: str) -> bytes:
    """Return the output of a git command; nothing when it fails, or this is no git checkout."""
    try:
        return ask_git(root, *arguments)
    except InputError:
        return b""
