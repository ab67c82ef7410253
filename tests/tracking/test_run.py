"""Single stages and a real MLflow store: what a run carries, what a fault leaves, what it never costs."""

import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
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
        Path("output.txt").write_text("done")
        if sys.argv[1] == "bad input":
            raise InputError("file: expected this, received that")
        if sys.argv[1] == "interrupt":
            raise KeyboardInterrupt
        if sys.argv[1] == "wait":
            print("ready", flush=True)
            sys.stdin.readline()
            run.log_metrics({"loss": 0.5}, 3)

execute(main)
"""


@pytest.fixture
def workspace(tmp_path: Path) -> Path:
    """A folder with a stage and an empty pipeline around it."""
    (tmp_path / "params.yaml").write_text("")
    (tmp_path / "dvc.yaml").write_text("stages: {}\n")
    (tmp_path / "stage.py").write_text(SCRIPT)
    (tmp_path / ".dvc").mkdir()
    (tmp_path / ".dvc" / "config").write_text("[core]\n    no_scm = true\n")
    return tmp_path


def variables(workspace: Path, **changes: str) -> dict[str, str]:
    return os.environ | {"DVC_ROOT": str(workspace), "DVC_EXP_NAME": "brisk-fern"} | changes


def call(workspace: Path, command: list[str], **changes: str) -> subprocess.CompletedProcess[str]:
    environment = variables(workspace, **changes)
    return subprocess.run(
        command, cwd=workspace, env=environment, capture_output=True, text=True, timeout=120
    )


def run_stage(workspace: Path, behaviour: str = "", **changes: str) -> subprocess.CompletedProcess[str]:
    return call(workspace, [sys.executable, "stage.py", behaviour], **changes)


def sync(workspace: Path, *arguments: str, **changes: str) -> subprocess.CompletedProcess[str]:
    return call(workspace, [sys.executable, "-m", "recap.cli", "sync", *arguments], **changes)


@contextmanager
def waiting_stage(workspace: Path, **changes: str) -> Iterator["subprocess.Popen[str]"]:
    """A stage that has logged three steps and waits for a line, or its end."""
    pipe = subprocess.PIPE
    command = [sys.executable, "stage.py", "wait"]
    environment = variables(workspace, **changes)
    with subprocess.Popen(
        command, cwd=workspace, env=environment, stdin=pipe, stdout=pipe, stderr=pipe, text=True
    ) as process:
        assert process.stdout is not None
        process.stdout.readline()
        yield process
        process.kill()


@pytest.fixture
def runs(workspace: Path, open_runs: Callable[[str], Any]) -> Reader:
    """Reads the store, and the stages' runs, the first first."""

    def read() -> tuple[Any, list[Any]]:
        assert (workspace / "mlflow.db").exists()
        found = open_runs(f"sqlite:///{workspace}/mlflow.db")
        assert len(found.parents) == 1
        (stages,) = found.children(found.parents[0]).values()
        return found, stages[::-1]

    return read


def live_run(runs: Reader) -> tuple[Any, Any]:
    """The store, and the run of a stage that still runs, once its curve is there."""
    until = time.monotonic() + 120
    while time.monotonic() < until:
        time.sleep(0.5)
        with suppress(Exception):  # the store is being made
            found, stages = runs()
            if stages[-1].info.status == "RUNNING" and "loss" in stages[-1].data.metrics:
                return found, stages[-1]
    raise AssertionError("no curve after two minutes")


def curve(found: Any, run: Any) -> list[tuple[int, float]]:
    return sorted((own.step, own.value) for own in found.client.get_metric_history(run.info.run_id, "loss"))


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_every_way_that_a_stage_ends_is_recorded(workspace: Path, runs: Reader) -> None:
    result = run_stage(workspace)
    assert (result.returncode, result.stdout, result.stderr) == (0, "", "")
    result = run_stage(workspace, "bad input")
    assert (result.returncode, result.stderr) == (2, "file: expected this, received that\n")
    result = run_stage(workspace, "interrupt")
    assert (result.returncode, result.stderr) == (130, "interrupted\n")
    result = sync(workspace)
    assert (result.returncode, result.stderr) == (0, "")

    found, (finished, failed, killed) = runs()
    assert [run.info.status for run in (finished, failed, killed)] == ["FINISHED", "FAILED", "KILLED"]
    assert "expected this, received that" in failed.data.tags["recap.reason"]
    assert found.parents[0].info.run_name == "brisk-fern"
    assert found.parents[0].data.metrics == {"report.seen.cider_d": 1.5}
    assert 10 < finished.data.metrics["system/peak_mebibytes"] < 10_000
    assert 0 < finished.data.metrics["system/cpu_seconds"] < 100
    for run in (finished, failed, killed):
        assert set(run.data.params.values()) == {"7"}
        assert curve(found, run) == [(0, 3.0), (1, 2.0), (2, 1.0)]
        assert run.data.tags["version.mlflow"]
        assert int(run.data.tags["machine.cores"]) > 0
    assert not list(workspace.glob(".recap/runs/*")), "what is delivered is removed"


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::DeprecationWarning")
@pytest.mark.parametrize("ends", ["finished", "killed"])
def test_a_long_stage_shows_its_curves_while_it_runs(workspace: Path, runs: Reader, ends: str) -> None:
    with waiting_stage(workspace, RECAP_LIVE_SECONDS="0.2") as process:
        found, run = live_run(runs)
        assert (run.info.status, found.parents[0].info.status) == ("RUNNING", "RUNNING")
        assert curve(found, run) == [(0, 3.0), (1, 2.0), (2, 1.0)]
        assert sync(workspace).returncode == 0
        assert [own.info.status for own in runs()[1]] == ["RUNNING"], "a sync leaves it alone"
        if ends == "finished":
            assert process.stdin is not None
            process.stdin.write("\n")
            process.stdin.close()
            assert process.wait(60) == 0
            assert process.stderr is not None
            assert process.stderr.read() == ""
        else:
            process.kill()
            process.wait()
    assert sync(workspace).returncode == 0
    found, (same,) = runs()
    assert same.info.run_id == run.info.run_id
    status = "FINISHED" if ends == "finished" else "FAILED"
    assert (same.info.status, same.data.tags.get("recap.reason", "killed").count("killed")) == (status, 1)
    assert curve(found, same) == [(0, 3.0), (1, 2.0), (2, 1.0), *[(3, 0.5)] * (ends == "finished")]


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_a_killed_stage_is_seen(workspace: Path, runs: Reader) -> None:
    with waiting_stage(workspace) as process:
        assert sync(workspace).returncode == 0
        process.kill()
    assert sync(workspace).returncode == 0
    found, (run,) = runs()
    assert (run.info.status, found.parents[0].info.status) == ("FAILED", "FAILED")
    assert "killed" in run.data.tags["recap.reason"]
    assert curve(found, run) == [(0, 3.0), (1, 2.0), (2, 1.0)]


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_a_live_run_is_ended_when_its_journal_is_lost_and_made_anew_when_it_is_deleted(
    workspace: Path, runs: Reader
) -> None:
    for fault in ("lost", "deleted"):
        with waiting_stage(workspace, RECAP_LIVE_SECONDS="0.2"):
            live_run(runs)
        if fault == "lost":
            for file in workspace.glob(".recap/runs/*"):
                file.unlink()
        else:
            found, stages = runs()
            found.client.delete_run(stages[-1].info.run_id)
        result = sync(workspace)
        assert (result.returncode, result.stderr) == (0, "")
        assert runs()[1][-1].info.status == "FAILED"
    first, second = runs()[1]
    assert "no journal" in first.data.tags["recap.reason"]
    assert curve(runs()[0], second) == [(0, 3.0), (1, 2.0), (2, 1.0)]


@pytest.mark.parametrize(("step", "imports"), [("None", "False"), ("0", "True")])
def test_a_long_stage_imports_mlflow_where_it_has_curves(workspace: Path, step: str, imports: str) -> None:
    (workspace / "stage.py").write_text(
        "import sys, time\n"
        "from recap.tracking.stage import start\n"
        "with start('report') as run:\n"
        f"    run.log_metrics({{'loss': 1.0}}, {step})\n"
        "    time.sleep(3)\n"
        "    print('mlflow' in sys.modules)\n"
    )
    result = run_stage(workspace, RECAP_LIVE_SECONDS="0.2")
    assert (result.returncode, result.stdout) == (0, f"{imports}\n"), result.stderr


@pytest.mark.parametrize("uri", ["http://127.0.0.1:9", "sqlite:////proc/none/mlflow.db"])
def test_a_store_that_is_down_costs_a_warning_and_no_work(workspace: Path, uri: str) -> None:
    result = run_stage(workspace, MLFLOW_TRACKING_URI=uri)
    assert (result.returncode, result.stderr) == (0, ""), "a stage has no business with the store"
    assert (workspace / "output.txt").read_text() == "done"
    result = sync(workspace, MLFLOW_TRACKING_URI=uri)
    assert result.returncode == 1
    assert result.stderr.startswith("warning: MLflow:")
    assert "1 runs wait" in result.stderr
    assert len(result.stderr.splitlines()) == 1


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
