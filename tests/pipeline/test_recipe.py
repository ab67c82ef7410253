"""`recap recipe` in a checkout, on a stand-in of COCO: captions without images, one command, a page."""

import csv
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from tests.pipeline.test_pipeline import copy_checkout
from tests.synthetic_coco import write_synthetic_coco

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]


def test_the_best_recipe_for_coco_runs(tmp_path: Path) -> None:
    checkout = copy_checkout(tmp_path / "checkout")
    (checkout / ".venv").symlink_to(sys.prefix)
    inputs = checkout / "inputs"
    # captions of more images than the archive has: those teach language
    write_synthetic_coco(inputs, 0.002, seed=0)
    (inputs / "annotations_trainval2014.zip").unlink()
    (_, annotations) = write_synthetic_coco(tmp_path / "more", 0.004, seed=0)
    annotations.rename(inputs / annotations.name)
    environment = os.environ | {"PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"}
    environment.pop("DVC_ROOT", None)
    command = [sys.executable, "-m", "recap.cli", "recipe", "recipes/coco-best.yaml"]
    run = subprocess.run(command, cwd=checkout, env=environment, capture_output=True, text=True, check=False)
    assert run.returncode == 0, run.stdout + run.stderr
    fetched = json.loads((checkout / "reports" / "fetch" / "metrics.json").read_text())
    assert fetched["language"]["images_left_out"] >= fetched["train"]["images"]
    with open(checkout / "models" / "lstm" / "history_language.csv", newline="", encoding="utf-8") as file:
        steps = list(csv.DictReader(file))
    assert len(steps) == 5 * -(-fetched["language"]["captions"] // 128)
    assert (checkout / "models" / "lstm" / "history_self_critical.csv").is_file()
    assert '"cider_d"' in (checkout / "reports" / "decoders" / "lstm" / "metrics.json").read_text()
    assert (checkout / "reports" / "index.html").is_file()
    assert (
        "coco-best"
        in subprocess.run(
            [sys.executable, "-m", "dvc", "exp", "list", "--name-only"],
            cwd=checkout,
            env=environment,
            capture_output=True,
            text=True,
            check=True,
        ).stdout.split()
    )
