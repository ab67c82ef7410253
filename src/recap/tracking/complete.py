"""Makes pipelines whole: a child for each stage that DVC skipped or restored, from dvc.lock and files."""

import csv
import io
import json
import subprocess
import tempfile
from collections.abc import Collection, Iterable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

from recap.tracking.delivery import log_table, stage_params
from recap.tracking.flatten import flatten, flatten_numbers
from recap.tracking.headline import headline_metrics
from recap.tracking.journal import git_state, milliseconds
from recap.tracking.machine import this_process
from recap.tracking.models import log_model
from recap.tracking.pipeline import Pipeline
from recap.tracking.store import (
    COMMIT_TAG,
    COMPLETE_TAG,
    DIRTY_TAG,
    EXPERIMENT_NAME_TAG,
    KEY_TAG,
    NOTE_TAG,
    ORIGINAL_TAG,
    PARENT_TAG,
    PROCESS_TAG,
    REUSED_TAG,
    REVISION_TAG,
    STAGE_TAG,
    STAGES_TAG,
    Store,
    equals,
)
from recap.tracking.trees import Cache, CommitTree, FolderTree
from recap.workspace.definition import Stage

if TYPE_CHECKING:
    from mlflow.entities import Run

KEPT_ARTIFACTS = (".csv", ".html", ".json", ".png", ".svg")
LARGEST_ARTIFACT = 8 * 2**20  # bytes; weights and data stay in DVC, whose MD5 the run names
MOST_ARTIFACTS = 100
CAPTION_FILES = ("per_image.json", "captions.json")  # the first that is there has the table of captions
CAPTION_COLUMNS = ("image_id", "caption", "part", "cider_d")


Pending = Collection[tuple[str, str]]
"""DVC experiments and stages whose journals are still on their way."""


def complete_all(store: Store, root: Path, pending: Pending) -> list[str]:
    """Complete the pipeline of the working tree and those of DVC's experiments.

    Returns:
        What was added, as "PIPELINE: STAGE".
    """
    cache = Cache(root)
    added: list[str] = []
    try:
        workspace = Pipeline(FolderTree(root), cache)
    except ValueError:
        workspace = None
    if workspace is not None:
        commit, dirty = git_state(root)
        # An experiment that ran here, or was applied, has a run already: any name will do.
        known = store.parents(workspace.fingerprint)
        tags = {COMMIT_TAG: commit, DIRTY_TAG: dirty}
        added += complete(store, workspace, known[0] if known else None, "", tags, pending)
    blobs: dict[str, bytes] = {}
    for name, revision in experiments(root):
        done = store.search(equals(REVISION_TAG, revision), equals(COMPLETE_TAG, "true"))
        if done:
            continue
        try:
            pipeline = Pipeline(CommitTree(root, revision, blobs), cache)
        except ValueError:
            continue
        known = store.parents(pipeline.fingerprint, name)
        tags = {COMMIT_TAG: _baseline(root, revision), DIRTY_TAG: "true", REVISION_TAG: revision}
        added += complete(store, pipeline, known[0] if known else None, name, tags, pending)
    return added


def experiments(root: Path) -> list[tuple[str, str]]:
    """DVC's experiments in a repository: (name, commit)."""
    command = ["git", "-C", str(root), "for-each-ref", "--format=%(refname) %(objectname)", "refs/exps"]
    lines = subprocess.run(command, capture_output=True, text=True).stdout.splitlines()
    found = []
    for line in lines:
        reference, commit = line.split()
        parts = reference.split("/")
        if len(parts) == 5:  # refs/exps/<2 digits of the baseline>/<the other 38>/<name>
            found.append((parts[-1], commit))
    return found


def _baseline(root: Path, revision: str) -> str:
    command = ["git", "-C", str(root), "rev-parse", "--verify", "--quiet", f"{revision}^"]
    return subprocess.run(command, capture_output=True, text=True).stdout.strip()


def complete(
    store: Store,
    pipeline: Pipeline,
    parent: "Run | None",
    experiment: str,
    tags: Mapping[str, str],
    pending: Pending,
) -> list[str]:
    """Give a pipeline's run a child for each stage that dvc.lock holds and the run lacks.

    Args:
        parent: the pipeline's run; None makes one when dvc.lock holds every stage.
        experiment: DVC's name of the experiment, empty for none.
        tags: of the pipeline's run.
        pending: what is left out, because the run that made it is still on its way.
    """
    fresh = [stage for stage in pipeline.stages.values() if pipeline.is_fresh(stage)]
    if not fresh or (parent is None and len(fresh) < len(pipeline.stages)):
        return []  # nobody ran this pipeline
    titles = [stage.title for stage in pipeline.stages.values()]
    if parent is not None:
        run = str(parent.info.run_id)
        if REVISION_TAG in tags:
            store.client.set_tag(run, REVISION_TAG, tags[REVISION_TAG])
    else:
        params = flatten(pipeline.params)
        run = store.create_parent(pipeline.fingerprint, experiment, titles, params, tags, milliseconds())
    latest: dict[str, Run] = {}
    for child in store.children(run):
        latest.setdefault(child.data.tags.get(STAGE_TAG, ""), child)
    added = []
    name = parent.data.tags.get(EXPERIMENT_NAME_TAG, "") if parent is not None else experiment
    for stage in fresh:
        if (name, stage.title) in pending:
            continue
        last = latest.get(stage.title)
        if last is None or last.info.status not in ("FINISHED", "RUNNING"):
            _add_reused(store, pipeline, stage, run, experiment)
            added.append(f"{experiment or pipeline.fingerprint[:8]}: {stage.title}")
    settle(store, run)
    return added


def _add_reused(store: Store, pipeline: Pipeline, stage: Stage, parent: str, experiment: str) -> None:
    known = store.search(equals(KEY_TAG, pipeline.locked_key(stage)), "attributes.status = 'FINISHED'")
    makers = [run for run in known if REUSED_TAG not in run.data.tags]
    # without a maker, the oldest record stands for it: it was logged from the files
    original = next(iter(makers or known[::-1]), None)
    moment = milliseconds()
    tags = {
        PARENT_TAG: parent,
        STAGE_TAG: stage.title,
        KEY_TAG: pipeline.locked_key(stage),
        REUSED_TAG: "true",
        PROCESS_TAG: this_process(),
        EXPERIMENT_NAME_TAG: experiment,
        NOTE_TAG: "DVC had this stage's outputs already; no run made them in this store",
        "mlflow.source.name": "recap sync",
    }
    if original is not None:
        link = f"#/experiments/{store.experiment}/runs/{original.info.run_id}"
        tags[ORIGINAL_TAG] = original.info.run_id
        tags[NOTE_TAG] = f"DVC reused the outputs of [run {original.info.run_id}]({link})"
    run = store.client.create_run(store.experiment, start_time=moment, tags=tags, run_name=stage.title)
    identifier = str(run.info.run_id)
    store.log_params(identifier, stage_params(pipeline, stage))
    store.log_inputs(identifier, pipeline.inputs(stage))
    numbers = flatten_numbers(pipeline.metrics(stage))
    if original is not None:
        numbers |= _copy(store, original, identifier)
    else:
        curves = _log_files(store, pipeline, stage, identifier, moment)
        singles = {name: value for name, value in numbers.items() if name not in curves}
        store.log_numbers(identifier, singles, moment)
        if stage.title.startswith("evaluate/"):
            log_model(store, pipeline, stage.title, identifier, numbers)
    store.log_numbers(parent, headline_metrics(stage.title, numbers), moment)
    store.client.set_terminated(identifier, status="FINISHED", end_time=moment)


def _copy(store: Store, original: "Run", run: str) -> dict[str, float]:
    """Copy the original run, weights apart; returns its numbers without steps."""
    source = original.info.run_id
    numbers: dict[str, float] = {}
    for name in original.data.metrics:
        history = store.client.get_metric_history(source, name)
        store.log_metrics(run, history)
        if len(history) == 1 and history[0].step == 0 and not name.startswith("system/"):
            numbers[name] = history[0].value
    tables = original.data.tags.get("mlflow.loggedArtifacts")
    if tables:
        store.client.set_tag(run, "mlflow.loggedArtifacts", tables)
    waiting = [""]
    while waiting:
        for entry in store.client.list_artifacts(source, waiting.pop() or None):
            if entry.is_dir:
                if entry.path != "model":  # of an original that is linked
                    waiting.append(entry.path)
            elif entry.path.endswith(KEPT_ARTIFACTS) and (entry.file_size or 0) <= LARGEST_ARTIFACT:
                with tempfile.TemporaryDirectory() as folder:
                    local = store.client.download_artifacts(source, entry.path, folder)
                    target = entry.path.rpartition("/")[0]
                    store.client.log_artifact(run, local, target or None)
    return numbers


def _log_files(store: Store, pipeline: Pipeline, stage: Stage, run: str, moment: int) -> set[str]:
    """Log what can be looked at of a stage's outputs, and its curves; returns their names."""
    from mlflow.entities import Metric

    histories: list[str] = []
    captions: dict[str, bytes] = {}
    with tempfile.TemporaryDirectory() as folder:
        kept = 0
        for path, md5 in sorted(pipeline.files(stage).items()):
            if path.startswith("data/") or not path.endswith(KEPT_ARTIFACTS) or kept == MOST_ARTIFACTS:
                continue
            content = pipeline.content(path, md5)
            if content is None or len(content) > LARGEST_ARTIFACT:
                continue
            if Path(path).name.startswith("history") and path.endswith(".csv"):
                histories.append(content.decode())
            if Path(path).name in CAPTION_FILES:
                captions[Path(path).name] = content
            target = Path(folder, path)
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(content)
            kept += 1
        if kept:
            store.client.log_artifacts(run, folder)
    for content in (captions[name] for name in CAPTION_FILES if name in captions):
        rows = json.loads(content)
        columns = [name for name in CAPTION_COLUMNS if rows and name in rows[0]]
        log_table(store, run, {name: [row[name] for row in rows] for name in columns}, "captions.json")
        break
    curves = read_curves(histories)
    points = [Metric(name, value, moment, step) for name in curves for step, value in curves[name]]
    store.log_metrics(run, points)
    return set(curves)


def read_curves(histories: Iterable[str]) -> dict[str, list[tuple[int, float]]]:
    """The curves of CSV tables with a column ``step`` or ``epoch``: name -> (step, value).

    What one table has by step and another by epoch is read by step; columns of words are left out.
    """
    curves: dict[str, list[tuple[int, float]]] = {}
    tables = [list(csv.DictReader(io.StringIO(text))) for text in histories]
    for axis in ("step", "epoch"):
        known = {"step", "epoch", *curves}
        for table in tables:
            columns = list(table[0]) if table else []
            if axis not in columns or (axis == "epoch" and "step" in columns):
                continue
            for name in (column for column in columns if column not in known):
                points = [(int(row[axis]), row[name]) for row in table if row[name]]
                with suppress(ValueError):
                    curves[name] = [(step, float(value)) for step, value in points]
    return curves


def settle(store: Store, parent: str) -> None:
    """Give a pipeline's run the state that its children have.

    FINISHED and complete when the latest run of every stage finished; FAILED or KILLED when one did not;
    SCHEDULED while stages are still to run and none does.
    """
    run = store.client.get_run(parent)
    latest: dict[str, str] = {}
    moments = [run.info.start_time]
    for child in store.children(parent):
        latest.setdefault(child.data.tags.get(STAGE_TAG, ""), child.info.status)
        if REUSED_TAG not in child.data.tags:
            moments.append(child.info.end_time or child.info.start_time)
    statuses = set(latest.values())
    expected = set(run.data.tags.get(STAGES_TAG, "").split())
    if "RUNNING" in statuses:
        return
    status = next((bad for bad in ("FAILED", "KILLED") if bad in statuses), "")
    is_complete = not status and expected <= set(latest)
    status = status or ("FINISHED" if is_complete else "SCHEDULED")
    if run.info.status != status:
        if status == "SCHEDULED":
            store.client.update_run(parent, status=status)
        else:
            store.client.set_terminated(parent, status=status, end_time=max(moments))
    if run.data.tags.get(COMPLETE_TAG) != str(is_complete).lower():
        store.client.set_tag(parent, COMPLETE_TAG, str(is_complete).lower())
