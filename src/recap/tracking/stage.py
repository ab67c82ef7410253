"""The frame of every stage script: its exit code, and its run in MLflow."""

import dataclasses
import os
import resource
import signal
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import Any

from recap.core.environment import is_on, whole_number
from recap.errors import exit_code
from recap.tracking.live import RECORDS, live_curves
from recap.tracking.store import hide_password, warn
from recap.workspace.definition import flatten, flatten_numbers
from recap.workspace.journal import Journal, JournalWriter
from recap.workspace.root import repository_root


def execute(main: Callable[[], None]) -> None:
    """Run a stage's ``main``, and leave with its exit code when it fails; SIGTERM ends it as Ctrl-C does."""
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
    signal.signal(signal.SIGTERM, lambda number, frame: sys.exit(128 + number))
    if code := exit_code(main):
        sys.exit(code)


class Run:
    """The run of a stage, which logs metrics; artifacts are taken from the stage's outputs."""

    def __init__(self, journal: JournalWriter | None, environment: Mapping[str, str]) -> None:
        """Open a run; without a journal it logs nothing."""
        self._journal, self._environment, self._failed = journal, environment, False

    def log_metrics(self, metrics: Mapping[str, Any], step: int | None = None) -> None:
        """Log numbers, at a step of a curve or once; nested groups become ``group.name``."""
        if numbers := flatten_numbers(metrics):
            self._write(metrics=numbers, step=step)

    def close(self, status: str, reason: str = "") -> None:
        """Note how the stage ended."""
        self._write(end=status, reason=hide_password(reason, self._environment))

    def _write(self, **event: Any) -> None:
        try:
            if self._journal is not None:
                self._journal.write(**event)
        except (OSError, ValueError) as error:  # a full disk, or a run that is over
            if not self._failed:
                warn(error, self._environment)
            self._failed = True  # later events are tried too: a disk may be full for a moment


@contextmanager
def start(stage: str, *groups: object) -> Iterator[Run]:
    """Open the run of a stage, such as "train/lstm", as a child of its pipeline's run.

    ``RECAP_TRACKING=off`` gives one that logs nothing, as torchrun's ``RANK`` does in all processes but the
    first; InputError where one of them holds something else. The groups are config objects, the stage's
    settings; one whose class does not have the name of its group in params.yaml is given as {name: object}.
    """
    environment, journal = os.environ, None
    is_first = whole_number(environment, "RANK", 0, 2**20, 0) == 0
    try:
        if is_on(environment, "RECAP_TRACKING") and is_first:
            journal = JournalWriter(repository_root(environment), stage, _settings(groups), environment)
    except OSError as error:  # the stage works without a journal
        warn(error, environment)
    run = Run(journal, environment)
    live: AbstractContextManager[None] = nullcontext()
    if journal is not None and is_on(environment, RECORDS):
        path = journal.path
        live = live_curves(environment, lambda: [Journal(path)])
    try:
        with live:
            yield run
    except BaseException as error:
        interrupted = isinstance(error, KeyboardInterrupt | SystemExit)
        reason = " ".join(f"{type(error).__name__}: {error}".split())
        run.close("KILLED" if interrupted else "FAILED", reason)
        raise
    else:
        most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        peak = most / (2**20 if sys.platform == "darwin" else 2**10)
        run.log_metrics({"system/cpu_seconds": time.process_time(), "system/peak_mebibytes": peak})
        run.close("FINISHED")


def _settings(groups: Sequence[object]) -> dict[str, Any]:
    values: dict[str, Any] = {}
    for group in groups:
        by_class = {type(group).__name__.removesuffix("Config").lower(): group}
        for name, settings in (group if isinstance(group, Mapping) else by_class).items():
            values |= flatten({name: dataclasses.asdict(settings)})  # type: ignore[arg-type]
    return values
