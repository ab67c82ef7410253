"""What a backbone reads off a scene: its attributes as the classes of several heads."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from recap.sources.scenes.graphs import ARRANGEMENTS, BACKGROUNDS, COLOURS, DIGITS, SIZES, Scene, SceneObject

NONE = "none"
"""The class of a second digit's attributes where there is one digit."""
OBJECT_HEADS: dict[str, tuple[str, ...]] = {
    "colour": COLOURS,
    "digit": tuple(str(digit) for digit in DIGITS),
    "size": tuple(SIZES),
}
# In alphabetical order, which JSON files keep.
HEADS: dict[str, tuple[str, ...]] = {
    "arrangement": ARRANGEMENTS,
    "background": BACKGROUNDS,
    **{f"first_{name}": labels for name, labels in OBJECT_HEADS.items()},
    **{f"second_{name}": (*labels, NONE) for name, labels in OBJECT_HEADS.items()},
}
"""Head name -> class labels. First is the left or upper digit, as in the scene graph."""


def object_labels(object_: SceneObject | None) -> list[int]:
    """Return the classes of an object under ``OBJECT_HEADS``; of an absent one, those of ``NONE``."""
    if object_ is None:
        return [len(labels) for labels in OBJECT_HEADS.values()]
    values = {"digit": str(object_.digit), "colour": object_.colour, "size": object_.size}
    return [labels.index(values[name]) for name, labels in OBJECT_HEADS.items()]


def scene_labels(scenes: Sequence[Scene]) -> NDArray[np.int64]:
    """Return the right class of every head: N scenes -> (N, heads) int64, in the order of ``HEADS``."""
    rows = [
        [
            ARRANGEMENTS.index(scene.arrangement),
            BACKGROUNDS.index(scene.background),
            *object_labels(scene.objects[0]),
            *object_labels(scene.objects[1] if len(scene.objects) == 2 else None),
        ]
        for scene in scenes
    ]
    return np.array(rows, dtype=np.int64)
