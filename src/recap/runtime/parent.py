"""Ends a stage with the process that runs it: nobody would record it, and another run may write."""

import ctypes
import os
import select
import signal
import sys
import threading
import time
from collections.abc import Mapping
from pathlib import Path

from recap.core.environment import whole_number

PARENT = "RECAP_PARENT"
"""Variable with the id of the process that starts a stage, read before the stage's first import."""
MAKE = "RECAP_MAKE"
"""Variable with the id of the `make` that runs DVC: its end does not end DVC, so its stage watches it too."""
LARGEST_ID = 2**31 - 1  # of a process
SHELLS = ("sh", "ash", "bash", "busybox", "dash", "fish", "ksh", "mksh", "zsh")
SET_PARENT_DEATH_SIGNAL = 1  # PR_SET_PDEATHSIG of <linux/prctl.h>
PARENT_LOST = 75
SECONDS_BETWEEN = 0.2


def end_with_parent(environment: Mapping[str, str]) -> None:
    """End this process at once, as kill -9 does, when the one that started it ends.

    DVC starts a stage through a shell, which may stay between: all of them are watched. A stage that a person
    starts with `nohup` goes on. `RECAP_PARENT` names the parent, `RECAP_MAKE` the `make` above it, if set.

    Raises:
        InputError: one of them is no process's id.
    """
    if "DVC_STAGE" not in environment and signal.getsignal(signal.SIGHUP) is signal.SIG_IGN:
        return
    parent = os.getppid()
    end_with_this_parent()
    watched = [parent, *_beyond_shells(parent)]
    if MAKE in environment:
        watched.append(whole_number(environment, MAKE, 1, LARGEST_ID))
    try:
        descriptors = [os.pidfd_open(process) for process in watched]
    except ProcessLookupError:
        descriptors = []
        parent = -1
    except (AttributeError, OSError):  # no Linux, or an old one
        descriptors = []
    if os.getppid() != whole_number(environment, PARENT, 0, LARGEST_ID, parent) or parent == -1:
        print("the process that started this stage is gone: the stage ends", file=sys.stderr, flush=True)
        os._exit(PARENT_LOST)
    threading.Thread(target=_end_after, args=(parent, descriptors), daemon=True).start()


def end_with_this_parent() -> None:
    """Have Linux end this process, as kill -9 does, with the thread that started it."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(SET_PARENT_DEATH_SIGNAL, signal.SIGKILL)


def _beyond_shells(process: int) -> list[int]:
    """Return the ancestors of a shell up to the first that is no shell; none for another process."""
    found: list[int] = []
    try:
        while True:
            # the name is in brackets and may hold any character
            name, _, rest = Path(f"/proc/{process}/stat").read_text(encoding="utf-8").rpartition(")")
            process = int(rest.split()[1])
            if name.partition("(")[2] not in SHELLS or process == 0:
                return found
            found.append(process)
    except OSError:
        return found


def _end_after(parent: int, descriptors: list[int]) -> None:
    if descriptors:
        poll = select.poll()
        for descriptor in descriptors:
            poll.register(descriptor, select.POLLIN)
        poll.poll()
    else:
        while os.getppid() == parent:
            time.sleep(SECONDS_BETWEEN)
    os.kill(os.getpid(), signal.SIGKILL)
