"""What is said of the test images changes their scores, and nothing that was learnt or chosen."""

import json
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from tests.settings import settings

from recap.backbones.config import BackboneConfig, FeaturesConfig
from recap.backbones.training import train_backbone
from recap.core.artifacts import write_json
from recap.core.raw_data import Source, load_raw, write_source
from recap.decoders.config import DecodersConfig
from recap.evaluation.config import EvaluateConfig
from recap.evaluation.evaluate_decoder import evaluate_decoder
from recap.features.config import ReduceConfig
from recap.features.extraction import Folders, extract
from recap.features.reduce import reduce
from recap.runtime.workers import ALONE
from recap.sources.config import ScenesConfig
from recap.sources.draw_scenes import write_scenes
from recap.text.config import TokenizeConfig
from recap.text.encode import tokenize
from recap.training.config import SelfCriticalConfig, TrainConfig
from recap.training.train import train

pytestmark = pytest.mark.usefixtures("one_thread")
CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def scenes(tmp_path_factory: pytest.TempPathFactory) -> Path:
    directory = tmp_path_factory.mktemp("scenes")
    write_scenes(ScenesConfig(train_images=40, validation_images=20, test_images=6, seed=1), directory)
    write_source(directory, Source("scenes", True, False, False, True, "original"))
    return directory


def learn(raw: Path, root: Path) -> dict[str, bytes]:
    """Run the stages on scenes; returns the files that were learnt, by name."""
    small = settings(BackboneConfig, feature_dim=16, crop_steps=1, steps=1, batch_size=8)
    train_backbone(load_raw(raw), root / "backbone", small, CPU, lambda *_: None, root / "checkpoints")
    data = root / "data"
    tokenize(raw, data / "captions", settings(TokenizeConfig, min_count=2))
    folders = Folders(raw, root / "backbone", data / "features", root / "work")
    extract(folders, settings(FeaturesConfig), CPU, ALONE)
    config = settings(ReduceConfig, components=8, whiten=True, concepts=2)
    reduce(data / "features", data / "captions", data / "reduced", config, threads=1)
    decoder = replace(settings(DecodersConfig).lstm, hidden_dim=16, wordvec_dim=8, epochs=2)
    reward = SelfCriticalConfig(
        epochs=1, learning_rate=0.001, images=16, language_images=0, samples=2, claim=0.5
    )
    training = settings(TrainConfig, batch_size=32, warmup_steps=0, self_critical=reward)
    train(
        "lstm",
        raw,
        data / "captions",
        data / "reduced",
        root / "lstm",
        training,
        decoder,
        CPU,
        lambda *_: None,
        root / "checkpoints",
    )
    learnt = [*(root / "backbone").iterdir(), *(root / "lstm").iterdir(), data / "captions/vocabulary.json"]
    learnt += [path for path in (data / "reduced").iterdir() if path.name != "test.h5"]
    return {path.relative_to(root).as_posix(): path.read_bytes() for path in learnt}


def scores(raw: Path, root: Path) -> dict[str, Any]:
    data = root / "data"
    config = settings(EvaluateConfig, bootstrap_resamples=100)
    return evaluate_decoder(root / "lstm", raw, data / "captions", data / "reduced", config, CPU).metrics


def spoilt(raw: Path, split: str, target: Path) -> Path:
    """A copy of scenes with other words, graphs and pictures of a split."""
    shutil.copytree(raw, target)
    path = target / "annotations" / f"captions_{split}.json"
    captions = json.loads(path.read_text())
    for number, annotation in enumerate(captions["annotations"]):
        annotation["caption"] = f"a zebra of {number % 5} stripes eats"
    write_json(path, captions, compact=True)
    path = target / "annotations" / f"scenes_{split}.json"
    write_json(path, json.loads(path.read_text())[::-1], compact=True)
    for path in load_raw(target).image_paths(split):
        shutil.copy(load_raw(target).image_paths("train")[0], path)
    return target


def test_labels_and_pictures_of_the_test_images_reach_nothing_but_their_scores(
    scenes: Path, tmp_path: Path
) -> None:
    found = learn(scenes, tmp_path / "as_drawn")
    other = spoilt(scenes, "test", tmp_path / "spoilt")
    again = learn(other, tmp_path / "of_spoilt")
    assert found.keys() == again.keys()
    assert [name for name in found if found[name] != again[name]] == []
    assert scores(scenes, tmp_path / "as_drawn") != scores(other, tmp_path / "of_spoilt")
    # so this can fail: what is said and shown in validation images chooses
    chosen = learn(spoilt(scenes, "validation", tmp_path / "other"), tmp_path / "of_other")
    changed = {name for name in found if found[name] != chosen[name]}
    assert changed >= {"lstm/history.csv", "data/reduced/familiarity.safetensors"}
    assert not changed & {"backbone/weights.safetensors", "data/reduced/pca.safetensors"}
