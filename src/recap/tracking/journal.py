"""What a stage notes on disk while it runs: cheap, without MLflow, and safe against a kill.

A journal is a folder ``<queue>/<time>-<random>/``::

    start.json        the stage, its process, params, git state, the MD5 of the code
    events.jsonl      metrics, artifacts, tables and the end, a line each; locked while the stage lives
    dvc.yaml, params.yaml, dvc.lock   as they were at the start
    artifacts/        copies of what was logged

The mirror (``recap.tracking.mirror``) delivers journals to MLflow and removes them.
"""

import errno
import fcntl
import hashlib
import json
import os
import platform
import secrets
import shutil
import subprocess
import time
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, BinaryIO

PIPELINE_FILES = ("dvc.yaml", "params.yaml", "dvc.lock")
SOURCE_FOLDERS = ("src", "stages")
SOURCE_FILES = ("requirements.lock",)
WRITTEN_BY_RUNS = ("dvc.lock", "reports")  # tracked by git, and changed by the pipeline itself


@dataclass(frozen=True)
class Start:
    """What is known when a stage starts."""

    stage: str
    params: dict[str, Any]
    experiment: str
    workspace: str
    host: str
    process: int
    parent_process: int
    moment: int  # milliseconds since 1970
    commit: str
    dirty: str
    sources: dict[str, str]  # path -> MD5 of the code's files


def source_digests(workspace: Path) -> dict[str, str]:
    """MD5 of every file that may be code of a stage: path relative to the workspace -> digest."""
    paths = [workspace / name for name in SOURCE_FILES]
    for folder in SOURCE_FOLDERS:
        paths += [path for path in sorted((workspace / folder).rglob("*")) if "__pycache__" not in path.parts]
    return {
        path.relative_to(workspace).as_posix(): hashlib.md5(path.read_bytes()).hexdigest()
        for path in paths
        if path.is_file()
    }


def git_state(workspace: Path) -> tuple[str, str]:
    """The commit, and "true" or "false": do tracked files differ from it, the pipeline's own outputs apart.

    Both are empty outside a git checkout.
    """
    command = ["git", "-C", str(workspace), "status", "--porcelain=v2", "--branch", "--untracked-files=no"]
    command += ["--", ".", *(f":(exclude){path}" for path in WRITTEN_BY_RUNS)]
    try:
        lines = subprocess.run(command, capture_output=True, text=True, check=True).stdout.splitlines()
    except (OSError, subprocess.CalledProcessError):
        return "", ""
    commit = next((line.split()[-1] for line in lines if line.startswith("# branch.oid ")), "")
    return commit, str(any(not line.startswith("#") for line in lines)).lower()


class JournalWriter:
    """Writes the journal of a running stage."""

    def __init__(
        self, queue: Path, stage: str, params: dict[str, Any], environment: Mapping[str, str]
    ) -> None:
        """Publish a new journal in ``queue``, which holds a lock until the process ends.

        Raises:
            OSError: the queue cannot be written (full disk, no permission).
        """
        workspace = Path.cwd()
        commit, dirty = git_state(workspace)
        start = Start(
            stage=stage,
            params=params,
            experiment=environment.get("DVC_EXP_NAME", ""),
            workspace=str(workspace),
            host=platform.node(),
            process=os.getpid(),
            parent_process=os.getppid(),
            moment=milliseconds(),
            commit=commit,
            dirty=dirty,
            sources=source_digests(workspace),
        )
        identifier = f"{time.time_ns():020d}-{secrets.token_hex(4)}"
        draft = queue / f".{identifier}"
        draft.mkdir(parents=True)
        try:
            for name in PIPELINE_FILES:
                if (workspace / name).is_file():
                    shutil.copyfile(workspace / name, draft / name)
            (draft / "start.json").write_text(json.dumps(asdict(start)), encoding="utf-8")
            self._events = open(draft / "events.jsonl", "ab", buffering=0)  # noqa: SIM115
            fcntl.flock(self._events, fcntl.LOCK_EX)
            self.folder = queue / identifier
            draft.rename(self.folder)  # whole or not at all: readers never see half a start
        except OSError:
            shutil.rmtree(draft, ignore_errors=True)
            raise
        self._artifacts = 0
        self._cut = False  # whether the last line may be half a line

    def write(self, **event: Any) -> None:
        """Append an event; one write to the file, so that a kill leaves whole lines.

        Raises:
            OSError: the disk took nothing, or a part; the next event begins a new line.
        """
        line = json.dumps(event | {"moment": milliseconds()}).encode() + b"\n"
        start = b"\n" if self._cut else b""
        self._cut = True
        if self._events.write(start + line) != len(start + line):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(self.folder))
        self._cut = False

    def add_artifact(self, path: Path) -> None:
        """Copy a file or a folder, and note it."""
        self._artifacts += 1
        target = self.folder / "artifacts" / str(self._artifacts) / path.name
        target.parent.mkdir(parents=True)
        if path.is_dir():
            shutil.copytree(path, target)
        else:
            shutil.copyfile(path, target)
        self.write(artifact=target.relative_to(self.folder).as_posix())

    def close(self, status: str, reason: str) -> None:
        """Note how the stage ended and let go of the lock."""
        self.write(end=status, reason=reason)
        self._events.close()


class Journal:
    """A journal as the mirror reads it, with what is already delivered of it."""

    def __init__(self, folder: Path) -> None:
        """Open a published journal.

        Raises:
            OSError, ValueError: the folder is no journal.
        """
        self.folder = folder
        self.start = Start(**json.loads((folder / "start.json").read_text(encoding="utf-8")))
        self.delivered: dict[str, Any] = {}
        state = folder / "delivered.json"
        if state.is_file():
            self.delivered = json.loads(state.read_text(encoding="utf-8"))

    @property
    def identifier(self) -> str:
        return self.folder.name

    def remember(self, **values: Any) -> None:
        """Note on disk what the store has, so that another mirror goes on from there."""
        self.delivered |= values
        draft = self.folder / "delivered.json.tmp"
        draft.write_text(json.dumps(self.delivered), encoding="utf-8")
        draft.replace(self.folder / "delivered.json")

    def is_alive(self) -> bool:
        """Whether the stage's process still holds the lock."""
        with open(self.folder / "events.jsonl", "rb") as file:
            return not _try_lock(file)

    def new_events(self) -> tuple[list[dict[str, Any]], int]:
        """The events after those delivered, and the position in the file behind them.

        A line that a full disk cut in half is passed over.
        """
        position = int(self.delivered.get("position", 0))
        with open(self.folder / "events.jsonl", "rb") as file:
            file.seek(position)
            content = file.read()
        whole = content[: content.rfind(b"\n") + 1]
        return list(_events(whole)), position + len(whole)

    def remove(self) -> None:
        """Delete the journal, at once for whoever lists the queue."""
        grave = self.folder.with_name(f".{self.folder.name}.done")
        self.folder.rename(grave)
        shutil.rmtree(grave, ignore_errors=True)


def _events(content: bytes) -> Iterator[dict[str, Any]]:
    for line in content.split(b"\n"):
        try:
            event = json.loads(line)
        except ValueError:
            continue
        if isinstance(event, dict):
            yield event


def journals(queue: Path) -> list[Journal]:
    """The journals of a queue, the oldest first."""
    return list(_readable(queue))


def _readable(queue: Path) -> Iterator[Journal]:
    if not queue.is_dir():
        return
    for folder in sorted(queue.iterdir()):
        if folder.is_dir() and not folder.name.startswith("."):
            try:
                yield Journal(folder)
            except (OSError, ValueError, TypeError):
                continue  # removed meanwhile, or of another version


class QueueLock:
    """Held by the one process that delivers a queue's journals."""

    def __init__(self, queue: Path) -> None:
        self._path = queue / "lock"
        self._file: BinaryIO | None = None

    def acquire(self, seconds: float = 0.0) -> bool:
        """Take the lock, waiting at most so long; whether it was had."""
        self._path.parent.mkdir(parents=True, exist_ok=True)
        file = open(self._path, "ab")  # noqa: SIM115
        until = time.monotonic() + seconds
        while not _try_lock(file, exclusive=True):
            if time.monotonic() >= until:
                file.close()
                return False
            time.sleep(0.05)
        self._file = file
        return True

    def release(self) -> None:
        if self._file is not None:
            self._file.close()
            self._file = None


def _try_lock(file: BinaryIO, *, exclusive: bool = False) -> bool:
    try:
        fcntl.flock(file, (fcntl.LOCK_EX if exclusive else fcntl.LOCK_SH) | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def milliseconds() -> int:
    """MLflow's moments: milliseconds since 1970."""
    return int(time.time() * 1000)
