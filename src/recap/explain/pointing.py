"""Tests whether a word's map lies on the object that the word names: the pointing game, and the mass.

Source of the pointing game: Zhang et al. 2016, "Top-down neural attention by excitation backprop",
arXiv:1608.00507.
Shapes: S side of the image in pixels.
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter

from recap.sources.scenes.captions import COLOURS, DIGITS, RELATIONS, SIZES, read_caption
from recap.sources.scenes.graphs import Scene, SceneObject

SMOOTHING = 2.0
"""Sigma in pixels before the largest value is looked for: gradients of pooled networks are speckled."""

Box = tuple[int, int, int, int]
KINDS = ("digit", "colour", "size", "relation")
_ATTRIBUTES = {
    word: kind
    for kind, values in (("colour", COLOURS), ("size", SIZES))
    for own in values.values()
    for word in own
}
_RELATIONS = frozenset(phrase for own in RELATIONS.values() for phrase in own)

_DIGIT_OF = {word: int(digit) for digit, words in DIGITS.items() for word in words}


def named_objects(words: Sequence[str], scene: Scene) -> list[tuple[int, SceneObject]]:
    """Find the words of a true caption that name a digit, and the object of the scene that each names.

    Returns:
        Pairs of a word's position and its object; empty for a sentence outside the grammar.
    """
    statements = read_caption(" ".join(words))
    if statements is None:
        return []
    colours = {claim.mention: claim.value for claim in statements if claim.kind == "colour"}
    named = []
    for mention, place in enumerate(digit_places(words)):
        # no two objects of a scene have the same digit and colour
        objects = [
            object_
            for object_ in scene.objects
            if object_.digit == _DIGIT_OF[words[place]]
            and object_.colour == colours.get(mention, object_.colour)
        ]
        if len(objects) == 1:
            named.append((place, objects[0]))
    return named


def digit_places(words: Sequence[str]) -> list[int]:
    """Return the positions of digits in a caption; the count in "two digits" is none."""
    return [
        place
        for place, word in enumerate(words)
        if word in _DIGIT_OF and not (place + 1 < len(words) and words[place + 1] in ("digit", "digits"))
    ]


def placed_words(words: Sequence[str], scene: Scene) -> list[tuple[int, str, list[Box]]]:
    """Find the words of a true caption whose place is known: position, kind, and the boxes of what is meant.

    A colour or a size belongs to the digit that it stands before, or else to the last one.
    """
    named = named_objects(words, scene)
    placed: list[tuple[int, str, list[Box]]] = [(place, "digit", [own.box]) for place, own in named]
    if not named or len(named) < len(digit_places(words)):
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


def points_at(heat: NDArray[np.floating], box: Sequence[int], smoothing: float = SMOOTHING) -> bool:
    """Return whether the maximum of a map (S, S) lies in a box (x0, y0, x1, y1), ends excluded.

    The map is smoothed before by a Gaussian of sigma ``smoothing``, in pixels.
    """
    # around the edges: mirrored or empty margins would attract or repel the maximum of a random map
    smooth = gaussian_filter(heat.astype(np.float64), smoothing, mode="wrap")
    row, column = np.unravel_index(int(smooth.argmax()), smooth.shape)
    return bool(box[0] <= column < box[2] and box[1] <= row < box[3])


def mass_in(heat: NDArray[np.floating], box: Sequence[int]) -> float:
    """Return the part of a map's (S, S) sum that lies in a box (x0, y0, x1, y1); 0 for a map of zeros."""
    total = float(heat.sum(dtype=np.float64))
    inside = float(heat[box[1] : box[3], box[0] : box[2]].sum(dtype=np.float64))
    return inside / total if total else 0.0


def area_of(box: Sequence[int], side: int) -> float:
    """Return the part of an image's area that a box covers: the value of both scores for a random map."""
    return (box[2] - box[0]) * (box[3] - box[1]) / side**2
