"""Runs the stages of a pipeline, those that do not wait for each other side by side.

`dvc repro` runs one stage after the other, and few of them keep two cores busy. Here each stage is run by a
`dvc repro --single-item` of its own; DVC's locks let them share a checkout, and a stage runs outside them.
What the end of the pipeline waits for longest comes first, by the seconds in ``meta`` of dvc.yaml.
"""

import os
import subprocess
import sys
import threading
from collections.abc import Iterable, Mapping
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from recap.core import paths
from recap.runtime.parent import MAKE
from recap.workspace.definition import look_up
from recap.workspace.lock_file import mapping
from recap.workspace.pipeline import open_repository

if TYPE_CHECKING:
    from dvc.stage import PipelineStage

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


@dataclass(frozen=True)
class Step:
    """A stage to run: those that it waits for, and the seconds from its start to the pipeline's end."""

    before: frozenset[str]
    seconds: float


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
    plan = _plan(root)
    if plan is None:
        return subprocess.run(REPRODUCE, cwd=root, env=environment, check=False).returncode, []
    if not plan:
        print("Data and pipelines are up to date.")
    waiting = dict(plan)
    running: dict[Future[int], str] = {}
    started: list[subprocess.Popen[str]] = []
    code = 0
    with ThreadPoolExecutor(lanes) as pool:
        try:
            while running or (waiting and not code):
                while len(running) < lanes and not code and (name := _next(plan, waiting, running.values())):
                    running[pool.submit(_run, name, root, environment, started)] = name
                    del waiting[name]
                for future in wait(running, return_when=FIRST_COMPLETED).done:
                    del running[future]
                    code = code or future.result()
        except BaseException as error:
            if not isinstance(error, KeyboardInterrupt):  # which the terminal sends to the stages too
                for process in started:
                    process.terminate()
            raise
    return code, list(plan)


def _next(plan: Mapping[str, Step], waiting: Iterable[str], running: Iterable[str]) -> str | None:
    """Return the stage to run next, of those that wait for no other; None where all wait."""
    undone = {*waiting, *running}
    ready = [name for name in waiting if not plan[name].before & undone]
    return max(ready, key=lambda name: plan[name].seconds, default=None)


def _plan(root: Path) -> dict[str, Step] | None:
    """Return the stages that have changed and those behind them, in DVC's order.

    None where DVC finds a fault, which it tells best itself.
    """
    from dvc.dvcfile import PROJECT_FILE
    from dvc.exceptions import DvcException
    from dvc.repo.reproduce import collect_stages, get_active_graph, plan_repro

    try:
        with open_repository(root) as repo, repo.lock:
            graph = get_active_graph(repo.index.graph)
            befores: dict[PipelineStage, set[PipelineStage]] = {}
            for stage in plan_repro(graph, collect_stages(repo, [PROJECT_FILE])):
                before = {own for own in graph.successors(stage) if own in befores}
                if before or stage.changed():
                    befores[stage] = before
    except DvcException:
        return None
    seconds = dict.fromkeys(befores, 0.0)
    for stage in reversed(befores):
        seconds[stage] += _seconds(stage)
        for own in befores[stage]:
            seconds[own] = max(seconds[own], seconds[stage])
    return {
        stage.addressing: Step(frozenset(own.addressing for own in before), seconds[stage])
        for stage, before in befores.items()
    }


def _seconds(stage: "PipelineStage") -> float:
    """Return the seconds that a stage's ``meta`` in dvc.yaml tells, of a matrix for each item; else 0."""
    seconds = (stage.meta or {}).get("seconds", 0)
    if isinstance(seconds, Mapping):
        seconds = seconds.get(stage.name.partition("@")[2], 0)
    return seconds if isinstance(seconds, int | float) else 0


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
