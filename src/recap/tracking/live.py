"""Live curves: what stages that take long have logged so far, sent to MLflow while they run."""

import threading
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager

from recap.core.environment import positive_number
from recap.tracking.parent_runs import open_run
from recap.tracking.store import Store, warn
from recap.workspace.journal import Journal, curve_points, milliseconds

Find = Callable[[], Iterable[Journal]]
Beside = Callable[[Store], None]
RECORDS = "RECAP_RECORDS"
"""Is "off" in stages of `recap repro`, which sends their curves and runs itself: MLflow is imported once."""
SECONDS_BEFORE = 60.0
"""A stage with curves that takes longer has them sent; RECAP_LIVE_SECONDS sets another time."""
SECONDS_BETWEEN = 10.0


@contextmanager
def live_curves(environment: Mapping[str, str], find: Find, beside: Beside | None = None) -> Iterator[None]:
    """Send the curves in the journals that ``find`` gives, in a thread, until the block ends.

    Once the store is open, ``beside`` is called as often. A store that fails costs a warning; it is tried
    again, and the importer sends the rest. Raises InputError where RECAP_LIVE_SECONDS is no number above 0.
    """
    seconds, over = positive_number(environment, "RECAP_LIVE_SECONDS", SECONDS_BEFORE), threading.Event()
    threading.Thread(target=_send, args=(environment, find, beside, over, seconds), daemon=True).start()
    try:
        yield
    finally:
        over.set()


def _send(
    environment: Mapping[str, str], find: Find, beside: Beside | None, over: threading.Event, seconds: float
) -> None:
    store, sent, has_failed = None, dict[str, tuple[str, int]](), False  # by journal: its run, its points
    while not over.wait(min(SECONDS_BETWEEN, seconds)):
        try:
            for journal in find():
                is_long = milliseconds() - journal.start.moment >= 1000 * seconds and journal.is_alive()
                points = list(curve_points(journal.events())) if is_long else []
                if not points:  # a stage without curves need not import MLflow
                    continue
                store = store or Store(environment)
                if journal.identifier not in sent:
                    run, parent = open_run(store, journal)
                    store.client.update_run(parent, status="RUNNING")
                    sent[journal.identifier] = run, 0
                run, count = sent[journal.identifier]
                store.log(run, {}, points[count:])
                sent[journal.identifier] = run, len(points)
            if store and beside:
                beside(store)
        except Exception as error:  # a store can fail in any way; the journal has everything
            # at a process's end, what this thread works with goes away
            if not has_failed and not over.is_set():
                warn(error, environment)
            has_failed = True
