"""The run of a pipeline in MLflow, and its children, the runs of stages."""

from collections.abc import Mapping
from typing import TYPE_CHECKING

from recap.tracking.store import Store, Tag, equals
from recap.workspace.definition import flatten
from recap.workspace.journal import Journal
from recap.workspace.machine import machine_tags
from recap.workspace.pipeline import Definition

if TYPE_CHECKING:
    from mlflow.entities import Run


def find_parent(store: Store, fingerprint: str, experiment: str | None) -> "Run | None":
    """Find the latest run of a pipeline of this checkout, by DVC experiment ("": none, None: any)."""
    for run in store.search(equals(Tag.FINGERPRINT, fingerprint)):
        tags = run.data.tags
        is_own = tags.get(Tag.CHECKOUT, store.checkout) == store.checkout
        if is_own and experiment in (None, tags.get(Tag.EXPERIMENT_NAME, "")):
            return run
    return None


def create_parent(
    store: Store, definition: Definition, experiment: str, tags: Mapping[str, str], moment: int
) -> "Run":
    """Make the run of a pipeline that started at a moment."""
    labels = {
        Tag.FINGERPRINT: definition.fingerprint,
        Tag.EXPERIMENT_NAME: experiment,
        "mlflow.source.name": "dvc repro",
        "mlflow.source.type": "PROJECT",
        **tags,
    }
    name = experiment or f"pipeline {definition.fingerprint[:8]}"
    run = store.create_run(name, moment, labels, definition.fingerprint, experiment)
    store.log(str(run.info.run_id), flatten(definition.params), ())
    return run


def children(store: Store, parent: str) -> "dict[str, Run]":
    """Return the latest run of each stage of a pipeline's run, by the stage's name."""
    oldest_first = store.search(equals(Tag.PARENT, parent))[::-1]
    return {run.data.tags.get(Tag.STAGE, ""): run for run in oldest_first}


def update_state(store: Store, parent: str) -> None:
    """Set the status of a pipeline's run by the latest run of each stage.

    FAILED or KILLED when one is; FINISHED when every stage finished; SCHEDULED while stages are still to run.
    A stage that runs leaves it as it is.
    """
    run, latest = store.client.get_run(parent), children(store, parent)
    states = {child.info.status for child in latest.values()}
    # without a list of stages it is not known yet which are expected
    is_complete = set(run.data.tags.get(Tag.STAGES, "?").split()) <= latest.keys()
    bad = (status for status in ("RUNNING", "FAILED", "KILLED") if status in states)
    status = next(bad, "FINISHED" if is_complete else "SCHEDULED")
    made = [child.info for child in latest.values() if Tag.REUSED not in child.data.tags]
    if status == "SCHEDULED":
        store.client.update_run(parent, status=status)
    elif status not in ("RUNNING", run.info.status):
        moment = max([run.info.start_time, *(info.end_time or info.start_time for info in made)])
        store.client.set_terminated(parent, status=status, end_time=moment)


def remove_doubles(store: Store) -> None:
    """Delete runs that are there twice: a slow store makes one after its client gave up and asked again."""
    for run in store.search("attributes.status = 'RUNNING'"):
        same = store.search(equals(Tag.IDENTITY, run.data.tags.get(Tag.IDENTITY, "")))
        filled = [own for own in same if own.info.status != "RUNNING" or children(store, own.info.run_id)]
        if same and run.info.run_id not in {own.info.run_id for own in filled or same[:1]}:
            store.client.delete_run(run.info.run_id)


def open_run(store: Store, journal: Journal) -> tuple[str, str]:
    """Return the run of a stage that left a journal, and its pipeline's; make those that are absent."""
    start = journal.start
    with store.lock("store"):
        state = {Tag.COMMIT: start.commit, Tag.DIRTY: start.dirty}
        found = find_parent(store, start.fingerprint, start.experiment)
        found = found or create_parent(store, start, start.experiment, state, start.moment)
        parent = str(found.info.run_id)
        for run in store.search(equals(Tag.JOURNAL, journal.identifier)):
            return str(run.info.run_id), parent
        tags = {
            Tag.PARENT: parent,
            Tag.STAGE: start.stage,
            Tag.JOURNAL: journal.identifier,
            Tag.EXPERIMENT_NAME: start.experiment,
            "mlflow.source.name": f"stages/{start.stage.partition('/')[0]}.py",
            "mlflow.source.type": "JOB",
        }
        tags |= state | machine_tags()
        run = store.create_run(start.stage, start.moment, tags, journal.identifier)
        return str(run.info.run_id), parent
