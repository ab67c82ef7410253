"""A stage ends with the process that runs it, however that ends, and writes nothing afterwards."""

import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import psutil
import pytest
from tests.guard.conftest import ROOT


def stage_of(checkout: Any) -> psutil.Process:
    """The process that waits inside the stage."""
    return psutil.Process(int((checkout.root / "started").read_text()))


def assert_ends(stage: psutil.Process, seconds: float = 3.0) -> None:
    assert psutil.wait_procs([stage], timeout=seconds)[1] == []


@pytest.mark.parametrize("ending", [signal.SIGKILL, signal.SIGTERM, signal.SIGHUP])
def test_the_end_of_dvc_is_the_end_of_its_stage(checkout: Any, ending: signal.Signals) -> None:
    process = checkout.start(sys.executable, "-m", "dvc", "repro")
    stage = stage_of(checkout)
    process.send_signal(ending)
    process.wait()
    assert_ends(stage)
    checkout.go_on()
    assert checkout.output() is None
    assert not list(checkout.root.rglob("*.tmp"))


@pytest.mark.slow
@pytest.mark.parametrize("options", [[], ["--temp"]])
def test_the_end_of_an_experiment_too(checkout: Any, options: list[str]) -> None:
    process = checkout.start(sys.executable, "-m", "dvc", "exp", "run", *options)
    stage = stage_of(checkout)
    process.terminate()
    process.wait()
    assert_ends(stage)


@pytest.mark.slow
@pytest.mark.parametrize("ending", [signal.SIGKILL, signal.SIGTERM])
def test_a_queued_experiment_that_is_killed_leaves_no_stage_and_can_be_queued_again(
    checkout: Any, ending: signal.Signals
) -> None:
    def queue() -> None:
        assert checkout.dvc("exp", "run", "--queue", "--set-param", "train.seed=7").returncode == 0
        (checkout.root / "started").unlink(missing_ok=True)
        start = [sys.executable, "-m", "dvc", "queue", "start"]
        output = subprocess.DEVNULL  # the worker lives on and keeps a pipe open
        subprocess.run(start, cwd=checkout.root, env=checkout.environment, stdout=output, check=True)
        while not (started := checkout.root / "started").exists() or not started.read_text():
            time.sleep(0.05)

    (checkout.root / "wait").touch()
    queue()
    stage = stage_of(checkout)
    stage.parents()[0].send_signal(ending)
    assert_ends(stage)
    while "Failed" not in checkout.dvc("queue", "status").stdout:
        time.sleep(0.2)
    checkout.go_on()
    queue()
    while "Success" not in checkout.dvc("queue", "status").stdout:
        time.sleep(0.2)
    assert "7" in checkout.dvc("exp", "show", "--csv").stdout.splitlines()[-1].split(",")


@pytest.mark.parametrize("ending", [signal.SIGKILL, signal.SIGTERM])
def test_the_end_of_make_too(checkout: Any, ending: signal.Signals) -> None:
    shutil.copy(ROOT / "Makefile", checkout.root)
    programs = checkout.root / "programs"
    programs.mkdir()
    for name, module in {"dvc": "dvc", "recap": "recap.cli"}.items():
        check = '[ "$1" = config ] && exit 0'  # it knows the real pipeline's params only
        (programs / name).write_text(f'#!/bin/sh\n{check}\nexec "{sys.executable}" -m {module} "$@"\n')
        (programs / name).chmod(0o755)
    process = checkout.start("make", "READY=", "BIN=programs", "repro")
    stage = stage_of(checkout)
    process.send_signal(ending)
    process.wait()
    assert_ends(stage)
    assert checkout.output() is None


@pytest.mark.parametrize("shells", [["sh"], ["sh", "sh"], ["bash"]])
def test_shells_between_are_no_shelter(checkout: Any, shells: list[str]) -> None:
    command = "sh stages/run.sh train lstm; true"  # a shell that waits for the next command
    for _ in shells:
        command = f"{shells[0]} -c '{command}'; true" if "'" not in command else f'sh -c "{command}"; true'
    script = f"import subprocess; subprocess.run({command!r}, shell=True)"
    (checkout.root / "data").mkdir()
    (checkout.root / "data" / "in.txt").write_text("given")
    process = checkout.start(sys.executable, "-c", script, DVC_STAGE="train@lstm")
    stage = stage_of(checkout)
    assert stage.ppid() != process.pid
    process.kill()
    process.wait()
    assert_ends(stage)


def test_a_parent_that_went_before_the_first_import_is_seen(checkout: Any) -> None:
    result = subprocess.run(
        [sys.executable, "-P", "-m", "recap.run_stage", "stages/train.py", "lstm"],
        cwd=checkout.root,
        env=checkout.environment | {"RECAP_PARENT": str(os.getpid() + 1)},
        capture_output=True,
        text=True,
    )
    assert result.returncode == 75
    assert result.stderr == "the process that started this stage is gone: the stage ends\n"
    assert not (checkout.root / "started").exists()


@pytest.mark.parametrize("name", ["RECAP_PARENT", "RECAP_MAKE"])
@pytest.mark.parametrize("text", ["abc", "", "-1", "99999999999999999999"])
def test_what_is_no_process_is_told_in_a_line(checkout: Any, name: str, text: str) -> None:
    result = subprocess.run(
        [sys.executable, "-P", "-m", "recap.run_stage", "stages/train.py", "lstm"],
        cwd=checkout.root,
        env=checkout.environment | {name: text},
        capture_output=True,
        text=True,
    )
    assert result.returncode == 2
    assert result.stderr.startswith(f"{name}: expected a whole number, ")
    assert result.stderr.endswith(f"received {text!r}\n")


def run_script(checkout: Any, **environment: str) -> "subprocess.CompletedProcess[str]":
    (checkout.root / "data").mkdir(exist_ok=True)
    (checkout.root / "data" / "in.txt").write_text("given")
    return subprocess.run(
        ["sh", "stages/run.sh", "train", "lstm"],
        cwd=checkout.root,
        env=checkout.environment | environment,
        capture_output=True,
        text=True,
    )


def test_words_that_python_does_not_know_reach_no_stage(checkout: Any) -> None:
    names = ("HASHSEED", "HOME", "IOENCODING", "MALLOC", "UTF8", "INTMAXSTRDIGITS", "TRACEMALLOC")
    hostile = {f"PYTHON{name}": "rubbish" for name in names} | {"PYTHONPATH": "/nowhere:rubbish"}
    result = run_script(checkout, **hostile, PYTHONWARNINGS="error")
    assert (result.returncode, result.stderr) == (0, "")
    assert checkout.output() is not None


def test_why_python_does_not_start_is_told(checkout: Any) -> None:
    program = checkout.root / ".venv" / "bin" / "python"
    program.parent.mkdir(parents=True)
    program.write_text("#!/bin/sh\necho 'first' >&2\necho 'the true reason' >&2\nexit 1\n")
    program.chmod(0o755)
    result = run_script(checkout, PATH="/usr/bin:/bin", PYTHONPATH="")
    assert result.returncode == 2
    assert result.stderr == (
        "stages/run.sh: expected an environment with recap in .venv or on PATH, "
        "received from .venv/bin/python: the true reason; run: make setup\n"
    )


@pytest.mark.slow
def test_workers_end_with_an_agent_that_is_killed_while_they_import(checkout: Any) -> None:
    script = """
import os, sys
from pathlib import Path
from recap.runtime.config import DistributedConfig
from recap.runtime.launch import launch
from recap.tracking.stage import execute

def main():
    if launch(DistributedConfig(2), sys.orig_argv[1:], os.environ):
        return
    while True:
        Path(f"worker{os.environ['RANK']}").touch()

execute(main)
"""
    (checkout.root / "stages" / "train.py").write_text(script)
    process = checkout.run_in_background("sh", "stages/run.sh", "train", "lstm")
    agent = psutil.Process(process.pid)
    while len(workers := agent.children()) < 2:
        assert process.poll() is None, process.communicate()
        time.sleep(0.01)
    process.kill()
    process.wait()
    assert psutil.wait_procs(workers, timeout=3.0)[1] == []


def test_nohup_keeps_a_stage_that_a_person_started(checkout: Any) -> None:
    (checkout.root / "data").mkdir()
    (checkout.root / "data" / "in.txt").write_text("given")
    process = checkout.start("sh", "-c", "nohup sh stages/run.sh train lstm >said 2>&1; true")
    stage = stage_of(checkout)
    process.kill()
    process.wait()
    time.sleep(0.3)
    assert stage.is_running()
    checkout.go_on()
    assert_ends(stage, 10.0)
    assert checkout.output() == "made of given by 231"


def test_the_next_run_takes_over_where_dvc_was_killed(checkout: Any) -> None:
    process = checkout.start(sys.executable, "-m", "dvc", "repro")
    process.kill()
    process.wait()
    checkout.set(seed=999)
    checkout.go_on()
    assert checkout.dvc("repro").returncode == 0
    time.sleep(0.5)
    assert checkout.output() == "made of given by 999"
    assert Path(checkout.root / "dvc.lock").exists()
