"""Stages and imports killed at random moments: the record ends up whole."""

import os
import random
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psutil
import pytest

KILLS = int(os.environ.get("RECAP_TEST_KILLS", "3"))
SEED = int(os.environ.get("RECAP_TEST_SEED", "231"))
STAGES = {"fetch", "train/lstm", "train/rnn", "evaluate/lstm", "evaluate/rnn", "report"}


def find(word: str, folder: Path) -> list[psutil.Process]:
    """The processes that run in a folder with a word on their command line."""
    found = []
    for process in psutil.process_iter():
        try:
            if Path(process.cwd()) == folder and any(word in part for part in process.cmdline()):
                found.append(process)
        except psutil.Error:
            continue
    return found


def kill(processes: list[psutil.Process]) -> None:
    for process in processes:
        try:
            process.kill()
        except psutil.NoSuchProcess:
            continue


@pytest.mark.slow
@pytest.mark.timeout(1200)
@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_a_kill_at_any_moment_leaves_a_whole_record(
    tmp_path: Path, make_checkout: Callable[[Path], Any]
) -> None:
    checkout = make_checkout(tmp_path / "kills")
    moments = random.Random(SEED)
    killed = 0
    for number in range(KILLS):
        old = "width: 2\n" if number == 0 else f"width: {9 + number}\n"
        checkout.edit(old, f"width: {10 + number}\n")
        command = [sys.executable, "-m", "dvc", "repro"]
        environment = checkout.environment | {"STEP_SECONDS": "0.1"}
        with subprocess.Popen(
            command, cwd=checkout.root, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
        ) as process:
            while not find("stages/", checkout.root) and process.poll() is None:
                time.sleep(0.01)
            time.sleep(moments.uniform(0, 1.5))
            while not (stages := find("stages/", checkout.root)) and process.poll() is None:
                time.sleep(0.01)
            kill(stages)
            killed += bool(stages)
            process.communicate(timeout=120)
        checkout.dvc("repro", RECAP_RECORD_SECONDS=f"{moments.uniform(0.5, 4)}")  # is cut short, most times
        command = [sys.executable, "-m", "recap.cli", "sync"]
        with subprocess.Popen(command, cwd=checkout.root, env=checkout.environment) as process:
            time.sleep(moments.uniform(1, 5))
            process.kill()
        checkout.sync()

        found = checkout.runs()
        assert len(found.parents) == number + 1
        parent = found.parents[0]
        children = found.children(parent)
        assert set(children) == STAGES
        assert {runs[0].info.status for runs in children.values()} == {"FINISHED"}
        assert parent.info.status == "FINISHED"
        assert {run.info.status for run in found.all} <= {"FINISHED", "FAILED"}
        assert {len(runs) for runs in children.values()} <= {1, 2}, (
            "the one that was killed, and nothing doubled"
        )
        reasons = [run.data.tags.get("recap.reason", "") for run in found.all if run.info.status == "FAILED"]
        assert all("killed" in reason for reason in reasons)
    assert killed, "some stage was really hit"
