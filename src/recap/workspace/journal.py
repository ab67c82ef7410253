"""The journal of a running stage: JSON lines in a file; cheap, without MLflow, and safe when it is killed.

The first line describes the start, the others metrics and the end::

    {"stage": "train/lstm", "process": "box, process 71", "moment": 1732640000000, ...}
    {"metrics": {"loss": 2.5}, "step": 20, "moment": 1732640001000}
    {"end": "FINISHED", "reason": "", "moment": 1732640060000}

A lock on the file shows that the stage is alive; the kernel releases it however the process ends.
`recap.tracking.importer` brings journals to MLflow and removes them.
"""

import errno
import fcntl
import json
import os
import platform
import secrets
import time
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from recap.workspace.git import git_state
from recap.workspace.pipeline import Definition, find_in, read_definition


@dataclass(frozen=True)
class Start(Definition):
    """The facts about a stage that are known at its start."""

    stage: str
    settings: dict[str, Any]  # what the stage was given
    experiment: str  # DVC's name of it, or ""
    by_dvc: bool
    workspace: str
    process: str  # "HOST, process NUMBER"
    moment: int  # milliseconds since 1970
    commit: str
    dirty: str
    lock: str  # dvc.lock; it names what earlier stages made


FOLDER = Path(".recap", "runs")  # below a checkout's root
JOBS, CLONES = Path(".recap", "jobs"), Path(".recap", "clones")
"""Folders of a cluster's jobs (cluster/experiment.sbatch): lock and journals of each, and where it runs."""
Point = tuple[str, float, int, int]
"""Of a curve: name, value, moment in milliseconds since 1970, step."""


class JournalWriter:
    """Writes the journal of this process's stage."""

    def __init__(
        self, root: Path, stage: str, settings: dict[str, Any], environment: Mapping[str, str]
    ) -> None:
        """Publish a journal that holds a lock until the process ends; OSError where the disk refuses."""
        workspace = Path.cwd()
        commit, dirty, _ = git_state(workspace)
        find = find_in(workspace)
        self.start = Start(
            stage=stage,
            settings=settings,
            experiment=environment.get("DVC_EXP_NAME", ""),
            by_dvc="DVC_STAGE" in environment,
            workspace=str(workspace),
            process=f"{platform.node()}, process {os.getpid()}",
            moment=milliseconds(),
            commit=commit,
            dirty=dirty,
            lock=find("dvc.lock").get("dvc.lock", b"").decode(errors="replace"),
            **asdict(read_definition(find)),
        )
        folder = root / FOLDER
        folder.mkdir(parents=True, exist_ok=True)
        self.path = folder / f"{time.time_ns():020d}-{secrets.token_hex(4)}.jsonl"
        self._file = open(self.path, "xb", buffering=0)  # noqa: SIM115  it is locked as long as the process lives
        try:
            fcntl.flock(self._file, fcntl.LOCK_EX)
            self._append(json.dumps(asdict(self.start)).encode() + b"\n")
        except OSError:
            self.path.unlink()
            self._file.close()
            raise

    def write(self, **event: Any) -> None:
        """Append an event by one write, so that a kill leaves whole lines; after an ``end`` release the lock.

        Raises OSError where the disk took nothing, or a part.
        """
        line = json.dumps({"moment": milliseconds(), **event}).encode()
        try:
            self._append(b"\n" + line + b"\n")  # the disk may have cut the line before
        finally:
            if "end" in event:
                self._file.close()

    def _append(self, line: bytes) -> None:
        if self._file.write(line) != len(line):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(self.path))


class Journal:
    """A journal, read by other processes."""

    def __init__(self, path: Path) -> None:
        """Open a published journal; OSError, ValueError or TypeError where the file is none."""
        self.path, self.identifier = path, path.stem
        with open(path, "rb") as file:
            self.start = Start(**json.loads(file.readline()))

    def is_alive(self) -> bool:
        """Return whether the stage's process still holds the lock."""
        with open(self.path, "rb") as file, suppress(BlockingIOError):
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
            return False
        return True

    def events(self) -> Iterator[dict[str, Any]]:
        """Yield the events so far; a line that a full disk cut is skipped."""
        for line in self.path.read_bytes().split(b"\n")[1:-1]:
            with suppress(ValueError):
                if isinstance(event := json.loads(line), dict):
                    yield event


def journals(root: Path, folder: Path = FOLDER) -> list[Journal]:
    """Read the journals of a checkout, or of a job in it, the oldest first."""
    found = []
    for path in sorted((root / folder).glob("[0-9]*.jsonl")):
        with suppress(OSError, ValueError, TypeError):  # removed meanwhile, or of another version
            found.append(Journal(path))
    return found


def ended_jobs(root: Path) -> Iterator[tuple[str, Path, Path]]:
    """Yield the jobs that left something in a checkout and do not run; none starts meanwhile.

    Of each its name, the folder of its journals, below the root, and its clone.
    """
    for path in sorted((root / JOBS).glob("*/lock")):
        # it runs, has another owner, or has just ended well
        with suppress(OSError), open(path, "r+b") as file:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            name = path.parent.name
            yield name, JOBS / name / "runs", root / CLONES / name


def curve_points(events: Iterable[Mapping[str, Any]]) -> Iterator[Point]:
    """Yield the points of curves among events."""
    for event in events:
        if event.get("step") is not None:
            for name, value in event["metrics"].items():
                yield name, value, event["moment"], event["step"]


def milliseconds() -> int:
    """Return the time as MLflow counts it: milliseconds since 1970."""
    return int(time.time() * 1000)
