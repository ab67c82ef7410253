"""Which images the page shows: the scored ones, or as many of them as it may hold, and some of training."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from recap.report.config import ReportConfig
from recap.report.readers import Split

EXAMPLES = 6
TRAINING_SAMPLES = 5


@dataclass(frozen=True)
class Selection:
    """Rows of images.

    Attributes:
        gallery: rows of scored images, ascending.
        examples: some of them, drawn at random, for the top of the page.
        training: training rows that show the data.
    """

    gallery: list[int]
    examples: list[int]
    training: list[int]


def select(splits: Mapping[str, Split], config: ReportConfig) -> Selection:
    """Draw the rows; the same seed and data give the same rows."""
    drawn, training = (
        np.random.default_rng([config.seed, number]).permutation(len(splits[split].images)).tolist()
        for number, split in enumerate(("test", "train"))
    )
    return Selection(
        gallery=sorted(drawn[: config.gallery_images]),
        examples=drawn[:EXAMPLES][: config.gallery_images],
        training=training[:TRAINING_SAMPLES],
    )
