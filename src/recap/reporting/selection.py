"""Which images the page shows: some at random by a seed, the best and the worst captioned ones."""

from dataclasses import dataclass
from typing import Any

import numpy as np

from recap.reporting.config import ReportConfig
from recap.reporting.images import InlineImage, inline_image
from recap.reporting.inputs import Inputs

EXAMPLES = 6
TRAINING_SAMPLES = 5


@dataclass(frozen=True)
class Selection:
    """Rows of images; no validation row is in two of the lists.

    Attributes:
        examples: validation rows at the top of the page.
        random, best, worst: validation rows in the gallery; best and worst by the mean CIDEr-D of all
            decoders, the most telling first.
        training: training rows that show the data.
    """

    examples: list[int]
    random: list[int]
    best: list[int]
    worst: list[int]
    training: list[int]


def select(inputs: Inputs, config: ReportConfig) -> Selection:
    """Draw the rows; the same seed and data give the same rows."""
    count = len(inputs.splits["val"].images)
    scores = np.mean(
        [[row["cider_d"] for row in decoder.per_image] for decoder in inputs.decoders], axis=0
    )  # (N,)
    ranked = np.argsort(-scores, kind="stable").tolist()
    extremes = min(config.extreme_images, count // 2)
    best, worst = ranked[:extremes], ranked[::-1][:extremes]
    others = [
        row
        for row in np.random.default_rng([config.seed, 0]).permutation(count).tolist()
        if row not in {*best, *worst}
    ]
    training = np.random.default_rng([config.seed, 1]).permutation(len(inputs.splits["train"].images))
    return Selection(
        examples=others[:EXAMPLES],
        random=others[EXAMPLES : EXAMPLES + config.gallery_images],
        best=best,
        worst=worst,
        training=training[:TRAINING_SAMPLES].tolist(),
    )


def shown_image(inputs: Inputs, split: str, row: int) -> dict[str, Any]:
    """What stands for an image: its pixels where there are any, else its number and address."""
    image = inputs.splits[split].images[row]
    path = inputs.image_path(split, row)
    inline: InlineImage | None = inline_image(path) if path else None
    url = str(image.get("url", ""))
    return {
        "id": image["id"],
        "inline": inline,
        "url": url if url.startswith(("http://", "https://")) else None,
    }
