"""Scene graphs: what is drawn in a 64 x 64 scene, where, and what may be said about the places.

Lengths are pixels; x grows to the right and y downwards.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray

from recap.errors import InputError

SIDE = 64
SIZES = {"small": 20, "large": 28}
COLOURS = ("red", "orange", "yellow", "green", "blue", "purple", "pink")
BACKGROUNDS = ("white", "gray", "black", "striped", "dotted", "checkered")
DIGITS = tuple(range(10))
POSITIONS = (
    "top left",
    "top",
    "top right",
    "left",
    "center",
    "right",
    "bottom left",
    "bottom",
    "bottom right",
)
"""Where a lone digit is; a digit of a pair is at the "left", "right", "top" or "bottom" of the other."""
PAIRS = ("side by side", "stacked")
ARRANGEMENTS = POSITIONS + PAIRS
OPPOSITE = {"left of": "right of", "right of": "left of", "above": "below", "below": "above"}

MARGIN = 1
"""No digit's box is closer to an edge, or two of these to another digit's."""
NEAR_EDGE = 22
"""A center at most this far from an edge lies at that edge ..."""
NEAR_MIDDLE = 3
"""... and one at most this far from the middle in the middle; none is drawn in between."""
THIRDS = (27, 37)
"""Centers before the first and after the second are left or right, top or bottom."""
ALIGNMENT = 6
"""Pairs side by side differ by at most this in y, stacked ones in x."""
RELATION_MARGIN = 12
"""Centers differ by at least this along an axis for a relation to hold."""
SHARE_OF_PAIRS = 0.6
"""Share of scenes with two digits."""
SHARE_HELD_OUT = 0.2
"""Share of each digit's images that training never shows."""
SET_ASIDE = 2
"""At least as many of these, of each digit, are left for validation."""

Pair = tuple[str, int]


@dataclass(frozen=True)
class SceneObject:
    """A digit in a scene."""

    digit: int
    colour: str
    size: str
    center: tuple[int, int]
    box: tuple[int, int, int, int]
    digit_image: int


@dataclass(frozen=True)
class Scene:
    """A background with one digit, or two in reading order: left before right, top before bottom."""

    background: str
    arrangement: str
    objects: tuple[SceneObject, ...]


def to_json(scene: Scene, image_id: int) -> dict[str, Any]:
    """Return a scene graph as JSON values."""
    return {"image_id": image_id, **asdict(scene)}


def from_json(values: Mapping[str, Any]) -> Scene:
    """Return the inverse of ``to_json``.

    Raises:
        InputError: the values are no scene graph.
    """
    try:
        objects = tuple(
            SceneObject(**{**entry, "center": tuple(entry["center"]), "box": tuple(entry["box"])})
            for entry in values["objects"]
        )
        return Scene(values["background"], values["arrangement"], objects)
    except (KeyError, TypeError) as error:
        raise InputError(
            f"scene graph: expected background, arrangement, objects; received {error}"
        ) from None


def held_out_pairs(seed: int) -> list[Pair]:
    """Return pairs (colour, digit) that training never has: for every digit one colour, as even as can be."""
    order = np.random.default_rng([seed, 1]).permutation(len(COLOURS))
    return [(COLOURS[order[digit % len(COLOURS)]], digit) for digit in DIGITS]


def training_pairs(seed: int) -> list[Pair]:
    """Return the pairs (colour, digit) that training may have."""
    held_out = held_out_pairs(seed)
    return [(colour, digit) for digit in DIGITS for colour in COLOURS if (colour, digit) not in held_out]


def split_digit_images(labels: NDArray[np.integer], seed: int) -> tuple[list[list[int]], list[list[int]]]:
    """Split the digit images, each class alike, by the digit that each shows: for training and for the rest.

    Returns:
        Twice the image numbers of every digit 0 to 9.
    """
    generator = np.random.default_rng([seed, 2])
    training, held_out = [], []
    for digit in DIGITS:
        images = generator.permutation(np.flatnonzero(labels == digit)).tolist()
        count = round(len(images) * SHARE_HELD_OUT)
        held_out.append(images[:count])
        training.append(images[count:])
    return training, held_out


def set_aside(scenes: Sequence[Scene], digit_images: list[list[int]]) -> tuple[list[Scene], list[list[int]]]:
    """Leave digit images for other scenes: those that these do not show, and of each digit at least a few.

    Args:
        scenes: what was drawn; where they show an image that is set aside, another takes its place.
        digit_images: the image numbers that they were drawn from, for every digit.

    Returns:
        The scenes, and for every digit the image numbers that none of them shows.
    """
    uses = Counter(object_.digit_image for scene in scenes for object_ in scene.objects)
    left: list[list[int]] = []
    instead: dict[int, int] = {}
    for images in digit_images:
        ranked = sorted(images, key=lambda image: uses[image])
        count = max(SET_ASIDE, sum(not uses[image] for image in images))
        left.append(ranked[:count])
        instead |= dict(zip(ranked[:SET_ASIDE], ranked[-SET_ASIDE:], strict=True))
    kept = [
        replace(
            scene,
            objects=tuple(
                replace(object_, digit_image=instead.get(object_.digit_image, object_.digit_image))
                for object_ in scene.objects
            ),
        )
        for scene in scenes
    ]
    return kept, left


def sample_scene(
    generator: Generator,
    digit_images: list[list[int]],
    pairs: Sequence[Pair],
    required: Sequence[Pair] | None = None,
) -> Scene:
    """Draw a scene of digit images, by number for every digit, and of pairs (colour, digit).

    One object's pair comes from ``required`` when that is given.
    """
    count = 2 if generator.random() < SHARE_OF_PAIRS else 1
    chosen = [pairs[i] for i in generator.integers(len(pairs), size=count)]
    if required is not None:
        chosen[generator.integers(count)] = required[int(generator.integers(len(required)))]
    while count == 2 and chosen[0] == chosen[1]:
        chosen[1] = pairs[int(generator.integers(len(pairs)))]
    sizes = [list(SIZES)[i] for i in generator.integers(len(SIZES), size=count)]
    arrangements = PAIRS if count == 2 else POSITIONS
    scene = Scene(
        background=BACKGROUNDS[generator.integers(len(BACKGROUNDS))],
        arrangement=arrangements[generator.integers(len(arrangements))],
        objects=tuple(
            SceneObject(digit, colour, size, (0, 0), (0, 0, 0, 0), 0)
            for (colour, digit), size in zip(chosen, sizes, strict=True)
        ),
    )
    return resample(scene, generator, digit_images)


def resample(scene: Scene, generator: Generator, digit_images: list[list[int]]) -> Scene:
    """Return the same scene with other images of its digits at other places of its arrangement."""
    centers = _centers(scene.arrangement, [SIZES[object_.size] // 2 for object_ in scene.objects], generator)
    objects = []
    for object_, (x, y) in zip(scene.objects, centers, strict=True):
        half = SIZES[object_.size] // 2
        images = digit_images[object_.digit]
        objects.append(
            replace(
                object_,
                center=(x, y),
                box=(x - half, y - half, x + half, y + half),
                digit_image=images[generator.integers(len(images))],
            )
        )
    return replace(scene, objects=tuple(objects))


def _centers(arrangement: str, halves: list[int], generator: Generator) -> list[tuple[int, int]]:
    room = [half + MARGIN for half in halves]

    def draw(low: int, high: int) -> int:
        return int(generator.integers(low, high + 1))

    def along(word: str) -> int:
        if word in ("left", "top"):
            return draw(room[0], NEAR_EDGE)
        if word in ("right", "bottom"):
            return draw(SIDE - NEAR_EDGE, SIDE - room[0])
        return draw(SIDE // 2 - NEAR_MIDDLE, SIDE // 2 + NEAR_MIDDLE)

    if arrangement in POSITIONS:
        column = next((word for word in ("left", "right") if word in arrangement), "")
        row = next((word for word in ("top", "bottom") if word in arrangement), "")
        return [(along(column), along(row))]
    start = draw(room[0], min(NEAR_EDGE, SIDE - 2 * room[1] - room[0]))
    end = draw(max(SIDE - NEAR_EDGE, start + sum(room)), SIDE - room[1])
    across = draw(room[0], SIDE - room[0])
    beside = min(max(across + draw(-ALIGNMENT, ALIGNMENT), room[1]), SIDE - room[1])
    centers = [(start, across), (end, beside)]
    return centers if arrangement == "side by side" else [(y, x) for x, y in centers]


def position_holds(position: str, object_: SceneObject) -> bool:
    """Return whether an object is where one of ``POSITIONS`` says; "left" also holds at the top left."""
    names = (("left", "right"), ("top", "bottom"))
    at = [
        low if coordinate < THIRDS[0] else high if coordinate > THIRDS[1] else "center"
        for coordinate, (low, high) in zip(object_.center, names, strict=True)
    ]
    if position == "center":
        return at == ["center", "center"]
    return all(word in at for word in position.split())


def relation_holds(relation: str, subject: SceneObject, other: SceneObject) -> bool:
    """Return whether ``subject`` is "left of", "right of", "above" or "below" ``other``."""
    if relation in ("right of", "below"):
        return relation_holds(OPPOSITE[relation], other, subject)
    axis = 0 if relation == "left of" else 1
    return other.center[axis] - subject.center[axis] >= RELATION_MARGIN
