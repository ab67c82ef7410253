"""The work of the stage `visualize`: explanations of the networks, drawn for test images.

Shapes: N images, S side of the backbone's square input in pixels, C classes.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch

from recap.backbones.backbone import Backbone
from recap.backbones.build import load_backbone
from recap.backbones.images import load_images
from recap.captioner import assemble
from recap.core.directories import make_empty
from recap.core.input_files import read_json
from recap.core.raw_data import RawData, load_raw
from recap.errors import InputError
from recap.explain.config import VisualizeConfig
from recap.explain.pictures.classes import draw_classes
from recap.explain.pictures.fooling import draw_fooling
from recap.explain.pictures.gallery import Gallery
from recap.explain.pictures.saliency import draw_methods, draw_randomization, draw_saliency, predict
from recap.explain.pictures.words import draw_words
from recap.explain.word_scores import score_words

CLASS_HEADS = 2
MOST_CLASSES = 10
WORDED_DRAWN = 4


def visualize(
    data: Path,
    models: Path,
    reports: Path,
    directory: Path,
    decoders: Sequence[str],
    config: VisualizeConfig,
    device: torch.device,
) -> dict[str, Any]:
    """Draw what backbone and decoders see in test images; index.json says what each picture shows.

    Args:
        data: the folder with raw, captions and reduced.
        models: the folder with backbone and the decoders.
        reports: the folder with captions.json of each decoder, which are what is explained.
        directory: receives PNG files and index.json; what was in it goes first.
        decoders: names of trained decoders.
        config: the group `visualize`.
        device: where to compute.

    Returns:
        ``pictures``, how many there are, and where a backbone has classes the scores ``fooling``,
        ``class_visualization``, ``randomization`` and, for scenes, ``words``.

    Raises:
        InputError: an image does not decode, no such heads, or a model or its captions are absent.
    """
    make_empty(directory)
    gallery = Gallery(directory)
    raw = load_raw(data / "raw")
    if not raw.source.images:
        gallery.say("none", "The source brings features without images, so there is nothing to look into.")
        return {"pictures": gallery.finish()}
    backbone = load_backbone(models / "backbone").to(device).requires_grad_(False)
    numbers = _draw_backbone(gallery, backbone, raw, config)
    words = _draw_words(gallery, backbone, raw, data, models, reports, decoders, config)
    return {"pictures": gallery.finish(), **numbers, **words}


def _draw_backbone(
    gallery: Gallery, backbone: Backbone, raw: RawData, config: VisualizeConfig
) -> dict[str, Any]:
    if not backbone.heads:
        return {}  # an encoder of the user's has no classes
    heads = [head for head in config.heads if head in backbone.heads]
    if not heads:
        known, received = ", ".join(backbone.heads), ", ".join(config.heads)
        raise InputError(f"visualize.heads: expected some of {known}, received {received}")
    paths = _spread(raw, config.images)
    names, images = [path.name for path in paths], load_images(paths, backbone)
    draw_saliency(gallery, backbone, images, names, heads)
    draw_methods(gallery, backbone, images, names, heads[0])
    randomization = draw_randomization(gallery, backbone, images, names, heads[0], config.seed)
    paths = _spread(raw, config.fooled_images)
    many_names, many = [path.name for path in paths], load_images(paths, backbone)
    class_heads = heads[:CLASS_HEADS]
    fooling = {
        head: draw_fooling(gallery, backbone, many, many_names, head, config.seed) for head in class_heads
    }
    classes = {
        head: draw_classes(
            gallery, backbone, head, _classes(backbone, head, images), config.iterations, config.seed
        )
        for head in class_heads
    }
    return {"fooling": fooling, "class_visualization": classes, "randomization": randomization}


def _draw_words(
    gallery: Gallery,
    backbone: Backbone,
    raw: RawData,
    data: Path,
    models: Path,
    reports: Path,
    decoders: Sequence[str],
    config: VisualizeConfig,
) -> dict[str, Any]:
    vocabulary, device = data / "captions" / "vocabulary.json", backbone.mean.device
    paths = raw.image_paths("test")
    drawn = _rows(len(paths), config.images)[:WORDED_DRAWN]
    scored = _rows(len(paths), config.worded_images) if raw.source.scenes else []
    names, images = [paths[row].name for row in drawn], load_images([paths[row] for row in drawn], backbone)
    scores = {}
    for name in decoders:
        captioner = assemble([models / name], vocabulary, data / "reduced", models / "backbone", device)
        texts = _captions(reports / name / "captions.json", raw)
        draw_words(gallery, captioner, name, images, names, [texts[row] for row in drawn])
        if scored:
            x = backbone.preprocess(load_images([paths[row] for row in scored], backbone))
            graphs = raw.scenes("test")
            arguments = x, [texts[row] for row in scored], [graphs[row] for row in scored], config.seed
            scores[name] = score_words(captioner, *arguments)
    return {"words": scores} if scores else {}


def _captions(path: Path, raw: RawData) -> list[str]:
    """Read the captions that the stage `evaluate` scored: one for each test image."""
    rows, images = read_json(path), raw.captions("test")["images"]
    if [row["image_id"] for row in rows] != [image["id"] for image in images]:
        raise InputError(f"{path}: expected captions of the {len(images)} test images in their order")
    return [row["caption"] for row in rows]


def _classes(backbone: Backbone, head: str, images: torch.Tensor) -> list[int]:
    """Choose all classes of a small head; of a large one those that the backbone predicts for the images."""
    count = len(backbone.heads[head])
    if count <= MOST_CLASSES:
        return list(range(count))
    seen = predict(backbone, head, backbone.preprocess(images)).tolist()
    return list(dict.fromkeys(seen))[:MOST_CLASSES]


def _spread(raw: RawData, count: int) -> list[Path]:
    """Choose at most ``count`` test images, spread evenly over the split."""
    paths = raw.image_paths("test")
    return [paths[row] for row in _rows(len(paths), count)]


def _rows(total: int, count: int) -> list[int]:
    rows: list[int] = np.unique(np.linspace(0, total - 1, count).round().astype(int)).tolist()
    return rows
