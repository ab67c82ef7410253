"""A checkout of two stages that DVC runs through the real door, and that wait to be told to go on."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from ruamel.yaml import YAML

ROOT = Path(__file__).resolve().parents[2]
SCRIPT = """\
import os, sys, time
from pathlib import Path
from ruamel.yaml import YAML
from recap.core.artifacts import write_text
from recap.tracking.stage import execute

def main():
    from helper import word
    seed = YAML(typ="safe", pure=True).load(Path("params.yaml"))["train"]["seed"]
    read = Path("data/in.txt").read_text()
    signs = Path(os.environ.get("SIGNS", "."))
    (signs / "started").write_text(str(os.getpid()))
    while (signs / "wait").exists():
        time.sleep(0.01)
    write_text(Path("models") / sys.argv[1] / "model.txt", f"{word}{read} by {seed}")

execute(main)
"""
PIPELINE = """\
stages:
  fetch:
    cmd: mkdir -p data && cp given.txt data/in.txt
    deps: [given.txt]
    outs: [data]
  train:
    matrix: {decoder: "${decoders.names}"}
    cmd: sh stages/run.sh train ${item.decoder}
    params: ["train.seed", "decoders.${item.decoder}"]
    deps: [data, stages/train.py, src/helper.py, src/words]
    outs: ["models/${item.decoder}"]
"""


@dataclass
class Checkout:
    """The checkout, and ways to use it."""

    root: Path
    environment: dict[str, str]
    started: list["subprocess.Popen[str]"] = field(default_factory=list)

    def start(self, *command: str, **variables: str) -> "subprocess.Popen[str]":
        """Start a command whose stage waits, and return when the stage has read all that it reads."""
        (self.root / "wait").touch()
        (self.root / "started").unlink(missing_ok=True)
        process = self.run_in_background(*command, **variables)
        started = self.root / "started"
        while not (started.exists() and started.read_text()):
            assert process.poll() is None, process.communicate()
            time.sleep(0.01)
        return process

    def run_in_background(self, *command: str, **variables: str) -> "subprocess.Popen[str]":
        process = subprocess.Popen(
            command,
            cwd=self.root,
            env=self.environment | variables,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            # a test run under nohup hands down that the signal is ignored
            preexec_fn=lambda: signal.signal(signal.SIGHUP, signal.SIG_DFL),
        )
        self.started.append(process)
        return process

    def start_stage(self, **variables: str) -> "subprocess.Popen[str]":
        """Start the stage `train` of lstm as DVC does, without DVC."""
        (self.root / "data").mkdir(exist_ok=True)
        (self.root / "data" / "in.txt").write_text("given")
        return self.start("sh", "stages/run.sh", "train", "lstm", **variables)

    def go_on(self) -> None:
        (self.root / "wait").unlink()

    def dvc(self, *arguments: str) -> "subprocess.CompletedProcess[str]":
        return subprocess.run(
            [sys.executable, "-m", "dvc", *arguments],
            cwd=self.root,
            env=self.environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )

    def set(self, decoders: dict[str, Any] | None = None, **train: Any) -> None:
        """Change settings of the groups `decoders` and `train`."""
        params = YAML(typ="safe", pure=True).load(self.root / "params.yaml")
        params["train"] |= train
        params["decoders"] |= decoders or {}
        (self.root / "params.yaml").write_text(json.dumps(params))

    def locked(self) -> dict[str, Any]:
        path = self.root / "dvc.lock"
        return YAML(typ="safe").load(path.read_text())["stages"] if path.exists() else {}

    def output(self, decoder: str = "lstm") -> str | None:
        path = self.root / "models" / decoder / "model.txt"
        return path.read_text() if path.exists() else None


@pytest.fixture
def checkout(tmp_path: Path) -> Iterator[Checkout]:
    root = tmp_path / "checkout"
    for name in ("src", "stages", ".dvc"):
        (root / name).mkdir(parents=True)
    params = YAML(typ="safe", pure=True).load((ROOT / "params.yaml").read_text(encoding="utf-8"))
    params["train"]["seed"] = 231
    params["decoders"]["names"] = ["lstm"]
    files = {
        "params.yaml": json.dumps(params),  # JSON is YAML
        "dvc.yaml": PIPELINE,
        "stages/train.py": SCRIPT,
        "stages/run.sh": (ROOT / "stages" / "run.sh").read_text(),
        "src/words/more.py": "",
        "src/helper.py": 'word = "made of "\n',
        "given.txt": "given",
        ".gitignore": "/data\n/models\n/.recap\n/started\n/wait\n__pycache__\n",
        ".dvc/config": "[core]\n    analytics = false\n",
        ".dvc/.gitignore": "/tmp\n/cache\n",
    }
    for name, text in files.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(text)
    programs = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    environment = os.environ | {"PATH": programs, "RECAP_TRACKING": "off", "DVC_NO_ANALYTICS": "true"}
    environment |= {"PYTHONPATH": str(ROOT / "src"), "SIGNS": str(root)}
    for name in ("DVC_ROOT", "DVC_STAGE", "DVC_EXP_NAME"):
        environment.pop(name, None)
    checkout = Checkout(root, environment)
    git = ["git", "-c", "user.name=test", "-c", "user.email=test@example.org"]
    for command in (["init", "--quiet"], ["add", "--all"], ["commit", "--quiet", "-m", "Start"]):
        subprocess.run([*git, *command], cwd=root, check=True)
    yield checkout
    (root / "wait").unlink(missing_ok=True)
    for process in checkout.started:
        process.kill()
        process.wait()
        assert process.stdout is not None
        process.stdout.close()


@pytest.fixture
def edits(checkout: Checkout) -> dict[str, Callable[[], object]]:
    """What a person may edit while a stage runs: what is changed, by what a stage calls it."""
    root = checkout.root
    return {
        "train.seed": lambda: checkout.set(seed=999),
        "decoders.lstm.epochs": lambda: checkout.set(
            {"lstm": json.loads((root / "params.yaml").read_text())["decoders"]["lstm"] | {"epochs": 3}}
        ),
        "src/helper.py": lambda: (root / "src/helper.py").write_text('word = "other "\n'),
        "src/words/more.py": lambda: (root / "src/words/more.py").write_text("# edited\n"),
        "src/words/new.py": lambda: (root / "src/words/new.py").touch(),
        "stages/train.py": lambda: (root / "stages/train.py").write_text(SCRIPT + "\n# edited\n"),
        "data/in.txt": lambda: (root / "data/in.txt").write_text("other"),
    }
