"""The door of every stage script: one-line errors, exit codes, and the stage's MLflow run."""

import os
import signal
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from recap.errors import InputError, disk_fault, memory_fault
from recap.tracking.run import Run, open_run


def execute(main: Callable[[], None]) -> None:
    """Run a stage's ``main``; bad input, a full disk or memory end in a line and code 2, Ctrl-C in 130."""
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
    signal.signal(signal.SIGTERM, _terminated)
    try:
        main()
    except InputError as error:
        print(error, file=sys.stderr)
        sys.exit(2)
    except OSError as error:
        print(disk_fault(error), file=sys.stderr)
        sys.exit(2)
    except (MemoryError, RuntimeError) as error:
        print(memory_fault(error), file=sys.stderr)
        sys.exit(2)
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        sys.exit(130)


def _terminated(signal_number: int, frame: object) -> None:
    sys.exit(128 + signal_number)


@contextmanager
def start(stage: str, *groups: object) -> Iterator[Run]:
    """Open the stage's run in MLflow with the given groups of params; ``RECAP_TRACKING=off`` logs nothing."""
    with open_run(stage, groups, os.environ) as run:
        yield run
