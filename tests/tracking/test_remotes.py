"""A DVC remote takes a pipeline's outputs to another machine: there nothing runs and everything is proven."""

import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from tests.tracking.servers import KEYS

pytestmark = [
    pytest.mark.slow,
    pytest.mark.timeout(600),
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),
]
STAGES = {"fetch", "train/lstm", "train/rnn", "evaluate/lstm", "evaluate/rnn", "report"}


def assert_travels(checkout: Any, clone: Path) -> None:
    """Push, clone afresh, pull: no stage runs, every output is proven, MLflow has the whole pipeline."""
    checkout.dvc("repro")
    checkout.commit()
    checkout.dvc("push")
    checkout.git("clone", "--quiet", str(checkout.root), str(clone))
    shutil.rmtree(checkout.root / ".dvc" / "cache")
    fresh = type(checkout)(clone, dict(checkout.environment))
    fresh.dvc("pull")
    assert "Running stage" not in fresh.dvc("repro").stdout
    assert fresh.recap("verify").stdout.startswith(f"{len(STAGES) + 3} identical")
    fresh.sync()
    runs = fresh.runs()
    (parent,) = runs.parents
    children = runs.children(parent)
    assert set(children) == STAGES
    assert {run.info.status for own in children.values() for run in own} == {"FINISHED"}
    assert parent.info.status == "FINISHED"
    assert {"lstm.cider_d", "rnn.cider_d"} <= set(parent.data.metrics)
    assert fresh.git("status", "--short") == ""
    told = fresh.recap("runs", "models/lstm").stdout
    assert "no run in this store made it; this one took it from DVC's cache:\n  run " in told


def test_a_folder_is_a_remote(make_checkout: Callable[[Path], Any], tmp_path: Path) -> None:
    checkout = make_checkout(tmp_path / "checkout")
    checkout.dvc("remote", "add", "--default", "outputs", str(tmp_path / "outputs"))
    assert_travels(checkout, tmp_path / "clone")


def test_s3_is_a_remote(make_checkout: Callable[[Path], Any], s3: str, tmp_path: Path) -> None:
    checkout = make_checkout(tmp_path / "checkout")
    checkout.environment |= KEYS
    checkout.dvc("remote", "add", "--default", "outputs", "s3://outputs/recap")
    checkout.dvc("remote", "modify", "outputs", "endpointurl", s3)
    assert_travels(checkout, tmp_path / "clone")


def test_no_output_travels_that_the_remote_lacks(
    make_checkout: Callable[[Path], Any], tmp_path: Path
) -> None:
    """A pull that does not find everything fails, and the proof says so too."""
    checkout = make_checkout(tmp_path / "checkout")
    checkout.dvc("remote", "add", "--default", "outputs", str(tmp_path / "outputs"))
    checkout.dvc("repro")
    checkout.commit()
    checkout.dvc("push")
    model = re.search(r"models/lstm.*?md5: (\S+)", (checkout.root / "dvc.lock").read_text(), re.DOTALL)
    assert model
    (tmp_path / "outputs" / "files" / "md5" / model[1][:2] / model[1][2:]).unlink()
    checkout.git("clone", "--quiet", str(checkout.root), str(tmp_path / "clone"))
    fresh = type(checkout)(tmp_path / "clone", dict(checkout.environment))
    assert fresh.dvc("pull", code=1)
    assert fresh.recap("verify", code=1)
