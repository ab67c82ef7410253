"""A stage's run in MLflow: params, metrics, artifacts, tables. Files are the truth; this mirrors them."""

import dataclasses
import logging
import os
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from recap.tracking.store import PARENT_TAG, STAGE_TAG, connect, find_or_create_parent

if TYPE_CHECKING:
    from mlflow.entities import Metric
    from mlflow.tracking import MlflowClient

SECONDS_BETWEEN_BATCHES = 1.0
METRICS_A_BATCH = 1000  # MLflow's limit for one log_batch
PARAMS_A_BATCH = 100


class Run:
    """Logs nothing: the run of a stage whose tracking is off."""

    def log_metrics(self, metrics: Mapping[str, Any], step: int | None = None) -> None:
        """Log numbers, at a step of a curve or once; nested groups become ``group.name``."""

    def log_artifact(self, path: Path) -> None:
        """Keep a copy of a file or a folder."""

    def log_table(self, columns: Mapping[str, Sequence[object]], name: str) -> None:
        """Keep a table that the UI compares side by side; ``name`` ends in .json."""


class MlflowRun(Run):
    """Logs to a child run in batches; a store that fails costs a warning and no work."""

    def __init__(self, client: "MlflowClient", run_id: str) -> None:
        self.summary: dict[str, float] = {}
        self.failed = False
        self._client = client
        self._run_id = run_id
        self._waiting: list[Metric] = []
        self._sent = time.monotonic()

    def log_metrics(self, metrics: Mapping[str, Any], step: int | None = None) -> None:
        from mlflow.entities import Metric

        numbers = flatten_numbers(metrics)
        if step is None:
            self.summary |= numbers
        moment = int(time.time() * 1000)
        self._waiting += [Metric(name, number, moment, step or 0) for name, number in numbers.items()]
        if time.monotonic() - self._sent >= SECONDS_BETWEEN_BATCHES:
            self.flush()

    def log_artifact(self, path: Path) -> None:
        if path.is_dir():
            self._attempt(lambda: self._client.log_artifacts(self._run_id, str(path), path.name))
        else:
            self._attempt(lambda: self._client.log_artifact(self._run_id, str(path)))

    def log_table(self, columns: Mapping[str, Sequence[object]], name: str) -> None:
        data = {column: list(values) for column, values in columns.items()}
        self._attempt(lambda: self._client.log_table(self._run_id, data, name))

    def flush(self) -> None:
        """Send the metrics that wait."""
        for first in range(0, len(self._waiting), METRICS_A_BATCH):
            batch = self._waiting[first : first + METRICS_A_BATCH]
            self._attempt(lambda batch=batch: self._client.log_batch(self._run_id, metrics=batch))  # type: ignore[misc]
        self._waiting.clear()
        self._sent = time.monotonic()

    def _attempt(self, log: Callable[[], object]) -> None:
        if self.failed:
            return
        try:
            log()
        except Exception as error:  # whatever the store does, the stage's work goes on
            self.failed = True
            warn(error)


@contextmanager
def open_run(stage: str, groups: Sequence[object], *, enabled: bool) -> Iterator[Run]:
    """Open the run of a stage as a child of its pipeline's run.

    Args:
        stage: "fetch", "train/lstm", ...
        groups: frozen dataclasses whose values are logged as params.
        enabled: False yields a run that logs nothing.
    """
    if not enabled:
        yield Run()
        return
    logging.getLogger("alembic").setLevel(logging.ERROR)
    try:
        client, experiment = connect(os.environ)
        parent = find_or_create_parent(client, experiment, os.environ, Path.cwd())
        client.update_run(parent, status="RUNNING")
        child = client.create_run(
            experiment, tags={PARENT_TAG: parent, STAGE_TAG: stage}, run_name=stage
        ).info.run_id
        _log_params(client, child, groups)
    except Exception as error:  # whatever the store does, the stage's work goes on
        warn(error)
        yield Run()
        return
    run = MlflowRun(client, child)
    try:
        yield run
    except BaseException as error:
        status = "KILLED" if isinstance(error, KeyboardInterrupt | SystemExit) else "FAILED"
        _finish(run, client, child, parent, stage, status)
        raise
    _finish(run, client, child, parent, stage, "FINISHED")


def _finish(run: MlflowRun, client: "MlflowClient", child: str, parent: str, stage: str, status: str) -> None:
    run.flush()
    if run.failed:
        return
    from mlflow.entities import Metric

    moment = int(time.time() * 1000)
    prefix = stage.partition("/")[2] if stage.startswith("evaluate/") else stage.replace("/", ".")
    headline = [Metric(f"{prefix}.{name}", number, moment, 0) for name, number in run.summary.items()]
    try:
        if status == "FINISHED" and headline:
            client.log_batch(parent, metrics=headline)
        for run_id in (child, parent):
            client.set_terminated(run_id, status=status)
    except Exception as error:
        warn(error)


def _log_params(client: "MlflowClient", run_id: str, groups: Sequence[object]) -> None:
    from mlflow.entities import Param

    values: dict[str, object] = {}
    for group in groups:
        name = type(group).__name__.removesuffix("Config").lower()
        values |= _flatten({name: dataclasses.asdict(group)})  # type: ignore[call-overload]
    params = [Param(name, str(value)) for name, value in values.items()]
    for first in range(0, len(params), PARAMS_A_BATCH):
        client.log_batch(run_id, params=params[first : first + PARAMS_A_BATCH])


def _flatten(values: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    flat: dict[str, Any] = {}
    for name, value in values.items():
        if isinstance(value, Mapping):
            flat |= _flatten(value, f"{prefix}{name}.")
        else:
            flat[f"{prefix}{name}"] = value
    return flat


def flatten_numbers(metrics: Mapping[str, Any]) -> dict[str, float]:
    """Numbers of nested groups as ``group.name``; what is no number is left out."""
    flat = _flatten(metrics)
    return {
        name: float(value)
        for name, value in flat.items()
        if isinstance(value, int | float) and not isinstance(value, bool)
    }


def warn(error: Exception) -> None:
    """Say on stderr that MLflow did not take something; the stage goes on."""
    reason = " ".join(str(error).split())[:300]
    print(f"warning: MLflow: {type(error).__name__}: {reason}; the stage goes on", file=sys.stderr)
