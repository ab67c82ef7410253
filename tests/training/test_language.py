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

from recap.core.artifacts import write_json
from recap.core.feature_files import open_features, write_features
from recap.core.input_files import read_json
from recap.errors import InputError
from recap.runtime.setup import has_bfloat16
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
        references = read_json(path)
        if path.stem == "references_train":
            references["images"] = references["images"][:IMAGES]
            kept = {image["id"] for image in references["images"]}
            references["annotations"] = [own for own in references["annotations"] if own["image_id"] in kept]
        write_json(folder / "captions" / path.name, references)
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


def test_images_that_are_not_there_without_captions_of_them(few: Path, tmp_path: Path, params: dict) -> None:
    for folder in ("captions", "features"):
        (few / folder / "language.h5").unlink()
    params["train"]["self_critical"] |= {"epochs": 1, "language_images": 8}
    with pytest.raises(
        InputError, match=r"^train\.self_critical\.language_images: expected 0 .* received 8$"
    ):
        run("lstm", few, tmp_path, params)


@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
def test_their_captions_are_rewarded(precision: str, few: Path, tmp_path: Path, params: dict) -> None:
    if precision == "bfloat16" and not has_bfloat16():
        pytest.skip("needs a processor with AVX-512")
    params["train"] |= {"keep": "last", "precision": precision}
    params["train"]["language"] = {"epochs": 5, "batch_size": 16, "learning_rate": 0.01}
    own = {"epochs": 40, "learning_rate": 0.003, "images": 6, "samples": 5}
    rewards = {}
    for count in (0, 16):
        params["train"]["self_critical"] |= own | {"language_images": count}
        run("lstm", few, tmp_path / str(count), params, epochs=2)
        history = tmp_path / str(count) / "lstm" / "history_self_critical.csv"
        with open(history, newline="", encoding="utf-8") as file:
            rewards[count] = [float(row["reward"]) for row in csv.DictReader(file)]
    assert len(rewards[16]) == len(rewards[0]) == 40
    assert np.mean(rewards[16][-10:]) > np.mean(rewards[16][:5]) + 0.2
    assert rewards[16] != rewards[0]


@pytest.mark.slow
def test_killed_at_any_moment_it_ends_with_the_same_bytes(few: Path, tmp_path: Path, params: dict) -> None:
    params["train"]["language"] = {"epochs": 20, "batch_size": 16, "learning_rate": 0.01}
    params["train"]["self_critical"] |= {"epochs": 20, "images": 6, "language_images": 8, "samples": 3}
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
