"""The data: how much there is, what it looks like, how long and how varied the captions are."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from recap.data.vocabulary import NULL, UNK
from recap.reporting.config import ReportConfig
from recap.reporting.figures import WIDE, histogram
from recap.reporting.inputs import Inputs
from recap.reporting.labels import name, number
from recap.reporting.selection import Selection, shown_image

SPLIT_CLASSES = {"train": "split-train", "val": "split-val"}


def build(inputs: Inputs, selection: Selection, config: ReportConfig) -> dict[str, Any]:
    """Counts of both splits, a histogram of caption lengths, samples with all their captions."""
    lengths = {split: word_counts(inputs.captions.of(split)[0]) for split in SPLIT_CLASSES}
    longest = max(int(values.max(initial=1)) for values in lengths.values())
    shortest = min(int(values.min(initial=longest)) for values in lengths.values())
    bins = range(shortest, longest + 1)
    shares = {
        split: [float(np.mean(values == words)) if len(values) else 0.0 for words in bins]
        for split, values in lengths.items()
    }
    return {
        "source": inputs.raw.source,
        "vocabulary": number(len(inputs.captions.vocabulary), "count"),
        "splits": [_counts(inputs, split, lengths[split]) for split in SPLIT_CLASSES],
        "parts": _part_counts(inputs),
        "lengths": histogram(
            list(bins),
            [(name(split), css, shares[split]) for split, css in SPLIT_CLASSES.items()],
            "Words in a caption",
            f"Histogram of caption lengths, {shortest} to {longest} words, training and validation",
            size=WIDE,
        ),
        "legend": [(name(split), css) for split, css in SPLIT_CLASSES.items()],
        "samples": [
            {
                "image": shown_image(inputs, "train", row),
                "references": inputs.splits["train"].references[row],
            }
            for row in selection.training
        ],
    }


def word_counts(captions: NDArray[np.int32]) -> NDArray[np.int64]:
    """Words of each encoded caption (M, L), <START> and <END> not counted: (M,)."""
    return np.count_nonzero(captions != NULL, axis=1) - 2


def _counts(inputs: Inputs, split: str, words: NDArray[np.int64]) -> dict[str, str]:
    captions = inputs.captions.of(split)[0]
    unknown = np.count_nonzero(captions == UNK) / max(int(words.sum()), 1)
    images = len(inputs.splits[split].images)
    return {
        "name": name(split),
        "images": number(images, "count"),
        "captions": number(len(captions), "count"),
        "captions_per_image": number(len(captions) / max(images, 1), "decimal"),
        "words": number(float(words.mean()) if len(words) else None, "decimal"),
        "unknown": f"{100 * unknown:.2f} %",
    }


def _part_counts(inputs: Inputs) -> list[tuple[str, str]]:
    parts = [image["part"] for image in inputs.splits["val"].images if "part" in image]
    return [(name(part), number(parts.count(part), "count")) for part in sorted(set(parts))]
