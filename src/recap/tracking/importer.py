"""Brings files and dvc.lock to MLflow: the one way in which runs are written.

A stage's run is written from its entry in dvc.lock and the outputs that it names, and from the journal that
the stage left; a stage without a journal was skipped or restored by DVC. An import that is interrupted is
completed by the next one, and what is in MLflow already stays as it is.
"""

import copy
import shutil
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

from recap.core.environment import is_on, positive_number
from recap.tracking import parent_runs
from recap.tracking.child_runs import Record, write_run
from recap.tracking.live import RECORDS
from recap.tracking.models import choose_champions
from recap.tracking.store import Store, Tag, describe_error, equals
from recap.workspace.cache import Cache
from recap.workspace.git import git_state
from recap.workspace.journal import FOLDER, Journal, ended_jobs, journals, milliseconds
from recap.workspace.lock_file import Entry, Outputs, made_outputs, parse_lock, records, title
from recap.workspace.pipeline import experiments, find_in, open_pipeline, open_repository
from recap.workspace.root import repository_root
from recap.workspace.rwlock import writers
from recap.workspace.time_limit import OverTimeError, time_limit

if TYPE_CHECKING:
    from dvc.repo import Repo
    from mlflow.entities import Run

RECORD_SECONDS = 60.0
"""How long a pipeline's last stage waits for the store; RECAP_RECORD_SECONDS sets another time."""
KILLED = "the process ended without a message: killed, or the machine went down"
UNRECORDED = "DVC did not record its outputs"


def record(environment: Mapping[str, str]) -> None:
    """Bring the pipeline that has just run to MLflow, unless `recap repro` does; faults of a store warn."""
    seconds = positive_number(environment, "RECAP_RECORD_SECONDS", RECORD_SECONDS)
    if is_on(environment, "RECAP_TRACKING") and is_on(environment, RECORDS):
        bring(environment, seconds, Path.cwd(), everything=False)


def bring(environment: Mapping[str, str], seconds: float | None, place: Path, *, everything: bool) -> bool:
    """Import, print what was added, and in one line what went wrong; return whether nothing did.

    The seconds are the time limit; the place is the checkout, or the temporary folder of an experiment;
    everything has DVC's experiments imported too.
    """
    importer = Importer(environment, place)
    try:
        with time_limit(seconds):
            importer.bring(everything)
    except OverTimeError:
        importer.faults.append("the store is slow")
    except Exception as error:  # a store can fail in any way
        importer.faults = [describe_error(error, environment)]
    if everything:
        print("".join(f"reused: {line}\n" for line in importer.added), end="")
    if faults := importer.faults:
        waiting = sum(not own.is_alive() for own in journals(repository_root(environment)))
        said = faults[:3] + ([f"and {len(faults) - 3} more"] if len(faults) > 3 else [])
        said.append(f"{waiting} runs wait, `recap sync` again later")
        print(f"warning: MLflow: {'; '.join(said)}", file=sys.stderr)
    return not importer.faults


def bring_ended(store: Store) -> None:
    """Import the stages that have ended while others run; what fails is for the import after them."""
    if any(not own.is_alive() for own in journals(store.root)):
        importer = Importer(store.environment, store.root)
        importer.store, importer.is_early = store, True
        with store.lock("import"), open_repository(store.root) as repo:
            importer.import_journals(repo)


class Importer:
    """Brings a checkout to a store."""

    def __init__(self, environment: Mapping[str, str], workspace: Path) -> None:
        self.environment = environment
        self.workspace = workspace
        self.folder = FOLDER  # of journals, below the root
        self.is_early = False  # beside stages that run, of which DVC may record one in a moment
        self.added: list[str] = []  # stages that DVC skipped or restored, as "PIPELINE: STAGE"
        self.faults: list[str] = []  # what could not be imported, a line each

    def bring(self, with_experiments: bool) -> None:
        """Import what is not there; a fault in one thing stops no other, as long as the store answers."""
        self.store = Store(self.environment)
        with self.store.lock("import"), open_repository(self.workspace) as repo:
            self._attempt("doubles", parent_runs.remove_doubles, self.store)
            self.import_journals(repo)
            commit, dirty, fault = git_state(self.workspace)
            self.faults += [f"runs have no commit: {fault}"] if fault else []
            # an experiment that ran here, or was applied, has a run already: any name will do
            name = self.environment.get("DVC_EXP_NAME")
            state = {Tag.COMMIT: commit, Tag.DIRTY: dirty}
            self._attempt("dvc.yaml", self._complete, repo, "", name, state)
            for name, revision, baseline in experiments(repo) if with_experiments else ():
                state = {Tag.COMMIT: baseline, Tag.DIRTY: "true", Tag.REVISION: revision}
                known = self.store.search(equals(Tag.REVISION, revision))
                if all(self._is_own(run) and run.info.status != "FINISHED" for run in known):
                    self._attempt(name, self._complete, repo, revision, name, state)
            self._end_runs()
            # a job's store is a named one: what it left is for no other
            is_named = with_experiments and self.environment.get("MLFLOW_TRACKING_URI")
            for name, folder, clone in ended_jobs(self.store.root) if is_named else ():
                self._attempt(name, self._bring_job, repo, name, folder, clone)
            self._attempt("models", choose_champions, self.store)

    def _bring_job(self, repo: "Repo", name: str, folder: Path, clone: Path) -> None:
        """Import what a job left that was cancelled or failed, as the job would; then its clone goes."""
        job = Importer(self.environment, self.workspace)
        job.store, job.folder, job.faults = copy.copy(self.store), folder, self.faults
        job.store.checkout = f"{self.store.root}, job {name}"  # RECAP_CHECKOUT of cluster/experiment.sbatch
        job.import_journals(repo)
        job._end_runs()
        if not journals(self.store.root, job.folder):
            shutil.rmtree(clone, ignore_errors=True)

    def import_journals(self, repo: "Repo") -> None:
        """Write the runs of the stages that have ended, from their journals."""
        parents = set[str]()
        for journal in journals(self.store.root, self.folder):
            if not journal.is_alive():
                self._attempt(journal.start.stage, self._import_journal, repo, journal, parents)
        for parent in parents:
            self._attempt(parent, parent_runs.update_state, self.store, parent)

    def _end_runs(self) -> None:
        for run in self.store.search("attributes.status = 'RUNNING'"):
            self._attempt(run.info.run_name, self._end_run, run)

    def _is_own(self, run: "Run") -> bool:
        return bool(run.data.tags.get(Tag.CHECKOUT) == self.store.checkout)

    def _attempt(self, what: str, work: Callable[..., object], *arguments: object) -> None:
        try:
            work(*arguments)
        except Exception as error:  # whatever MLflow, DVC, a database or a disk raise
            self.faults.append(f"{what}: {describe_error(error, self.environment)}")
            self.store.client.get_experiment(self.store.experiment)  # raises when the store is gone

    def _import_journal(self, repo: "Repo", journal: Journal, parents: set[str]) -> None:
        """Write the run of a stage that ended, remove its journal, and note its pipeline's run."""
        start, store, record = journal.start, self.store, self._read(repo, journal)
        end = {"moment": start.moment, "end": "FAILED", "reason": KILLED, **(record.events or [{}])[-1]}
        if end["end"] == "FINISHED" and start.by_dvc and not record.entry:
            if self.is_early or writers(store.root) or writers(Path(start.workspace)):
                return  # DVC is about to record it
            end |= {"end": "FAILED", "reason": UNRECORDED}
        run, parent = parent_runs.open_run(store, journal)
        parents.add(parent)
        reused = (equals(Tag.PARENT, parent), equals(Tag.STAGE, start.stage), equals(Tag.REUSED, "true"))
        for child in store.search(*reused):  # the stage ran after all
            store.client.delete_run(child.info.run_id)
        is_written = self._write(run, parent, record, end["moment"])
        if end["reason"]:
            for tag in (Tag.REASON, Tag.NOTE):
                store.client.set_tag(run, tag, f"{end['reason']} ({start.process})")
        store.client.set_terminated(run, status=end["end"], end_time=end["moment"])
        if is_written:
            journal.path.unlink()

    def _read(self, repo: "Repo", journal: Journal) -> Record:
        """Return what a stage left; its outputs if it finished and a dvc.lock records this run."""
        start, events = journal.start, list(journal.events())
        place = Path(start.workspace) if Path(start.workspace).is_dir() else self.store.root
        name, data = start.stage.replace("/", "@"), made_outputs(parse_lock(start.lock.encode()))
        is_finished = events and events[-1].get("end") == "FINISHED"
        locks = self._locks(repo, place, journal.identifier) if is_finished else iter(())
        own = (lock for lock in locks if records(lock, name, start.params, start.sources, data))
        outputs = Outputs(next(own, {}), Cache(place), find_in(place))
        return Record(start.stage, start.params, outputs, start.settings, events)

    def _locks(self, repo: "Repo", place: Path, since: str) -> Iterator[Mapping[str, Entry]]:
        """Yield what may record a stage: present dvc.lock, those that later stages found, committed ones."""
        for folder in (place, self.store.root):
            with suppress(OSError):
                yield parse_lock((folder / "dvc.lock").read_bytes())
        for journal in journals(self.store.root, self.folder):
            if journal.identifier > since:
                yield parse_lock(journal.start.lock.encode())
        for _, revision, _ in experiments(repo):
            with open_pipeline(repo, revision) as pipeline:
                yield pipeline.outputs.lock

    def _complete(self, repo: "Repo", revision: str, name: str | None, state: Mapping[str, str]) -> None:
        """Give a pipeline's run a child for each stage that it lacks and whose outputs are here.

        A pipeline without a run gets one when the outputs of all its stages are here, an experiment when any
        are: it may have had a target, and the cache of runs may have had everything.
        """
        store = self.store
        with open_pipeline(repo, revision) as pipeline:
            definition = pipeline.definition
            run = parent_runs.find_parent(store, definition.fingerprint, name)
            latest = parent_runs.children(store, str(run.info.run_id)) if run else {}
            ended = {name: own.data.tags for name, own in latest.items() if own.info.status == "FINISHED"}
            whole = {name for name, tags in ended.items() if Tag.LACKING not in tags}
            rest = [name for name in pipeline.stages if title(name) not in whole]
            here = [name for name in rest if pipeline.is_here(name)]
            if run is None and (not here or (not revision and len(here) < len(pipeline.stages))):
                return
            run = run or parent_runs.create_parent(store, definition, name or "", state, milliseconds())
            parent = str(run.info.run_id)
            store.client.set_tag(parent, Tag.STAGES, " ".join(map(title, pipeline.stages)))
            if revision:
                store.client.set_tag(parent, Tag.REVISION, revision)
            starts = [own.start for own in journals(store.root)]
            waiting = {own.stage for own in starts if own.fingerprint == definition.fingerprint}
            for stage in map(title, here):
                if stage not in waiting:
                    record = Record(stage, definition.params, pipeline.outputs, metrics=pipeline.metrics)
                    self._attempt(stage, self._add_reused, record, run, latest.get(stage))
        parent_runs.update_state(store, parent)

    def _add_reused(self, record: Record, parent: "Run", last: "Run | None") -> None:
        """Write a stage's run from its outputs alone, or what its last run lacks."""
        store, moment = self.store, milliseconds()
        if last is not None and (Tag.LACKING in last.data.tags or Tag.REUSED in last.data.tags):
            run, moment = str(last.info.run_id), last.info.start_time
        else:
            known = store.search(equals(Tag.KEY, record.key), "attributes.status = 'FINISHED'")
            makers = [own for own in known if Tag.REUSED not in own.data.tags]
            makers = makers or known[::-1]  # else the oldest record
            tags = {
                Tag.PARENT: parent.info.run_id,
                Tag.STAGE: record.stage,
                Tag.REUSED: "true",
                Tag.EXPERIMENT_NAME: parent.data.tags.get(Tag.EXPERIMENT_NAME, ""),
                Tag.NOTE: "DVC had this stage's outputs already; no run made them in this store",
                "mlflow.source.name": "recap sync",
            }
            for original in [own.info.run_id for own in makers[:1]]:
                link = f"[run {original}](#/experiments/{store.experiment}/runs/{original})"
                tags |= {Tag.ORIGINAL: original, Tag.NOTE: f"DVC reused the outputs of {link}"}
            own = store.create_run(record.stage, moment, tags, tags[Tag.PARENT], record.stage)
            run = str(own.info.run_id)
        self._write(run, str(parent.info.run_id), record, moment)
        store.client.set_terminated(run, status="FINISHED", end_time=moment)
        self.added.append(f"{parent.info.run_name}: {record.stage}")

    def _write(self, run: str, parent: str, record: Record, moment: int) -> bool:
        """Write all of a stage's run but its end; return whether everything that is here was taken."""
        client = self.store.client
        try:
            write_run(self.store, run, parent, record, moment)
        except OSError as error:
            reason = describe_error(error, self.environment)
            self.faults.append(f"{record.stage}: {reason}")
            client.set_tag(run, Tag.LACKING, reason)
            return isinstance(error, FileNotFoundError)
        if Tag.LACKING in client.get_run(run).data.tags:
            client.delete_tag(run, Tag.LACKING)
        return True

    def _end_run(self, run: "Run") -> None:
        """End what is left RUNNING: a stage's run without a journal, a pipeline's run as its children say."""
        tags, client = run.data.tags, self.store.client
        if not self._is_own(run):
            return
        known = {own.identifier for own in journals(self.store.root, self.folder)}
        if Tag.JOURNAL in tags and tags[Tag.JOURNAL] not in known:
            client.set_tag(run.info.run_id, Tag.REASON, "it left no journal")
            client.set_terminated(run.info.run_id, status="FAILED")
        parent_runs.update_state(self.store, tags.get(Tag.PARENT, run.info.run_id))
