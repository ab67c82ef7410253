"""What a stage made belongs to what it read: an edit in mid-run fails it, before DVC records anything."""

import sys
from pathlib import Path
from typing import Any

import pytest


def run_cache(root: Path) -> list[Path]:
    """What DVC remembers of runs of the stage `train`."""
    runs = root / ".dvc" / "cache" / "runs"
    return [path for path in runs.rglob("*") if path.is_file() and "run.sh train" in path.read_text()]


CHANGED = ["train.seed", "train.lstm.epochs", "src/helper.py", "stages/train.py", "data/in.txt"]
DVC = (sys.executable, "-m", "dvc")


@pytest.mark.parametrize("changed", CHANGED)
def test_an_edit_while_a_stage_runs_fails_it_and_is_named(checkout: Any, edits: Any, changed: str) -> None:
    process = checkout.start_stage()
    edits[changed]()
    checkout.go_on()
    said = process.communicate()[0]
    assert process.returncode == 2
    assert said == (
        f"train@lstm: expected what it reads to stay as it was while it ran, received another {changed}; "
        "its outputs are not recorded, run it again\n"
    )


def test_a_file_that_goes_or_comes_is_a_change(checkout: Any) -> None:
    process = checkout.start_stage()
    (checkout.root / "data" / "more.txt").touch()
    (checkout.root / "src" / "helper.py").unlink()
    checkout.go_on()
    assert "received another src/helper.py, data/more.txt;" in process.communicate()[0]


def test_what_the_stage_does_not_read_may_be_edited(checkout: Any) -> None:
    process = checkout.start_stage()
    checkout.set(patience=4, rnn={"epochs": 1})
    (checkout.root / "src" / "more.py").write_text("")
    (checkout.root / "src" / "helper.py").touch()
    checkout.go_on()
    assert process.communicate()[0] == ""
    assert process.returncode == 0


@pytest.mark.slow
def test_dvc_records_nothing_of_it_and_runs_old_code_again(checkout: Any, edits: Any) -> None:
    process = checkout.start(*DVC, "repro")
    edits["src/helper.py"]()
    checkout.go_on()
    said = process.communicate()[0]
    assert process.returncode != 0
    assert "Traceback" not in said
    assert "train@lstm" not in checkout.locked()
    assert run_cache(checkout.root) == []
    for word in ("other ", "made of "):
        (checkout.root / "src" / "helper.py").write_text(f"word = {word!r}\n")
        assert checkout.dvc("repro").returncode == 0
        assert checkout.output() == f"{word}given by 231"


@pytest.mark.slow
@pytest.mark.parametrize("options", [[], ["--temp"]])
def test_an_experiment_is_guarded_alike(checkout: Any, options: list[str]) -> None:
    process = checkout.start(*DVC, "exp", "run", *options)
    stage = int((checkout.root / "started").read_text())
    (Path(f"/proc/{stage}/cwd").resolve() / "src" / "helper.py").write_text('word = "other "\n')
    checkout.go_on()
    said = process.communicate()[0]
    assert process.returncode != 0
    assert "another src/helper.py;" in said
    assert run_cache(checkout.root) == []
