"""Stages in a real MLflow store: what a run carries, what a fault leaves behind, and what it never costs."""

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

SCRIPT = """
import sys
from pathlib import Path
from recap.errors import InputError
from recap.evaluation.config import EvaluateConfig
from recap.tracking.stage import execute, start

def main():
    config = EvaluateConfig(max_length=30, allow_unknown=False, batch_size=8)
    with start("evaluate/lstm", config) as run:
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

execute(main)
"""


@pytest.fixture
def workspace(tmp_path: Path) -> Path:
    """A checkout in small: the files that a pipeline's fingerprint reads."""
    for name in ("params.yaml", "dvc.yaml", "requirements.lock"):
        (tmp_path / name).write_text("")
    (tmp_path / "stage.py").write_text(SCRIPT)
    return tmp_path


def run_stage(workspace: Path, behaviour: str = "", **environment: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "stage.py", behaviour]
    variables = os.environ | {"DVC_ROOT": str(workspace)} | environment
    return subprocess.run(command, cwd=workspace, env=variables, capture_output=True, text=True, timeout=120)


def runs(workspace: Path) -> tuple[Any, list[Any]]:
    """The client, and all runs: parents first."""
    from mlflow.tracking import MlflowClient

    client = MlflowClient(f"sqlite:///{workspace}/mlflow.db")
    experiment = client.get_experiment_by_name("recap")
    assert experiment is not None
    found = list(client.search_runs([experiment.experiment_id]))
    return client, sorted(found, key=lambda run: "mlflow.parentRunId" in run.data.tags)


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_a_run_carries_params_curves_tables_and_artifacts(workspace: Path) -> None:
    for _ in range(2):
        result = run_stage(workspace)
        assert (result.returncode, result.stdout, result.stderr) == (0, "", "")
    client, (parent, *children) = runs(workspace)
    assert len(children) == 2, "one parent for the same pipeline"
    assert parent.info.status == "FINISHED"
    assert parent.data.metrics == {"lstm.seen.cider_d": 1.5}
    for child in children:
        assert child.info.status == "FINISHED"
        assert child.data.tags["mlflow.parentRunId"] == parent.info.run_id
        assert child.data.tags["recap.stage"] == "evaluate/lstm"
        assert child.data.params["evaluate.max_length"] == "30"
        curve = [(point.step, point.value) for point in client.get_metric_history(child.info.run_id, "loss")]
        assert sorted(curve) == [(0, 3.0), (1, 2.0), (2, 1.0)]
        names = {artifact.path for artifact in client.list_artifacts(child.info.run_id)}
        assert names == {"params.yaml", "captions.json"}
        assert "caption" in Path(client.download_artifacts(child.info.run_id, "captions.json")).read_text()


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::DeprecationWarning")
@pytest.mark.parametrize(
    ("behaviour", "code", "message", "status"),
    [
        ("bad input", 2, "file: expected this, received that\n", "FAILED"),
        ("interrupt", 130, "interrupted\n", "KILLED"),
    ],
)
def test_a_stage_that_ends_early_says_so(
    workspace: Path, behaviour: str, code: int, message: str, status: str
) -> None:
    result = run_stage(workspace, behaviour)
    assert (result.returncode, result.stderr) == (code, message)
    _, (parent, child) = runs(workspace)
    assert (parent.info.status, child.info.status) == (status, status)


@pytest.mark.parametrize("uri", ["http://127.0.0.1:9", "sqlite:////proc/none/mlflow.db"])
def test_a_store_that_is_down_costs_a_warning_and_no_work(workspace: Path, uri: str) -> None:
    result = run_stage(workspace, MLFLOW_TRACKING_URI=uri)
    assert result.returncode == 0
    assert (workspace / "output.txt").read_text() == "done"
    assert len(result.stderr.splitlines()) == 1
    assert result.stderr.startswith("warning: MLflow:")


def test_tracking_can_be_left_out(workspace: Path) -> None:
    result = run_stage(workspace, RECAP_TRACKING="off")
    assert (result.returncode, result.stderr) == (0, "")
    assert (workspace / "output.txt").read_text() == "done"
    assert not (workspace / "mlflow.db").exists()
