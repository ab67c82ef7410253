"""Where runs are kept: the store, its schema made once, the experiment, the pipeline's parent run."""

import hashlib
import os
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from mlflow.tracking import MlflowClient

EXPERIMENT = "recap"
FINGERPRINT_TAG = "recap.pipeline"
EXPERIMENT_NAME_TAG = "recap.dvc_experiment"
STAGE_TAG = "recap.stage"
PARENT_TAG = "mlflow.parentRunId"
MLFLOW_SETTINGS = {
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "MLFLOW_LOGGING_LEVEL": "WARNING",
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "1",  # a server that is down must not hold up a stage
    "MLFLOW_HTTP_REQUEST_TIMEOUT": "10",  # seconds
}
"""Defaults of MLflow's environment variables; what the user sets goes first."""


def repository_root(environment: Mapping[str, str]) -> Path:
    """The checkout that owns the store: DVC's root, also from a temporary workspace of an experiment."""
    return Path(environment.get("DVC_ROOT", ".")).resolve()


def tracking_uri(environment: Mapping[str, str]) -> str:
    """``MLFLOW_TRACKING_URI``, or the SQLite file at the repository's root."""
    return environment.get("MLFLOW_TRACKING_URI") or f"sqlite:///{repository_root(environment)}/mlflow.db"


def pipeline_fingerprint(workspace: Path) -> str:
    """SHA-256 of what determines the pipeline's outputs: params, stages, code, the lock file."""
    files = [workspace / name for name in ("params.yaml", "dvc.yaml", "requirements.lock")]
    files += sorted((workspace / "stages").glob("*.py"))
    library = workspace / "src" / "recap"
    files += [path for path in sorted(library.rglob("*.py")) if path.parent != library / "tracking"]
    digest = hashlib.sha256()
    for path in files:
        content = path.read_bytes()
        digest.update(f"{path.relative_to(workspace).as_posix()}\0{len(content)}\0".encode())
        digest.update(content)
    return digest.hexdigest()


def connect(environment: Mapping[str, str]) -> tuple["MlflowClient", str]:
    """A client of the store, whose schema and experiment exist afterwards, and the experiment's id.

    SQLite's first use races between processes, so it happens under a file lock.
    """
    from filelock import FileLock

    for name, value in MLFLOW_SETTINGS.items():
        os.environ.setdefault(name, value)
    from mlflow.tracking import MlflowClient

    root = repository_root(environment)
    uri = tracking_uri(environment)
    lock_folder = root / ".recap"
    lock_folder.mkdir(exist_ok=True)
    with FileLock(lock_folder / "tracking.lock"):
        client = MlflowClient(uri)
        experiment = client.get_experiment_by_name(EXPERIMENT)
        if experiment is not None:
            return client, experiment.experiment_id
        location = (root / "mlartifacts").as_uri() if uri.startswith("sqlite:") else None
        return client, client.create_experiment(EXPERIMENT, artifact_location=location)


def find_or_create_parent(
    client: "MlflowClient", experiment: str, environment: Mapping[str, str], workspace: Path
) -> str:
    """The id of the pipeline's run: one for each fingerprint and DVC experiment name."""
    from filelock import FileLock

    fingerprint = pipeline_fingerprint(workspace)
    name = environment.get("DVC_EXP_NAME", "")
    condition = f"tags.`{FINGERPRINT_TAG}` = '{fingerprint}' AND tags.`{EXPERIMENT_NAME_TAG}` = '{name}'"
    with FileLock(repository_root(environment) / ".recap" / "tracking.lock"):
        found = client.search_runs([experiment], condition, max_results=1)
        if found:
            return str(found[0].info.run_id)
        commit, is_dirty = _git_state(workspace)
        tags = {
            FINGERPRINT_TAG: fingerprint,
            EXPERIMENT_NAME_TAG: name,
            "mlflow.source.git.commit": commit,
            "recap.git_dirty": is_dirty,
        }
        run = client.create_run(experiment, tags=tags, run_name=name or f"pipeline {fingerprint[:8]}")
        return str(run.info.run_id)


def _git_state(workspace: Path) -> tuple[str, str]:
    """The commit and whether tracked files differ from it; empty outside a git checkout."""
    command = ["git", "-C", str(workspace)]
    commit = subprocess.run([*command, "rev-parse", "HEAD"], capture_output=True, text=True)
    status = subprocess.run([*command, "status", "--porcelain", "-uno"], capture_output=True, text=True)
    if commit.returncode or status.returncode:
        return "", ""
    return commit.stdout.strip(), str(bool(status.stdout.strip())).lower()
