"""A pipeline of five kinds of stages in a git and DVC checkout: small, quick, and run by DVC itself."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML

from recap.core.hashes import hash_output, size_output

PIPELINE = """\
stages:
  fetch:
    cmd: python make.py fetch
    params: [runtime.arithmetic]
    outs: [data/raw]
    metrics:
    - reports/fetch/metrics.json: {cache: false}
  train:
    matrix:
      decoder: ${train.decoders}
    cmd: python make.py train ${item.decoder}
    params: [runtime]
    deps: [data/raw]
    outs: ["models/${item.decoder}"]
  evaluate:
    matrix:
      decoder: ${train.decoders}
    cmd: python make.py evaluate ${item.decoder}
    deps: ["models/${item.decoder}"]
    outs: ["reports/${item.decoder}/captions.json"]
    metrics:
    - reports/${item.decoder}/metrics.json: {cache: false}
  page:
    cmd: python make.py page
    deps: [models]
    params: [runtime.arithmetic, page]
    outs: [reports/index.html]
"""
PARAMS = """\
runtime: {arithmetic: portable, threads: 2, device: cpu}
train: {decoders: [lstm, rnn]}
page: plain
"""
SCRIPT = '''\
"""Makes the output of a stage; `found.txt`, which git ignores, changes what is trained."""

import json
import sys
from pathlib import Path


def write(path: str, text: str) -> None:
    Path(path).parent.mkdir(parents=True, exist_ok=True)
    Path(path).write_text(text)


found = Path("found.txt")
weight = found.read_text() if found.exists() else "1.0"
stage, *decoder = sys.argv[1:]
if stage == "fetch":
    write("data/raw/words.txt", "one\\ntwo\\n")
    write("data/raw/inner/rows.csv", "row,word\\n0,one\\n")
    write("reports/fetch/metrics.json", json.dumps({"words": 2}))
elif stage == "train":
    model = {"name": decoder[0], "weights": [0.5, float(weight)]}
    write(f"models/{decoder[0]}/model.json", json.dumps(model))
    write(f"models/{decoder[0]}/history.csv", "epoch,loss\\n1,2.5\\n2,1.5\\n")
elif stage == "evaluate":
    write(f"reports/{decoder[0]}/captions.json", json.dumps(["a word"]))
    write(f"reports/{decoder[0]}/metrics.json", json.dumps({"seen": {"cider_d": 1.0, "passed": True}}))
else:
    write("reports/index.html", "<p>page</p>\\n")
'''
DECODERS = ("lstm", "rnn")
OUTPUTS = {
    "fetch": ["data/raw", "reports/fetch/metrics.json"],
    **{f"train@{name}": [f"models/{name}"] for name in DECODERS},
    **{
        f"evaluate@{name}": [f"reports/{name}/captions.json", f"reports/{name}/metrics.json"]
        for name in DECODERS
    },
    "page": ["reports/index.html"],
}
"""The outputs of every stage, as DVC resolves them."""


def git(root: Path, *arguments: str) -> None:
    """Run a git command under a name of its own."""
    identity = ("-c", "user.name=test", "-c", "user.email=test@example.org")
    subprocess.run(["git", *identity, *arguments], cwd=root, check=True, capture_output=True)


def environment() -> dict[str, str]:
    """The variables of a pipeline's processes, with this Python on PATH."""
    programs = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    return {**os.environ, "PATH": programs, "DVC_NO_ANALYTICS": "true"}


def dvc(root: Path, *arguments: str) -> None:
    """Run a DVC command in a process of its own: DVC's log keeps the stream that it met first."""
    command = [sys.executable, "-m", "dvc", *arguments, "--quiet"]
    subprocess.run(command, cwd=root, env=environment(), check=True, capture_output=True)


def make_finished_run(root: Path) -> Path:
    """Write the pipeline into a new checkout, run and commit it."""
    root.mkdir()
    git(root, "init", "--quiet")
    dvc(root, "init")
    for name, text in (("dvc.yaml", PIPELINE), ("params.yaml", PARAMS), ("make.py", SCRIPT)):
        (root / name).write_text(text)
    (root / ".gitignore").write_text(
        "found.txt\n/data\n/models\n/reports/*/captions.json\n/reports/index.html\n"
    )
    dvc(root, "repro")
    git(root, "add", "--all")
    git(root, "commit", "--quiet", "-m", "Run")
    return root


def read_lock_file(root: Path) -> dict[str, Any]:
    """dvc.lock as it is written."""
    content: dict[str, Any] = YAML(typ="safe", pure=True).load((root / "dvc.lock").read_text())
    return content


def write_lock_file(root: Path, content: Any) -> None:
    """Write a dvc.lock; JSON is YAML."""
    (root / "dvc.lock").write_text(json.dumps(content, indent=1) + "\n")


def lock_again(root: Path, runtime: dict[str, Any] | None = None) -> None:
    """Write the MD5 of what lies in a checkout into its lock, and other settings of `runtime`.

    Args:
        root: the checkout.
        runtime: of the stages that list the group; None leaves it.
    """
    content = read_lock_file(root)
    for entry in content["stages"].values():
        for file in [*entry["outs"], *entry.get("deps", [])]:
            if (root / file["path"]).exists():
                file["md5"] = hash_output(root / file["path"])
                file["size"] = size_output(root / file["path"])
        params = entry.get("params", {}).get("params.yaml", {})
        if runtime is not None and "runtime" in params:
            params["runtime"] = runtime
        if runtime is not None and "runtime.arithmetic" in params:
            del params["runtime.arithmetic"]
            params |= {f"runtime.{key}": value for key, value in runtime.items() if key == "arithmetic"}
    write_lock_file(root, content)
