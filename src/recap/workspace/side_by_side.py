"""Runs the stages of a pipeline, those that do not wait for each other side by side.

`dvc repro` runs one stage after the other, and few of them keep two cores busy. Here each stage is run by a
`dvc repro --single-item` of its own; DVC's locks let them share a checkout, and a stage runs outside them.
"""

import os
import subprocess
import sys
import threading
from collections.abc import Mapping
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from contextlib import suppress
from pathlib import Path

from recap.core import paths
from recap.runtime.parent import MAKE
from recap.workspace.definition import look_up
from recap.workspace.lock_file import mapping
from recap.workspace.pipeline import open_repository

LANES = 2
REPRODUCE = (sys.executable, "-m", "dvc", "--wait-for-lock", "repro")
ADVICE = (
    "Updating lock file",
    "To track the changes with git",
    "To enable auto staging",
    "Use `dvc push`",
    "\tgit add",
    "\tdvc config",
)
"""Beginnings of what DVC says at the end of each command, which is worth saying once at most."""


def count_lanes(root: Path) -> int:
    """Return how many stages may run at once, by params.yaml: two on a CPU with several cores, else one."""
    try:
        params = mapping((root / paths.PARAMS).read_bytes())
    except (OSError, ValueError):
        return 1  # DVC tells what is wrong
    alone = {"runtime.device": "cpu", "distributed.processes": 1}  # nobody shares a GPU, or several processes
    for name, value in alone.items():
        with suppress(KeyError, TypeError):
            if look_up(params, name) != value:
                return 1
    return min(LANES, os.cpu_count() or 1)


def reproduce(root: Path, lanes: int, environment: Mapping[str, str]) -> tuple[int, list[str]]:
    """Run what changed in a pipeline, with at most ``lanes`` stages at once.

    After a stage that fails none is started; the one beside it is done first. A stage of recap ends with this
    process.

    Returns:
        The exit code of the stage that failed first, else 0, and the stages that DVC was asked to run.

    Raises:
        InputError: this is no checkout of DVC.
    """
    # threads that wait for each other without rest would take the processor from the stage beside
    environment = {"OMP_WAIT_POLICY": "passive", **environment, MAKE: str(os.getpid())}
    waiting = _plan(root)
    if waiting is None:
        return subprocess.run(REPRODUCE, cwd=root, env=environment, check=False).returncode, []
    if not waiting:
        print("Data and pipelines are up to date.")
    stages = list(waiting)
    running: dict[Future[int], str] = {}
    started: list[subprocess.Popen[str]] = []
    code = 0
    with ThreadPoolExecutor(lanes) as pool:
        try:
            while running or (waiting and not code):
                for name in [name for name, before in waiting.items() if not before and not code]:
                    running[pool.submit(_run, name, root, environment, started)] = name
                    del waiting[name]
                for future in wait(running, return_when=FIRST_COMPLETED).done:
                    name = running.pop(future)
                    code = code or future.result()
                    for before in waiting.values():
                        before.discard(name)
                if code:
                    pool.shutdown(wait=False, cancel_futures=True)
                    running = {future: name for future, name in running.items() if not future.cancelled()}
        except BaseException as error:
            pool.shutdown(wait=False, cancel_futures=True)
            if not isinstance(error, KeyboardInterrupt):  # which the terminal sends to the stages too
                for process in started:
                    process.terminate()
            raise
    return code, stages


def _plan(root: Path) -> dict[str, set[str]] | None:
    """Return the stages that have changed and those behind them, in DVC's order.

    Each has the names of those that it waits for. None where DVC finds a fault, which it tells best itself.
    """
    from dvc.dvcfile import PROJECT_FILE
    from dvc.exceptions import DvcException
    from dvc.repo.reproduce import collect_stages, get_active_graph, plan_repro

    try:
        with open_repository(root) as repo, repo.lock:
            graph = get_active_graph(repo.index.graph)
            plan: dict[str, set[str]] = {}
            for stage in plan_repro(graph, collect_stages(repo, [PROJECT_FILE])):
                before = {own.addressing for own in graph.successors(stage)} & plan.keys()
                if before or stage.changed():
                    plan[stage.addressing] = before
            return plan
    except DvcException:
        return None


def _run(name: str, root: Path, environment: Mapping[str, str], started: list[subprocess.Popen[str]]) -> int:
    """Have DVC run a stage; print each line that it says behind the stage's name, return its exit code."""
    process = subprocess.Popen(
        [*REPRODUCE, "--single-item", name],
        cwd=root,
        env=environment,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors="replace",
    )
    started.append(process)
    assert process.stdout is not None
    for line in process.stdout:
        if line.strip() and not line.startswith(ADVICE):
            with _printing:
                print(f"{name} | {line.rstrip()}", flush=True)
    return process.wait()


_printing = threading.Lock()
