"""The process that takes journals to MLflow while a pipeline runs: `python -m recap.tracking.mirror`.

One a store, started by the first stage. It imports MLflow once for all stages, is the only writer of a SQLite
store, and ends by itself soon after the pipeline. Whatever it leaves, the next one or `recap sync` delivers.
"""

import os
import shutil
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import psutil

from recap.tracking.complete import complete_all, settle
from recap.tracking.delivery import Delivery
from recap.tracking.journal import Journal, QueueLock, journals, milliseconds
from recap.tracking.machine import Load, is_running
from recap.tracking.place import (
    answer,
    describe_error,
    queue_folder,
    read_trouble,
    repository_root,
    requests,
    write_trouble,
)
from recap.tracking.store import (
    NOTE_TAG,
    PARENT_TAG,
    PROCESS_TAG,
    REASON_TAG,
    REUSED_TAG,
    STAGES_TAG,
    Store,
)
from recap.tracking.trees import Cache

POLL_SECONDS = 1.0
LINGER_SECONDS = 3.0
"""How long after the pipeline's last sign of life the mirror stays."""
LOAD_SECONDS = 10.0
"""A stage that lives longer has its load measured, this often."""
SLOW_SECONDS = 5.0
"""A round of deliveries that takes longer is worth a warning."""
LONGEST_PAUSE = 30.0
FRESH_DRAFT_SECONDS = 60.0


class Mirror:
    """Delivers the journals of one queue; the caller holds the queue's lock."""

    def __init__(self, environment: Mapping[str, str]) -> None:
        self.queue = queue_folder(environment)
        self._environment = environment
        self._root = repository_root(environment)
        self._store: Store | None = None
        self._loads: dict[str, tuple[Load, float]] = {}
        self._callers: dict[int, float] = {}  # processes that start stages: DVC, a shell
        self.trouble = read_trouble(self.queue)  # of the mirror before

    @property
    def store(self) -> Store:
        """The connection, made at first use.

        Raises:
            Exception: whatever MLflow raises.
        """
        if self._store is None:
            self._store = Store(self._environment)
        return self._store

    def deliver(self) -> int:
        """Deliver what is new in every journal.

        Returns:
            How many journals are not at their end.

        Raises:
            Exception: whatever the store raises.
        """
        waiting = 0
        self.store  # noqa: B018  a store that is down shows before there is anything to deliver
        for journal in journals(self.queue):
            self._note_callers(journal)
            delivery = Delivery(self.store, journal, Cache(self._root))
            if not delivery.advance():
                waiting += 1
                self._measure(journal.identifier, delivery)
        return waiting

    def finish(self) -> list[str]:
        """Reap what died, complete what DVC skipped; returns what was added.

        Raises:
            Exception: whatever the store raises.
        """
        reap(self.store)
        pending = {(journal.start.experiment, journal.start.stage) for journal in journals(self.queue)}
        added = complete_all(self.store, self._root, pending)
        for parent in self.store.search("attributes.status = 'RUNNING'"):
            if STAGES_TAG in parent.data.tags:
                settle(self.store, parent.info.run_id)
        return added

    def report(self, trouble: str) -> None:
        """Leave word of trouble for the stages, or that it is over."""
        if trouble != self.trouble:
            self.trouble = trouble
            write_trouble(self.queue, trouble)

    def run(self) -> bool:
        """Deliver until the pipeline is over and all is said, or the store is out of reach then.

        Returns:
            Whether the store took everything.
        """
        pause, last_sign = POLL_SECONDS, time.monotonic()
        while self.queue.is_dir():
            asked = requests(self.queue)
            try:
                with self._watched():
                    still_running = self.deliver()
                if still_running or journals(self.queue) or self._is_pipeline_alive():
                    last_sign = time.monotonic()
                is_over = time.monotonic() - last_sign > LINGER_SECONDS
                added = self.finish() if asked or is_over else []  # takes long where many stages were reused
                trouble, pause = "", POLL_SECONDS
            except Exception as error:  # a store can fail in any way; the journals stay
                added, trouble = [], describe_error(error, self._environment)
                self.report(trouble)
                if self._is_pipeline_alive() or any(journal.is_alive() for journal in journals(self.queue)):
                    last_sign = time.monotonic()
                is_over = time.monotonic() - last_sign > LINGER_SECONDS
                pause = min(2 * pause, LONGEST_PAUSE)
            for request in asked:
                answer(request, added, trouble)
            if is_over and not requests(self.queue):
                return not trouble
            until = time.monotonic() + pause
            while time.monotonic() < until and not requests(self.queue):
                time.sleep(0.1)
        return False

    @contextmanager
    def _watched(self) -> Iterator[None]:
        """Leave word of a store that takes long, while it does, and that it is well once it answers fast."""
        watch = threading.Timer(SLOW_SECONDS, self.report, ["the store is slow"])
        watch.daemon = True
        begin = time.monotonic()
        watch.start()
        try:
            yield
        finally:
            watch.cancel()
        if time.monotonic() - begin < SLOW_SECONDS:
            self.report("")

    def _measure(self, identifier: str, delivery: Delivery) -> None:
        start, now = delivery.start, time.time()
        age = now - start.moment / 1000
        try:
            if identifier not in self._loads:
                self._loads[identifier] = Load(start.process), now
            load, measured = self._loads[identifier]
            if age > LOAD_SECONDS and now - measured >= LOAD_SECONDS:
                self._loads[identifier] = load, now
                delivery.log_load(load.measure(), int(age), milliseconds())
        except psutil.Error:
            return  # it just ended, or runs on another machine

    def _note_callers(self, journal: Journal) -> None:
        """Remember DVC's process, which lives between stages; the stage's parent may be a shell."""
        self._callers[journal.start.parent_process] = time.time()
        try:
            ancestors = psutil.Process(journal.start.process).parents()
            callers = [
                process.pid for process in ancestors if any("dvc" in part for part in process.cmdline())
            ]
        except psutil.Error:
            return  # the stage is over already
        self._callers |= dict.fromkeys(callers, time.time())

    def _is_pipeline_alive(self) -> bool:
        return any(process > 1 and is_running(process, seen) for process, seen in self._callers.items())


def reap(store: Store) -> None:
    """End the runs that are left RUNNING by processes of this machine that are gone."""
    import platform

    for run in store.search("attributes.status = 'RUNNING'"):
        tags = run.data.tags
        host, _, process = tags.get(PROCESS_TAG, "").rpartition(" ")
        if PARENT_TAG not in tags or host != platform.node() or not process.isdigit():
            continue
        if is_running(int(process), run.info.start_time / 1000):
            continue
        if REUSED_TAG in tags:  # half made; it will be made again
            store.client.delete_run(run.info.run_id)
            continue
        reason = f"its process is gone and left no journal ({host}, process {process})"
        store.client.set_tag(run.info.run_id, REASON_TAG, reason)
        store.client.set_tag(run.info.run_id, NOTE_TAG, reason)
        store.client.set_terminated(run.info.run_id, status="FAILED")


def remove_drafts(queue: Path) -> None:
    """Remove what stages that were killed while they started, or mirrors while they tidied, left."""
    for folder in queue.glob(".*"):
        if folder.is_dir() and time.time() - folder.stat().st_mtime > FRESH_DRAFT_SECONDS:
            shutil.rmtree(folder, ignore_errors=True)


def main() -> None:
    """Deliver until there is nothing more to do; at once nothing when another mirror runs."""
    os.nice(5)  # the pipeline goes first
    queue = queue_folder(os.environ)
    lock = QueueLock(queue)
    while lock.acquire():
        try:
            remove_drafts(queue)
            is_whole = Mirror(os.environ).run()
        finally:
            lock.release()
        if not requests(queue) and (not is_whole or not journals(queue)):
            return  # else somebody came just before the lock was free and counts on this process


if __name__ == "__main__":
    main()
