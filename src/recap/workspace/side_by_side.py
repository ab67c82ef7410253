"""Runs the stages of a pipeline, those that do not wait for each other side by side.

`dvc repro` runs one stage after the other, and few of them keep two cores busy. Here each stage is run by a
`dvc repro --single-item` of its own; DVC's locks let them share a checkout, and a stage runs outside them.
What the end of the pipeline waits for longest comes first, by the seconds in ``meta`` of dvc.yaml.
"""

import os
import selectors
import subprocess
import sys
from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from recap.core import paths
from recap.runtime.parent import MAKE, end_with_this_parent
from recap.workspace.definition import look_up
from recap.workspace.lock_file import mapping, sort_lock
from recap.workspace.pipeline import open_repository

if TYPE_CHECKING:
    from dvc.stage import PipelineStage

LANES = 2
LARGEST_READ = 2**16  # bytes
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
    """A stage of the plan."""

    before: frozenset[str]  # stages that it waits for
    seconds: float  # from its start to the pipeline's end
    changed: bool  # itself, or one that it waits for


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


def reproduce(root: Path, lanes: int, environment: Mapping[str, str]) -> int:
    """Run what changed in a pipeline, ``lanes`` stages at once; a single lane is left to a plain `dvc repro`.

    After a stage that fails none is started; the one beside it is done first. DVC and the stages of recap end
    with this process. dvc.lock is as it is after `dvc repro`.

    Returns:
        The exit code of the stage that failed first, else 0.

    Raises:
        InputError: this is no checkout of DVC.
    """
    # threads that wait for each other without rest would take the processor from the stage beside
    environment = {"OMP_WAIT_POLICY": "passive", **environment, MAKE: str(os.getpid())}
    plan = _plan(root) if lanes > 1 else None
    if plan is None:
        return subprocess.run(REPRODUCE, cwd=root, env=environment, check=False).returncode
    changed = [name for name, step in plan.items() if step.changed]
    if not changed:
        print("Data and pipelines are up to date.")
    waiting, running = list(changed), list[Running]()
    code = 0
    with selectors.DefaultSelector() as selector:
        try:
            while running or (waiting and not code):
                while len(running) < lanes and not code and (name := _next(plan, waiting, running)):
                    waiting.remove(name)
                    running.append(Running(name, root, environment))
                    selector.register(running[-1].output, selectors.EVENT_READ, running[-1])
                for key, _ in selector.select():
                    stage: Running = key.data
                    if not stage.pass_on():
                        selector.unregister(stage.output)
                        running.remove(stage)
                        code = code or stage.end()
        except BaseException as error:
            for stage in running:  # the terminal sends Ctrl-C to them too, and they end in their time
                stage.end(at_once=not isinstance(error, KeyboardInterrupt))
            raise
    if changed and not code:
        sort_lock(root, list(plan))
    return code


class Running:
    """A stage that DVC runs."""

    def __init__(self, name: str, root: Path, environment: Mapping[str, str]) -> None:
        self.name, self._rest = name, b""
        self._process = subprocess.Popen(
            [*REPRODUCE, "--single-item", name],
            cwd=root,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            preexec_fn=end_with_this_parent,
        )
        assert self._process.stdout is not None
        self.output = self._process.stdout

    def pass_on(self) -> bool:
        """Print what DVC has said, each line behind the stage's name; return whether it may say more."""
        said = os.read(self.output.fileno(), LARGEST_READ)
        *lines, self._rest = (self._rest + said).split(b"\n")
        for line in lines if said else [*lines, self._rest]:
            text = line.decode(errors="replace").rstrip()
            if text and not text.startswith(ADVICE):
                print(f"{self.name} | {text}", flush=True)
        return bool(said)

    def end(self, *, at_once: bool = False) -> int:
        """Wait until DVC ends, or end it; return its exit code."""
        if at_once:
            self._process.terminate()
        while self.output.read(LARGEST_READ):
            pass  # else DVC would wait for a reader
        self.output.close()
        return self._process.wait()


def _next(plan: Mapping[str, Step], waiting: Iterable[str], running: Iterable[Running]) -> str | None:
    """Return the stage to run next, of those that wait for no other; None where all wait."""
    undone = {*waiting, *(stage.name for stage in running)}
    ready = [name for name in waiting if not plan[name].before & undone]
    return max(ready, key=lambda name: plan[name].seconds, default=None)


def _plan(root: Path) -> dict[str, Step] | None:
    """Return all stages in the order of `dvc repro`; None where DVC finds a fault, which it tells best."""
    from dvc.dvcfile import PROJECT_FILE
    from dvc.exceptions import DvcException
    from dvc.repo.reproduce import collect_stages, get_active_graph, plan_repro

    try:
        with open_repository(root) as repo, repo.lock:
            graph = get_active_graph(repo.index.graph)
            stages: list[PipelineStage] = plan_repro(graph, collect_stages(repo, [PROJECT_FILE]))
            changed: set[PipelineStage] = set()
            for stage in stages:
                if not changed.isdisjoint(graph.successors(stage)) or stage.changed():
                    changed.add(stage)
    except DvcException:
        return None
    seconds = {stage: _seconds(stage) for stage in stages}
    for stage in reversed(stages):
        for own in graph.successors(stage):
            seconds[own] = max(seconds[own], _seconds(own) + seconds[stage])
    return {
        stage.addressing: Step(
            frozenset(own.addressing for own in graph.successors(stage)), seconds[stage], stage in changed
        )
        for stage in stages
    }


def _seconds(stage: "PipelineStage") -> float:
    """Return the seconds that a stage's ``meta`` in dvc.yaml tells, of a matrix for each item; else 0."""
    seconds = (stage.meta or {}).get("seconds", 0)
    if isinstance(seconds, Mapping):
        seconds = seconds.get(stage.name.partition("@")[2], 0)
    return seconds if isinstance(seconds, int | float) else 0
