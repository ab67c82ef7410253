"""Fixtures of the whole suite."""

import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import settings
from ruamel.yaml import YAML

# machines under load are slow; a time limit of its own would make tests fail by chance
settings.register_profile("recap", deadline=None)
settings.load_profile("recap")

ROOT = Path(__file__).resolve().parents[1]
SHARED = ROOT.parent / "shared"


@pytest.fixture(scope="session")
def shared() -> Path:
    """The folder of real COCO data beside the checkout; the test skips, visibly, without it."""
    if not (SHARED / "real").is_dir():
        pytest.skip("needs ../shared (real COCO data), which is absent")
    return SHARED


@pytest.fixture
def make_stage_folder() -> Callable[..., Path]:
    """Makes a folder with the repository's code and params, changed: a dict of groups' new values."""

    def make(folder: Path, changes: dict[str, dict[str, Any]]) -> Path:
        (folder / "data").mkdir(parents=True)
        for name in ("src", "stages"):
            (folder / name).symlink_to(ROOT / name)
        params = YAML(typ="safe", pure=True).load((ROOT / "params.yaml").read_text(encoding="utf-8"))
        for name, values in changes.items():
            params[name] |= values
        (folder / "params.yaml").write_text(json.dumps(params), encoding="utf-8")  # JSON is YAML
        return folder

    return make


@pytest.fixture
def start_stage() -> Iterator[Callable[..., "subprocess.Popen[str]"]]:
    """Starts a stage as DVC does, its messages in ``stderr``; kills at the end what still runs."""
    started = []

    def start(checkout: Path, stage: str, *arguments: str, **environment: str) -> "subprocess.Popen[str]":
        process = subprocess.Popen(
            [sys.executable, "-P", f"stages/{stage}.py", *arguments],
            cwd=checkout,
            env=os.environ | {"RECAP_TRACKING": "off", "PYTHONPATH": "src"} | environment,
            stderr=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            text=True,
        )
        started.append(process)
        return process

    yield start
    for process in started:
        process.kill()
        process.wait()
        process.stderr.close()
