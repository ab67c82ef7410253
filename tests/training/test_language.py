"""Training on captions without pictures comes first, helps, and goes on after a kill to the same bytes."""

import csv
import random
import signal
import subprocess
import time
from pathlib import Path

import numpy as np
import pytest
from tests.training.test_train import command, run

from recap.core.feature_files import open_features, write_features
from recap.errors import InputError
from recap.text.captions import Captions, load_captions, save_captions, save_language

IMAGES = 6
"""Training images that are left, where the others have captions only."""


@pytest.fixture
def few(task: Path, tmp_path: Path) -> Path:
    """The task with 6 training images; the captions and features of the other 54 are the language."""
    folder = tmp_path / "few"
    folder.mkdir()
    (folder / "raw").symlink_to(task / "raw")
    captions = load_captions(task / "captions")
    encoded, rows = captions.of("train")
    features = np.asarray(open_features(task / "features" / "train.h5"))
    known = rows < IMAGES
    save_captions(
        folder / "captions",
        Captions(captions.vocabulary, {**captions.splits, "train": (encoded[known], rows[known])}),
    )
    save_language(folder / "captions", (encoded[~known], rows[~known] - IMAGES))
    write_features(folder / "features" / "train.h5", features[:IMAGES])
    write_features(folder / "features" / "language.h5", features[rows[~known]])
    for path in (task / "features" / "validation.h5", task / "features" / "grid.json"):
        (folder / "features" / path.name).symlink_to(path)
    for path in (task / "captions").glob("references_*"):
        (folder / "captions" / path.name).symlink_to(path)
    return folder


@pytest.mark.parametrize("name", ["lstm", "transformer", "attention_lstm"])
def test_it_teaches_what_few_images_do_not(name: str, few: Path, tmp_path: Path, params: dict) -> None:
    params["train"]["language"] = {"epochs": 10, "batch_size": 16, "learning_rate": 0.01}
    with_language = run(name, few, tmp_path / "with", params, epochs=2)
    with open(tmp_path / "with" / name / "history_language.csv", newline="", encoding="utf-8") as file:
        steps = list(csv.DictReader(file))
    assert len(steps) == 10 * -(-54 * 4 // 16)
    assert float(steps[-1]["language_loss"]) < 0.8 * float(steps[0]["language_loss"])
    for folder in ("captions", "features"):
        (few / folder / "language.h5").unlink()
    without = run(name, few, tmp_path / "without", params, epochs=2)
    assert with_language["validation_loss"] < 0.7 * without["validation_loss"]
    assert not (tmp_path / "without" / name / "history_language.csv").exists()


def test_captions_without_their_features(few: Path, tmp_path: Path, params: dict) -> None:
    (few / "features" / "language.h5").unlink()
    with pytest.raises(InputError, match=r"language\.h5: expected a feature file"):
        run("lstm", few, tmp_path, params)


def test_a_loss_that_is_not_finite_names_its_learning_rate(few: Path, tmp_path: Path, params: dict) -> None:
    features = np.asarray(open_features(few / "features" / "language.h5"))
    write_features(few / "features" / "language.h5", np.where(features > 2, np.float32(3e38), features))
    with pytest.raises(InputError, match=r"^train\.language\.learning_rate: expected a finite training loss"):
        run("lstm", few, tmp_path, params)


@pytest.mark.slow
def test_killed_at_any_moment_it_ends_with_the_same_bytes(few: Path, tmp_path: Path, params: dict) -> None:
    params["train"]["language"] = {"epochs": 20, "batch_size": 16, "learning_rate": 0.01}
    params["decoders"]["lstm"]["epochs"] = 20
    start = time.monotonic()
    subprocess.run(command("lstm", few, tmp_path / "whole", params), check=True)
    seconds = time.monotonic() - start
    expected = {path.name: path.read_bytes() for path in (tmp_path / "whole" / "lstm").iterdir()}
    generator = random.Random(7)
    kills = 0
    while True:
        process = subprocess.Popen(command("lstm", few, tmp_path / "killed", params, seconds=0.0))
        try:
            process.wait(seconds * generator.uniform(0.5, 1.0) if kills < 6 else None)
        except subprocess.TimeoutExpired:
            process.send_signal(signal.SIGKILL)
            process.wait()
            kills += 1
            continue
        assert process.returncode == 0
        break
    assert kills
    assert {path.name: path.read_bytes() for path in (tmp_path / "killed" / "lstm").iterdir()} == expected
    assert not list((tmp_path / "killed" / "checkpoints").glob("*/*.checkpoint"))
