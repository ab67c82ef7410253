"""Takes one journal to the store, a piece at a time; whoever is interrupted is followed by another."""

import json
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from recap.tracking.flatten import flatten
from recap.tracking.headline import headline_metrics, headline_params
from recap.tracking.journal import PIPELINE_FILES, Journal, Start
from recap.tracking.machine import machine_tags
from recap.tracking.models import log_model
from recap.tracking.pipeline import Pipeline
from recap.tracking.store import (
    COMMIT_TAG,
    DIRTY_TAG,
    EXPERIMENT_NAME_TAG,
    JOURNAL_TAG,
    KEY_TAG,
    NOTE_TAG,
    PARENT_TAG,
    PROCESS_TAG,
    REASON_TAG,
    REUSED_TAG,
    STAGE_TAG,
    TAG_LENGTH,
    Store,
    equals,
)
from recap.tracking.trees import Cache, FolderTree
from recap.workspace.definition import Stage

KILLED = "the process ended without a word: killed, or the machine went down"


@dataclass(frozen=True)
class Description:
    """What the pipeline's files say about a starting stage."""

    fingerprint: str
    stages: tuple[str, ...]
    all_params: dict[str, Any]
    params: dict[str, Any]
    key: str
    inputs: dict[str, str]


class _JournalTree:
    """The pipeline's files as they were at the start; other files from the workspace."""

    def __init__(self, journal: Journal) -> None:
        self._start = FolderTree(journal.folder)
        self._workspace = FolderTree(Path(journal.start.workspace))

    def read(self, path: str) -> bytes | None:
        return self._start.read(path) if path in PIPELINE_FILES else self._workspace.read(path)


def describe(journal: Journal, cache: Cache) -> Description:
    """Read what a journal kept of the pipeline's files."""
    start = journal.start
    try:
        pipeline = Pipeline(_JournalTree(journal), cache, start.sources)
    except ValueError:  # a stage that runs outside a pipeline
        return Description("", (), {}, start.params, "", {})
    stage = pipeline.stages.get(start.stage.replace("/", "@"))
    titles = tuple(stage.title for stage in pipeline.stages.values())
    if stage is None:
        return Description(pipeline.fingerprint, titles, pipeline.params, start.params, "", {})
    return Description(
        pipeline.fingerprint,
        titles,
        pipeline.params,
        stage_params(pipeline, stage),
        pipeline.key(stage),
        pipeline.inputs(stage),
    )


def stage_params(pipeline: Pipeline, stage: Stage) -> dict[str, Any]:
    """The params that a child carries: its own, and the pipeline's headline."""
    return headline_params(pipeline.params) | flatten(pipeline.stage_params(stage))


class Delivery:
    """One journal on its way."""

    def __init__(self, store: Store, journal: Journal, cache: Cache) -> None:
        self._store = store
        self._journal = journal
        self._cache = cache

    @property
    def start(self) -> Start:
        return self._journal.start

    def advance(self) -> bool:
        """Deliver what is new.

        Returns:
            Whether all of the journal is delivered; it is removed then.

        Raises:
            Exception: whatever the store raises; calling again goes on from the last success.
        """
        is_alive = self._journal.is_alive()  # asked first: what a dead process wrote is all there
        if not self._journal.delivered.get("described"):
            self._open()
        events, position = self._journal.new_events()
        summary: dict[str, float] = dict(self._journal.delivered.get("summary", {}))
        curves: set[str] = set(self._journal.delivered.get("curves", ()))
        end = self._send(events, summary, curves)
        if end is None and not is_alive:
            moment = events[-1]["moment"] if events else self.start.moment
            end = {"end": "FAILED", "reason": KILLED, "moment": moment}
        if end is None:
            if events:
                self._journal.remember(position=position, summary=summary, curves=sorted(curves))
            return False
        self._close(end, summary)
        self._journal.remove()
        return True

    def log_load(self, numbers: dict[str, float], step: int, moment: int) -> None:
        """Log measurements of the stage's process."""
        from mlflow.entities import Metric

        run = self._journal.delivered["run"]
        self._store.log_metrics(run, [Metric(name, value, moment, step) for name, value in numbers.items()])

    def _open(self) -> None:
        journal, start, store = self._journal, self._journal.start, self._store
        description = describe(journal, self._cache)
        parent = self._find_or_create_parent(description)
        for child in store.search(equals(PARENT_TAG, parent), equals(STAGE_TAG, start.stage)):
            if REUSED_TAG in child.data.tags:  # the stage runs after all
                store.client.delete_run(child.info.run_id)
        run = self._find_run() if journal.delivered.get("opening") else ""
        journal.remember(opening=True)
        if not run:
            tags = {
                PARENT_TAG: parent,
                STAGE_TAG: start.stage,
                KEY_TAG: description.key,
                JOURNAL_TAG: journal.identifier,
                PROCESS_TAG: f"{start.host} {start.process}",
                EXPERIMENT_NAME_TAG: start.experiment,
                COMMIT_TAG: start.commit,
                DIRTY_TAG: start.dirty,
                "mlflow.source.name": f"stages/{start.stage.partition('/')[0]}.py",
                "mlflow.source.type": "JOB",
            }
            created = store.client.create_run(
                store.experiment, start_time=start.moment, tags=tags | machine_tags(), run_name=start.stage
            )
            run = created.info.run_id
        store.log_params(run, description.params)
        store.log_inputs(run, description.inputs)
        store.client.update_run(parent, status="RUNNING")
        journal.remember(described=True, run=run, parent=parent)

    def _find_or_create_parent(self, description: Description) -> str:
        start = self.start
        found = self._store.parents(description.fingerprint, start.experiment)
        if found:
            return str(found[0].info.run_id)
        return self._store.create_parent(
            description.fingerprint,
            start.experiment,
            description.stages,
            flatten(description.all_params),
            {COMMIT_TAG: start.commit, DIRTY_TAG: start.dirty},
            start.moment,
        )

    def _find_run(self) -> str:
        """The run of an earlier delivery that ended between making it and noting it."""
        found = self._store.search(equals(JOURNAL_TAG, self._journal.identifier))
        return str(found[0].info.run_id) if found else ""

    def _send(
        self, events: list[dict[str, Any]], summary: dict[str, float], curves: set[str]
    ) -> dict[str, Any] | None:
        """Send events in their order; returns the stage's end when it is among them.

        Single numbers and the names of curves are added to what earlier events gave.
        """
        from mlflow.entities import Metric

        run, client = self._journal.delivered["run"], self._store.client
        metrics: list[Metric] = []
        for event in events:
            if "metrics" in event:
                numbers, step = event["metrics"], event["step"]
                if step is None:
                    summary |= numbers
                    # Beside a curve of its name it would be drawn as a point of it; the parent has it.
                    numbers = {name: number for name, number in numbers.items() if name not in curves}
                else:
                    curves |= numbers.keys()
                metrics += [
                    Metric(name, value, event["moment"], step or 0) for name, value in numbers.items()
                ]
        self._store.log_metrics(run, metrics)
        for event in events:
            if "artifact" in event:
                path = self._journal.folder / event["artifact"]
                if path.is_dir():
                    client.log_artifacts(run, str(path), path.name)
                else:
                    client.log_artifact(run, str(path))
            elif "table" in event:
                log_table(self._store, run, event["table"], event["name"])
            elif "end" in event:
                return event
        return None

    def _close(self, end: dict[str, Any], summary: dict[str, float]) -> None:
        run, parent = self._journal.delivered["run"], self._journal.delivered["parent"]
        client = self._store.client
        if end["reason"]:
            reason = f"{end['reason']} ({self.start.host}, process {self.start.process})"[:TAG_LENGTH]
            client.set_tag(run, REASON_TAG, reason)
            client.set_tag(run, NOTE_TAG, reason)
        if end["end"] == "FINISHED":
            self._store.log_numbers(parent, headline_metrics(self.start.stage, summary), end["moment"])
        else:
            client.set_terminated(parent, status=end["end"], end_time=end["moment"])
            client.set_terminated(run, status=end["end"], end_time=end["moment"])
            return
        if self.start.stage.startswith("evaluate/"):
            pipeline = Pipeline(_JournalTree(self._journal), self._cache, self.start.sources)
            log_model(self._store, pipeline, self.start.stage, run, summary)
        client.set_terminated(run, status=end["end"], end_time=end["moment"])


def log_table(store: Store, run: str, table: dict[str, list[Any]], name: str) -> None:
    """Log a table as the UI reads it, without pandas."""
    rows = [list(row) for row in zip(*table.values(), strict=True)]
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder, name)
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(json.dumps({"columns": list(table), "data": rows}), encoding="utf-8")
        store.client.log_artifacts(run, folder)
    logged = json.loads(store.client.get_run(run).data.tags.get("mlflow.loggedArtifacts", "[]"))
    entry = {"path": name, "type": "table"}
    if entry not in logged:
        store.client.set_tag(run, "mlflow.loggedArtifacts", json.dumps([*logged, entry]))
