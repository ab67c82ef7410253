"""Every option of a recipe through the stage's work: it learns, and a killed run ends with the same bytes."""

import csv
import hashlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from tests.settings import training_settings

from recap.decoders.build import load_decoder
from recap.runtime.checkpoints import Checkpoints
from recap.training.state import TrainingState
from recap.training.train import train

SELF_CRITICAL = {
    "epochs": 2,
    "learning_rate": 0.001,
    "images": 16,
    "language_images": 0,
    "samples": 3,
    "claim": 0.0,
}
OPTIONS: dict[str, dict[str, Any]] = {
    "smoothing": {"label_smoothing": 0.1},
    "average": {"average_decay": 0.9},
    "last": {"keep": "last"},
    "self-critical": {"self_critical": SELF_CRITICAL},
    "all": {
        "label_smoothing": 0.1,
        "average_decay": 0.9,
        "keep": "last",
        "self_critical": SELF_CRITICAL,
    },
}


def run(
    task: Path, output: Path, params: dict[str, Any], options: dict[str, Any], name: str = "lstm"
) -> dict[str, float]:
    changes = {key: value for key, value in options.items() if key != "lstm"}
    own = {"lstm": params["decoders"]["lstm"] | options.get("lstm", {})}
    chosen = {"train": params["train"] | changes, "decoders": params["decoders"] | own}
    return train(
        name,
        task / "raw",
        task / "captions",
        task / "features",
        output / name,
        *training_settings(chosen, name),
        torch.device("cpu"),
        lambda metrics, step: None,
        output / "checkpoints",
    )


def digests(folder: Path) -> dict[str, str]:
    return {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in sorted(folder.iterdir())}


def column(path: Path, name: str) -> list[float]:
    with open(path, newline="", encoding="utf-8") as file:
        return [float(row[name]) for row in csv.DictReader(file)]


class _Killed(Exception):
    pass


@pytest.mark.parametrize("option", OPTIONS)
def test_a_resumed_run_gives_the_same_bytes(
    option: str, task: Path, tmp_path: Path, params: dict, monkeypatch: pytest.MonkeyPatch
) -> None:
    options = OPTIONS[option]
    params["decoders"]["lstm"]["epochs"] = 2
    params["train"]["label_smoothing"] = 0.0
    plain = run(task, tmp_path / "plain", params, {})
    whole = run(task, tmp_path / "whole", params, options)
    assert whole.items() >= {"epochs": 2, "steps": 30}.items()
    if option != "last":  # the last epoch of this run is its best
        weights = [tmp_path / run_name / "lstm" / "weights.safetensors" for run_name in ("plain", "whole")]
        assert weights[0].read_bytes() != weights[1].read_bytes()
    saved = 0

    def save_and_die(self: Checkpoints, state: TrainingState) -> None:
        nonlocal saved
        saved += 1
        self.save(state)
        if saved in (2, 4, 7):
            raise _Killed

    with monkeypatch.context() as patch:
        patch.setattr(Checkpoints, "save_now_and_then", save_and_die)
        kills = 0
        while not (tmp_path / "killed" / "lstm").exists():
            try:
                run(task, tmp_path / "killed", params, options)
            except _Killed:
                kills += 1
    assert kills >= 1 + (plain["steps"] < saved)
    assert digests(tmp_path / "killed" / "lstm") == digests(tmp_path / "whole" / "lstm")


@pytest.mark.slow
@pytest.mark.parametrize("name", ["rnn", "lstm", "transformer"])
def test_rewards_rise_and_their_history_is_written(
    name: str, task: Path, tmp_path: Path, params: dict
) -> None:
    params["decoders"][name]["epochs"] = 1
    options = {"self_critical": SELF_CRITICAL | {"epochs": 40, "learning_rate": 0.003}}
    summary = run(task, tmp_path, params, options, name)
    rewards = column(tmp_path / name / "history_self_critical.csv", "reward")
    assert column(tmp_path / name / "history_self_critical.csv", "step") == list(range(1, 40 * 4 + 1))
    assert summary["self_critical_epochs"] == 40
    assert summary["reward"] == pytest.approx(np.mean(rewards[-4:]))
    assert summary["reward"] > np.mean(rewards[:4]) + 0.5
    load_decoder(tmp_path / name)


def test_the_last_epoch_is_kept_when_asked(task: Path, tmp_path: Path, params: dict) -> None:
    # a learning rate so high that the validation loss is best before the end
    params["train"]["patience"] = 1
    params["decoders"]["lstm"] |= {"epochs": 12, "learning_rate": 0.1, "dropout": 0.0}
    summary = run(task, tmp_path, params, {"keep": "last"})
    losses = column(tmp_path / "lstm" / "history.csv", "validation_loss")
    assert min(losses) < losses[-1]
    assert summary["epochs"] == summary["best_epoch"] == len(losses) == 12
    assert summary["validation_loss"] == losses[-1]
