"""Which images the page shows: the scored ones, or as many of them as it may hold, and some of training."""

from collections.abc import Mapping
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
    """Rows of images.

    Attributes:
        gallery: rows of scored images, ascending.
        examples: some of them, drawn at random, for the top of the page.
        training: training rows that show the data.
    """

    gallery: list[int]
    examples: list[int]
    training: list[int]

    def urls(self, inputs: Inputs) -> list[str]:
        """Return where the images are that the source itself does not have."""
        if inputs.raw.source.images:
            return []
        shown = {"test": self.gallery, "train": self.training}
        images = [inputs.splits[split].images[row] for split, rows in shown.items() for row in rows]
        return [image["url"] for image in images if "url" in image]


def select(inputs: Inputs, config: ReportConfig) -> Selection:
    """Draw the rows; the same seed and data give the same rows."""
    drawn, training = (
        np.random.default_rng([config.seed, number]).permutation(len(inputs.splits[split].images)).tolist()
        for number, split in enumerate(("test", "train"))
    )
    return Selection(
        gallery=sorted(drawn[: config.gallery_images]),
        examples=drawn[:EXAMPLES][: config.gallery_images],
        training=training[:TRAINING_SAMPLES],
    )


def shown_image(inputs: Inputs, split: str, row: int) -> dict[str, Any]:
    """Return what stands for an image: its pixels if any, else its number, address and the reason."""
    image = inputs.splits[split].images[row]
    return stand_in(image, inputs.image_path(split, row) or inputs.fetched.get(str(image.get("url", ""))))


def stand_in(image: Mapping[str, Any], path: Path | str | None) -> dict[str, Any]:
    """Return what stands for an image with this file, or with a reason why there is none."""
    url, terms = (str(image.get(key, "")) for key in ("url", "license_url"))
    inline: InlineImage | None = inline_image(path) if isinstance(path, Path) else None
    return {
        "id": image["id"],
        "inline": inline,
        "reason": path if isinstance(path, str) else None,
        "url": _address(url),
        "license": image.get("license"),
        "license_url": _address(terms),
    }


def _address(text: str) -> str | None:
    """Return a text that may be a link; None for any other."""
    return text if text.startswith(("http://", "https://")) else None
