"""The MLflow store: its schema made once, the experiment, the pipelines' runs and their children."""

import json
import os
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from recap.tracking.place import repository_root, tracking_uri
from recap.tracking.views import experiment_tags

if TYPE_CHECKING:
    from mlflow.entities import Metric, Run

EXPERIMENT = "recap"
FINGERPRINT_TAG = "recap.pipeline"
EXPERIMENT_NAME_TAG = "recap.dvc_experiment"
STAGES_TAG = "recap.stages"
REVISION_TAG = "recap.dvc_revision"
COMPLETE_TAG = "recap.complete"
STAGE_TAG = "recap.stage"
KEY_TAG = "recap.key"
JOURNAL_TAG = "recap.journal"
PROCESS_TAG = "recap.process"
REASON_TAG = "recap.reason"
REUSED_TAG = "recap.reused"
ORIGINAL_TAG = "recap.original_run"
PARENT_TAG = "mlflow.parentRunId"
COMMIT_TAG = "mlflow.source.git.commit"
DIRTY_TAG = "recap.git_dirty"
NOTE_TAG = "mlflow.note.content"
MLFLOW_SETTINGS = {
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR": "false",
    "MLFLOW_LOGGING_LEVEL": "WARNING",
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "1",
    "MLFLOW_HTTP_REQUEST_TIMEOUT": "30",  # seconds; a slow store gets its time, nobody waits for the mirror
}
"""Defaults of MLflow's environment variables; what the user sets goes first."""
METRICS_A_BATCH = 1000  # MLflow's limits for one log_batch
PARAMS_A_BATCH = 100
PARAM_LENGTH = 6000
TAG_LENGTH = 5000
RUNS_A_PAGE = 1000


class Store:
    """A connection to the store and the experiment in it."""

    def __init__(self, environment: Mapping[str, str]) -> None:
        """Connect; the schema and the experiment exist afterwards.

        SQLite's first use races between processes, so it happens under a file lock.

        Raises:
            Exception: whatever MLflow, its database or its server raise.
        """
        import logging

        from filelock import FileLock

        for name, value in MLFLOW_SETTINGS.items():
            os.environ.setdefault(name, value)
        logging.getLogger("alembic").setLevel(logging.ERROR)
        from mlflow.tracking import MlflowClient

        self.environment = environment
        root = repository_root(environment)
        uri = tracking_uri(environment)
        (root / ".recap").mkdir(exist_ok=True)
        with FileLock(root / ".recap" / "store.lock"):
            _create_schema(uri)
            self.client: MlflowClient = MlflowClient(uri)
            experiment = self.client.get_experiment_by_name(EXPERIMENT)
            if experiment is not None:
                self.experiment = str(experiment.experiment_id)
                for name in experiment_tags().keys() - experiment.tags.keys():  # the user's own views stay
                    self.client.set_experiment_tag(self.experiment, name, experiment_tags()[name])
            else:
                location = (root / "mlartifacts").as_uri() if uri.startswith("sqlite:") else None
                self.experiment = self.client.create_experiment(EXPERIMENT, location, experiment_tags())

    def search(self, *conditions: str) -> "list[Run]":
        """The runs that meet all conditions, the latest start first."""
        found: list[Run] = []
        token = None
        while True:
            page = self.client.search_runs(
                [self.experiment],
                " AND ".join(conditions),
                max_results=RUNS_A_PAGE,
                order_by=["attributes.start_time DESC"],
                page_token=token,
            )
            found += page
            token = page.token
            if not token:
                return found

    def parents(self, fingerprint: str, experiment: str | None = None) -> "list[Run]":
        """The runs of a pipeline, the latest first; of one DVC experiment ("": of none) or of any (None)."""
        conditions = [equals(FINGERPRINT_TAG, fingerprint)]
        if experiment is not None:
            conditions.append(equals(EXPERIMENT_NAME_TAG, experiment))
        return self.search(*conditions)

    def children(self, parent: str) -> "list[Run]":
        """The runs of a pipeline's stages, the latest first."""
        return self.search(equals(PARENT_TAG, parent))

    def create_parent(
        self,
        fingerprint: str,
        experiment: str,
        stages: Sequence[str],
        params: Mapping[str, Any],
        tags: Mapping[str, str],
        moment: int,
    ) -> str:
        """Make the run of a pipeline that started then; returns its id."""
        labels = {
            FINGERPRINT_TAG: fingerprint,
            EXPERIMENT_NAME_TAG: experiment,
            STAGES_TAG: " ".join(stages)[:TAG_LENGTH],
            "mlflow.source.name": "dvc repro",
            "mlflow.source.type": "PROJECT",
            **tags,
        }
        name = experiment or f"pipeline {fingerprint[:8]}"
        run = self.client.create_run(self.experiment, start_time=moment, tags=labels, run_name=name)
        self.log_params(run.info.run_id, params)
        return str(run.info.run_id)

    def log_params(self, run: str, params: Mapping[str, Any]) -> None:
        """Log params, in batches."""
        from mlflow.entities import Param

        entries = [Param(name, str(value)[:PARAM_LENGTH]) for name, value in params.items()]
        for first in range(0, len(entries), PARAMS_A_BATCH):
            self.client.log_batch(run, params=entries[first : first + PARAMS_A_BATCH])

    def log_metrics(self, run: str, metrics: "Sequence[Metric]") -> None:
        """Log metrics, in batches; those that the store has already are left as they are."""
        for first in range(0, len(metrics), METRICS_A_BATCH):
            self.client.log_batch(run, metrics=metrics[first : first + METRICS_A_BATCH])

    def log_numbers(self, run: str, numbers: Mapping[str, float], moment: int) -> None:
        """Log single numbers."""
        from mlflow.entities import Metric

        self.log_metrics(run, [Metric(name, number, moment, 0) for name, number in numbers.items()])

    def log_inputs(self, run: str, digests: Mapping[str, str]) -> None:
        """Log data sets, path -> MD5 in dvc.lock."""
        from mlflow.entities import Dataset, DatasetInput, InputTag

        inputs = [
            DatasetInput(
                Dataset(
                    name=path, digest=md5, source_type="dvc", source=json.dumps({"path": path, "md5": md5})
                ),
                [InputTag("mlflow.data.context", "input")],
            )
            for path, md5 in digests.items()
        ]
        if inputs:
            self.client.log_inputs(run, inputs)


def _create_schema(uri: str) -> None:
    """Make a new SQLite store beside its place: migrations that are cut short cannot be taken up again."""
    from mlflow.tracking import MlflowClient

    path = Path(uri.removeprefix("sqlite:///"))
    if not uri.startswith("sqlite:///") or path.exists():
        return
    with tempfile.TemporaryDirectory(dir=path.parent, prefix=f".{path.name}.") as folder:
        draft = Path(folder, "schema.db")
        MlflowClient(f"sqlite:///{draft}").search_experiments()
        draft.replace(path)


def equals(tag: str, value: str) -> str:
    """A search condition on a tag; MLflow's language has quotes of two kinds and no way to escape one."""
    if "'" not in value:
        return f"tags.`{tag}` = '{value}'"
    if '"' not in value:
        return f'tags.`{tag}` = "{value}"'
    any_character = value.replace("'", "_")
    return f"tags.`{tag}` LIKE '{any_character}'"
