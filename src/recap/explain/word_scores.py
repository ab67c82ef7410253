"""Scores of the maps of digit words, per decoder: pointing game and mass, beside those of two simple maps.

A random map gives what area alone gives. The map of contrast, the distance of each pixel to the image's mean
colour, finds any digit without the network. Shapes: N images, S side of the image in pixels.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from recap.captioner import Captioner
from recap.explain.pointing import area_of, mass_in, named_objects, points_at
from recap.explain.word_saliency import word_gradients, word_integrated_gradients
from recap.metrics.truth import check_caption
from recap.progress import track
from recap.sources.scenes.graphs import from_json

METHODS = ("integrated gradients", "gradient", "contrast", "random map")


def score_words(
    captioner: Captioner, x: Tensor, texts: Sequence[str], scenes: Sequence[dict[str, Any]], seed: int
) -> dict[str, Any]:
    """Score the maps of digit words in those captions of scenes that are true.

    Args:
        captioner: with a backbone.
        x: (N, 3, S, S) float32, preprocessed images.
        texts, scenes: N captions of the decoder, N scene graphs.
        seed: of the random maps.

    Returns:
        ``true_captions``, ``digit_words``, ``area`` (the mean share of the image that the named digit's box
        covers) and, for each method, ``pointing_game``, ``mass`` and, where scenes have two digits,
        ``pointing_game_of_two``; area and methods are absent without words.
    """
    generator = np.random.default_rng(seed)
    side = x.shape[2]
    hits: dict[str, list[bool]] = {method: [] for method in METHODS}
    masses: dict[str, list[float]] = {method: [] for method in METHODS}
    areas: list[float] = []
    of_two: list[bool] = []
    true_captions = 0
    for row, text in enumerate(track(texts, "maps of digit words")):
        claims = check_caption(text, scenes[row])
        if not claims or not all(claim.holds for claim in claims):
            continue
        true_captions += 1
        caption = captioner.score(x[row : row + 1], text)
        named = named_objects(caption.words, from_json(scenes[row]))
        if not named:
            continue
        tokens = torch.tensor(caption.tokens, device=x.device)
        spans = [caption.spans[place] for place, _ in named]
        contrast = (x[row] - x[row].mean(dim=(1, 2), keepdim=True)).abs().sum(dim=0).cpu().numpy()  # (S, S)
        maps = {
            "integrated gradients": word_integrated_gradients(captioner, x[row], tokens, spans)
            .clamp_min(0)
            .cpu()
            .numpy(),
            "gradient": word_gradients(captioner, x[row], tokens, spans).cpu().numpy(),
            "contrast": contrast[None].repeat(len(spans), axis=0),
            "random map": generator.random((len(spans), side, side)),
        }
        for number, (_, object_) in enumerate(named):
            areas.append(area_of(object_.box, side))
            of_two.append(len(scenes[row]["objects"]) == 2)
            for method, heats in maps.items():
                hits[method].append(points_at(heats[number], object_.box))
                masses[method].append(mass_in(heats[number], object_.box))
    scores: dict[str, Any] = {"true_captions": true_captions, "digit_words": len(areas)}
    if areas:
        scores["area"] = float(np.mean(areas))
        for method in METHODS:
            scores[method.replace(" ", "_")] = {
                "pointing_game": float(np.mean(hits[method])),
                "mass": float(np.mean(masses[method])),
            }
            if any(of_two):
                hits_of_two = np.array(hits[method])[np.array(of_two)]
                scores[method.replace(" ", "_")]["pointing_game_of_two"] = float(hits_of_two.mean())
    return scores
