"""Outputs of the other stages, small, written in their layout; for scenes, a coco archive and photographs."""

import shutil
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from recap.core import paths
from recap.core.artifacts import write_csv, write_json, write_png
from recap.core.feature_files import write_features
from recap.core.raw_data import Source, write_captions, write_source
from recap.report.inputs import BACKBONE_METRICS, SEEDS, VISION_METRICS
from recap.text.captions import Captions, save_captions
from recap.text.vocabulary import build_vocabulary, split_words

WORDS = ("a red seven", "a small blue three left of a pink one", "one large green digit on a striped ground")
HISTORY = ("epoch", "training_loss", "validation_loss", "learning_rate", "gradient_norm")
MakeOutputs = Callable[..., Path]


@pytest.fixture
def outputs(tmp_path: Path) -> MakeOutputs:
    """Write the outputs; arguments as in ``write_outputs``."""

    def make(**choices: Any) -> Path:
        shutil.rmtree(tmp_path / "outputs", ignore_errors=True)
        return write_outputs(tmp_path / "outputs", **choices)

    return make


def write_outputs(
    root: Path,
    *,
    source: str = "scenes",
    decoders: Sequence[str] = ("rnn", "lstm", "transformer"),
    captions: Sequence[str] = WORDS,
    url: str = "http://images.example.org/1.jpg",
    side: int = 64,
    scored: int = 30,
) -> Path:
    """Write every file that the report reads.

    Args:
        root: the folder to fill.
        source: "scenes", "coco" (features without images) or "folder".
        decoders: which have models and reports.
        captions: what references and decoders say, in turn.
        url: of every image of coco.
        side: width and height of the images.
        scored: how many scored images there are.
    """
    root.mkdir(parents=True, exist_ok=True)
    (root / paths.REQUIREMENTS).write_text("numpy==2.4.6 \\\n    --hash=sha256:00\ntorch==2.13.0\n")
    generator = np.random.default_rng(5)
    is_scenes, has_images = source == "scenes", source != "coco"
    write_source(
        root / paths.RAW,
        Source(source, has_images, not has_images, not has_images, is_scenes, "original"),  # type: ignore[arg-type]
    )
    counts = {"train": 12, "validation": 8, "test": scored}
    images = {split: _images(split, source, url, count) for split, count in counts.items()}
    for split, entries in images.items():
        annotations = [
            {"id": 5 * row + turn, "image_id": image["id"], "caption": captions[(row + turn) % len(captions)]}
            for row, image in enumerate(entries)
            for turn in range(2)
        ]
        write_captions(root / paths.RAW, split, entries, annotations)
        for image in entries if has_images else []:
            pixels = generator.integers(0, 255, (4, 4, 3), dtype=np.uint8).repeat(side // 4, 0)
            write_png(root / paths.RAW / "images" / split / image["file_name"], pixels.repeat(side // 4, 1))
        if not has_images:
            features = np.random.default_rng(len(entries)).random((len(entries), 3), dtype=np.float32)
            write_features(root / paths.RAW / "features" / f"{split}.h5", features)
    _write_captions(root / paths.CAPTIONS, images, captions)
    backbone: dict[str, Any] = {}
    if is_scenes:
        seven = {"digit": 7, "colour": "red", "size": "large", "digit_image": 1}
        seven |= {"center": [9, 9], "box": [1, 1, 20, 20]}
        scene = {"background": "black", "arrangement": "center", "objects": [seven]}
        graphs = [scene | {"image_id": image["id"]} for image in images["test"]]
        write_json(root / paths.RAW / "annotations" / "scenes_test.json", graphs)
        history = [("crops", 10, 4.5, 1e-3), ("crops", 20, 3.5, 1e-3), ("scenes", 30, 6.0, 2e-3)]
        write_csv(root / paths.BACKBONE / "history.csv", ("phase", "step", "loss", "learning_rate"), history)
        part = {"all_right": 0.925, "background": 1.0, "first_digit": 0.95}
        backbone = {"parameters": 654321, "seen": part, "unseen": part}
    write_json(root / BACKBONE_METRICS, backbone)
    shares = [0.5, 0.25, 0.125]
    rows = list(zip((1, 2, 3), shares, np.cumsum(shares).tolist(), strict=True))
    write_csv(
        root / paths.REDUCED / "spectrum.csv", ("component", "explained_variance_ratio", "cumulative"), rows
    )
    for index, name in enumerate(decoders):
        _write_decoder(root, name, index, images["test"], captions, generator)
    entry: dict[str, Any] = {"kind": "none", "file": None, "label": "Nothing to look into.", "image": None}
    if has_images:
        entry = {"kind": "saliency", "file": "saliency_0.png", "label": "digit: 7", "image": "000000.png"}
        write_png(root / paths.VISION / "saliency_0.png", np.full((248, 1000, 3), 200, np.uint8))
    write_json(root / paths.VISION / "index.json", [entry])
    write_json(root / VISION_METRICS, {"pictures": 1})
    _write_sanity(root / paths.SANITY, decoders, captions)
    write_json(root / SEEDS / "seeds.json", {})
    return root


def _write_sanity(folder: Path, decoders: Sequence[str], captions: Sequence[str]) -> None:
    """Every decoder learns the captions of three images, the first decoder none but the first two."""
    gradients = [
        {"function": "rnn_step", "gradient": "dx", "error": 3e-11, "threshold": 1e-8, "passed": True},
        {"function": "rnn_step", "gradient": "dWh", "error": 2e-7, "threshold": 1e-8, "passed": False},
    ]
    write_json(folder / "gradients.json", gradients)
    curves = [(name, step, 100.0 / step**4) for name in decoders for step in range(1, 9)]
    write_csv(folder / "curves.csv", ("decoder", "step", "loss"), curves)
    sentences = []
    for index, name in enumerate(decoders):
        for image in range(3):
            caption = f"{captions[image]} <END>"
            sentences.append((name, image, caption, caption if index or image < 2 else "<END>"))
    write_csv(folder / "captions.csv", ("decoder", "image", "caption", "generated"), sentences)
    result = {"final_loss": 100.0 / 8**4, "bar": 0.1, "passed": 1, "word_for_word": 1.0}
    write_json(folder / "metrics.json", dict.fromkeys(decoders, result))


def _images(split: str, source: str, url: str, count: int) -> list[dict[str, Any]]:
    images: list[dict[str, Any]] = []
    for row in range(count):
        image: dict[str, Any] = {"id": 100 + row, "file_name": f"{row:06d}.png"}
        if source == "scenes" and split == "test":
            image["part"] = "seen" if row % 3 else "unseen"
        if source == "coco":
            image["url"] = url
        images.append(image)
    return images


def _write_captions(folder: Path, images: dict[str, list[dict[str, Any]]], captions: Sequence[str]) -> None:
    words = [split_words(caption) for caption in captions]
    vocabulary = build_vocabulary(words, 1, 14)
    encoded = {
        split: vocabulary.encode([words[row % len(words)] for row in range(2 * len(entries))], 17)
        for split, entries in images.items()
    }
    rows = {split: np.repeat(np.arange(len(own), dtype=np.int32), 2) for split, own in images.items()}
    save_captions(folder, Captions(vocabulary, {split: (encoded[split], rows[split]) for split in images}))


def _write_decoder(
    root: Path,
    name: str,
    index: int,
    images: list[dict[str, Any]],
    captions: Sequence[str],
    generator: np.random.Generator,
) -> None:
    model, report = root / paths.MODELS / name, root / paths.DECODERS / name
    epochs = [[epoch, 4 / epoch + 0.1 * index, 4 / epoch + 0.3, 1e-3, 1.5] for epoch in range(1, 9)]
    write_csv(model / "history.csv", HISTORY, epochs)
    write_json(model / "model.json", {"name": name, "feature_dim": 3})
    best = {"training_loss": epochs[-1][1], "validation_loss": epochs[-1][2]}
    write_json(
        model / "summary.json", {"parameters": 123456, "epochs": 8, "steps": 80, "best_epoch": 8, **best}
    )
    is_scenes = "part" in images[0]
    results, per_image = [], []
    for row, image in enumerate(images):
        caption = captions[(row + index) % len(captions)]
        scores: dict[str, Any] = {"cider_d": float(generator.uniform(1, 1.5)) + index, "rouge_l": 0.5}
        scores["runners_up"] = [
            {"caption": captions[(row + index + 1) % len(captions)], "log_probability": -2.34}
        ]
        scores["log_probabilities"] = [-0.1 * place for place in range(len(caption.split()) + 1)]
        if is_scenes:
            scores |= {"truth": float(row % 2), "failed_claims": [] if row % 2 else ["digit", "digit"]}
        results.append({"image_id": image["id"], "caption": caption})
        per_image.append({**results[-1], "part": image.get("part", "test"), **scores})
    write_json(report / "captions.json", results)
    write_json(report / "per_image.json", per_image)
    part = {
        "images": 20,
        "references": 40,
        "idf": "the 4000 references of these 20 images",
        "bleu_1": 0.4 + 0.1 * index,
        "bleu_4": 0.3,
        "rouge_l": 0.5,
        "cider_d": 1.25 + index,
        "interval": {"cider_d": {"low": 1.0 + index, "high": 1.5 + index}},
        "constant_caption": captions[0],
        "constant_cider_d": 0.5,
        "human_cider_d": 4.5,
        "length": 8.0,
        "a_new_score": 0.25,
    }
    if is_scenes:
        part |= {"truth": 0.75, "claims_per_caption": 4.0, "failed_claims": {"colour": 0.1, "digit": 0.2}}
    parts = ("seen", "unseen") if is_scenes else ("test",)
    write_json(report / "metrics.json", {"perplexity": 2.5 + index, **dict.fromkeys(parts, part)})
