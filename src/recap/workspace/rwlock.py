"""DVC's own lists of its processes that are at work in a checkout."""

import json
from pathlib import Path

CLOCK = 2.0  # seconds by which the kernel's times may be off
RWLOCKS = (Path(".dvc/tmp/rwlock"), Path(".dvc/tmp/exps/rwlock"))


def writers(root: Path) -> list[int]:
    """Return the processes of DVC that are at work in a checkout, from its own list."""
    return sorted({process for path in RWLOCKS for process in living(root / path)[0]})


def living(path: Path) -> tuple[list[int], list[int]]:
    """Return the processes in DVC's list that are at work, and those that ended or have only one's number.

    Numbers are used again, in a container that is started anew even the same ones: a process that began after
    the list was written is none of its writers.
    """
    import psutil  # slow, and every stage imports this module at its start

    at_work: list[int] = []
    others: list[int] = []
    for process in read_rwlock(path) or []:
        try:
            found = psutil.Process(process)
            ended = found.status() == psutil.STATUS_ZOMBIE  # and nobody has asked for its exit code
            is_writer = not ended and found.create_time() <= path.stat().st_mtime + CLOCK
            (at_work if is_writer else others).append(process)
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
