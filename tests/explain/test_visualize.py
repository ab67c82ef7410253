"""The stage `visualize` as a whole: what it writes is listed, decodes, and is the same on every run."""

import json
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from tests.settings import GREEDY

from recap.backbones.backbone import Backbone
from recap.backbones.build import load_backbone, save_backbone
from recap.backbones.images import load_images
from recap.backbones.scene_heads import HEADS
from recap.backbones.small_vgg import SmallVgg
from recap.captioner import Captioner
from recap.core.artifacts import write_json
from recap.core.raw_data import SPLITS, Source, load_raw, write_captions, write_source
from recap.decoders.build import build_decoder, load_decoder, save_decoder
from recap.errors import InputError
from recap.evaluation.evaluate import is_true
from recap.explain.config import VisualizeConfig
from recap.explain.pictures.visualize import visualize
from recap.metrics.truth import check_caption
from recap.sources.config import ScenesConfig
from recap.sources.draw_scenes import write_scenes
from recap.text.captions import load_captions
from recap.text.config import TokenizeConfig
from recap.text.encode import tokenize

CPU = torch.device("cpu")
CONFIG = VisualizeConfig(1, ("class", "first_digit", "first_colour"), 2, 3, 6, 0)
QUICK = VisualizeConfig(2, ("first_digit",), 1, 1, 2, 0)
FEATURE_DIM = 16


@pytest.fixture(scope="module")
def scenes(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path, Path]:
    """Six test scenes, an untrained backbone, and decoders that know a caption of each by heart."""
    root = tmp_path_factory.mktemp("scenes")
    data, models = root / "data", root / "models"
    write_scenes(ScenesConfig(12, 3, 6, 231), data / "raw")
    write_source(data / "raw", Source("scenes", True, False, False, True, "original"))
    tokenize(data / "raw", data / "captions", TokenizeConfig("word", 1, None, 17))
    with torch.random.fork_rng():
        torch.manual_seed(0)
        network = SmallVgg(FEATURE_DIM, HEADS)
    description = {"name": "small_vgg", "feature_dim": FEATURE_DIM, "heads": HEADS}
    save_backbone(models / "backbone", description, network.state_dict())
    backbone = load_backbone(models / "backbone")
    x = backbone.preprocess(load_images(load_raw(data / "raw").image_paths("test"), backbone))
    with torch.no_grad():
        features = backbone.features(x)
    learn_by_heart(features, data / "captions", models)
    images = load_raw(data / "raw").captions("test")["images"]
    for name in ("lstm", "transformer"):
        decoder, vocabulary = load_decoder(models / name), load_captions(data / "captions").vocabulary
        captioner = Captioner(decoder, vocabulary, replace(GREEDY, search="beam"))
        texts = [caption.text for caption in captioner.caption_reduced(features.numpy())]
        texts[0] = texts[1]  # which no decoder would say of the first image
        rows = [{"image_id": image["id"], "caption": text} for image, text in zip(images, texts, strict=True)]
        write_json(root / "reports" / name / "captions.json", rows)
    return data, models, root / "reports"


def learn_by_heart(features: torch.Tensor, captions_directory: Path, models: Path) -> None:
    captions = load_captions(captions_directory)
    encoded, rows = captions.of("test")
    first = [int(np.flatnonzero(rows == row)[0]) for row in range(len(features))]
    targets = torch.from_numpy(encoded[first].astype(np.int64))
    sizes = {"feature_dim": FEATURE_DIM, "vocabulary_size": len(captions.vocabulary), "wordvec_dim": 32}
    described: list[dict[str, Any]] = [
        {"name": "lstm", "hidden_dim": 64, "dropout": 0.0, **sizes},
        {
            "name": "transformer",
            "heads": 2,
            "layers": 1,
            "feedforward_dim": 64,
            "memory_tokens": 2,
            "dropout": 0.0,
            **sizes,
        },
    ]
    for model in described:
        decoder = build_decoder(model, torch.Generator().manual_seed(1))
        optimizer = torch.optim.Adam(decoder.parameters(), lr=0.01)
        for _ in range(150):
            optimizer.zero_grad()
            decoder.loss(features, targets).backward()
            optimizer.step()
        save_decoder(models / model["name"], decoder, model)


@pytest.mark.slow
def test_scenes_give_every_kind_of_picture_and_the_same_bytes_twice(
    scenes: tuple[Path, Path, Path], tmp_path: Path
) -> None:
    for name in ("a", "b"):
        numbers = visualize(*scenes, tmp_path / name, ("lstm", "transformer"), CONFIG, CPU)
    entries = json.loads((tmp_path / "a" / "index.json").read_bytes())
    files = {path.name for path in (tmp_path / "a").iterdir()}
    assert files == {entry["file"] for entry in entries} | {"index.json"}
    assert numbers["pictures"] == len(entries) == len({entry["file"] for entry in entries})
    # An untrained network may not be fooled.
    assert {entry["kind"] for entry in entries} - {"fooling"} == {
        "saliency",
        "methods",
        "randomization",
        "class_visualization",
        "word_saliency",
        "attention",
    }
    for name in files:
        assert (tmp_path / "a" / name).read_bytes() == (tmp_path / "b" / name).read_bytes()
        if name.endswith(".png"):
            with Image.open(tmp_path / "a" / name) as image:
                assert image.mode == "RGB"
                assert len(image.getcolors(maxcolors=1 << 20) or [0] * 9) > 8, name
    assert set(numbers["words"]) == {"lstm", "transformer"}
    for scores in numbers["words"].values():
        assert scores["true_captions"] >= 1
        assert scores["digit"]["words"] >= 1
        for kind in scores.keys() - {"true_captions"}:
            for method in ("integrated_gradients", "gradient", "contrast", "random_map"):
                assert 0 <= scores[kind][method]["mass"] <= 1
            assert abs(scores[kind]["random_map"]["mass"] - scores[kind]["area"]) < 0.02
    assert set(numbers["fooling"]) == set(numbers["class_visualization"]) == {"first_digit", "first_colour"}


@pytest.mark.slow
def test_what_is_explained_is_what_was_scored(scenes: tuple[Path, Path, Path], tmp_path: Path) -> None:
    data, models, reports = scenes
    numbers = visualize(*scenes, tmp_path / "out", ("lstm", "transformer"), QUICK, CPU)
    entries = json.loads((tmp_path / "out" / "index.json").read_bytes())
    explained = [entry for entry in entries if entry["kind"] in ("word_saliency", "attention")]
    assert [entry["decoder"] for entry in explained] == ["lstm"] * 2 + ["transformer"] * 4
    names = [image["file_name"] for image in load_raw(data / "raw").captions("test")["images"]]
    for entry in explained:
        rows = json.loads((reports / entry["decoder"] / "captions.json").read_bytes())
        assert entry["caption"] == rows[names.index(entry["image"])]["caption"]
        assert entry["caption"] in entry["label"]
        if entry["kind"] == "word_saliency":
            assert entry["words"] == entry["caption"].split()
            with Image.open(tmp_path / "out" / entry["file"]) as image:
                sheet = np.asarray(image)
            assert sheet.shape == (64 * len(entry["methods"]), 64 * (1 + len(entry["words"])), 3)
            with Image.open(data / "raw" / "images" / "test" / entry["image"]) as image:
                assert np.array_equal(sheet[:64, :64], np.asarray(image))
            panels = sheet[:, 64:].reshape(len(entry["methods"]), 64, len(entry["words"]), 64, 3)
            assert (panels.max(axis=(1, 3)) == 255).all(), "every map is scaled by itself"
    graphs = load_raw(data / "raw").scenes("test")
    for decoder, scores in numbers["words"].items():
        rows = json.loads((reports / decoder / "captions.json").read_bytes())
        claims = [check_caption(rows[row]["caption"], graphs[row]) for row in (0, 5)]
        assert scores["true_captions"] == sum(map(is_true, claims)) < 2
    short = tmp_path / "reports" / "lstm" / "captions.json"
    write_json(short, rows[:2])
    with pytest.raises(InputError, match="expected captions of the 6 test images in their order"):
        visualize(data, models, tmp_path / "reports", tmp_path / "again", ("lstm",), QUICK, CPU)


def test_heads_that_the_backbone_has_not_are_refused(scenes: tuple[Path, Path, Path], tmp_path: Path) -> None:
    config = VisualizeConfig(2, ("wings",), 2, 3, 6, 0)
    with pytest.raises(
        InputError, match=r"visualize\.heads: expected some of .*background.*, received wings"
    ):
        visualize(*scenes, tmp_path / "out", ("lstm",), config, CPU)


@pytest.mark.shared
@pytest.mark.slow
def test_photographs_are_looked_into(
    shared: Path, squeezenet_directory: Path, squeezenet: Backbone, tmp_path: Path
) -> None:
    data, models = tmp_path / "data", tmp_path / "models"
    names = ["000000000285.jpg", "000000000785.jpg", "000000002149.jpg"]
    for split in SPLITS:
        folder = data / "raw" / "images" / split
        folder.mkdir(parents=True)
        for name in names:
            shutil.copy(shared / "real" / "images" / name, folder / name)
        captions = [{"id": i, "image_id": i, "caption": "a thing in a picture"} for i in range(3)]
        write_captions(
            data / "raw", split, [{"id": i, "file_name": name} for i, name in enumerate(names)], captions
        )
    write_source(data / "raw", Source("folder", True, False, False, False, "original"))
    tokenize(data / "raw", data / "captions", TokenizeConfig("word", 1, None, 17))
    shutil.copytree(squeezenet_directory, models / "backbone")
    model = {
        "name": "lstm",
        "feature_dim": 512,
        "hidden_dim": 8,
        "dropout": 0.0,
        "vocabulary_size": 8,
        "wordvec_dim": 8,
    }
    save_decoder(models / "lstm", build_decoder(model, torch.Generator().manual_seed(1)), model)
    rows = [{"image_id": i, "caption": "a thing in a picture"} for i in range(3)]
    write_json(tmp_path / "reports" / "lstm" / "captions.json", rows)
    numbers = visualize(
        data, models, tmp_path / "reports", tmp_path / "out", ("lstm",), replace(CONFIG, images=2), CPU
    )
    assert "words" not in numbers
    entries = json.loads((tmp_path / "out" / "index.json").read_bytes())
    saliency = [entry for entry in entries if entry["kind"] == "saliency"]
    assert [entry["image"] for entry in saliency] == [names[0], names[2]]
    assert "brown bear" in saliency[0]["label"]
    assert "Granny Smith" in saliency[1]["label"]


def test_a_source_without_images_says_so(tmp_path: Path) -> None:
    write_source(tmp_path / "raw", Source("coco", False, True, True, False, "decoded"))
    absent = tmp_path / "absent"
    numbers = visualize(tmp_path, absent, absent, tmp_path / "out", ("lstm",), CONFIG, CPU)
    assert numbers == {"pictures": 0}
    (entry,) = json.loads((tmp_path / "out" / "index.json").read_bytes())
    assert entry["kind"] == "none"
    assert entry["file"] is None
    assert "without images" in entry["label"]
