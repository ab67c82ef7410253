"""A pipeline in miniature: real DVC, real stages through recap.tracking.stage, a real MLflow store."""

import os
import socket
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from tests.tracking.servers import postgresql as postgresql
from tests.tracking.servers import s3 as s3

PARAMS = """\
data:
  rows: 8
train:
  decoders: [lstm, rnn]
  rate: 1e-3
  lstm:
    width: 2
  rnn:
    width: 3
"""
PIPELINE = """\
stages:
  fetch:
    cmd: python stages/fetch.py
    params: [data]
    deps: [requirements.lock, stages/fetch.py]
    outs: [data/raw]
    metrics:
      - reports/fetch/metrics.json: {cache: false}
  train:
    matrix:
      decoder: ${train.decoders}
    cmd: python stages/train.py ${item.decoder}
    params: ["train.${item.decoder}", train.rate]
    deps: [data/raw, stages/train.py]
    outs: ["models/${item.decoder}"]
  evaluate:
    matrix:
      decoder: ${train.decoders}
    cmd: python stages/evaluate.py ${item.decoder}
    deps: ["models/${item.decoder}", stages/evaluate.py, data/raw/rows.txt]
    outs:
      - reports/decoders/${item.decoder}/captions.json
    metrics:
      - reports/decoders/${item.decoder}/metrics.json: {cache: false}
  report:
    cmd: python stages/report.py
    deps: [models, reports/decoders, stages/report.py]
    outs: [reports/index.html]
  record:
    cmd: python stages/record.py
    deps: [data, models, reports, stages/record.py]
"""
FETCH = """\
from pathlib import Path
import json
from common import CONFIG, Group
from PIL import Image
from recap.tracking.stage import execute, start

def main():
    with start("fetch", Group(CONFIG["data"]["rows"])) as run:
        rows = range(CONFIG["data"]["rows"])
        Path("data/raw/images").mkdir(parents=True)
        Path("data/raw/rows.txt").write_text("".join(f"{row}\\n" for row in rows))
        Path("data/raw/images/0.txt").write_text("image")
        Path("data/raw/images/test").mkdir()
        Path("data/raw/annotations").mkdir()
        Image.new("RGB", (300, 200), "red").save("data/raw/images/test/0.png")
        images = {"images": [{"id": 0, "file_name": "0.png"}]}
        Path("data/raw/annotations/captions_test.json").write_text(json.dumps(images))
        Path("reports/fetch").mkdir(parents=True, exist_ok=True)
        Path("reports/fetch/metrics.json").write_text(json.dumps({"images": len(rows)}))
        run.log_metrics({"images": len(rows)})

execute(main)
"""
TRAIN = """\
import csv, json, os, sys, time
from pathlib import Path
from common import CONFIG, Group
from recap.errors import InputError
from recap.tracking.stage import execute, start

def main():
    name = sys.argv[1]
    width = CONFIG["train"][name]["width"]
    with start(f"train/{name}", Group(width)) as run:
        if width < 1:
            raise InputError(f"params.yaml: train.{name}.width: expected a positive number, got {width}")
        losses = [width / (step + 1) for step in range(5)]
        for step, loss in enumerate(losses, start=1):
            run.log_metrics({"loss": loss}, step)
            time.sleep(float(os.environ.get("STEP_SECONDS", "0")))
        folder = Path("models", name)
        folder.mkdir(parents=True)
        (folder / "weights.safetensors").write_text(str(width))
        with open(folder / "history.csv", "w") as file:
            csv.writer(file).writerows([["step", "loss"], *enumerate(losses, start=1)])
        summary = {"best_loss": losses[-1], "loss": losses[-1]}
        (folder / "summary.json").write_text(json.dumps(summary))
        run.log_metrics(summary)

execute(main)
"""
EVALUATE = """\
import json, sys
from pathlib import Path
from recap.tracking.stage import execute, start

def main():
    name = sys.argv[1]
    with start(f"evaluate/{name}") as run:
        width = int(Path("models", name, "weights.safetensors").read_text())
        captions = [{"image_id": row, "caption": f"{name} sees {row * width}"} for row in range(3)]
        metrics = {"perplexity": 2.0, "seen": {"cider_d": width / 10, "images": 3}}
        folder = Path("reports/decoders", name)
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "captions.json").write_text(json.dumps(captions))
        (folder / "metrics.json").write_text(json.dumps(metrics))
        run.log_metrics(metrics)

execute(main)
"""
REPORT = """\
from pathlib import Path
from recap.tracking.stage import execute, start

def main():
    with start("report") as run:
        Path("reports/index.html").write_text("<h1>report</h1>")
        run.log_metrics({"bytes": 15})

execute(main)
"""
RECORD = (Path(__file__).resolve().parents[2] / "stages" / "record.py").read_text()
COMMON = """\
import dataclasses
from pathlib import Path
from ruamel.yaml import YAML

CONFIG = YAML(typ="safe", pure=True).load(Path("params.yaml"))

@dataclasses.dataclass
class Group:
    value: int
"""
FILES = {
    "params.yaml": PARAMS,
    "dvc.yaml": PIPELINE,
    "requirements.lock": "mlflow\n",
    "stages/fetch.py": FETCH,
    "stages/train.py": TRAIN,
    "stages/evaluate.py": EVALUATE,
    "stages/report.py": REPORT,
    "stages/record.py": RECORD,
    "stages/common.py": COMMON,
    ".gitignore": "/data/\n/models/\n/reports/**\n!/reports/**/\n!/reports/**/metrics.json\n"
    "/.recap/\n/mlflow.db*\n/mlartifacts/\n__pycache__/\n",
    ".dvc/config": "[core]\n    analytics = false\n    check_update = false\n",
    ".dvc/.gitignore": "/config.local\n/tmp\n/cache\n",
}


@dataclass
class Checkout:
    """A repository with the miniature pipeline, and ways to use it."""

    root: Path
    environment: dict[str, str]

    def call(self, *command: str, code: int = 0, **variables: str) -> subprocess.CompletedProcess[str]:
        environment = self.environment | variables
        result = subprocess.run(
            command, cwd=self.root, env=environment, capture_output=True, text=True, timeout=300
        )
        assert result.returncode == code, result.stdout + result.stderr
        return result

    def git(self, *arguments: str) -> str:
        identity = ("-c", "user.name=test", "-c", "user.email=test@example.org")
        return self.call("git", *identity, *arguments).stdout.strip()

    def commit(self) -> str:
        self.git("add", "--all")
        self.git("commit", "--quiet", "--message", "A state")
        return self.git("rev-parse", "HEAD")

    def dvc(
        self, *arguments: str, code: int | None = 0, **variables: str
    ) -> subprocess.CompletedProcess[str]:
        return self.call(sys.executable, "-m", "dvc", *arguments, code=code, **variables)

    def recap(self, *arguments: str, code: int = 0) -> subprocess.CompletedProcess[str]:
        return self.call(sys.executable, "-m", "recap.cli", *arguments, code=code)

    def sync(self, *arguments: str, code: int = 0, **variables: str) -> subprocess.CompletedProcess[str]:
        return self.call(sys.executable, "-m", "recap.cli", "sync", *arguments, code=code, **variables)

    def edit(self, old: str, new: str, name: str = "params.yaml") -> None:
        path = self.root / name
        text = path.read_text()
        assert text.count(old) == 1
        path.write_text(text.replace(old, new))

    def runs(self) -> "Runs":
        return Runs(self.environment.get("MLFLOW_TRACKING_URI") or f"sqlite:///{self.root}/mlflow.db")


class Runs:
    """What a store holds: parents, and each parent's children by stage, the latest first."""

    def __init__(self, uri: str, name: str = "recap") -> None:
        from mlflow.tracking import MlflowClient

        self.client = MlflowClient(uri)
        experiment = self.client.get_experiment_by_name(name)
        assert experiment is not None
        order = ["attributes.start_time DESC"]
        self.all = list(self.client.search_runs([experiment.experiment_id], order_by=order))
        self.parents = [run for run in self.all if "mlflow.parentRunId" not in run.data.tags]

    def children(self, parent: Any) -> dict[str, list[Any]]:
        found: dict[str, list[Any]] = {}
        for run in self.all:
            if run.data.tags.get("mlflow.parentRunId") == parent.info.run_id:
                found.setdefault(run.data.tags["recap.stage"], []).append(run)
        return found

    def artifacts(self, run: Any, folder: str = "") -> set[str]:
        names: set[str] = set()
        for entry in self.client.list_artifacts(run.info.run_id, folder or None):
            names |= self.artifacts(run, entry.path) if entry.is_dir else {entry.path}
        return names


def _make_checkout(root: Path) -> Checkout:
    for name, text in FILES.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(text)
    environment = os.environ | {"PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"}
    for name in (
        "DVC_ROOT",
        "DVC_EXP_NAME",
        "MLFLOW_TRACKING_URI",
        "MLFLOW_RUN_ID",
        "RECAP_TRACKING",
        "MLFLOW_EXPERIMENT_NAME",
    ):
        environment.pop(name, None)
    checkout = Checkout(root, dict(environment))
    checkout.git("init", "--quiet")
    checkout.commit()
    return checkout


@pytest.fixture(scope="session")
def make_checkout() -> Callable[[Path], Checkout]:
    """Makes the miniature pipeline in a new folder, committed and not yet run."""
    return _make_checkout


@pytest.fixture
def open_runs() -> type[Runs]:
    """What a store holds, by its address."""
    return Runs


@pytest.fixture(scope="session")
def free_port() -> Callable[[], int]:
    """Finds a port that nobody listens on."""

    def find() -> int:
        with socket.socket() as opened:
            opened.bind(("127.0.0.1", 0))
            return int(opened.getsockname()[1])

    return find
