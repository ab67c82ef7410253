"""Kills at random moments of `recap repro` and of its stages: reruns end with an undisturbed run's bytes.

``RECAP_TEST_KILLS=200`` kills 200 times, ``RECAP_TEST_SEED`` draws other moments.
"""

import os
import random
import shutil
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import psutil
import pytest
from tests.pipeline.test_pipeline import change_params, copy_checkout

from recap.proof.verify import verify

KILLS = int(os.environ.get("RECAP_TEST_KILLS", "4"))
SEED = int(os.environ.get("RECAP_TEST_SEED", "231"))
SMALLER = {
    "data": {"scenes": {"train_images": 60, "validation_images": 12, "test_images": 12}},
    "backbone": {"crop_steps": 5, "steps": 10, "feature_dim": 64},
    "reduce": {"components": 16},
    "decoders": {"names": ["lstm"]},
    "tokenize": {"min_count": 1},
    "visualize": {"images": 1, "iterations": 10, "fooled_images": 1, "worded_images": 1},
}
pytestmark = [pytest.mark.slow, pytest.mark.long, pytest.mark.timeout(0)]


class Pipeline:
    """A checkout whose pipeline is run as `make repro` runs it."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.environment = os.environ | {"RECAP_TRACKING": "off", "DVC_NO_ANALYTICS": "true"}
        self.environment["PATH"] = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
        self.environment.pop("DVC_ROOT", None)

    def start(self) -> "subprocess.Popen[str]":
        """Start it in a session of its own."""
        return subprocess.Popen(
            [sys.executable, "-m", "recap.cli", "repro"],
            cwd=self.root,
            env=self.environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        )

    def finish(self) -> None:
        process = self.start()
        said = process.communicate()[0]
        assert process.returncode == 0, said

    def stages(self) -> list[psutil.Process]:
        """The processes that run in the checkout, DVC apart."""
        found = []
        for process in psutil.process_iter():
            try:
                if process.cwd() == str(self.root) and "recap.run_stage" in process.cmdline():
                    found.append(process)
            except psutil.Error:
                continue
        return found

    def start_again(self) -> None:
        """Leave nothing of what a run made."""
        for name in ("data", "models", ".recap", ".dvc/cache", ".dvc/tmp"):
            shutil.rmtree(self.root / name, ignore_errors=True)
        subprocess.run(["git", "clean", "-fdxq", "-e", ".venv"], cwd=self.root, check=True)
        subprocess.run(["git", "checkout", "--quiet", "."], cwd=self.root, check=True)

    def state(self) -> tuple[bytes, set[str]]:
        """dvc.lock, and how its outputs are."""
        return (self.root / "dvc.lock").read_bytes(), {found.verdict for found in verify(self.root)}


def kill_dvc(pipeline: Pipeline, process: "subprocess.Popen[str]") -> None:
    process.kill()


def end_dvc(pipeline: Pipeline, process: "subprocess.Popen[str]") -> None:
    process.terminate()


def kill_all(pipeline: Pipeline, process: "subprocess.Popen[str]") -> None:
    os.killpg(process.pid, signal.SIGKILL)


def kill_stage(pipeline: Pipeline, process: "subprocess.Popen[str]") -> None:
    while not (stages := pipeline.stages()) and process.poll() is None:
        time.sleep(0.05)
    for stage in stages:
        stage.kill()


def kill_in_a_write(pipeline: Pipeline, process: "subprocess.Popen[str]") -> None:
    """Kill DVC while it writes dvc.lock."""
    lock = pipeline.root / "dvc.lock"
    before = lock.stat().st_mtime_ns if lock.exists() else 0
    until = time.monotonic() + 30
    while process.poll() is None and time.monotonic() < until:
        if lock.exists() and lock.stat().st_mtime_ns != before:
            break
    process.kill()


WAYS: list[Callable[[Pipeline, "subprocess.Popen[str]"], None]] = [
    kill_dvc,
    end_dvc,
    kill_all,
    kill_stage,
    kill_in_a_write,
]


def test_kills_at_random_moments_change_no_byte(tmp_path: Path) -> None:
    (tmp_path / "checkout").mkdir()
    pipeline = Pipeline(copy_checkout(tmp_path / "checkout"))
    change_params(pipeline.root, SMALLER)
    subprocess.run(
        ["git", "-c", "user.name=test", "-c", "user.email=test@example.org", "commit", "-qam", "Smaller"],
        cwd=pipeline.root,
        check=True,
    )
    start = time.monotonic()
    pipeline.finish()
    seconds = time.monotonic() - start
    whole = pipeline.state()
    assert whole[1] == {"identical"}
    moments = random.Random(SEED)
    killed: Counter[str] = Counter()
    pipeline.start_again()
    while killed.total() < KILLS:
        way = moments.choice(WAYS)
        process = pipeline.start()
        # short: the moments of one run after another go through the whole pipeline
        time.sleep(moments.uniform(0, min(seconds / 3, 8)))
        way(pipeline, process)
        said = process.communicate()[0]
        if process.returncode:
            killed[way.__name__] += 1
        gone = time.monotonic() + 5
        while pipeline.stages():
            assert time.monotonic() < gone, "a stage outlived DVC"
            time.sleep(0.05)
        assert "Traceback" not in said
        if process.returncode == 0:
            assert pipeline.state() == whole
            pipeline.start_again()
    pipeline.finish()
    assert pipeline.state() == whole
    print(f"{killed.total()} kills: {dict(killed)}")
