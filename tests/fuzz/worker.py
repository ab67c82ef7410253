"""Runs cases of a surface: python -m tests.fuzz.worker SURFACE SEED; reads numbers, answers in JSON lines."""

import json
import os
import random
import resource
import signal
import sys
import tempfile
import time
import traceback
import warnings
from pathlib import Path
from types import FrameType
from typing import Any

from tests.fuzz.surface import Surface, check_message
from tests.fuzz.surfaces import SURFACES, load_surface

from recap.errors import InputError


class Hang(BaseException):
    """The time of a case is over."""


def draw(surface: Surface, name: str, seed: int, number: int) -> bytes:
    """The input of a case."""
    return surface.draw(random.Random(f"{seed} {name} {number}"))


def run_case(surface: Surface, content: bytes, seconds: int) -> dict[str, Any]:
    """Run a case within its time; returns ``outcome`` and, where it failed, ``kind`` and ``detail``."""
    begin = time.monotonic()
    signal.setitimer(signal.ITIMER_REAL, seconds)
    detail = kind = ""
    try:
        outcome = "accepted" if surface.run(content) else "refused"
    except InputError as error:
        outcome = "refused"
        try:
            check_message(str(error))
        except Exception as failure:
            outcome, kind, detail = "failed", "a refusal that is no line", str(failure)
    except (Hang, Exception) as error:
        outcome, kind, detail = "failed", describe(error), traceback.format_exc()
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
    return {"outcome": outcome, "kind": kind, "detail": detail, "seconds": time.monotonic() - begin}


def describe(error: BaseException) -> str:
    """What failures have in common: the exception's type and the last place in the project's code."""
    frames = traceback.extract_tb(error.__traceback__)
    own = [frame for frame in frames if f"{os.sep}recap{os.sep}" in frame.filename] or frames
    place = f"{Path(own[-1].filename).name}:{own[-1].name}" if own else ""
    return f"{type(error).__name__} in {place}"


def limit_memory(more: int) -> None:
    """Let the process take no more than so many bytes beside those that it has."""
    pages = int(Path("/proc/self/statm").read_text().split()[0])
    limit = pages * resource.getpagesize() + more
    resource.setrlimit(resource.RLIMIT_AS, (limit, resource.RLIM_INFINITY))


def prepare(name: str) -> Surface:
    """A surface ready to run cases in this process, whose working folder is a new empty one."""
    os.environ["RECAP_TRACKING"] = "off"
    os.fsync = lambda _: None
    warnings.simplefilter("ignore")
    os.chdir(tempfile.mkdtemp(prefix="recap-fuzz-", dir=os.environ.get("RECAP_FUZZ_SCRATCH")))
    surface = load_surface(name)

    def stop(signal_number: int, frame: FrameType | None) -> None:
        raise Hang("longer than its time")

    signal.signal(signal.SIGALRM, stop)
    return surface


def main() -> None:
    name, seed = sys.argv[1], int(sys.argv[2])
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # what a case prints is no answer
    surface = prepare(name)
    limited = False
    for line in sys.stdin:
        content = draw(surface, name, seed, int(line))
        answer = run_case(surface, content, SURFACES[name].seconds)
        print(json.dumps(answer), file=answers, flush=True)
        if not limited:  # the first case loads what the others use
            limit_memory(SURFACES[name].memory)
            limited = True


if __name__ == "__main__":
    main()
