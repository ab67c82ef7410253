"""The file of a sweep: the one of the repository is right, and mistakes are told by their path."""

from pathlib import Path
from typing import Any

import pytest
from tests.imports import ROOT

from recap.core.config import load_all
from recap.errors import InputError
from recap.experiments.sweep import Choices, Range, read_sweep, watch_losses
from recap.workspace.definition import flatten

HEAD = "name: a\ndecoder: lstm\ntrials: 2\nprune_after: null\nseed: 1\n"


def test_the_file_of_the_repository_varies_settings_that_there_are() -> None:
    import dataclasses

    config = read_sweep(ROOT / "sweep.yaml", ROOT / "params.yaml")
    groups = {name: dataclasses.asdict(group) for name, group in load_all(ROOT / "params.yaml").items()}
    assert set(config.space) <= set(flatten(groups))
    assert config.space["decoders.lstm.hidden_dim"] == Range(128, 512)
    assert config.space["train.schedule"] == Choices(("cosine", "constant"))


@pytest.mark.parametrize(
    ("text", "told"),
    [
        (HEAD, "sweep.yaml.space: expected"),
        (HEAD + "space: {}\n", "sweep.yaml.space: expected"),
        (HEAD + "space: {a: {choices: []}}\n", "sweep.yaml.space.a"),
        (HEAD + "space: {a: {low: 3, high: 2}}\n", "sweep.yaml.space.a: expected low up to high"),
        (HEAD + "space: {a: {low: 0.0, high: 2.0, log: true}}\n", "above 0 with log"),
        (HEAD.replace("trials: 2", "trials: 0") + "space: {a: {low: 1, high: 2}}\n", "sweep.yaml.trials"),
        (HEAD.replace("null", "0") + "space: {a: {low: 1, high: 2}}\n", "sweep.yaml.prune_after"),
        (HEAD.replace("name: a", "name: ../a") + "space: {a: {low: 1, high: 2}}\n", "sweep.yaml.name"),
        ("[1", "sweep.yaml: expected plain YAML"),
        (
            HEAD + "space: {train.sed: {low: 1, high: 2}}\n",
            "sweep.yaml.space: expected settings of params.yaml, received train.sed",
        ),
        (
            HEAD.replace("decoder: lstm", "decoder: gru") + "space: {train.seed: {low: 1, high: 2}}\n",
            "sweep.yaml.decoder: expected one of decoders.names, rnn, lstm, transformer; received gru",
        ),
        (
            HEAD + "space: {train.schedule: {choices: [cosine, cosin]}}\n",
            "sweep.yaml.space: train.schedule: expected",
        ),
        (
            HEAD + "space: {decoders.lstm.dropout: {low: 0.5, high: 1.5}}\n",
            "sweep.yaml.space: decoders.lstm.dropout: expected",
        ),
    ],
)
def test_mistakes_are_told_by_their_path(tmp_path: Path, text: str, told: str) -> None:
    (tmp_path / "sweep.yaml").write_text(text)
    with pytest.raises(InputError) as error:
        read_sweep(tmp_path / "sweep.yaml", ROOT / "params.yaml")
    assert told in str(error.value).replace(f"{ROOT}/", "")


def test_a_trial_ends_when_half_of_the_finished_ones_were_better() -> None:
    optuna = pytest.importorskip(
        "optuna", reason="needs optuna, which is absent (pip install -c requirements.lock optuna)"
    )
    study = optuna.create_study(pruner=optuna.pruners.MedianPruner(n_warmup_steps=2))

    def say(trial: Any, epoch: int, loss: float) -> None:
        line = f"lstm: epoch {epoch} of 8: training loss 0.1, validation loss {loss:.4f}, 9 captions/s\n"
        watch_losses(study, trial, "lstm")(line)

    for loss in (1.0, 2.0, 3.0, 4.0, 5.0):
        trial = study.ask()
        for epoch in (1, 2, 3):
            say(trial, epoch, loss / epoch)
        study.tell(trial, loss / 3)
    better, worse = study.ask(), study.ask()
    for epoch in (1, 2, 2, 3):  # a killed training says an epoch again
        say(better, epoch, 2.9 / epoch)
    say(worse, 1, 9.0)
    watch_losses(study, worse, "lstm")(
        "rnn: epoch 2 of 8: training loss 9.0, validation loss 9.0000, 9 captions/s\n"
    )
    with pytest.raises(optuna.TrialPruned):
        say(worse, 2, 1.6)
