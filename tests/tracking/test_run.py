"""Single stages and a real MLflow store: what a run carries, what a fault leaves, what it never costs."""

import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

Reader = Callable[[], tuple[Any, list[Any]]]
SCRIPT = """
import sys
from pathlib import Path
from recap.errors import InputError
from recap.report.config import ReportConfig
from recap.tracking.stage import execute, start

def main():
    config = ReportConfig(**{field: 7 for field in ReportConfig.__dataclass_fields__})
    with start("report", config) as run:
        for step in range(3):
            run.log_metrics({"loss": 3.0 - step}, step)
        run.log_metrics({"seen": {"cider_d": 1.5}, "note": "text"})
        run.log_artifact(Path("params.yaml"))
        run.log_table({"image": [1, 2], "caption": ["a", "b"]}, "captions.json")
        Path("output.txt").write_text("done")
        if sys.argv[1] == "bad input":
            raise InputError("file: expected this, received that")
        if sys.argv[1] == "interrupt":
            raise KeyboardInterrupt
        if sys.argv[1] == "wait":
            print("ready", flush=True)
            sys.stdin.read()

execute(main)
"""


@pytest.fixture
def workspace(tmp_path: Path) -> Path:
    """A folder with a stage and no pipeline around it."""
    (tmp_path / "params.yaml").write_text("")
    (tmp_path / "stage.py").write_text(SCRIPT)
    return tmp_path


def variables(workspace: Path, **changes: str) -> dict[str, str]:
    return os.environ | {"DVC_ROOT": str(workspace), "DVC_EXP_NAME": "brisk-fern"} | changes


def call(workspace: Path, command: list[str], changes: dict[str, str]) -> subprocess.CompletedProcess[str]:
    environment = variables(workspace, **changes)
    return subprocess.run(
        command, cwd=workspace, env=environment, capture_output=True, text=True, timeout=120
    )


def run_stage(workspace: Path, behaviour: str = "", **changes: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "stage.py", behaviour]
    environment = variables(workspace, **changes)
    return subprocess.run(
        command, cwd=workspace, env=environment, capture_output=True, text=True, timeout=120
    )


def sync(workspace: Path, *arguments: str, **changes: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "recap.cli", "sync", *arguments]
    environment = variables(workspace, **changes)
    return subprocess.run(
        command, cwd=workspace, env=environment, capture_output=True, text=True, timeout=120
    )


@pytest.fixture
def runs(workspace: Path, open_runs: Callable[[str], Any]) -> Reader:
    """Reads the store, and the stages' runs, the first first."""

    def read() -> tuple[Any, list[Any]]:
        found = open_runs(f"sqlite:///{workspace}/mlflow.db")
        assert len(found.parents) == 1
        (stages,) = found.children(found.parents[0]).values()
        return found, stages[::-1]

    return read


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_every_way_that_a_stage_ends_is_recorded(workspace: Path, runs: Reader) -> None:
    result = run_stage(workspace)
    assert (result.returncode, result.stdout, result.stderr) == (0, "", "")
    result = run_stage(workspace, "bad input")
    assert (result.returncode, result.stderr) == (2, "file: expected this, received that\n")
    result = run_stage(workspace, "interrupt")
    assert (result.returncode, result.stderr) == (130, "interrupted\n")
    assert sync(workspace).returncode == 0

    found, (finished, failed, killed) = runs()
    assert [run.info.status for run in (finished, failed, killed)] == ["FINISHED", "FAILED", "KILLED"]
    assert "expected this, received that" in failed.data.tags["recap.reason"]
    assert found.parents[0].info.run_name == "brisk-fern"
    assert found.parents[0].data.metrics == {"report.seen.cider_d": 1.5}
    for run in (finished, failed, killed):
        assert set(run.data.params.values()) == {"7"}
        curve = [
            (point.step, point.value) for point in found.client.get_metric_history(run.info.run_id, "loss")
        ]
        assert sorted(curve) == [(0, 3.0), (1, 2.0), (2, 1.0)]
        assert found.artifacts(run) == {"params.yaml", "captions.json"}
        table = Path(found.client.download_artifacts(run.info.run_id, "captions.json")).read_text()
        assert table == '{"columns": ["image", "caption"], "data": [[1, "a"], [2, "b"]]}'
        assert run.data.tags["version.mlflow"]
        assert int(run.data.tags["machine.cores"]) > 0
    assert not list(workspace.glob(".recap/tracking/*/0*")), "what is delivered is removed"


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_a_living_stage_is_followed_and_a_killed_one_reaped(workspace: Path, runs: Reader) -> None:
    command = [sys.executable, "stage.py", "wait"]
    pipe = subprocess.PIPE
    environment = variables(workspace)
    with subprocess.Popen(command, cwd=workspace, env=environment, stdin=pipe, stdout=pipe) as process:
        assert process.stdout is not None
        process.stdout.readline()
        for _ in range(2):
            assert sync(workspace).returncode == 0
            found, (run,) = runs()
            assert (run.info.status, found.parents[0].info.status) == ("RUNNING", "RUNNING")
            assert run.data.metrics["loss"] == 1.0, "curves are there while the stage runs"
        process.kill()
    assert sync(workspace).returncode == 0
    found, (run,) = runs()
    assert (run.info.status, found.parents[0].info.status) == ("FAILED", "FAILED")
    assert "killed" in run.data.tags["recap.reason"]


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_a_run_whose_journal_is_lost_is_reaped(workspace: Path, runs: Reader) -> None:
    command = [sys.executable, "stage.py", "wait"]
    pipe = subprocess.PIPE
    environment = variables(workspace)
    with subprocess.Popen(command, cwd=workspace, env=environment, stdin=pipe, stdout=pipe) as process:
        assert process.stdout is not None
        process.stdout.readline()
        assert sync(workspace).returncode == 0
        for file in workspace.glob(".recap/tracking/*/0*/start.json"):
            file.unlink()
        assert sync(workspace).returncode == 0
        assert [run.info.status for run in runs()[1]] == ["RUNNING"], "its process lives"
        process.kill()
    assert sync(workspace).returncode == 0
    assert [run.info.status for run in runs()[1]] == ["FAILED"]


@pytest.mark.parametrize("uri", ["http://127.0.0.1:9", "sqlite:////proc/none/mlflow.db"])
def test_a_store_that_is_down_costs_a_warning_and_no_work(workspace: Path, uri: str) -> None:
    begin = time.monotonic()
    assert run_stage(workspace, MLFLOW_TRACKING_URI=uri).returncode == 0
    seconds = time.monotonic() - begin
    assert (workspace / "output.txt").read_text() == "done"
    assert seconds < 20, "a stage never waits for the store"
    result = sync(workspace, MLFLOW_TRACKING_URI=uri)
    assert result.returncode == 1
    assert result.stderr.startswith("warning: MLflow:")
    assert "1 runs wait" in result.stderr
    assert len(result.stderr.splitlines()) == 1
    result = run_stage(workspace, MLFLOW_TRACKING_URI=uri)
    assert (result.returncode, result.stderr[:16]) == (0, "warning: MLflow:")


def test_a_disk_that_takes_no_journal_costs_a_warning_and_no_work(workspace: Path) -> None:
    (workspace / ".recap").write_text("a file where a folder should be")
    result = run_stage(workspace)
    assert result.returncode == 0
    assert (workspace / "output.txt").read_text() == "done"
    assert len(result.stderr.splitlines()) == 1
    assert result.stderr.startswith("warning: MLflow:")


def test_tracking_can_be_left_out(workspace: Path) -> None:
    result = run_stage(workspace, RECAP_TRACKING="off")
    assert (result.returncode, result.stderr) == (0, "")
    assert (workspace / "output.txt").read_text() == "done"
    assert not (workspace / "mlflow.db").exists()
    assert not (workspace / ".recap").exists()
