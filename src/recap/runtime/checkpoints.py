"""Checkpoints: a killed run that goes on from one ends with the same bytes as a run never killed.

A file is a SHA-256 digest followed by safetensors; the values that are no tensors travel in one as JSON.
"""

import hashlib
import json
import signal
import sys
import time
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import torch
from safetensors.torch import load, save
from torch import Tensor

from recap.core.artifacts import write_bytes
from recap.runtime.interruption import NotedSignal, note_signals
from recap.runtime.workers import ALONE, Worker
from recap.runtime.writer import only_writer

SECONDS_BETWEEN = 60.0  # a large decoder's checkpoint takes most of a second
KEPT = 2  # the last one and, in case it is corrupt, the one before
VALUES = "values"
SUFFIX = ".checkpoint"


class Resumable(Protocol):
    """The state of long work between two steps."""

    def steps_done(self) -> int:
        """Return how many steps are done."""

    def pack(self) -> tuple[dict[str, Tensor], dict[str, Any]]:
        """Return everything as named tensors and JSON values."""

    def unpack(self, tensors: dict[str, Tensor], values: dict[str, Any]) -> None:
        """Continue from what ``pack`` returned."""


class Checkpoints:
    """The checkpoints of one training run; as a context manager they keep a second trainer out.

    Of several workers the first one reads and writes. Within the context, Ctrl-C and SIGTERM wait for
    ``save_now_and_then``. On entering, another process that holds them raises InputError.
    """

    def __init__(
        self, directory: Path, seconds_between: float = SECONDS_BETWEEN, worker: Worker = ALONE
    ) -> None:
        self.directory = directory
        self.seconds_between = seconds_between
        self.worker = worker
        self._saved = time.monotonic()
        self._signal = NotedSignal()
        self._opened = ExitStack()

    def __enter__(self) -> "Checkpoints":
        with ExitStack() as stack:
            if self.worker.rank == 0:
                stack.enter_context(only_writer(self.directory.name, folder=self.directory.parent))
            self._signal = stack.enter_context(note_signals())
            if self.worker.rank == 0:
                self.directory.mkdir(parents=True, exist_ok=True)
                for leftover in self.directory.glob(".*.tmp"):
                    leftover.unlink()
            self._opened = stack.pop_all()
        return self

    def __exit__(self, *error: Any) -> None:
        self._opened.__exit__(*error)

    def interrupted(self) -> bool:
        """Return whether a signal asks for the end; several workers agree on it in ``save_now_and_then``."""
        return self.worker.ranks == 1 and self._signal.number != 0

    def resume(self, state: Resumable) -> None:
        """Set the state to the newest checkpoint that is whole; print its step, and which ones are broken."""
        payload = self.worker.broadcast(self._newest() if self.worker.rank == 0 else b"")
        if payload:
            tensors = load(payload)
            values = json.loads(tensors.pop(VALUES).numpy().tobytes())
            state.unpack(tensors, values)
            if self.worker.rank == 0:
                print(f"resumed after step {state.steps_done()}", file=sys.stderr, flush=True)

    def save_now_and_then(self, state: Resumable) -> None:
        """Save when the last time is long enough ago, or a signal asks for the end.

        Raises:
            SystemExit: with 128 + the number of a signal, which came; the checkpoint is written.
        """
        number = self.worker.largest(self._signal.number)
        if number:
            if self.worker.rank == 0:
                self.save(state)
                after = f"{signal.Signals(number).name} after step {state.steps_done()}"
                print(f"{after}: checkpoint written, run again to go on", file=sys.stderr, flush=True)
            self.worker.wait()
            sys.exit(128 + number)
        if self.worker.rank == 0 and time.monotonic() - self._saved >= self.seconds_between:
            self.save(state)

    def save(self, state: Resumable) -> None:
        """Write the state to disk and drop all but the last two."""
        tensors, values = state.pack()
        text = json.dumps(values).encode()
        # copies, because safetensors refuses tensors that share memory
        tensors = {
            name: value.detach().cpu().clone(memory_format=torch.contiguous_format)
            for name, value in tensors.items()
        }
        tensors[VALUES] = torch.from_numpy(np.frombuffer(text, dtype=np.uint8).copy())
        payload = save(tensors)
        path = self.directory / f"{state.steps_done():09d}{SUFFIX}"
        write_bytes(path, hashlib.sha256(payload).digest() + payload)
        for old in self._files()[:-KEPT]:
            old.unlink()
        self._saved = time.monotonic()

    def clear(self) -> None:
        """Remove all checkpoints: the run is finished."""
        if self.worker.rank:
            return
        for path in self._files():
            path.unlink(missing_ok=True)
        with suppress(OSError):  # a folder with other files stays
            self.directory.rmdir()

    def _newest(self) -> bytes:
        """Return the newest checkpoint that is whole; empty when there is none."""
        for path in reversed(self._files()):
            try:
                content = path.read_bytes()
            except OSError as error:
                print(f"checkpoint of step {int(path.stem)}: {error.strerror}, not used", file=sys.stderr)
                continue
            digest, payload = content[:32], content[32:]
            if hashlib.sha256(payload).digest() == digest:
                return payload
            print(f"checkpoint of step {int(path.stem)}: corrupt, not used", file=sys.stderr)
        return b""

    def _files(self) -> list[Path]:
        return sorted(self.directory.glob(f"{'[0-9]' * 9}{SUFFIX}"))


def pack_moments(optimizer: torch.optim.Optimizer) -> dict[str, Tensor]:
    """Return an optimizer's moments of each parameter, as ``optimizer/NUMBER/NAME``."""
    return {
        f"optimizer/{number}/{name}": value
        for number, moments in optimizer.state_dict()["state"].items()
        for name, value in moments.items()
    }


def unpack_moments(optimizer: torch.optim.Optimizer, tensors: dict[str, Tensor]) -> None:
    """Set the moments of an optimizer to those of ``pack_moments``; other names are ignored."""
    parameters = [parameter for group in optimizer.param_groups for parameter in group["params"]]
    moments: dict[int, dict[str, Tensor]] = {}
    for path, value in tensors.items():
        group, _, rest = path.partition("/")
        if group == "optimizer":
            number, _, name = rest.partition("/")
            parameter = parameters[int(number)]
            if value.shape == parameter.shape:  # a fused step needs both in the same memory format
                value = torch.empty_like(parameter).copy_(value)
            moments.setdefault(int(number), {})[name] = value
    optimizer.load_state_dict(optimizer.state_dict() | {"state": moments})
