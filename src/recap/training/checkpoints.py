"""Checkpoints: what a killed run needs to go on, and to end with the same bytes as one never killed.

A file is a SHA-256 digest followed by safetensors; the values that are no tensors travel in one as JSON.
"""

import hashlib
import json
import sys
import time
from pathlib import Path
from types import TracebackType

import numpy as np
import torch
from filelock import FileLock, Timeout
from safetensors.torch import load, save

from recap.artifacts import write_bytes
from recap.errors import InputError
from recap.training.state import TrainingState

SECONDS_BETWEEN = 30.0
KEPT = 2  # the last and, should it be corrupt, the one before
VALUES = "values"
SUFFIX = ".checkpoint"


class Checkpoints:
    """The checkpoints of one training run; as a context manager it keeps a second trainer out.

    Raises:
        InputError: on entering, when another process holds them.
    """

    def __init__(self, directory: Path, seconds_between: float = SECONDS_BETWEEN) -> None:
        self.directory = directory
        self.seconds_between = seconds_between
        self._saved = time.monotonic()
        self._lock = FileLock(directory.with_name(f"{directory.name}.lock"))

    def __enter__(self) -> "Checkpoints":
        self.directory.mkdir(parents=True, exist_ok=True)
        try:
            self._lock.acquire(timeout=0)
        except Timeout:
            raise InputError(
                "train: expected to be the only process that trains this decoder with these params, "
                "received a lock that another one holds"
            ) from None
        for leftover in self.directory.glob(".*.tmp"):
            leftover.unlink()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._lock.release()

    def resume(self, state: TrainingState) -> None:
        """Bring the state to the newest checkpoint that is whole; say so, and say which ones are not."""
        for path in reversed(self._files()):
            content = path.read_bytes()
            digest, payload = content[:32], content[32:]
            if hashlib.sha256(payload).digest() != digest:
                print(f"checkpoint of step {int(path.stem)}: corrupt, not used", file=sys.stderr)
                continue
            tensors = load(payload)
            values = json.loads(tensors.pop(VALUES).numpy().tobytes())
            state.unpack(tensors, values)
            print(f"resumed after step {state.steps_done()}", file=sys.stderr)
            return

    def save_now_and_then(self, state: TrainingState) -> None:
        """Save when the last time is long enough ago."""
        if time.monotonic() - self._saved >= self.seconds_between:
            self.save(state)

    def save(self, state: TrainingState) -> None:
        """Write the state to disk and drop all but the last two."""
        tensors, values = state.pack()
        text = json.dumps(values).encode()
        tensors = {name: value.detach().cpu().contiguous() for name, value in tensors.items()}
        tensors[VALUES] = torch.from_numpy(np.frombuffer(text, dtype=np.uint8).copy())
        payload = save(tensors)
        path = self.directory / f"{state.steps_done():09d}{SUFFIX}"
        write_bytes(path, hashlib.sha256(payload).digest() + payload)
        for old in self._files()[:-KEPT]:
            old.unlink()
        self._saved = time.monotonic()

    def clear(self) -> None:
        """Remove them: the run is finished."""
        for path in self._files():
            path.unlink()
        self.directory.rmdir()

    def _files(self) -> list[Path]:
        return sorted(self.directory.glob(f"*{SUFFIX}"))
