"""Runs the stages of a pipeline, those that do not wait for each other side by side.

`dvc repro` runs one stage after the other, and few of them keep two cores busy. Here each stage is run by a
`dvc repro --single-item` of its own; DVC's locks let them share a checkout, and a stage runs outside them.
What the end of the pipeline waits for longest comes first, by the seconds in ``meta`` of dvc.yaml.
"""

import os
import selectors
import subprocess
import sys
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from recap.core import paths
from recap.runtime.parent import MAKE, end_with_this_parent
from recap.workspace.definition import look_up
from recap.workspace.lock_file import mapping, order_new_entries
from recap.workspace.pipeline import open_repository

if TYPE_CHECKING:
    from dvc.repo import Repo
    from dvc.stage import PipelineStage

LANES = 4
"""At most: more stages are seldom ready at once."""
LARGEST_READ = 2**16  # bytes
SECONDS_BETWEEN = 0.1
REPRODUCE = (sys.executable, "-P", "-m", "dvc", "--wait-for-lock", "repro")
ADVICE = (
    "Generating lock file",
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

    target: str  # what DVC is told to run
    before: frozenset[str]  # stages that it waits for, of those that changed
    seconds: float  # from its start to the pipeline's end
    changed: bool  # itself, or one that it waits for


def count_lanes(root: Path) -> int:
    """Return how many stages may run at once: what cores have room for, by params.yaml; on a GPU one."""
    try:
        params = mapping((root / paths.PARAMS).read_bytes())
    except (OSError, ValueError):
        return 1  # DVC tells what is wrong
    alone = {"runtime.device": "cpu", "distributed.processes": 1}  # nobody shares a GPU, or several processes
    for name, value in alone.items():
        with suppress(KeyError, TypeError):
            if look_up(params, name) != value:
                return 1
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    with suppress(KeyError, TypeError, ZeroDivisionError):
        return max(min(LANES, cores // look_up(params, "runtime.threads")), 1)
    return 1  # DVC, or the first stage, tells what is wrong


def reproduce(root: Path, lanes: int, environment: Mapping[str, str]) -> int:
    """Run what changed in a pipeline, ``lanes`` stages at once; a single lane is left to a plain `dvc repro`.

    After a stage that fails none is started; the one beside it is done first. DVC and the stages of recap end
    with this process. New stages in dvc.lock have the order of the pipeline.

    Returns:
        The exit code of the stage that failed first, else 0.

    Raises:
        InputError: this is no checkout of DVC.
    """
    # threads that wait for each other without rest would take the processor from the stage beside
    environment = {"OMP_WAIT_POLICY": "passive", **environment, MAKE: str(os.getpid())}
    plan = _plan(root) if lanes > 1 else None
    if plan is None:
        return _run_plainly(root, environment)
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
                    running.append(Running(name, plan[name].target, root, environment, selector))
                for stage in _ended(running, selector):
                    running.remove(stage)
                    ended = stage.close(selector)
                    code = code or ended
        except KeyboardInterrupt:  # the terminal sends it to the stages too, which end in their time
            while running:
                for stage in _ended(running, selector):
                    running.remove(stage)
                    stage.close(selector)
            raise
        except BaseException:
            for stage in running:
                stage.process.terminate()
                stage.process.wait()
                stage.output.close()
            raise
    if changed and not code:
        order_new_entries(root, list(plan))
    return code


class Running:
    """A stage that DVC runs."""

    def __init__(
        self,
        name: str,
        target: str,
        root: Path,
        environment: Mapping[str, str],
        selector: selectors.BaseSelector,
    ) -> None:
        self.name, self._rest = name, b""
        self.process = subprocess.Popen(
            [*REPRODUCE, "--single-item", target],
            cwd=root,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            preexec_fn=end_with_this_parent,
        )
        assert self.process.stdout is not None
        self.output = self.process.stdout
        os.set_blocking(self.output.fileno(), False)
        selector.register(self.output, selectors.EVENT_READ, self)

    def pass_on(self) -> bool:
        """Print what DVC has said, each line behind the stage's name; return whether it said something."""
        try:
            said = os.read(self.output.fileno(), LARGEST_READ)
        except BlockingIOError:
            return False
        *lines, self._rest = (self._rest + said).split(b"\n")
        if not said or len(self._rest) > LARGEST_READ:
            lines, self._rest = [*lines, self._rest], b""
        for line in lines:
            text = line.decode(errors="replace").rstrip()
            if text and not text.startswith(ADVICE):
                print(f"{self.name} | {text}", flush=True)
        return bool(said)

    def close(self, selector: selectors.BaseSelector) -> int:
        """Print what DVC, which has ended, said last; return its exit code, 128 + N after signal N."""
        while self.pass_on():
            pass
        if self.output in selector.get_map():
            selector.unregister(self.output)
        self.output.close()
        code = self.process.wait()
        if code < 0:
            print(f"{self.name} | DVC was ended by signal {-code}", flush=True)
        return code if code >= 0 else 128 - code


def _ended(running: Sequence[Running], selector: selectors.BaseSelector) -> list[Running]:
    """Print what stages say for a moment; return those that have ended: what they started may say more."""
    if selector.get_map():
        for key, _ in selector.select(SECONDS_BETWEEN):
            if not key.data.pass_on():
                selector.unregister(key.fileobj)
    else:
        time.sleep(SECONDS_BETWEEN)
    return [stage for stage in running if stage.process.poll() is not None]


def _run_plainly(root: Path, environment: Mapping[str, str]) -> int:
    process = subprocess.Popen(REPRODUCE, cwd=root, env=environment, preexec_fn=end_with_this_parent)
    try:
        return process.wait()
    except KeyboardInterrupt:
        process.wait()
        raise
    except BaseException:
        process.terminate()
        process.wait()
        raise


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
        with open_repository(root) as repo, _locked(repo):
            graph = repo.index.graph
            active = get_active_graph(graph)  # a frozen stage waits for others, but does not change with them
            stages: list[PipelineStage] = plan_repro(active, collect_stages(repo, [PROJECT_FILE]))
            changed: set[PipelineStage] = set()
            for stage in stages:
                if not changed.isdisjoint(active.successors(stage)) or stage.changed():
                    changed.add(stage)
    except DvcException:
        return None
    befores = {stage: [own for own in graph.successors(stage) if own in changed] for stage in stages}
    seconds = {stage: _seconds(stage) for stage in stages}
    for stage in reversed(stages):
        for own in befores[stage]:
            seconds[own] = max(seconds[own], _seconds(own) + seconds[stage])
    return {
        stage.addressing: Step(
            # a name of its own may look like a file's
            f"{PROJECT_FILE}:{stage.name}" if stage.addressing == stage.name else stage.addressing,
            frozenset(own.addressing for own in befores[stage]),
            seconds[stage],
            stage in changed,
        )
        for stage in stages
    }


@contextmanager
def _locked(repo: "Repo") -> Iterator[None]:
    """Hold DVC's lock of a checkout; wait, and say so, while another DVC has it."""
    from dvc.lock import LockError

    said = False
    while True:
        try:
            repo.lock.lock()
            break
        except LockError:
            if not said:
                print("waiting for another DVC in this checkout", flush=True)
            said = True
    try:
        yield
    finally:
        repo.lock.unlock()


def _seconds(stage: "PipelineStage") -> float:
    """Return the seconds that a stage's ``meta`` in dvc.yaml tells, of a matrix for each item; else 0."""
    seconds = (stage.meta or {}).get("seconds", 0)
    if isinstance(seconds, Mapping):
        seconds = seconds.get(stage.name.partition("@")[2], 0)
    return seconds if isinstance(seconds, int | float) else 0
