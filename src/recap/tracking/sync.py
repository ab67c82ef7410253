"""`recap sync`: have the mirror bring the store up to date, and wait for it."""

import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path

from recap.tracking.journal import journals
from recap.tracking.place import ask, hide_password, queue_folder, take_answer
from recap.tracking.run import start_mirror

MIRROR_STARTS = 3


def sync(environment: Mapping[str, str], seconds: float | None) -> bool:
    """Deliver journals, end what was killed, add what DVC skipped; repeating it changes nothing.

    Args:
        environment: the process's variables.
        seconds: wait about this long at most and leave the rest to the background; None: to the end.

    Returns:
        Whether the store has everything of the pipelines that do not run right now.
    """
    queue = queue_folder(environment)
    request = ask(queue)
    try:
        added, trouble = _wait(queue, request, environment, seconds)
    finally:
        request.unlink(missing_ok=True)
    for line in added:
        print(f"reused: {line}")
    if trouble:
        waiting = len(journals(queue))
        print(f"warning: MLflow: {trouble}; {waiting} runs wait, `recap sync` again later", file=sys.stderr)
    return not trouble


def _wait(
    queue: Path, request: Path, environment: Mapping[str, str], seconds: float | None
) -> tuple[list[str], str]:
    begin = time.monotonic()
    mirrors: list[subprocess.Popen[bytes]] = []
    while seconds is None or time.monotonic() - begin < seconds:
        reply = take_answer(request)
        if reply is not None:
            return reply
        if not mirrors or mirrors[-1].poll() is not None:
            process = start_mirror(queue, environment)
            if process is not None:
                mirrors.append(process)
            if len(mirrors) > MIRROR_STARTS:
                lines = (queue / "mirror.log").read_text(errors="replace").splitlines()
                last = hide_password(lines[-1], environment) if lines else "no word"
                return [], f"the process that delivers ends: {last}"
        time.sleep(0.05)
    return [], "the store is slow, a process in the background goes on"
