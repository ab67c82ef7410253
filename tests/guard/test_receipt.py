"""An edit just after a stage's end, when DVC hashes, is found by whoever comes next, and forgotten by DVC."""

import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from recap.guard.healing import heal
from recap.guard.receipt import forget_wrong


def let_edit_at_the_end(checkout: Any, edit: str) -> None:
    """Make the stage's command edit a file after the stage, before DVC hashes."""
    pipeline = checkout.root / "dvc.yaml"
    command = "sh stages/run.sh train ${item.decoder}"
    pipeline.write_text(pipeline.read_text().replace(command, f"{command} && {edit}"))


def record(checkout: Any, edit: str) -> None:
    let_edit_at_the_end(checkout, edit)
    assert checkout.dvc("repro").returncode == 0
    assert "train@lstm" in checkout.locked()


@pytest.mark.slow
@pytest.mark.parametrize(
    ("edit", "changed"),
    [
        ("cp other.py src/helper.py", "src/helper.py"),
        ("cp other.py src/words/more.py", "src/words"),
        ("cp other.yaml params.yaml", "train.seed"),
    ],
)
def test_what_was_recorded_wrongly_is_forgotten(checkout: Any, edit: str, changed: str) -> None:
    (checkout.root / "other.py").write_text('word = "other "\n')
    checkout.set(seed=999)
    (checkout.root / "params.yaml").rename(checkout.root / "other.yaml")
    subprocess.run(["git", "checkout", "params.yaml"], cwd=checkout.root, check=True, capture_output=True)
    record(checkout, edit)
    assert heal(checkout.root) == [
        f"train@lstm: was recorded with another {changed}, forgotten; run it again"
    ]
    assert set(checkout.locked()) == {"fetch"}
    assert heal(checkout.root) == []
    assert "Running stage 'train@lstm'" in checkout.dvc("repro").stdout
    seed = 999 if changed == "train.seed" else 231
    assert checkout.output() == f"{'other' if 'helper' in changed else 'made of'} given by {seed}"


@pytest.mark.slow
def test_the_next_stage_refuses_to_go_on(checkout: Any) -> None:
    (checkout.root / "other.py").write_text('word = "other "\n')
    record(checkout, "cp other.py src/helper.py")
    checkout.set({"names": ["rnn"]})
    said = checkout.dvc("repro").stdout
    assert (
        "train@lstm: expected dvc.lock to name what the stage read, received another src/helper.py;" in said
    )
    assert "train@lstm" not in checkout.locked()


@pytest.mark.slow
def test_outputs_that_dvc_takes_from_another_checkout_are_right(checkout: Any, tmp_path: Path) -> None:
    assert checkout.dvc("repro").returncode == 0
    assert forget_wrong(checkout.root) == {}
    helper = Path("src", "helper.py")
    changed = (checkout.root / helper).read_text() + "# the same outputs\n"
    other = tmp_path / "other"
    shutil.copytree(checkout.root, other, symlinks=True)
    (other / helper).write_text(changed)
    shared = checkout.root / ".dvc" / "cache"
    command = [sys.executable, "-m", "dvc"]
    for arguments in (["cache", "dir", "--local", str(shared)], ["repro"]):
        subprocess.run([*command, *arguments], cwd=other, env=checkout.environment, check=True)
    (checkout.root / helper).write_text(changed)
    assert "is cached - skipping run" in checkout.dvc("repro").stdout
    assert forget_wrong(checkout.root) == {}


@pytest.mark.slow
def test_outputs_that_dvc_takes_from_an_older_run_are_right(checkout: Any) -> None:
    helper = checkout.root / "src" / "helper.py"
    assert checkout.dvc("repro").returncode == 0
    before = helper.read_text()
    helper.write_text(before + "# the same outputs\n")
    assert "Running stage 'train@lstm'" in checkout.dvc("repro").stdout
    helper.write_text(before)
    assert "is cached - skipping run" in checkout.dvc("repro").stdout
    assert forget_wrong(checkout.root) == {}
    result = subprocess.run(
        [sys.executable, "-m", "recap.cli", "heal"],
        cwd=checkout.root,
        env=checkout.environment,
        capture_output=True,
    )
    assert (result.returncode, result.stdout) == (0, b"")
