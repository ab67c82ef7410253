"""A full disk or a folder that may not be written: one line, exit code 2, and no half file."""

import subprocess
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from recap.cli.main import main
from recap.core import artifacts
from recap.core.feature_files import write_features
from recap.errors import InputError, disk_fault
from recap.runtime.writer import only_writer
from recap.workspace.new_folder import new_folder

GENERATOR = np.random.default_rng(0)
WRITERS = {
    "hdf5": lambda path: artifacts.write_hdf5(path, {"x": GENERATOR.normal(size=100_000)}),
    "features": lambda path: write_features(path, GENERATOR.normal(size=(1000, 100)).astype(np.float32)),
    "png": lambda path: artifacts.write_png(path, GENERATOR.integers(0, 255, (500, 500, 3), np.uint8)),
    "safetensors": lambda path: artifacts.write_safetensors(path, {"a": torch.rand(100_000)}),
    "json": lambda path: artifacts.write_json(path, list(range(100_000))),
    "csv": lambda path: artifacts.write_csv(path, ["n"], [[n] for n in range(100_000)]),
}


@pytest.mark.parametrize("kind", WRITERS)
def test_every_writer_says_what_a_full_disk_refused(small_disk: Path, kind: str) -> None:
    path = small_disk / f"output.{kind}"
    path.write_text("old")
    with pytest.raises(OSError, match="No space left") as caught:
        WRITERS[kind](path)
    expected = f"{path}: expected to read or write it, received: No space left on device"
    assert disk_fault(caught.value) == expected
    assert [entry.name for entry in small_disk.iterdir()] == [path.name]
    assert path.read_text() == "old"


def test_a_disk_that_takes_nothing_is_told_by_the_name_that_was_asked_for(small_disk: Path) -> None:
    subprocess.run(["mount", "-o", "remount,ro", str(small_disk)], check=True)
    with pytest.raises(OSError, match="Read-only") as caught:
        artifacts.write_text(small_disk / "x.txt", "x")
    assert disk_fault(caught.value).startswith(f"{small_disk}/x.txt: expected to read or write it")
    with pytest.raises(OSError, match="Read-only") as caught, new_folder(small_disk / "new"):
        pass
    assert disk_fault(caught.value).startswith(f"{small_disk}/new: expected to read or write it")


def test_a_fault_of_the_code_is_no_fault_of_the_disk() -> None:
    for error in (FileNotFoundError(2, "No such file", "x"), OSError("odd")):
        with pytest.raises(OSError, match=r"No such file|odd"):
            disk_fault(error)


def test_a_lock_on_a_full_disk_holds(small_disk: Path) -> None:
    folder = small_disk / "locks"
    folder.mkdir()
    (folder / "train.lock").touch()
    with suppress(OSError), open(small_disk / "all", "wb", buffering=0) as file:
        while file.write(bytes(4096)):
            pass
    with only_writer("train", folder=folder), pytest.raises(InputError), only_writer("train", folder=folder):
        pass


def test_a_stage_on_a_full_disk_ends_in_one_line(checkout: Any, small_disk: Path) -> None:
    (checkout.root / "models").symlink_to(small_disk)
    script = checkout.root / "stages" / "train.py"
    script.write_text(script.read_text().replace('f"{word}', '"x" * 300_000 + f"{word}'))
    process = checkout.start_stage()
    checkout.go_on()
    said = process.communicate()[0]
    assert process.returncode == 2
    assert said == "models/lstm/model.txt: expected to read or write it, received: No space left on device\n"


def test_a_place_that_is_no_folder_is_one_line_of_the_door(checkout: Any) -> None:
    (checkout.root / ".recap").write_text("a file")
    process = checkout.run_in_background("sh", "stages/run.sh", "train", "lstm")
    said = process.communicate()[0]
    assert process.returncode == 2
    assert said.count("\n") == 1
    assert "received: Not a directory" in said or "received: File exists" in said


def test_a_command_says_it_in_one_line_too(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / ".dvc").touch()
    monkeypatch.chdir(tmp_path)
    assert main(["plots-page"]) == 2
    assert capfd.readouterr().err == ".dvc/tmp: expected to read or write it, received: Not a directory\n"
