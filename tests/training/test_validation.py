"""Captions are scored after each epoch: as the stage `evaluate` would, and of a scene by its graph."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from tests.settings import training_settings

from recap.core.artifacts import write_json
from recap.core.feature_files import open_features, write_features
from recap.core.raw_data import Source, write_graphs, write_source
from recap.decoders.build import load_decoder
from recap.decoding.caption import usual_constraints
from recap.decoding.generate import generate
from recap.metrics.scores import score_captions
from recap.report.readers import read_table
from recap.sources.scenes.captions import write_captions
from recap.sources.scenes.graphs import DIGITS, sample_scene, to_json, training_pairs
from recap.text.captions import Captions, load_captions, save_captions
from recap.text.coco_files import read_references
from recap.text.vocabulary import SPECIAL_WORDS, Vocabulary
from recap.training.train import train


def run(task: Path, output: Path, params: dict[str, Any]) -> dict[str, Any]:
    """Train an LSTM; returns history.csv by column."""
    train(
        "lstm",
        task / "raw",
        task / "captions",
        task / "features",
        output / "lstm",
        *training_settings(params, "lstm"),
        torch.device("cpu"),
        lambda metrics, step: None,
        output / "checkpoints",
    )
    return dict(read_table(output / "lstm" / "history.csv"))


@pytest.mark.parametrize("images", [20, 7])
def test_the_scores_of_an_epoch_are_those_of_its_weights(
    task: Path, tmp_path: Path, params: dict, images: int
) -> None:
    params["train"] |= {"keep": "last", "scored_images": images}
    scores = run(task, tmp_path, params)["validation_cider_d"]
    rows = list(range(0, 20, 1 if images == 20 else 3))
    data = load_captions(task / "captions")
    features = open_features(task / "features" / "validation.h5")[rows]
    captions = generate(
        load_decoder(tmp_path / "lstm"), features, data.vocabulary, usual_constraints(7), len(rows)
    )
    references = read_references(task / "captions" / "references_validation.json").captions
    expected = score_captions([own.text for own in captions], [references[row] for row in rows]).cider_d
    assert scores[-1] == pytest.approx(float(expected.mean()))
    assert scores[-1] > scores[0]


def test_none_are_scored_where_none_are_asked_for(task: Path, tmp_path: Path, params: dict) -> None:
    scored = run(task, tmp_path / "scored", params)
    params["train"]["scored_images"] = 0
    history = run(task, tmp_path / "plain", params)
    assert scored.keys() - history.keys() == {"validation_cider_d"}
    assert all(scored[name] == history[name] for name in history)
    weights = [tmp_path / own / "lstm" / "weights.safetensors" for own in ("scored", "plain")]
    assert weights[0].read_bytes() == weights[1].read_bytes(), "scores change nothing"


def test_captions_of_scenes_are_true_of_their_own_scene_alone(tmp_path: Path, params: dict) -> None:
    generator = np.random.default_rng(4)
    scenes = [sample_scene(generator, [[digit] for digit in DIGITS], training_pairs(0)) for _ in range(6)]
    captions = [own[0] for own in write_captions(scenes, 1, generator)]
    vocabulary = Vocabulary((*SPECIAL_WORDS, *sorted({word for own in captions for word in own.split()})))
    encoded = vocabulary.encode(
        [own.split() for own in captions], 2 + max(len(own.split()) for own in captions)
    )
    splits = ("train", "validation", "test")
    rows = np.arange(len(scenes), dtype=np.int32)
    save_captions(tmp_path / "captions", Captions(vocabulary, dict.fromkeys(splits, (encoded, rows))))
    for split in splits:
        write_features(tmp_path / "features" / f"{split}.h5", np.eye(6, dtype=np.float32))
    images = [{"id": row, "file_name": f"{row}.png"} for row in range(6)]
    written = [{"id": row, "image_id": row, "caption": own} for row, own in enumerate(captions)]
    content = {"images": images, "annotations": written}
    write_json(tmp_path / "captions" / "references_validation.json", content)
    write_source(tmp_path / "raw", Source("scenes", True, False, False, True, "original"))
    params["train"] |= {"batch_size": 6, "weight_decay": 0.0, "label_smoothing": 0.0, "keep": "last"}
    params["decoders"]["lstm"] |= {"hidden_dim": 64, "dropout": 0.0, "learning_rate": 0.02, "epochs": 60}
    truths = []
    for graphs in (scenes, scenes[1:] + scenes[:1]):
        write_graphs(tmp_path / "raw", "validation", [to_json(own, 0) for own in graphs])
        truths.append(run(tmp_path, tmp_path / f"run{len(truths)}", params)["validation_truth"])
    assert (truths[0][0], truths[0][-1], truths[1][-1]) == (0, 1, 0)
