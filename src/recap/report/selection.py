"""Which images the page shows: some at random by a seed, the best and the worst captioned ones."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from recap.report.config import ReportConfig
from recap.report.images import InlineImage, inline_image
from recap.report.inputs import Inputs

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

    def urls(self, inputs: Inputs) -> list[str]:
        """Return where the images are that the source itself does not have."""
        if inputs.raw.source.images:
            return []
        shown = {"val": [*self.examples, *self.random, *self.best, *self.worst], "train": self.training}
        images = [inputs.splits[split].images[row] for split, rows in shown.items() for row in rows]
        return [image["url"] for image in images if "url" in image]


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
    """Return what stands for an image: its pixels if any, else its number, address and the reason."""
    image = inputs.splits[split].images[row]
    url = str(image.get("url", ""))
    path = inputs.image_path(split, row) or inputs.fetched.get(url)
    inline: InlineImage | None = inline_image(path) if isinstance(path, Path) else None
    return {
        "id": image["id"],
        "inline": inline,
        "reason": path if isinstance(path, str) else None,
        "url": url if url.startswith(("http://", "https://")) else None,
    }
