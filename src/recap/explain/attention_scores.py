"""Where an LSTM with attention looks for the words of true captions, and whether what they name is there.

Scores are those of ``recap.explain.pointing``, per kind of word, beside those of random maps.
Shapes: N images, T tokens of a caption, P places of a square grid, S side of the image in pixels.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn.functional import interpolate

from recap.captioner import Captioner
from recap.decoders.attention import AttentionDecoder
from recap.decoding.caption import Caption
from recap.explain.pointing import digit_places, mass_in, named_objects, points_at
from recap.metrics.truth import check_caption
from recap.sources.scenes.captions import COLOURS, RELATIONS, SIZES
from recap.sources.scenes.graphs import Scene, from_json
from recap.text.vocabulary import START

Box = tuple[int, int, int, int]
KINDS = ("digit", "colour", "size", "relation")
_ATTRIBUTES = {
    word: kind
    for kind, values in (("colour", COLOURS), ("size", SIZES))
    for own in values.values()
    for word in own
}
_RELATIONS = frozenset(phrase for own in RELATIONS.values() for phrase in own)


def score_attention(
    captioner: Captioner, x: Tensor, texts: Sequence[str], scenes: Sequence[dict[str, Any]], seed: int
) -> dict[str, dict[str, float]]:
    """Score where the decoder looks for the words of those captions of scenes that are true.

    Args:
        captioner: with a backbone, its decoder one with attention.
        x: (N, 3, S, S) float32, preprocessed images.
        texts, scenes: N captions, N scene graphs.
        seed: of the random maps.

    Returns:
        For each kind of word ``words``, ``pointing_game``, ``mass``, and of random maps the last two.
    """
    decoder, generator = captioner.decoder, np.random.default_rng(seed)
    assert isinstance(decoder, AttentionDecoder)
    found: dict[str, list[tuple[float, float, float, float]]] = {kind: [] for kind in KINDS}
    for row, text in enumerate(texts):
        claims = check_caption(text, scenes[row])
        if not claims or not all(claim.holds for claim in claims):
            continue
        caption = captioner.score(x[row : row + 1], text)
        maps = attention_maps(captioner, x[row : row + 1], caption)  # (T, S, S)
        for place, kind, boxes in placed_words(caption.words, from_json(scenes[row])):
            heat = maps[list(caption.spans[place])].mean(axis=0)
            chance = generator.random(heat.shape)
            found[kind].append((*_scores(heat, boxes), *_scores(chance, boxes)))
    names = ("pointing_game", "mass", "random_pointing_game", "random_mass")
    return {
        kind: {"words": len(own), **dict(zip(names, np.mean(own, axis=0).tolist(), strict=True))}
        for kind, own in found.items()
        if own
    }


@torch.no_grad()
def attention_maps(captioner: Captioner, x: Tensor, caption: Caption) -> NDArray[np.float32]:
    """Return where the decoder looks for each token of a caption of an image (1, 3, S, S): (T, S, S)."""
    assert isinstance(captioner.decoder, AttentionDecoder)
    inputs = torch.tensor([[START, *caption.tokens[:-1]]], device=x.device)
    looks = captioner.decoder.looks(captioner.see(x), inputs)[0]  # (T, P)
    side = round(looks.shape[1] ** 0.5)
    grids = looks.view(len(looks), 1, side, side)
    maps: NDArray[np.float32] = interpolate(grids, tuple(x.shape[2:]), mode="nearest")[:, 0].cpu().numpy()
    return maps


def placed_words(words: Sequence[str], scene: Scene) -> list[tuple[int, str, list[Box]]]:
    """Find the words of a true caption whose place is known: position, kind, and the boxes of what is meant.

    A colour or a size belongs to the digit that it stands before, or else to the last one.
    """
    named = named_objects(words, scene)
    placed: list[tuple[int, str, list[Box]]] = [(place, "digit", [own.box]) for place, own in named]
    if len(named) < len(digit_places(words)):
        return placed
    for place, word in enumerate(words):
        if word in _ATTRIBUTES:
            after = [own for digit, own in named if digit > place]
            in_colour = place > 0 and words[place - 1] == "in"
            owner = [own for digit, own in named if digit < place][-1] if in_colour or not after else after[0]
            placed.append((place, _ATTRIBUTES[word], [owner.box]))
        elif {word, " ".join(words[place : place + 2])} & _RELATIONS:
            placed.append((place, "relation", [own.box for _, own in named]))
    return placed


def _scores(heat: NDArray[np.floating], boxes: Sequence[Box]) -> tuple[float, float]:
    """Pointing game and mass of a map (S, S); boxes of two digits do not overlap."""
    hit = any(points_at(heat, box) for box in boxes)
    return float(hit), sum(mass_in(heat, box) for box in boxes)
