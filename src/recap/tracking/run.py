"""A stage's run: params, metrics, artifacts, tables, noted in a journal that the mirror takes to MLflow."""

import dataclasses
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from recap.tracking.flatten import flatten, flatten_numbers
from recap.tracking.journal import JournalWriter, QueueLock
from recap.tracking.place import describe_error, hide_password, queue_folder, read_trouble, repository_root


class Run:
    """Logs nothing: the run of a stage whose tracking is off."""

    def log_metrics(self, metrics: Mapping[str, Any], step: int | None = None) -> None:
        """Log numbers, at a step of a curve or once; nested groups become ``group.name``."""

    def log_artifact(self, path: Path) -> None:
        """Keep a copy of a file or a folder."""

    def log_table(self, columns: Mapping[str, Sequence[object]], name: str) -> None:
        """Keep a table that the UI compares side by side; ``name`` ends in .json."""


class JournalRun(Run):
    """Notes what is logged; a disk that fails costs a warning and no work."""

    def __init__(self, journal: JournalWriter, environment: Mapping[str, str]) -> None:
        self._journal = journal
        self._environment = environment
        self._failed = False

    def log_metrics(self, metrics: Mapping[str, Any], step: int | None = None) -> None:
        numbers = flatten_numbers(metrics)
        if numbers:
            self._attempt(lambda: self._journal.write(metrics=numbers, step=step))

    def log_artifact(self, path: Path) -> None:
        self._attempt(lambda: self._journal.add_artifact(path))

    def log_table(self, columns: Mapping[str, Sequence[object]], name: str) -> None:
        table = {column: list(values) for column, values in columns.items()}
        self._attempt(lambda: self._journal.write(table=table, name=name))

    def close(self, status: str, reason: str = "") -> None:
        """Note how the stage ended."""
        self._attempt(lambda: self._journal.close(status, reason))

    def _attempt(self, note: Callable[[], object]) -> None:
        try:
            note()
        except OSError as error:
            if not self._failed:
                warn(describe_error(error, self._environment))
            self._failed = True  # a disk that is full for a moment takes the rest


@contextmanager
def open_run(stage: str, groups: Sequence[object], environment: Mapping[str, str]) -> Iterator[Run]:
    """Open the run of a stage as a child of its pipeline's run.

    Args:
        stage: "fetch", "train/lstm", ...
        groups: frozen dataclasses whose values are logged as params.
        environment: the process's variables; ``RECAP_TRACKING=off`` yields a run that logs nothing, and so
            does torchrun's ``RANK`` in all processes but the first.
    """
    if environment.get("RECAP_TRACKING") == "off" or environment.get("RANK", "0") != "0":
        yield Run()
        return
    queue = queue_folder(environment)
    try:
        journal = JournalWriter(queue, stage, _params(groups), environment)
        start_mirror(queue, environment)
    except OSError as error:  # whatever the disk does, the stage's work goes on
        warn(describe_error(error, environment))
        yield Run()
        return
    run = JournalRun(journal, environment)
    try:
        yield run
    except BaseException as error:
        interrupted = isinstance(error, KeyboardInterrupt | SystemExit)
        reason = " ".join(f"{type(error).__name__}: {error}".split())
        run.close("KILLED" if interrupted else "FAILED", hide_password(reason, environment))
        raise
    run.close("FINISHED")
    trouble = read_trouble(queue)
    if trouble:
        warn(hide_password(trouble, environment))


def start_mirror(queue: Path, environment: Mapping[str, str]) -> "subprocess.Popen[bytes] | None":
    """Start the process that takes journals to MLflow, unless it runs already.

    It is one for a whole pipeline, so that no stage pays for importing MLflow or waits for a store, and ends
    soon after the pipeline.
    """
    lock = QueueLock(queue)
    if not lock.acquire():
        return None
    lock.release()
    with open(queue / "mirror.log", "wb") as log:
        return subprocess.Popen(
            [sys.executable, "-m", "recap.tracking.mirror"],
            cwd=repository_root(environment),  # an experiment's own folder vanishes
            env=dict(environment),
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            start_new_session=True,  # Ctrl-C on the pipeline is not meant for it
        )


def _params(groups: Sequence[object]) -> dict[str, Any]:
    values: dict[str, Any] = {}
    for group in groups:
        name = type(group).__name__.removesuffix("Config").lower()
        values |= flatten({name: dataclasses.asdict(group)})  # type: ignore[call-overload]
    return values


def warn(reason: str) -> None:
    """Say on stderr that MLflow did not take something; the stage goes on."""
    print(f"warning: MLflow: {reason[:300]}; the stage goes on, `recap sync` fills in later", file=sys.stderr)
