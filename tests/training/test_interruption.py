"""Ctrl-C and SIGTERM on the real stages: a checkpoint, one line, the expected code, the same bytes."""

import signal
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from recap.core.raw_data import Source, write_source
from recap.sources.config import ScenesConfig
from recap.sources.draw_scenes import write_scenes

Start = Callable[..., "subprocess.Popen[str]"]


def interrupt(process: "subprocess.Popen[str]", after: str, number: signal.Signals) -> list[str]:
    """Send a signal after a message; returns the lines that follow it."""
    assert process.stderr is not None
    for line in process.stderr:
        if after in line:
            break
    process.send_signal(number)
    return process.communicate()[1].splitlines()


def finish(process: "subprocess.Popen[str]") -> str:
    messages: str = process.communicate()[1]
    assert process.returncode == 0, messages
    return messages


def published(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_training_ends_after_a_checkpoint_and_goes_on_to_the_same_bytes(
    number: signal.Signals,
    task: Path,
    tmp_path: Path,
    params: dict,
    make_stage_folder: Callable[..., Path],
    start_stage: Start,
) -> None:
    params["train"] |= {"batch_size": 4, "patience": 100}
    params["decoders"]["lstm"]["epochs"] = 20
    results = []
    for name, killed in (("whole", False), ("interrupted", True)):
        checkout = make_stage_folder(tmp_path / name, {**params, "runtime": {"threads": 1}})
        for part in ("raw", "captions"):
            (checkout / "data" / part).symlink_to(task / part)
        (checkout / "data" / "reduced").symlink_to(task / "features")
        if killed:
            process = start_stage(checkout, "train", "lstm")
            lines = interrupt(process, "epoch 2 of", number)
            assert process.returncode == 128 + number
            assert [line for line in lines if not line.startswith("lstm: epoch")] == [lines[-1]]
            assert lines[-1].startswith(f"{number.name} after step ")
            assert lines[-1].endswith("checkpoint written, run again to go on")
            step = lines[-1].split()[3].removesuffix(":")
            assert f"resumed after step {step}" in finish(start_stage(checkout, "train", "lstm"))
        else:
            finish(start_stage(checkout, "train", "lstm"))
        results.append(published(checkout / "models" / "lstm"))
    assert results[0] == results[1]


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
@pytest.mark.parametrize("name", ["rnn", "lstm", "transformer"])
def test_a_gpu_gives_the_same_bytes_twice_and_after_an_interruption(
    name: str,
    task: Path,
    tmp_path: Path,
    params: dict,
    make_stage_folder: Callable[..., Path],
    start_stage: Start,
) -> None:
    params["train"] |= {"batch_size": 4, "patience": 100}
    params["decoders"][name]["epochs"] = 20
    results = []
    for folder, killed in (("first", False), ("second", False), ("interrupted", True)):
        checkout = make_stage_folder(tmp_path / folder, {**params, "runtime": {"device": "cuda"}})
        for part in ("raw", "captions"):
            (checkout / "data" / part).symlink_to(task / part)
        (checkout / "data" / "reduced").symlink_to(task / "features")
        process = start_stage(checkout, "train", name)
        if killed:
            interrupt(process, "epoch 2 of", signal.SIGTERM)
            process = start_stage(checkout, "train", name)
        finish(process)
        results.append(published(checkout / "models" / name))
    assert results[0] == results[1] == results[2]


@pytest.mark.slow
def test_the_backbone_ends_after_a_checkpoint_and_goes_on_to_the_same_bytes(
    tmp_path: Path, make_stage_folder: Callable[..., Path], start_stage: Start
) -> None:
    results = []
    group = {"feature_dim": 24, "crop_steps": 30, "steps": 30, "batch_size": 8}
    for name, killed in (("whole", False), ("interrupted", True)):
        checkout = make_stage_folder(tmp_path / name, {"backbone": group, "runtime": {"threads": 1}})
        write_scenes(
            ScenesConfig(train_images=40, validation_images=12, test_images=12, seed=1),
            checkout / "data" / "raw",
        )
        write_source(checkout / "data" / "raw", Source("scenes", True, False, False, True, "original"))
        if killed:
            process = start_stage(checkout, "backbone", PYTHONUNBUFFERED="1")
            folder = checkout / ".recap" / "checkpoints"
            while not list(folder.glob("*/")) and process.poll() is None:
                pass
            process.send_signal(signal.SIGTERM)
            lines = process.communicate()[1].splitlines()
            assert process.returncode == 143
            assert len(lines) == 1
            assert lines[0].endswith("checkpoint written, run again to go on")
            assert "resumed after step" in finish(start_stage(checkout, "backbone"))
        else:
            finish(start_stage(checkout, "backbone"))
        results.append(published(checkout / "models" / "backbone"))
    assert results[0] == results[1]
