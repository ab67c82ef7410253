"""Scores of the maps of words, per decoder and kind of word: pointing game and mass, beside two simple maps.

A random map gives what area alone gives. The map of contrast, the distance of each pixel to the image's mean
colour, finds any digit without the network. Shapes: N images, S side of the image in pixels.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from recap.captioner import Captioner
from recap.decoders.attention import AttentionDecoder
from recap.explain.pointing import KINDS, SMOOTHING, area_of, mass_in, placed_words, points_at
from recap.explain.word_saliency import word_methods
from recap.metrics.truth import check_caption
from recap.progress import track
from recap.sources.scenes.graphs import from_json

ATTENTION_SMOOTHING = 1.25
"""Sigma in widths of a place: as Xu et al. 2015 draw attention, 20 pixels for places of 16.

A place is nearly as wide as a small digit, whose box the middle of the best place may miss.
"""


def score_words(
    captioner: Captioner, x: Tensor, texts: Sequence[str], scenes: Sequence[dict[str, Any]], seed: int
) -> dict[str, Any]:
    """Score the maps of words whose place is known, in those captions of scenes that are true.

    Args:
        captioner: with a backbone.
        x: (N, 3, S, S) float32, preprocessed images.
        texts, scenes: N captions of the decoder, N scene graphs.
        seed: of the random maps.

    Returns:
        ``true_captions`` and, for each of ``KINDS`` that has words, their number ``words``, ``area`` (the
        mean share of the image in the boxes of what the word is about) and, for each method,
        ``pointing_game``, ``mass`` and, where scenes have two digits, ``pointing_game_of_two``.
    """
    generator = np.random.default_rng(seed)
    side = x.shape[2]
    methods = word_methods(captioner.decoder)
    smoothing: dict[str, float] = {}  # of methods that need another than the usual
    if isinstance(captioner.decoder, AttentionDecoder):
        smoothing["attention"] = ATTENTION_SMOOTHING * side / captioner.decoder.places**0.5
    areas: dict[str, list[float]] = {kind: [] for kind in KINDS}
    of_two: dict[str, list[bool]] = {kind: [] for kind in KINDS}
    found: dict[tuple[str, str], list[tuple[float, float]]] = {}  # of kind and method: hit, mass
    true_captions = 0
    for row, text in enumerate(track(texts, "maps of words")):
        claims = check_caption(text, scenes[row])
        if not claims or not all(claim.holds for claim in claims):
            continue
        true_captions += 1
        caption = captioner.score(x[row : row + 1], text)
        placed = placed_words(caption.words, from_json(scenes[row]))
        if not placed:
            continue
        tokens = torch.tensor(caption.tokens, device=x.device)
        spans = [caption.spans[place] for place, _, _ in placed]
        contrast = (x[row] - x[row].mean(dim=(1, 2), keepdim=True)).abs().sum(dim=0).cpu().numpy()  # (S, S)
        maps = {
            name: method(captioner, x[row], tokens, spans).clamp_min(0).cpu().numpy()
            for name, method in methods.items()
        }
        maps["contrast"] = contrast[None].repeat(len(spans), axis=0)
        maps["random map"] = generator.random((len(spans), side, side))
        for number, (_, kind, boxes) in enumerate(placed):
            areas[kind].append(sum(area_of(box, side) for box in boxes))
            of_two[kind].append(len(scenes[row]["objects"]) == 2)
            for name, heats in maps.items():
                sigma = smoothing.get(name, SMOOTHING)
                hit = any(points_at(heats[number], box, sigma) for box in boxes)
                mass = sum(mass_in(heats[number], box) for box in boxes)  # boxes of two digits do not overlap
                found.setdefault((kind, name), []).append((float(hit), mass))
    scores: dict[str, Any] = {"true_captions": true_captions}
    for kind, own in areas.items():
        if own:
            scores[kind] = {"words": len(own), "area": float(np.mean(own))}
    for (kind, name), values in found.items():
        hits, masses = np.array(values).T
        own_scores = {"pointing_game": float(hits.mean()), "mass": float(masses.mean())}
        if any(of_two[kind]):
            own_scores["pointing_game_of_two"] = float(hits[np.array(of_two[kind])].mean())
        scores[kind][name.replace(" ", "_")] = own_scores
    return scores
