"""DVC's own lists of its processes that are at work in a checkout."""

import json
from pathlib import Path

CLOCK = 2.0  # seconds by which the kernel's times may be off
RWLOCKS = (Path(".dvc/tmp/rwlock"), Path(".dvc/tmp/exps/rwlock"))


def writers(root: Path) -> list[int]:
    """Return the processes of DVC that are at work in a checkout, from its own list."""
    return sorted({process for path in RWLOCKS for process in living(root / path)[0]})


def living(path: Path) -> tuple[list[int], list[int]]:
    """Return the processes in DVC's list that are at work, and those that only have the number of one.

    Numbers are used again, in a container that is started anew even the same ones: a process that began after
    the list was written is none of its writers.
    """
    import psutil  # slow, and every stage imports this module at its start

    at_work: list[int] = []
    others: list[int] = []
    for process in read_rwlock(path) or []:
        try:
            began = psutil.Process(process).create_time()
            (at_work if began <= path.stat().st_mtime + CLOCK else others).append(process)
        except (psutil.NoSuchProcess, ValueError, FileNotFoundError):
            continue
    return at_work, others


def read_rwlock(path: Path) -> list[int] | None:
    """Read the processes in DVC's list of readers and writers; None when it is broken."""
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        entries = list(content.get("write", {}).values())
        for readers in content.get("read", {}).values():
            entries += readers
        return [int(entry["pid"]) for entry in entries if entry]
    except FileNotFoundError:
        return []
    except (ValueError, OverflowError, AttributeError, TypeError, LookupError):
        return None
