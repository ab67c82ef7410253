"""The run of a pipeline in MLflow, and its children, the runs of stages."""

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING

from recap.tracking.journal import Journal
from recap.tracking.record import Record
from recap.tracking.store import Store, Tag, equals
from recap.workspace.definition import flatten
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
    run = store.create_run(experiment or f"pipeline {definition.fingerprint[:8]}", moment, labels)
    store.log_params(str(run.info.run_id), flatten(definition.params))
    return run


def children(store: Store, parent: str) -> "dict[str, Run]":
    """Return the latest run of each stage of a pipeline's run, by the stage's name."""
    latest: dict[str, Run] = {}
    for run in store.search(equals(Tag.PARENT, parent)):
        latest.setdefault(run.data.tags.get(Tag.STAGE, ""), run)
    return latest


def update_state(store: Store, parent: str) -> None:
    """Set the status of a pipeline's run by its children.

    FINISHED and complete when the latest run of every stage finished; FAILED or KILLED when one did not;
    SCHEDULED while stages are still to run and none runs.
    """
    run, latest = store.client.get_run(parent), children(store, parent)
    states = {child.info.status for child in latest.values()}
    if "RUNNING" in states:
        return
    status = next((bad for bad in ("FAILED", "KILLED") if bad in states), "")
    # without a list of stages it is not known yet which are expected
    is_complete = not status and set(run.data.tags.get(Tag.STAGES, "?").split()) <= set(latest)
    status = status or ("FINISHED" if is_complete else "SCHEDULED")
    if run.info.status != status and status == "SCHEDULED":
        store.client.update_run(parent, status=status)
    elif run.info.status != status:
        made = [child.info for child in latest.values() if Tag.REUSED not in child.data.tags]
        moment = max([run.info.start_time, *(info.end_time or info.start_time for info in made)])
        store.client.set_terminated(parent, status=status, end_time=moment)
    if run.data.tags.get(Tag.COMPLETE) != str(is_complete).lower():
        store.client.set_tag(parent, Tag.COMPLETE, str(is_complete).lower())


def remove_doubles(store: Store) -> None:
    """Delete runs that are there twice: a slow store makes one after its client gave up and asked again."""
    for run in store.search("attributes.status = 'RUNNING'"):
        tags = run.data.tags
        name = next((own for own in (Tag.JOURNAL, Tag.FINGERPRINT, Tag.REUSED) if own in tags), None)
        if name is None:
            continue
        whose = (
            (Tag.CHECKOUT,)
            if name == Tag.JOURNAL
            else (Tag.CHECKOUT, Tag.EXPERIMENT_NAME, Tag.PARENT, Tag.STAGE)
        )
        same = [
            own
            for own in store.search(equals(name, tags[name]))
            if all(own.data.tags.get(tag) == tags.get(tag) for tag in whose)
        ]
        filled = [own for own in same if own.info.status != "RUNNING" or children(store, own.info.run_id)]
        if run.info.run_id not in {own.info.run_id for own in filled or same[:1]}:
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
            Tag.PROCESS: start.process,
            Tag.EXPERIMENT_NAME: start.experiment,
            "mlflow.source.name": f"stages/{start.stage.partition('/')[0]}.py",
            "mlflow.source.type": "JOB",
        }
        run = store.create_run(start.stage, start.moment, tags | state | machine_tags())
        return str(run.info.run_id), parent


def follow(journal: Journal, environment: Mapping[str, str]) -> Callable[[], None]:
    """Open the run of a stage that still runs; return a function that sends new points of its curves."""
    store = Store(environment)
    run, parent = open_run(store, journal)
    store.client.update_run(parent, status="RUNNING")
    sent = 0

    def send() -> None:
        nonlocal sent
        points = list(Record(journal.start.stage, {}, events=list(journal.events())).points(0))
        store.log_points(run, points[sent:])
        sent = len(points)

    return send
